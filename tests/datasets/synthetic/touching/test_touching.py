"""Hands that touch: nothing is inside anything, something touches, and the truth is of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from datasets.readers.rendered import open_rendered
from datasets.synthetic import SyntheticEngine, SyntheticRequest, SyntheticSettings
from datasets.synthetic.records import HAND, OTHER_HAND
from datasets.synthetic.touching import grasps
from datasets.synthetic.touching.arrangements import KINDS
from datasets.synthetic.touching.engine import InteractionEngine
from datasets.synthetic.touching.files import write_interaction_dataset
from datasets.synthetic.touching.measured import DEEPEST
from datasets.synthetic.touching.request import InteractionRequest
from datasets.synthetic.touching.solids import CONTACT, SPACING, Limbs, Solid, gap, strewn
from datasets.synthetic.touching.things import BETWEEN_TIPS, IN_HAND, sample_thing
from fitter.camera import project
from fitter.hand_models import load_hand_model
from tests.support import errors
from tests.support.synthetic_checks import winding

SIZE = 96
SCENES = 4


@pytest.fixture(scope="module")
def engine() -> SyntheticEngine:
    return SyntheticEngine(SIZE, SyntheticSettings.unoccluded())


@pytest.fixture(scope="module")
def scenes(engine):
    """Scenes of both kinds with what is rendered of their hands."""
    both = InteractionEngine(engine, "both")
    found = [both.sample(11, index) for index in range(SCENES)]
    return [(scene, both.render(scene)) for scene in found]


def _bodies(scene, hands) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vertices and faces of the two bodies in touch, from what is rendered alone."""
    faces = load_hand_model("open_hand").data.faces
    right = hands[0].vertices[0].numpy(), faces
    if scene.held is None:
        return [right, (hands[1].vertices[0].numpy(), faces[:, ::-1])]
    return [right, (scene.held.vertices, scene.held.mesh.faces)]


def _depth(points: np.ndarray, body: tuple[np.ndarray, np.ndarray]) -> float:
    """Metres by which the deepest point is inside a body, by solid angles and the nearest of many
    points of its surface."""
    tree = cKDTree(strewn(*body))
    near = points[tree.query(points)[0] < 0.03]
    inside = near[winding(near, *body) > 0.5] if len(near) else near
    return float(tree.query(inside)[0].max()) if len(inside) else 0.0


def test_nothing_is_inside_anything_and_something_touches(scenes):
    for scene, hands in scenes:
        first, second = _bodies(scene, hands)
        deepest = max(_depth(first[0], second), _depth(second[0], first))
        # The nearest of the strewn points lies up to half of `SPACING` beside the nearest one.
        assert deepest <= np.hypot(DEEPEST, SPACING)
        assert scene.touch.penetration <= DEEPEST
        if scene.touch.penetration == 0:
            assert deepest == 0
        nearest = cKDTree(strewn(*second)).query(first[0])[0].min()
        assert nearest <= CONTACT + SPACING
        assert min(scene.touch.vertices) > 0
        assert scene.touch.gap <= CONTACT


def test_the_touch_agrees_with_trimesh(scenes):
    scene, hands = scenes[0]
    first, second = _bodies(scene, hands)
    mesh = trimesh.Trimesh(*second, process=False)
    near = first[0][cKDTree(strewn(*second)).query(first[0])[0] < CONTACT + SPACING]
    distance = trimesh.proximity.closest_point_naive(mesh, near)[1]
    signed = np.where(winding(near, *second) > 0.5, -distance, distance)
    assert int((signed < CONTACT).sum()) == scene.touch.vertices[0]
    assert max(0.0, -signed.min()) <= scene.touch.penetration + 1e-9


