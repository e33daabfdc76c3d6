"""From crops, through masks and stages, to refined hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.config.stages import DEFAULT_STAGES, RefineConfig, StageConfig
from fitter.fitting.shape_information import unpacked
from fitter.hand_models import load_appearance, load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.masks.hand_mask import MaskSettings
from fitter.records import HandCrop, HandParams
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.refiner import Refined, Refiner
from fitter.refinement.scene import SceneModel, SceneView
from fitter.solvers.status import Status
from tests.support.refine_scenes import (
    SIDE,
    camera,
    hands_of,
    perturbed,
    scene_model,
    true_hands,
    view_of,
)

SHORT = DEFAULT_STAGES["contour"].model_copy(update={"iterations": 6})
SETTINGS = RefineConfig(resolution=SIDE, segmentation="grabcut", stages={"contour": SHORT})


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model()


@pytest.fixture(scope="module")
def truth(model) -> HandParams:
    return true_hands(model, 3, seed=4)


@pytest.fixture(scope="module")
def view(model, truth) -> SceneView:
    return view_of(model, truth)


def refiner(model: SceneModel, config: RefineConfig = SETTINGS) -> Refiner:
    return Refiner(
        load_hand_model("open_hand", dtype=torch.float64), model.fit, config, FitConfig()
    )


def crops_of(view: SceneView, masks: list[np.ndarray | None]) -> list[HandCrop]:
    return [
        HandCrop(
            pixels=(255 * view.image[i].clamp(0, 1)).round().byte().numpy(),
            inside=None,
            given=None if mask is None else (255 * mask).round().astype(np.uint8),
            intrinsics=camera(1)[0].numpy(),
            keypoints=view.keypoints[i].double().numpy(),
            confidence=view.confidence[i].double().numpy(),
            others=np.zeros((0, 21, 2)),
        )
        for i, mask in enumerate(masks)
    ]


def refined(
    model: SceneModel,
    view: SceneView,
    hands: HandParams,
    masks: list[np.ndarray | None],
    config: RefineConfig = SETTINGS,
) -> Refined:
    observed = hands_of(view, FitConfig())
    nothing, known = [None] * len(masks), torch.zeros(len(masks))
    return refiner(model, config)(hands, crops_of(view, masks), nothing, observed, known)


def given(view: SceneView) -> list[np.ndarray]:
    return list(view.mask.numpy())


@pytest.fixture(scope="module")
def start(truth) -> HandParams:
    return perturbed(truth, size=0.5)


@pytest.fixture(scope="module")
def pulled(model, view, start) -> Refined:
    """With true masks."""
    return refined(model, view, start, given(view))


def test_given_masks_pull_hands_onto_them(model, view, start, pulled) -> None:
    none = SETTINGS.model_copy(update={"stages": {}})
    before = refined(model, view, start, given(view), none)
    after = pulled
    assert [mask.source for mask in after.masks] == ["given"] * 3
    assert (after.mask_iou > before.mask_iou + 0.02).all() and after.mask_iou.min() > 0.9
    assert torch.equal(before.params.transl, start.transl.float())
    assert (after.iterations > 0).all() and (after.status != int(Status.DIVERGED)).all()


def keypoint_error(model: SceneModel, result: Refined, view: SceneView) -> torch.Tensor:
    keypoints = pose_keypoints(model.fit.keypoints, result.params.hand.to(torch.float64))[1]
    found = project(keypoints, view.intrinsics.double())
    return (found - view.keypoints).norm(dim=-1).mean(1)


def test_a_mask_that_contradicts_the_keypoints_does_not_pull(model, view, start, pulled) -> None:
    """That of a hand a third of the crop away: the keypoints and priors alone decide."""
    shifted = [np.roll(mask, SIDE // 3, axis=1) for mask in given(view)]
    without = SETTINGS.model_copy(update={"segmentation": "none"})
    result = refined(model, view, start, shifted)
    assert [mask.source for mask in result.masks] == ["rejected"] * 3
    assert result.mask_iou.isnan().all()
    alone = refined(model, view, start, [None] * 3, without)
    assert alone.masks == [None] * 3 and alone.mask_iou.isnan().all()
    for one, two in zip(vars(result.params).values(), vars(alone.params).values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    error = keypoint_error(model, result, view)
    assert error.max() < 0.02 * SIDE
    # One hand's bad mask is its own: the others' are used as before.
    mixed = refined(model, view, start, [given(view)[0], shifted[1], given(view)[2]])
    assert [mask.source for mask in mixed.masks] == ["given", "rejected", "given"]
    torch.testing.assert_close(mixed.mask_iou[[0, 2]], pulled.mask_iou[[0, 2]], rtol=0, atol=1e-3)


def test_a_mask_that_agrees_but_drags_a_hand_off_its_keypoints_is_rejected(
    model, view, truth
) -> None:
    """Two pixels beside the hand, which passes for an agreeing mask, and keypoints too weak to hold
    against it; the first hand's mask is the true one."""
    weak = SHORT.model_copy(update={"energies": {**SHORT.energies, "keypoints": 0.05}})
    config = RefineConfig(
        resolution=SIDE, stages={"contour": weak}, snap_masks=False, segmentation="none"
    )
    masks = [np.roll(mask, 0 if i == 0 else 2, axis=1) for i, mask in enumerate(given(view))]
    held = refined(model, view, truth, masks, config)
    assert [mask.source for mask in held.masks] == ["given", "rejected", "rejected"]
    assert held.mask_iou[0] > 0.85 and held.mask_iou[1:].isnan().all()
    assert min(mask.agreement for mask in held.masks) >= MaskSettings.agreement
    loose = config.model_copy(update={"max_pull": 10.0})
    dragged = refined(model, view, truth, masks, loose)
    assert [mask.source for mask in dragged.masks] == ["given"] * 3
    assert (keypoint_error(model, dragged, view) > keypoint_error(model, held, view))[1:].all()
    # As though there had never been a mask, and no neighbour had been rejected.
    alone = refined(model, view, truth, [masks[0], None, None], config)
    for one, two in zip(vars(held.params).values(), vars(alone.params).values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4)
    # Keypoints of the usual weight hold the hand themselves.
    usual = config.model_copy(update={"stages": {"contour": SHORT}})
    assert [m.source for m in refined(model, view, truth, masks, usual).masks] == ["given"] * 3


