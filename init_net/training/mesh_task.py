"""What a `MeshNet` learns: WSIM 3D Hand (Yu et al. 2023), eq. 8, and eq. 9 of pairs of hands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor

from init_net.posing import weak_projection
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.training.freezing import said
from init_net.training.mesh_evaluation import MeshErrors, mesh_inputs
from init_net.training.mesh_terms import MeshTerms
from init_net.training.mesh_truth import TrueMeshes
from init_net.training.pictures import crop_pictures
from init_net.training.plan import Stage
from init_net.training.sample_tasks import ImageTask, by_set

if TYPE_CHECKING:
    from init_net.networks.mesh_net import MeshNet


class MeshTask(ImageTask):
    """A `MeshNet`: of joints alone, or of all that is true (the losses that count say which)."""

    def __init__(self, *arguments: Any) -> None:
        """As `ImageTask`; keypoints are joints and fingertips, as the regressor finds them."""
        super().__init__(*arguments)
        network = cast("MeshNet", self.network)
        vertices = int(network.faces.max()) + 1
        self._truth = TrueMeshes(network.config, vertices, self._device)
        self._terms = MeshTerms(self._truth, network.faces)
        self._cropper = replace(self._cropper, marks=False)
        self._held_out = replace(self._held_out, marks=False)
        self._apart = {name: replace(each, marks=False) for name, each in self._apart.items()}

    def losses(self, batch: CropSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        asked = [name for name, weight in self.plan.at(step).losses.items() if weight > 0]
        terms = self._terms(self._said(mesh_inputs(batch), step), batch, asked)
        return self._scaled(terms, step, batch.weight)

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`."""
        network = cast("MeshNet", self.network)

        def figures(held_out: Cropper) -> dict[str, float]:
            return MeshErrors.of(network, held_out, stage.without, self._truth).figures()

        return by_set({"": self._held_out, **self._apart}, figures)

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`: the true joints, and those of the parametric mesh."""
        crops = self._shown()
        found = said(self.network, mesh_inputs(crops), stage)
        return crop_pictures(crops, weak_projection(found.parametric_joints, found.camera), None)

    def _as_learned(self, crops: CropSamples, step: int, rows: slice) -> CropSamples:
        """Crops as they are: the network is told neither keypoints nor shapes."""
        return crops