def test_both_hands_are_where_the_masks_are(scenes):
    for scene, hands in scenes:
        assert len(hands) == (2 if scene.held is None else 1)
        for hand in hands:
            assert torch.equal(hand.image, hands[0].image)
            K = hand.intrinsics
            torch.testing.assert_close(
                project(hand.keypoints_3d, K), hand.keypoints_2d, atol=1e-6, rtol=0
            )
            place = hand.keypoints_2d[0][hand.visible[0]].floor().long().clamp(0, SIZE - 1)
            shown = hand.parts[0][place[:, 1], place[:, 0]]
            assert (shown == HAND).float().mean() > 0.7 if len(shown) else True
            pixels = project(hand.vertices, K)[0]
            low, high = pixels.amin(0), pixels.amax(0)
            rows, columns = (hand.mask[0] > 0).nonzero().T
            assert (columns >= low[0] - 1).all() and (columns <= high[0] + 1).all()
            assert (rows >= low[1] - 1).all() and (rows <= high[1] + 1).all()
        if len(hands) == 2:
            assert (hands[0].mask + hands[1].mask).max() <= 1
            full = hands[1].mask[0] == 1
            assert (hands[0].parts[0][full] == OTHER_HAND).all()


def test_hands_of_a_pair_are_one_persons(scenes):
    specs = scenes[0][0].specs
    assert torch.equal(specs.hand.betas, specs.second.hand.betas)
    assert torch.equal(specs.skin.appearance, specs.second.skin.appearance)
    assert bool(specs.second.left[0])


def test_a_scene_depends_on_its_number_alone(engine, scenes):
    again = InteractionEngine(engine, "both")
    for index in (2, 1):
        scene, hands = scenes[index][0], scenes[index][1]
        other = again.sample(11, index)
        rendered = again.render(other)
        assert other.touch == scene.touch
        for one, two in zip(hands, rendered, strict=True):
            for name in ("image", "mask", "depth", "vertices", "keypoints_2d"):
                assert torch.equal(getattr(one, name), getattr(two, name)), name


