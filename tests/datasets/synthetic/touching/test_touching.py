"""Hands that touch: nothing is inside anything, something touches, and the truth is of both."""

from __future__ import annotations

import json
import shutil
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
from datasets.synthetic.touching import arrangements, grasps
from datasets.synthetic.touching.arrangements import KINDS
from datasets.synthetic.touching.engine import InteractionEngine
from datasets.synthetic.touching.files import write_interaction_dataset
from datasets.synthetic.touching.limbs import Limbs
from datasets.synthetic.touching.measured import DEEPEST
from datasets.synthetic.touching.moves import close_fingers
from datasets.synthetic.touching.request import InteractionRequest
from datasets.synthetic.touching.solids import CONTACT, SPACING, Solid, gap, strewn, with_middles
from datasets.synthetic.touching.things import BETWEEN_TIPS, IN_HAND, sample_thing
from fitter.camera import project
from fitter.contact import Surface, closed, self_contacts
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import FLEXION
from fitter.hand_models.hand_parts import hand_parts
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


def _signed(points: np.ndarray, body: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Signed distances of those of the points that are near a body, by Trimesh and solid angles;
    infinity of others."""
    signed = np.full(len(points), np.inf)
    near = cKDTree(strewn(*body)).query(points)[0] < CONTACT + SPACING
    mesh = trimesh.Trimesh(*body, process=False)
    distance = trimesh.proximity.closest_point_naive(mesh, points[near])[1]
    signed[near] = np.where(winding(points[near], *body) > 0.5, -distance, distance)
    return signed


def test_nothing_is_inside_anything_and_something_touches(scenes):
    for scene, hands in scenes:
        bodies = _bodies(scene, hands)
        least, counts = np.inf, []
        for (vertices, faces), other in (bodies, bodies[::-1]):
            signed = _signed(with_middles(vertices[None], faces)[0], other)
            least = min(least, float(signed.min()))
            counts.append(int((signed[: len(vertices)] < CONTACT).sum()))
        assert -DEEPEST <= least <= CONTACT
        assert scene.touch.penetration == pytest.approx(max(0.0, -least), abs=1e-6)
        assert scene.touch.gap == pytest.approx(max(0.0, least), abs=1e-6)
        assert min(counts) > 0
        np.testing.assert_allclose(scene.touch.vertices, counts, atol=1)


def test_no_hand_is_inside_itself(scenes):
    model = load_hand_model("open_hand")
    skin, parts = closed(model.faces, len(model.v_template)), hand_parts(model)
    for scene, hands in scenes:
        assert len(scene.own_depths) == len(hands)
        for number, hand in enumerate(hands):
            mirror = torch.tensor([-1.0 if number else 1.0, 1.0, 1.0], dtype=torch.float64)
            inside = self_contacts(Surface(hand.vertices.double() * mirror, skin), parts)
            depth = max((-inside.gap).tolist(), default=0.0)
            assert depth <= DEEPEST
            assert scene.own_depths[number] == pytest.approx(depth, abs=1e-6)


def test_fingers_that_close_stop_at_their_own_hand(engine):
    """Nothing is in their way but the palm, and their neighbours."""
    model = engine.pose_model
    limbs = Limbs(engine.arms.model, model.frame)
    ball = trimesh.creation.icosphere(1, 0.01)
    away = Solid(np.array(ball.vertices) + 5.0, np.array(ball.faces, np.int64))
    params = engine.sample(0, [0]).hand
    for left, begin in ((False, 0.3), (True, 0.6)):
        angles = np.zeros((15, 3))
        angles[:, FLEXION] = begin
        careful = limbs.fingers(params, model.anatomy, left)
        careless = replace(careful, caught=lambda vertices: np.zeros((len(vertices), 5), bool))
        depths = []
        for fingers in (careful, careless):
            found = close_fingers(angles, fingers, away)
            assert not found.touching.any()
            vertices = fingers.vertices(found.angles[None])
            depths.append(limbs.own_depths(vertices, left).max())
            assert (found.angles[:12, FLEXION] > 0.8).any()
        assert depths[0] <= DEEPEST < 0.002 < depths[1]


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


class _Choice:
    """Chance that always falls on one side."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize("kind", KINDS)
def test_an_arrangement_is_given_or_mirrored(kind):
    """In the mirror left and right change places, and all that was one hand's is the other's."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    for seed in range(4):
        given = KINDS[kind][1](np.random.default_rng(seed))
        assert arrangements._either(_Choice(0.0), given) is given
        seen = arrangements._either(_Choice(1.0), given)
        for one, other in ((given.right, seen.left), (given.left, seen.right)):
            np.testing.assert_allclose(other.frame, mirror @ one.frame)
            assert (other.modes, other.anchor) == (one.modes, one.anchor)
        # The left hand is beside the right one as, in the mirror, the right one is beside it.
        np.testing.assert_allclose(seen.direction, -mirror @ given.direction)
        np.testing.assert_allclose(seen.offset, -mirror @ given.offset)
        assert seen.closing == tuple({True: False, False: True}[left] for left in given.closing)
        assert (seen.furthest, seen.interlaced) == (given.furthest, given.interlaced)
        assert (seen.hidden_along is None) == (given.hidden_along is None)
        if given.hidden_along is not None:
            np.testing.assert_allclose(seen.hidden_along, mirror @ given.hidden_along)


def _request(out: Path, count: int, what: str = "both") -> InteractionRequest:
    return InteractionRequest.of(SyntheticRequest(out, count, 11, SIZE), what)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("touching") / "set"
    list(write_interaction_dataset(_request(out, 1)))
    before = (out / "training/rgb/00000000.jpg").stat().st_mtime_ns
    kept, *done = write_interaction_dataset(_request(out, SCENES))
    assert kept == 1
    assert done == [*range(2, SCENES + 1)]  # somebody is told of every one
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
        depths = said["interaction"]["self_penetration"]
        np.testing.assert_allclose(depths, scene.own_depths, atol=1e-6)
        assert said["interaction"]["kind"] == scene.kind


@pytest.mark.parametrize("mask", ["mask/00000000", "mask/00000001", "second_mask/00000000"])
def test_no_hand_lacks_its_mask(folder, tmp_path, mask):
    copy = tmp_path / "set"
    shutil.copytree(folder, copy)
    file = copy / "training" / f"{mask}.jpg"
    file.unlink()
    images = open_rendered(copy, "training")
    with errors.raises("dataset.lacks", file=file, what="file"):
        images.masks(int(mask[-1]))


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
