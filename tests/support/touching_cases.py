"""A right hand before a left one in one picture, of which everything is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.interaction import InteractionConfig
from fitter.config.options import FitConfig
from fitter.config.stages import RefineConfig
from fitter.contact import Surface, closed, contacts
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.scene import SceneParams, SceneView
from fitter.hand_models import HandModel
from fitter.interaction.joint_stage import JointStage
from fitter.interaction.pictured import HandsOfPictures
from fitter.interaction.touching import PicturedHands
from fitter.raster import rasterize
from fitter.records import HandParams, mirror_where
from fitter.refinement.refiner import Refined, Refiner
from fitter.refinement.scene import SceneModel
from fitter.refinement.stages import StageTask
from tests.support.refine_scenes import hands_of, scene_model, true_hands

SIDE = 96
STEP = 0.005
"""Metres by which a left hand is moved back until it is clear of the right one."""


@dataclass(frozen=True)
class TouchingCase:
    """Hands two by two in a picture each, the right hand nearer.

    Attributes:
        model: of the hands.
        truth: (2 P) in their own frames; left: of them.
        task: what is seen of them.
        masks: of each what can be seen.
        stage: that fits them together.
    """

    model: SceneModel
    truth: HandParams
    left: Tensor
    task: StageTask
    masks: list[np.ndarray]
    stage: JointStage

    @property
    def exact(self) -> HandModel:
        """The model in double precision."""
        return HandModel(self.model.hand.data, torch.float64)

    def begun(self, nearer: float = 0.045) -> SceneParams:
        """Left hands too near to the camera, so that they are in the right ones; as large in the
        picture as they are."""
        factor = torch.where(self.left, 1 - nearer / 0.5, 1.0)[:, None]
        root = self.model.fit.keypoints.joint_template[0]
        root = root + self.truth.betas @ self.model.fit.keypoints.joint_shapedirs[0].T
        moved = (root + self.truth.transl) * factor - root
        return self.model.start(replace(self.truth, transl=moved))

    def hands(self, params: SceneParams, rows: list[int] | None = None) -> HandsOfPictures:
        """Those of some rows, or all, as the stage takes them."""
        rows = list(range(len(self.left))) if rows is None else rows
        index = torch.tensor(rows)
        count = len(rows)
        task = self.task.select(index)
        refined = Refined(
            params[index],
            torch.zeros(count, dtype=torch.int64),
            torch.zeros(count, dtype=torch.int64),
            [None] * count,
            torch.full((count,), torch.nan),
            task,
        )
        return HandsOfPictures(
            refined,
            np.array(rows) // 2,
            self.left[index],
            task.view.intrinsics.double(),
            [self.masks[row] for row in rows],
            np.ones(count, bool),
            np.ones(count),
            [None] * count,
        )


def touching_case(
    pictures: int = 1, config: InteractionConfig | None = None, seed: int = 3
) -> TouchingCase:
    """As many pictures of two hands."""
    model = scene_model()
    truth = true_hands(model, 2 * pictures, seed)
    left = torch.arange(2 * pictures) % 2 == 1
    # Of one person, a little beside each other, the left one behind.
    betas = truth.betas[torch.arange(2 * pictures) // 2 * 2]
    beside = torch.where(left, -0.01, 0.01)
    shift = torch.stack([beside, torch.zeros_like(beside), torch.zeros_like(beside)], 1)
    truth = replace(truth, betas=betas, transl=truth.transl + shift.double())
    truth, vertices = _clear(HandModel(model.hand.data, torch.float64), truth, left)
    half = SIDE / 2
    matrix = torch.tensor([[1.6 * SIDE, 0, half], [0, 1.6 * SIDE, half], [0, 0, 1]])
    K = matrix.double().expand(2 * pictures, 3, 3)
    masks = _masks(model, vertices, left, K)
    fit, options = FitConfig(), RefineConfig(resolution=SIDE)
    keypoints = project(HandModel(model.hand.data, torch.float64)(truth).keypoints, K)
    count, like = 2 * pictures, model.hand.v_template
    view = SceneView(
        image=like.new_full((count, SIDE, SIDE, 3), 0.5),
        mask=torch.as_tensor(np.stack(masks)),
        mask_weight=like.new_ones(count, SIDE, SIDE),
        image_weight=like.new_ones(count, SIDE, SIDE),
        intrinsics=K.to(like),
        keypoints=keypoints.to(like),
        confidence=like.new_full((count, 21), 0.9),
        focal_unknown=like.new_zeros(count),
    )
    task = StageTask(model, view, KeypointTargets.of(hands_of(view, fit)), fit)
    exact = HandModel(model.hand.data, torch.float64)
    stage = JointStage(Refiner(exact, model.fit, options, fit), config or InteractionConfig())
    return TouchingCase(model, truth, left, task, masks, stage)


def pictured(boxes: list[list[float]], **changes: object) -> PicturedHands:
    """Hands of one picture, sides by turns, keypoints along the diagonals of their boxes."""
    array = np.array(boxes, float)
    share = np.linspace(0, 1, 21)[None, :, None]
    count = len(array)
    given = {
        "picture": np.zeros(count, int),
        "left": np.arange(count) % 2 == 1,
        "boxes": array,
        "keypoints": array[:, None, :2] * (1 - share) + array[:, None, 2:] * share,
        "sureness": np.ones(count),
    }
    return PicturedHands(**(given | changes))


def _clear(model: HandModel, hands: HandParams, left: Tensor) -> tuple[HandParams, Tensor]:
    """Hands of which the left ones are as far back as they have to be, and their vertices."""
    faces = closed(model.faces, len(model.v_template))
    back = left[:, None] * torch.tensor([0.0, 0.0, STEP], dtype=torch.float64)
    while True:
        vertices = model(hands).vertices
        own = vertices[::2], mirror_where(left[1::2], vertices[1::2])
        inside = contacts(Surface(own[1], faces), Surface(own[0], faces), 0.0).pair
        if len(inside) == 0:
            return hands, vertices
        moved = torch.zeros(len(left), 1, dtype=torch.float64)
        moved[2 * inside + 1] = 1.0
        hands = replace(hands, transl=hands.transl + moved * back)


def _masks(model: SceneModel, vertices: Tensor, left: Tensor, K: Tensor) -> list[np.ndarray]:
    """(S, S) float32 what can be seen of each, in its own, perhaps mirrored, picture."""

    def depth(points: Tensor) -> Tensor:
        screen = torch.cat([project(points, K), points[..., 2:]], -1)
        drawn = rasterize(screen, model.topology, (SIDE, SIDE))
        return torch.where(drawn.mask, drawn.depth, torch.inf)

    own = depth(vertices)
    places = torch.arange(len(left))
    partner = depth(mirror_where(left.new_ones(len(left)), vertices[places ^ 1]))
    return [mask.float().numpy() for mask in own.isfinite() & (own < partner)]
