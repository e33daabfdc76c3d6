"""What a `MeshNet` learns: WSIM 3D Hand (Yu et al. 2023), eq. 8, and eq. 9 of pairs of hands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from fitter.errors import InputError
from init_net.mesh_records import MeshDraws, MeshPredictions
from init_net.posing import weak_projection
from init_net.samples.config import DatasetConfig
from init_net.samples.crop_samples import Cropper
from init_net.samples.fitted import with_fitted
from init_net.samples.hand_pairs import HANDS, MeshSamples
from init_net.samples.mixing import Mixture
from init_net.training.crop_batches import batch_seed
from init_net.training.loss_weights import OF_PAIRS
from init_net.training.mesh_evaluation import MeshErrors, mesh_inputs
from init_net.training.mesh_terms import MeshTerms
from init_net.training.mesh_truth import TrueMeshes
from init_net.training.pair_evaluation import PairErrors
from init_net.training.pictures import crop_pictures
from init_net.training.plan import Stage
from init_net.training.ranks import Ranks
from init_net.training.sample_tasks import ImageTask, by_set
from init_net.training.task import WHOLE
from init_net.training.touching_hands import HandPairs, PairSurfaces

if TYPE_CHECKING:
    from init_net.networks.mesh_net import MeshNet

_DRAWN = 4
"""What a seed is for, besides the first weights and the order of samples: codes and twists."""


class MeshTask(ImageTask):
    """A `MeshNet`: of joints alone, or of all that is true (the losses that count say which).

    A stage whose losses compare hands that touch learns from the pairs of hands of its sources, two
    rows of a batch each.
    """

    def __init__(self, *arguments: Any) -> None:
        """As `ImageTask`; keypoints are joints and fingertips, as the regressor finds them."""
        super().__init__(*arguments)
        network = cast("MeshNet", self.network)
        vertices = int(network.faces.max()) + 1
        self._truth = TrueMeshes(network.config, vertices, self._device)
        self._terms = MeshTerms(self._truth, network.faces)
        self._surfaces = PairSurfaces(network.faces, vertices)
        self._cropper = replace(self._cropper, marks=False)
        self._held_out = replace(self._held_out, marks=False)
        self._apart = {name: replace(each, marks=False) for name, each in self._apart.items()}
        self._pairs = {
            stage.number: self._paired(stage)
            for stage in self.plan.stages
            if any(stage.losses[name] > 0 for name in OF_PAIRS)
        }
        held_out = self.config.validation_datasets if self._pairs else {}
        self._held_out_pairs = HandPairs.of_each(held_out)

    def _paired(self, stage: Stage) -> tuple[HandPairs, Mixture]:
        """The pairs that a stage learns from, and their order."""
        config, size = self.config, self.config.optimiser.batch_size
        where = f"stages.{stage.name}" if config.stages else "losses"
        named = config.shares_of(config.stages.get(stage.name))
        sources = {name: config.sources[name] for name in named}
        for name, source in sources.items():
            if not isinstance(source, DatasetConfig):
                raise InputError("training.unpaired_source", file=where, source=name)
        Ranks().require_even(size, HANDS)
        pairs = HandPairs.of(cast("dict[str, DatasetConfig]", sources))
        return pairs, Mixture(pairs.owner, [*named.values()], config.run.seed, stage.number)

    # Crops and what a mesh network needs besides: the tasks that share `ImageTask` hand their
    # batches to nobody but their own `losses`.
    def batch(self, step: int, rows: slice = WHOLE) -> MeshSamples:  # type: ignore[override]
        """See `Task.batch`; of a stage of pairs an even number of rows from an even one on."""
        size, stage = self.config.optimiser.batch_size, self.plan.at(step)
        numbers, cropper = self._chosen(step), self._cropper
        if stage.number in self._pairs:
            pairs, mixture = self._pairs[stage.number]
            numbers = pairs.rows(mixture.chosen(step - stage.first, size // HANDS))
            cropper = replace(cropper, samples=pairs.samples)
        first, *_ = rows.indices(size)
        seed = batch_seed(self.config, step)
        crops, views = cropper.crop_with_views(numbers[rows], seed, first)
        if stage.number not in self._pairs:
            crops = self._weighted(crops, numbers[rows])
            crops = with_fitted(crops, torch.from_numpy(self._train.fitted[numbers[rows]]))
        return MeshSamples(crops, views, self._draws(step)[rows])

    def _draws(self, step: int) -> MeshDraws:
        """Of a whole batch."""
        vae, size = cast("MeshNet", self.network).config.vae, self.config.optimiser.batch_size
        seed = np.random.SeedSequence([self.config.run.seed, _DRAWN, step])
        number = int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1))
        generator = torch.Generator().manual_seed(number)
        return MeshDraws.drawn(size, 0 if vae is None else vae.latent, generator)

    def losses(self, batch: MeshSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch, stage = batch.to(self._device), self.plan.at(step)
        asked = [name for name, weight in stage.losses.items() if weight > 0]
        said: MeshPredictions = self.network(mesh_inputs(batch.crops), stage.without, batch.draws)
        terms = self._terms(said, batch.crops, [name for name in asked if name not in OF_PAIRS])
        if "penetration" in asked:
            vertices = said.parametric_vertices.float()
            terms["penetration"] = self._surfaces.penetration(vertices, batch.views)
        return self._scaled(terms, step, batch.crops.weight)

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`; where a stage of the run learns from pairs, of pairs, too."""
        network = cast("MeshNet", self.network)

        def figures(held_out: Cropper) -> dict[str, float]:
            return MeshErrors.of(network, held_out, stage.without, self._truth).figures()

        def between(pairs: HandPairs) -> dict[str, float]:
            return PairErrors.of(network, pairs, stage.without).figures()

        found = by_set({"": self._held_out, **self._apart}, figures)
        return {**found, **by_set(self._held_out_pairs, between)}

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`: the true joints, and those of the parametric mesh."""
        crops = self._shown()
        draws = self._draws(0)[: len(crops.image)].to(self._device)
        said: MeshPredictions = self.network(mesh_inputs(crops), stage.without, draws)
        return crop_pictures(crops, weak_projection(said.parametric_joints, said.camera), None)