def test_masks_are_cut_from_the_picture_only_where_asked(model, view, truth) -> None:
    result = refined(model, view, truth, [given(view)[0], None, None])
    assert [mask.source for mask in result.masks] == ["given", "grabcut", "grabcut"]
    assert result.mask_iou.min() > 0.85


def test_freed_lists_the_groups_of_all_stages(model) -> None:
    light = StageConfig(
        solver="adam",
        iterations=1,
        free=["lighting"],
        energies={"photometric_rgb": 1.0},
        learning_rate=0.01,
    )
    config = SETTINGS.model_copy(update={"stages": {**DEFAULT_STAGES, "light": light}})
    expected = {"global_orient", "pose", "shape", "camera", "lighting"}
    assert refiner(model, config).freed == expected
    assert refiner(model, SETTINGS.model_copy(update={"stages": {}})).freed == frozenset()


def test_the_skin_is_read_only_where_a_stage_looks_at_it(model, monkeypatch) -> None:
    read = []

    def load(data):
        read.append(data.name)
        return load_appearance(data)

    monkeypatch.setattr("fitter.refinement.refiner.load_appearance", load)
    refiner(model)
    assert not read
    for change in ({"free": ["appearance"]}, {"energies": {"photometric_rgb": 1.0}}):
        stage = SHORT.model_copy(update=change)
        refiner(model, SETTINGS.model_copy(update={"stages": {"one": stage}}))
    off = SHORT.model_copy(update={"energies": {"photometric_rgb": 0.0}})
    refiner(model, SETTINGS.model_copy(update={"stages": {"one": off}}))
    assert len(read) == 2


