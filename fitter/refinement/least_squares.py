"""What one stage minimises by least squares: its weighted energies over B hands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.energies import DECLARATIONS, Need
from fitter.config.stages import StageConfig
from fitter.energies.inputs import KeypointInputs, OutlineInputs, SurfaceInputs
from fitter.energies.scene import SceneParams, focal_applied
from fitter.energies.weighted import weighted_quadratic
from fitter.raster import RasterSettings, rasterize
from fitter.records import HandParams
from fitter.refinement.objective import StageTask
from fitter.solvers import Linearization


@dataclass(frozen=True)
class LeastSquaresObjective:
    """What one stage minimises over B hands by Levenberg-Marquardt, a `LeastSquaresProblem`. It
    moves neither `offsets` nor `log_focal`: they are what the stage began with.

    Attributes:
        task: model and observations, with the focal length that the stage began with.
        stage: the stage.
        offsets: (B, V, 3) see `SceneParams`.
    """

    task: StageTask
    stage: StageConfig
    offsets: Tensor

    @classmethod
    def of(cls, task: StageTask, stage: StageConfig, start: SceneParams) -> LeastSquaresObjective:
        """The objective of a stage that begins at `start`."""
        # The line of sight stays that of the given K: it only says along what depth is measured.
        matrix = focal_applied(task.targets.intrinsics, start.log_focal.to(torch.float64))
        targets = replace(task.targets, intrinsics=matrix)
        view = replace(task.view, intrinsics=focal_applied(task.view.intrinsics, start.log_focal))
        # Of hands in several views it is what each row says, by itself.
        alone = replace(task, view=view, targets=targets, views=None, rest_offsets=None)
        stage = stage.model_copy(update={"energies": task.energies_of(stage)})
        return cls(alone, stage, start.offsets)

    def linearize(self, params: HandParams) -> Linearization:
        """The weighted sum of the stage's energies."""
        model, targets = self.task.model.fit, self.task.targets
        params = targets.known.sized(model.size, params)
        keypoints = model.kinematics(params)
        space, size = model.pose_space, model.size
        inputs = KeypointInputs(params, keypoints.points, targets, space, size, self.task.fit)
        weights = self.stage.energies
        outlined = needs(self.stage, Need.SILHOUETTE)
        if outlined or needs(self.stage, Need.PARTS) or needs(self.stage, Need.OBJECTS):
            inputs = self._with_surface(inputs)
            inputs = self._with_outline(inputs) if outlined else inputs
        cost, *derivatives = weighted_quadratic(inputs, keypoints, weights)
        held = targets.known.restrict(size, params.betas, *derivatives)
        return Linearization(cost, *held)

    def _with_surface(self, inputs: KeypointInputs) -> SurfaceInputs:
        model = self.task.model
        surface = model.kinematics(inputs.hand.to(self.task.view.image.dtype))
        # In the camera's frame, so that no derivative changes.
        surface = surface._replace(vertices=surface.vertices + self.offsets)
        return SurfaceInputs(
            **vars(inputs),
            surface=surface,
            known_parts=model.parts if needs(self.stage, Need.PARTS) else None,
            known_objects=self.task.objects if needs(self.stage, Need.OBJECTS) else None,
            contact_reach=self.stage.contact_reach,
        )

    def _with_outline(self, inputs: SurfaceInputs) -> OutlineInputs:
        model, view, band = self.task.model, self.task.view, self.stage.band
        surface = inputs.surface
        positions = project(surface.vertices, view.intrinsics)
        screen = torch.cat([positions, surface.vertices[..., 2:]], -1)
        settings = RasterSettings(silhouette="edge", band=band)
        fragments = rasterize(screen, model.topology, (view.size, view.size), settings=settings)
        return OutlineInputs(
            **vars(inputs),
            screen=screen,
            drawn=(fragments, model.topology, band),
            view=view,
        )

    def without_objects(self) -> LeastSquaresObjective:
        """The same without what known objects say."""
        task = replace(self.task, objects=None)
        energies = {"energies": task.energies_of(self.stage)}
        return replace(self, task=task, stage=self.stage.model_copy(update=energies))

    def select(self, index: Tensor) -> LeastSquaresObjective:
        """The objective of the hands at `index` alone."""
        return LeastSquaresObjective(self.task.select(index), self.stage, self.offsets[index])


def needs(stage: StageConfig, need: Need) -> bool:
    """Whether an energy of a stage looks at something."""
    return any(need in DECLARATIONS[name].needs for name, w in stage.energies.items() if w != 0)