@pytest.mark.parametrize("kind", [*IN_HAND, *BETWEEN_TIPS])
def test_things_are_closed(kind):
    rng = np.random.default_rng(3)
    for _ in range(5):
        thing = sample_thing(rng, kind)
        mesh = trimesh.Trimesh(thing.mesh.vertices, thing.mesh.faces, process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
        assert mesh.extents.min() > 0.001 and mesh.extents.max() < 0.3
        corners = thing.drawn.coordinates[thing.drawn.corners][..., 1]
        assert float(corners.max(1).values.sub(corners.min(1).values).max()) <= 2 * np.pi


def test_arms_are_closed(engine):
    limbs = Limbs(engine.arms.model, engine.pose_model.frame)
    specs = engine.sample(0, [0])
    for left, cuff in ((False, 0.05), (True, 0.05), (True, 1.0)):
        arm = replace(specs.arm, cuff=torch.full_like(specs.arm.cuff, cuff))
        limb = limbs.posed(specs.hand, arm, left)
        for body in (limb.hand, limb.whole):
            # Hand and forearm share the vertices of the wrist, so an edge may have four faces: it
            # is gone along as often one way as the other.
            edges = body.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
            numbers = edges @ [len(body.vertices), 1]
            back = edges[:, ::-1] @ [len(body.vertices), 1]
            np.testing.assert_array_equal(np.sort(numbers), np.sort(back))
            assert trimesh.Trimesh(body.vertices, body.faces, process=False).volume > 0


def test_a_gap_is_a_lower_bound_and_exact_near_by():
    ball = trimesh.creation.icosphere(3, 0.03)
    body = Solid(np.array(ball.vertices), np.array(ball.faces, np.int64))
    for apart in (0.0005, 0.004, 0.012, 0.05):
        found = gap(body, body, np.array([0.06 + apart, 0, 0]))
        assert found <= apart + 1e-4
        if apart < 0.002:
            assert found == pytest.approx(apart, abs=2e-4)
    assert gap(body, body, np.array([0.055, 0, 0])) < -0.001


def test_every_kind_is_its_mirror_image_as_well():
    for _, kind in KINDS.values():
        for seed in range(6):
            given = kind(np.random.default_rng(seed))
            for held in (given.right, given.left):
                np.testing.assert_allclose(held.frame.T @ held.frame, np.eye(2), atol=1e-9)
            assert np.linalg.norm(given.direction) > 0.5


def _request(out: Path, count: int, what: str = "both") -> InteractionRequest:
    return InteractionRequest.of(SyntheticRequest(out, count, 11, SIZE), what)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("touching") / "set"
    list(write_interaction_dataset(_request(out, 1)))
    before = (out / "training/rgb/00000000.jpg").stat().st_mtime_ns
    kept, *_ = write_interaction_dataset(_request(out, SCENES))
    assert kept == 1
    assert (out / "training/rgb/00000000.jpg").stat().st_mtime_ns == before
    return out


def test_a_folder_reads_back(folder, scenes):
    images = open_rendered(folder, "training")
    assert len(images) == SCENES
    for place, (scene, hands) in enumerate(scenes):
        read = images[place]
        annotation = read.annotation
        assert [hand.side for hand in annotation.hands] == ["right", "left"][: len(hands)]
        assert read.masks is not None and len(read.masks) == len(hands)
        for number, hand in enumerate(hands):
            truth = annotation.hands[number]
            np.testing.assert_allclose(truth.keypoints_3d, hand.keypoints_3d[0], atol=1e-6)
            agree = read.masks[number] == (hand.mask[0].numpy() > 0.5)
            assert agree.mean() > 0.99
            _check_parameters(truth, hand.vertices[0].numpy())
        said = json.loads((folder / f"training/truth/{place:08d}.json").read_text())
        assert said["interaction"]["penetration"] <= DEEPEST
        assert said["interaction"]["kind"] == scene.kind


def _check_parameters(truth, vertices: np.ndarray) -> None:
    from fitter.hand_models import HandModel
    from fitter.records import HandParams

    params = truth.parameters
    values = [params.global_orient, params.hand_pose, params.betas, params.translation]
    hand = HandParams(*(torch.from_numpy(np.array(value))[None] for value in values))
    if truth.side == "left":
        hand = hand.mirrored()
    model = HandModel(load_hand_model("open_hand").data, torch.float64)
    posed = model(hand).vertices[0].numpy() * ([-1, 1, 1] if truth.side == "left" else [1, 1, 1])
    np.testing.assert_allclose(posed, vertices, atol=2e-6)


def test_what_is_held_is_written_as_it_is(folder, scenes):
    annotation = open_rendered(folder, "training").annotation(1)
    scene = scenes[1][0]
    assert scene.held is not None
    (held,) = annotation.objects
    assert held.mesh is not None
    mesh = trimesh.load(held.mesh, process=False)
    np.testing.assert_array_equal(mesh.vertices, scene.held.mesh.vertices)
    np.testing.assert_array_equal(mesh.faces, scene.held.mesh.faces)
    np.testing.assert_allclose(
        mesh.vertices @ held.rotation.T + held.translation, scene.held.vertices, atol=1e-9
    )
    said = json.loads((folder / "training/objects/00000001.json").read_text())
    assert said["objects"][0]["mesh"] == "00000001.ply"
    np.testing.assert_allclose(said["objects"][0]["rotation"], held.rotation)
    np.testing.assert_allclose(np.linalg.det(held.rotation), 1.0)


def test_specs_leave_chance_out(scenes):
    for scene, _ in scenes:
        assert not bool(scene.specs.objects.present.any())
        assert len(scene.specs) == 1


def test_gloves_are_refused(tmp_path):
    given = SyntheticRequest(tmp_path, 1, settings=SyntheticSettings(glove_share=0.5))
    with errors.raises("synthetic.touching_gloves"):
        InteractionRequest.of(given, "hands")


def test_other_scenes_are_refused(folder):
    with errors.raises("synthetic.other_samples"):
        list(write_interaction_dataset(_request(folder, SCENES, "hands")))


def test_who_cannot_hold_a_thing_one_way_holds_it_the_other(engine, monkeypatch):
    monkeypatch.setattr(grasps, "KIND_ATTEMPTS", 0)
    monkeypatch.setattr(grasps, "BETWEEN", 1.0)
    held = grasps._is_held
    monkeypatch.setattr(
        grasps, "_is_held", lambda shut, between: not between and held(shut, between)
    )
    assert grasps.GraspSampler(engine).sample(11, 1).kind in IN_HAND
