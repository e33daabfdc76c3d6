"""What the stages minimise: the weighted energies of a scene, as its parameters render it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fitter.config.energies import DECLARATIONS, RENDERED, Need
from fitter.config.options import FitConfig
from fitter.config.stages import StageConfig
from fitter.energies.inputs import SceneInputs
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.known_objects import KnownObjects
from fitter.energies.priors import PoseSpace
from fitter.energies.scene import SceneParams, SceneView
from fitter.energies.weighted import values, weighted_value
from fitter.fitting.initializer import Looks
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.rest_offsets import posed_offsets
from fitter.raster import RasterSettings
from fitter.records import HandParams
from fitter.refinement.looks import begun_with
from fitter.refinement.scene import SceneModel, draw
from fitter.refinement.viewed import ViewedScenes


@dataclass(frozen=True)
class StageTask:
    """What all stages of a batch of B hands share.

    What is seen has N rows: of hands in one camera each, B rows; of hands that several cameras see,
    those of `views`.

    Attributes:
        model: of the hands.
        view: N rows, what is seen of them, in the dtype of `model.hand`.
        targets: N rows, the keypoint stage's targets of the same hands, float64; the shapes that
            are known of hands in one camera.
        fit: the keypoint stage's options; a stage changes its weights, not its scales.
        rest_offsets: (B, V, 3) metres, offsets in the rest pose that are known and stay, NaN of
            hands whose offsets are not known; None where none are.
        views: which cameras see which hands, and what is known of these hands' shapes; None for
            hands in one camera each, whose frame is the camera's.
        looks: what the B hands begin with, see `fitter.refinement.looks.taken_looks`; None for mean
            skin in white light everywhere.
        objects: what the B hands may touch; None where nothing is known of that, as of hands that
            several cameras see.
    """

    model: SceneModel
    view: SceneView
    targets: KeypointTargets
    fit: FitConfig
    rest_offsets: Tensor | None = None
    views: ViewedScenes | None = None
    looks: Looks | None = None
    objects: KnownObjects | None = None

    @property
    def known(self) -> KnownShape:
        """What is known of the B hands' shapes."""
        return self.targets.known if self.views is None else self.views.known

    def select(self, index: Tensor) -> StageTask:
        """The task of the hands at `index` (n,) alone."""
        views, places = (None, index) if self.views is None else self.views.select(index)
        return replace(
            self,
            view=self.view[places],
            targets=self.targets[places],
            rest_offsets=None if self.rest_offsets is None else self.rest_offsets[index],
            views=views,
            looks=None if self.looks is None else self.looks[index],
            objects=None if self.objects is None else self.objects[index],
        )

    def energies_of(self, stage: StageConfig) -> dict[str, float]:
        """The weights of a stage's energies, without those of objects and of motion where nothing
        is known of these."""
        weights = self.targets.weights_of(stage.energies)
        if self.objects is not None:
            return weights
        return {
            name: weight
            for name, weight in weights.items()
            if Need.OBJECTS not in DECLARATIONS[name].needs
        }

    def start(self, hands: HandParams) -> SceneParams:
        """Scenes of B hands as the keypoints left them."""
        params = self.model.start(hands)
        params = params if self.views is None else self.views.begun(params)
        return params if self.looks is None else begun_with(self.model, params, self.looks)

    @property
    def has_mask(self) -> Tensor:
        """(N,) bool."""
        return self.view.mask_weight.flatten(1).any(1)

    def seen(self, params: SceneParams) -> SceneParams:
        """B scenes as the N rows that cameras see."""
        return params if self.views is None else self.views.seen(params)

    def per_hand(self, values: Tensor) -> Tensor:
        """(B,) bool: whether any row of each hand has a value (N,) bool."""
        return values if self.views is None else self.views.rows.sum(values.long()) > 0

    @property
    def free_offsets(self) -> Tensor | float:
        """(B, 1, 1) 1 where the offsets may change, 0 where they are known; 1 for all."""
        if self.rest_offsets is None:
            return 1.0
        return self.rest_offsets.isnan().any((1, 2), keepdim=True).to(self.rest_offsets)

    def with_known_offsets(self, params: SceneParams) -> SceneParams:
        """Hands with the offsets that are known, in their poses."""
        if self.rest_offsets is None:
            return params
        with torch.no_grad():
            known = posed_offsets(self.model.hand, params.hand, self.rest_offsets.nan_to_num())
        return replace(
            params, offsets=torch.where(self.rest_offsets.isnan(), params.offsets, known)
        )

    def as_seen(self) -> StageTask:
        """The same task with nothing known of the hands' shapes and motion."""
        return replace(self, targets=self.targets.as_seen())

    def of_known_shape(self, known: KnownShape) -> StageTask:
        """The same task with these shapes known."""
        return replace(self, targets=self.targets.of_known_shape(known))


