"""That the presets of published recipes run, and the options that they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fitter.config.options import Config
from fitter.config.stages import StageConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.priors import PoseSpace
from fitter.energies.silhouette import squared_l2
from fitter.energies.surface import normal_consistency
from fitter.fitting.fit_model import FitModel
from fitter.fitting.observations import ObservationBatch, normalise, unknown_features
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.motion import HandMotion, place_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.raster import RasterSettings
from fitter.records import HandParams
from fitter.refinement.refiner import Refiner
from fitter.refinement.scene import SceneModel, SceneParams, SceneView, draw
from fitter.refinement.stages import StagesResult, StageTask, run_stages
from fitter.solvers.status import Status
from tests.support import mano_files
from tests.support.preset_files import PRESETS, preset

MODELS = ("open_hand", "mano")
SIDE = 32


@dataclass(frozen=True)
class Scene:
    """Two hands whose picture is known, and where a fit of them begins."""

    model: SceneModel
    task: StageTask
    begin: HandParams


@cache
def hand_model(name: str, folder: Path) -> HandModel:
    source = name
    if name == "mano":
        source = mano_files.write_published(folder / "MANO_RIGHT.pkl", mano_files.fabricate())
    return load_hand_model(source, dtype=torch.float64)


def scene_of(hand: HandModel, config: Config) -> Scene:
    """The truth on grey in crops of 32 pixels, its mask, and a start a little beside it."""
    like = torch.zeros((), dtype=torch.float64)
    space = PoseSpace.of(anatomy_of(hand.data), load_pose_prior(), like)
    fit = FitModel(hand.keypoint_model(), space)
    model = Refiner(hand, fit, config.refine, config.fit).model
    generator = torch.Generator().manual_seed(3)

    def noise(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(2, *shape, generator=generator, dtype=torch.float64)

    truth = HandParams(noise(0.5, 3), noise(0.1, 15, 3), noise(0.3, 10), noise(0, 3))
    middle = hand(truth).vertices.mean(1)
    truth = replace(truth, transl=torch.tensor([0.0, 0.0, 0.5]) - middle)
    begin = HandParams(
        truth.global_orient + noise(0.06, 3),
        truth.hand_pose + noise(0.05, 15, 3),
        truth.betas + noise(0.3, 10),
        truth.transl + noise(0.004, 3),
    )
    view = view_of(model, model.start(truth))
    unknown = torch.full((2, 21), torch.nan, dtype=torch.float64)
    observed = ObservationBatch(
        keypoints=view.keypoints.double(),
        confidence=view.confidence.double(),
        relative_depth=unknown,
        relative_xyz=unknown[..., None].expand(-1, -1, 3),
        intrinsics=view.intrinsics.double(),
        features=unknown_features(2, unknown),
        is_left=torch.zeros(2, dtype=torch.bool),
    )
    targets = KeypointTargets.of(
        normalise(observed).with_depth_gain(config.fit.relative_depth_gain)
    )
    return Scene(model, StageTask(model, view, targets, config.fit), begin)


def view_of(model: SceneModel, truth: SceneParams) -> SceneView:
    count = len(truth.transl)
    K = torch.tensor([[2 * SIDE, 0, SIDE / 2], [0, 2 * SIDE, SIDE / 2], [0, 0, 1.0]])
    everywhere = torch.ones(count, SIDE, SIDE)
    blank = SceneView(
        image=torch.zeros(count, SIDE, SIDE, 3),
        mask=everywhere,
        mask_weight=everywhere,
        image_weight=everywhere,
        intrinsics=K.repeat(count, 1, 1),
        keypoints=torch.zeros(count, 21, 2),
        confidence=torch.full((count, 21), 0.9),
        focal_unknown=torch.zeros(count),
    )
    with torch.no_grad():
        drawing = draw(model, truth, blank, RasterSettings(silhouette="edge"), shaded=True)
    alpha = drawing.fragments.alpha
    return replace(
        blank,
        image=drawing.picture + 0.4 * (1 - alpha)[..., None],
        mask=(alpha > 0.5).float(),
        keypoints=drawing.keypoints,
    )


def tiny(name: str) -> Config:
    sets = ["refine.resolution=32", "refine.stages.refinement.iterations=3"]
    if name == "realistic_hands":
        sets.append("refine.stages.refinement.pixel_unit=16.0")
    return preset(name, *sets)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.mark.parametrize("source", MODELS)
@pytest.mark.parametrize("name", PRESETS)
class TestRun:
    def test_it_lowers_its_own_objective(self, name, source, folder) -> None:
        config = tiny(name)
        scene = scene_of(hand_model(source, folder), config)
        stages = config.refine.stages
        none = {key: stage.model_copy(update={"iterations": 0}) for key, stage in stages.items()}
        before = run_stages(scene.task, scene.begin, none)
        after = run_stages(scene.task, scene.begin, stages)
        assert after.iterations.tolist() == [3, 3]
        assert (after.status != int(Status.DIVERGED)).all()
        assert (after.cost < before.cost).all()
        # Every group that is free takes part, and none has left the neighbourhood.
        start = scene.model.start(scene.begin)
        moved = {
            field
            for field, value in vars(after.params).items()
            if not torch.equal(value, getattr(start, field))
        }
        fields = {"pose": "hand_pose", "shape": "betas", "camera": "transl"}
        assert moved == {fields.get(group, group) for group in stages["refinement"].free}
        assert (after.params.transl - start.transl).norm(dim=-1).max() < 0.02
        assert after.params.offsets.norm(dim=-1).max() < 0.02

    def test_no_hand_affects_its_neighbour(self, name, source, folder) -> None:
        config = tiny(name)
        scene = scene_of(hand_model(source, folder), config)
        both = run_stages(scene.task, scene.begin, config.refine.stages)
        alone = run_one(scene, config, 1)
        same(alone.params, both.params[1:])
        lost = replace(scene.begin, transl=scene.begin.transl.clone())
        lost.transl[0] = torch.nan
        beside_lost = run_stages(scene.task, lost, config.refine.stages)
        assert beside_lost.status[0] == int(Status.DIVERGED)
        for field, value in vars(beside_lost.params[1:]).items():
            assert torch.equal(value, getattr(both.params[1:], field)), field


def run_one(scene: Scene, config: Config, row: int) -> StagesResult:
    rows = torch.tensor([row])
    task = scene.task
    own = StageTask(task.model, task.view[rows], task.targets[rows], task.fit)
    return run_stages(own, scene.begin[rows], config.refine.stages)


def same(found: SceneParams, expected: SceneParams) -> None:
    """Equal but for the order of sums, which Adam makes more of where a gradient is all but 0."""
    several = {"appearance": 5e-3, "vertex_colours": 1e-5}
    for field, value in vars(found).items():
        atol = several.get(field, 2e-6)
        torch.testing.assert_close(value, getattr(expected, field), rtol=1e-5, atol=atol, msg=field)


@pytest.mark.parametrize("name", ["default", "interaction", "detailed", "textured"])
def test_all_stages_that_move_a_hand_hear_of_the_other_frames_of_a_video(name, folder) -> None:
    config = preset(name, "refine.resolution=32")
    scene = scene_of(hand_model("open_hand", folder), config)
    size, begin = scene.model.fit.size, scene.begin
    pose = begin.hand_pose.flatten(1)
    sure = 1e6 * torch.eye(6 + pose.shape[1], dtype=pose.dtype).expand(2, -1, -1)

    def depths(stage: StageConfig, farther: float) -> Tensor:
        """Logarithms, where the other frames have the hands so much farther away."""
        place = place_of(size, begin) + torch.tensor([0.0, 0.0, farther])
        motion = HandMotion(begin.global_orient, place, pose, sure)
        told = replace(scene.task, targets=replace(scene.task.targets, motion=motion))
        found = run_stages(told, begin, {"only": stage}).params
        return place_of(size.to(found.transl), found.hand)[:, 2]

    moving = {"global_orient", "pose", "shape", "camera"}
    stages = {
        key: stage.model_copy(update={"iterations": 3})
        for key, stage in config.refine.stages.items()
        if moving & set(stage.free)
    }
    assert len(stages) >= 3
    for key, stage in stages.items():
        assert (depths(stage, 0.05) > depths(stage, -0.05) + 1e-3).all(), key


# The options that they need.


def test_areas_are_counted_in_squares_of_the_pixel_unit(folder) -> None:
    scene, costs = silhouette_costs(folder, [1.0, 4.0, float(SIDE)])
    one, four, side = costs
    torch.testing.assert_close(four, one / 16)
    torch.testing.assert_close(side, one / SIDE**2)
    drawing = draw(
        scene.model,
        scene.model.start(scene.begin),
        scene.task.view,
        RasterSettings(silhouette="edge", band=1.0),
        shaded=False,
    )
    view = scene.task.view
    expected = squared_l2(drawing.fragments.alpha, view.mask, view.mask_weight)
    torch.testing.assert_close(one, expected.double())


def silhouette_costs(folder: Path, units: list[float]) -> tuple[Scene, list[Tensor]]:
    scene = scene_of(hand_model("open_hand", folder), tiny("realistic_hands"))
    stage = StageConfig(
        solver="sgd",
        iterations=0,
        free=["pose"],
        energies={"silhouette_l2": 1.0},
        learning_rate=0.1,
    )
    runs = [
        run_stages(scene.task, scene.begin, {"a": stage.model_copy(update={"pixel_unit": unit})})
        for unit in units
    ]
    return scene, [run.cost for run in runs]


def test_normals_are_summed_or_averaged(folder) -> None:
    scene = scene_of(hand_model("open_hand", folder), tiny("realistic_hands"))
    vertices = scene.model.hand(scene.begin.to(torch.float32)).vertices
    for reduction in ("sum", "mean"):
        stage = StageConfig(
            solver="sgd",
            iterations=0,
            free=["pose"],
            energies={"normal_consistency": 1.0},
            normal_reduction=reduction,
            learning_rate=0.1,
        )
        cost = run_stages(scene.task, scene.begin, {"a": stage}).cost
        expected = normal_consistency(vertices, scene.model.graph, reduction)
        torch.testing.assert_close(cost, expected.double(), rtol=1e-4, atol=1e-6)


def test_a_step_of_the_camera_goes_with_the_square_of_its_unit(folder) -> None:
    scene = scene_of(hand_model("open_hand", folder), tiny("realistic_hands"))
    stage = StageConfig(
        solver="sgd",
        iterations=1,
        free=["camera"],
        energies={"silhouette_l2": 1.0},
        learning_rate=1e-8,
    )

    def way(**units: float) -> Tensor:
        changed = stage.model_copy(update=units)
        after = run_stages(scene.task, scene.begin, {"a": changed})
        return after.params.transl - scene.model.start(scene.begin).transl

    one = way()
    assert (one.norm(dim=-1) > 1e-5).any()
    torch.testing.assert_close(way(camera_unit=0.5), one / 4, rtol=1e-2, atol=1.5e-7)
    torch.testing.assert_close(way(camera_unit=0.5, length_unit=3.0), way(camera_unit=0.5))
    torch.testing.assert_close(way(length_unit=0.5), way(camera_unit=0.5))