def test_stages_keep_known_sizes(model, truth, view) -> None:
    adam = StageConfig(
        solver="adam",
        iterations=4,
        free=["shape", "camera"],
        energies={"keypoints": 1.0, "shape_prior": 0.1, "size_prior": 1.0},
        learning_rate=0.05,
    )
    stages = RefineConfig(
        resolution=SIDE, segmentation="none", stages={"contour": SHORT, "adam": adam}
    )
    size = model.fit.size
    sizes = torch.tensor([0.16, torch.nan, 0.2], dtype=torch.float64)
    known_sizes = replace(KnownShape.nothing(sizes), size=sizes)
    start = size.placed(truth.to(torch.float64), sizes)
    crops = crops_of(view, [view.mask[i].numpy() for i in range(3)])
    known = refiner(model, stages)
    observed = hands_of(view, FitConfig())
    found = known(start, crops, [None] * 3, observed, torch.zeros(3), known_sizes)
    after = size(found.params.hand.betas.to(torch.float64))
    torch.testing.assert_close(after[[0, 2]], sizes[[0, 2]], rtol=0, atol=1e-6)
    free = known(start, crops, [None] * 3, observed, torch.zeros(3))
    moved = size(free.params.hand.betas.to(torch.float64)) - sizes
    assert moved[[0, 2]].abs().min() > 1e-4
    torch.testing.assert_close(free.params.betas[1], found.params.betas[1], rtol=0, atol=1e-4)


def test_shape_information_predicts_how_the_cost_of_a_stage_rises_with_the_shape(
    model, view, truth
):
    """With a mask, along the shapes of which the image says most: pose and place follow the shape.

    To both sides, since a drawn outline is no smooth function, so that the slope is not quite 0.
    """
    energies = {"keypoints": 2.0, "silhouette_l2": 1000.0, "limits": 1.5, "pose_prior": 0.13}
    changes = {"iterations": 60, "tolerance": 1e-7, "band": 3.0, "energies": energies}
    stage = DEFAULT_STAGES["contour"].model_copy(update=changes)
    config = SETTINGS.model_copy(update={"snap_masks": False, "stages": {"contour": stage}})
    refine, none = refiner(model, config), [None] * 3
    looks = (crops_of(view, given(view)), none, hands_of(view, FitConfig()), torch.zeros(3))

    def cost(result: Refined) -> np.ndarray:
        task = result.task.as_seen()
        with torch.inference_mode():
            problem = LeastSquaresObjective.of(task, stage, result.params)
            return problem.linearize(result.params.hand.to(torch.float64)).cost.numpy()

    free = refine(perturbed(truth, size=0.2), *looks)
    best = free.params.hand.to(torch.float64)
    said = unpacked(refine.shape_information(free, torch.arange(3)).numpy(), 10)
    values, axes = np.linalg.eigh(said.matrix)
    unknown, foreseen, ratios = torch.full((3,), torch.nan).double(), 0.3, []
    for place in (-1, -2):
        step = np.sqrt(2 * foreseen / values[:, place])[:, None] * axes[:, :, place]
        rise = np.zeros(3)
        for moved in (step, -step):
            betas = best.betas + torch.from_numpy(moved)
            known = KnownShape.of(unknown, betas)
            held = refine(replace(best, betas=betas), *looks, known)
            np.testing.assert_allclose(held.params.hand.betas, betas, atol=1e-6)
            rise += (cost(held) - cost(free)) / 2
        ratios.append(rise / foreseen)
    assert np.min(ratios) > 0.5 and np.max(ratios) < 2
    assert 0.8 < np.mean(ratios) < 1.25