@dataclass(frozen=True)
class Objective:
    """What one stage minimises over B hands by a first-order solver.

    Attributes:
        task, stage, space: see `SceneInputs`.
        start: B scenes, see `SceneInputs`.
        size: of the hand model, in the dtype of the scene.
        targets: what is known of the keypoints, likewise.
        needs: what its energies look at.
    """

    task: StageTask
    stage: StageConfig
    start: SceneParams
    space: PoseSpace
    size: HandSize
    targets: KeypointTargets
    needs: frozenset[Need]

    @classmethod
    def of(cls, task: StageTask, stage: StageConfig, start: SceneParams) -> Objective:
        """The objective of a stage that begins at `start`."""
        stage = stage.model_copy(update={"energies": task.energies_of(stage)})
        names = [name for name, weight in stage.energies.items() if weight != 0]
        needs = frozenset().union(*(DECLARATIONS[name].needs for name in names))
        space = task.model.fit.pose_space.to(start.transl)
        targets = task.targets.to(start.transl.dtype)
        size = task.model.fit.size.to(start.transl.dtype)
        return cls(task, stage, start, space, size, targets, needs)

    @property
    def raster(self) -> RasterSettings | None:
        """How hands are rendered; None where no energy looks at it."""
        if not self.needs & RENDERED:
            return None
        stage = self.stage
        return RasterSettings(silhouette=stage.silhouette, sigma=stage.sigma, band=stage.band)

    @property
    def shaded(self) -> bool:
        """Whether an energy needs colours."""
        return Need.COLOURS in self.needs

    def inputs(self, params: SceneParams) -> SceneInputs:
        """What the energies look at, N rows, rendered as far as they need it."""
        seen, start = self.task.seen(params), self.task.seen(self.start)
        return self._inputs(self.task.view, seen, start, self.targets, self.raster)

    def alone(self, params: SceneParams) -> SceneInputs:
        """What energies look at that depend on no camera, B hands in the rig's frame."""
        assert self.task.views is not None  # else they are among the others
        # Of a view they take nothing.
        first = self.task.views.rows.first
        return self._inputs(self.task.view[first], params, self.start, self.targets[first], None)

    def _inputs(
        self,
        view: SceneView,
        params: SceneParams,
        start: SceneParams,
        targets: KeypointTargets,
        raster: RasterSettings | None,
    ) -> SceneInputs:
        model = self.task.model
        return SceneInputs(
            params=params,
            start=start,
            view=view,
            given_targets=targets,
            space=self.space,
            size=self.size,
            rendering=draw(model, params, view, raster, self.shaded and raster is not None),
            graph=model.graph if Need.NEIGHBOURS in self.needs else None,
            fit=self.task.fit,
            stage=self.stage,
            texel_graph=model.texels if Need.TEXELS in self.needs else None,
            known_parts=model.parts if Need.PARTS in self.needs else None,
            known_objects=self.task.objects if Need.OBJECTS in self.needs else None,
        )

    def terms(self, params: SceneParams) -> dict[str, Tensor]:
        """(B,) value of each energy of the stage, not weighted."""
        weights, views = self.stage.energies, self.task.views
        if views is None:
            return values(self.inputs(params), weights)
        weights = {name: weight for name, weight in weights.items() if weight != 0}
        viewed = {name: w for name, w in weights.items() if DECLARATIONS[name].uses_view}
        alone = {name: w for name, w in weights.items() if name not in viewed}
        found = values(self.alone(params), alone) if alone else {}
        if viewed:
            has_mask = self.task.has_mask
            for name, rows in values(self.inputs(params), viewed).items():
                found[name] = views.reduced(name, rows, self.stage, has_mask)
        return found

    def __call__(self, params: SceneParams) -> Tensor:
        """(B,) the weighted sum."""
        if self.task.views is None:
            return weighted_value(self.inputs(params), self.stage.energies)
        weights = self.stage.energies
        weighted = [weights[name] * value for name, value in self.terms(params).items()]
        return torch.stack(weighted or [torch.zeros_like(params.log_focal)]).sum(0)
