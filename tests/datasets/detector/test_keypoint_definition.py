"""Keypoint definitions: linear maps of the mesh, offsets from bones, and how they are measured."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from datasets.detector.keypoint_definition import (
    MEDIAPIPE_DEFINITION,
    KeypointScatter,
    facing,
    joint_definition,
    load_mediapipe_definition,
    mano_definition,
    on_line,
    tilted,
)
from fitter.conventions import BONES, FINGERTIP_VERTICES, MODEL_TO_KEYPOINTS
from fitter.hand_models.anatomy import FLEXION, anatomy_of, hand_pose_from_angles
from fitter.hand_models.mano import load_mano
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams
from tests.support.errors import raises
from tests.support.mano_files import fabricate, write_plain
from tests.support.paths import ROOT

SCRIPTS = ROOT / "scripts"


def some_params(count: int, bend: float = 0.3) -> HandParams:
    """Hands before the camera, seen from all sides."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64)

    place = torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64) + 0.03 * normal(3)
    return HandParams(1.5 * normal(3), bend * normal(15, 3), 0.5 * normal(10), place)


@pytest.fixture(scope="module")
def mano(tmp_path_factory: pytest.TempPathFactory) -> HandModelData:
    path = tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl"
    return load_mano(write_plain(path, fabricate()))


@pytest.fixture(scope="module")
def bare() -> HandModelData:
    return load_open_hand(keypoint_offsets=False)


def test_the_model_s_own_definition_is_its_joints_and_tips(bare: HandModelData) -> None:
    definition = joint_definition(bare)
    params = some_params(3)
    rest = replace(params, hand_pose=torch.zeros_like(params.hand_pose))
    mesh = HandModel(bare, torch.float64)(rest)
    torch.testing.assert_close(
        definition.keypoints(mesh.vertices), mesh.keypoints, rtol=0, atol=1e-5
    )
    assert not definition.offsets.any()


@pytest.mark.parametrize("name", FINGERTIP_VERTICES)
def test_public_definitions_say_the_same_on_the_mesh_and_on_the_bones(
    name: str, mano: HandModelData
) -> None:
    definition = mano_definition(mano, name)
    template = torch.from_numpy(mano.v_template)
    on_mesh = definition.keypoints(template[None])
    tips = torch.tensor(FINGERTIP_VERTICES[name])
    assert torch.equal(on_mesh[0, 4::4], template[tips])
    zero = torch.zeros(1, 3, dtype=torch.float64)
    still = HandParams(zero, zero[:, None].expand(-1, 15, -1), torch.zeros(1, 10).double(), zero)
    on_bones = HandModel(definition.applied_to(mano), torch.float64)(still).keypoints
    torch.testing.assert_close(on_bones, on_mesh, rtol=0, atol=1e-6)


def test_public_definitions_differ_by_their_tips_alone(mano: HandModelData) -> None:
    matrices = {name: mano_definition(mano, name).matrix() for name in FINGERTIP_VERTICES}
    for matrix in matrices.values():
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    same = (matrices["freihand"] == matrices["ho3d"]).all(1)
    assert [k for k in range(21) if not same[k]] == [8, 12]


def test_maps_are_linear_and_move_with_the_mesh(bare: HandModelData) -> None:
    definition = load_mediapipe_definition(bare)
    mesh = HandModel(bare, torch.float64)(some_params(4)).vertices
    keypoints = definition.keypoints(mesh)
    expected = torch.from_numpy(definition.matrix()) @ mesh
    torch.testing.assert_close(keypoints, expected)
    turn = roma.random_rotmat(4, dtype=torch.float64)
    shift = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    torch.testing.assert_close(
        definition.keypoints(mesh @ turn.mT + shift), keypoints @ turn.mT + shift
    )


def test_a_left_hand_s_keypoints_are_mirrored(bare: HandModelData) -> None:
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    right, left = load_mediapipe_definition(bare), load_mediapipe_definition(bare.mirrored())
    params = some_params(3)
    for side, data, hands in (
        (right, bare, params),
        (left, bare.mirrored(), params.mirrored()),
    ):
        model = HandModel(side.applied_to(data), torch.float64)(hands)
        if side is right:
            mesh, bones = side.keypoints(model.vertices), model.keypoints
        else:
            torch.testing.assert_close(side.keypoints(model.vertices), mesh * flip)
            torch.testing.assert_close(model.keypoints, bones * flip)
    again = right.mirrored().mirrored()
    np.testing.assert_array_equal(again.offsets, right.offsets)
    np.testing.assert_array_equal(again.view_offsets, right.view_offsets)
    # A definition for right hands serves a left model as well.
    np.testing.assert_array_equal(right.applied_to(bare.mirrored()).keypoint_offsets, left.offsets)


def test_both_forms_of_mediapipe_s_definition_agree(bare: HandModelData) -> None:
    definition = load_mediapipe_definition(bare)
    posed = HandModel(definition.applied_to(bare), torch.float64)(some_params(30, 0.15))
    apart = (definition.keypoints(posed.vertices) - posed.keypoints).norm(dim=-1)
    assert apart.median() < 0.003
    assert apart.max() < 0.015
    # And both lie off the joints: a knuckle is marked where the skin shows it.
    assert np.linalg.norm(definition.offsets[1]) > 0.004


def test_offsets_follow_the_view(bare: HandModelData) -> None:
    definition = load_mediapipe_definition(bare)
    palm, edge, back = definition.offsets_at(torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(0.5 * (palm + back), edge)
    np.testing.assert_allclose(edge, definition.view_offsets[:, 0], atol=1e-6)
    # From the back, a knuckle is marked nearer to the back, which is +y of the open hand.
    assert (back - palm)[[1, 4, 7, 10], 1].min() > 0.005
    plain = joint_definition(bare)
    assert not plain.offsets_at(torch.tensor([0.5])).any()


def test_facing_tells_palm_from_back(bare: HandModelData) -> None:
    model = HandModel(bare, torch.float64)
    angles = torch.zeros(2, 15, 3, dtype=torch.float64)
    angles[1, :12, FLEXION] = 0.1
    pose = hand_pose_from_angles(angles, anatomy_of(bare).axes)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    flat, curled = model(HandParams(zero, pose, zero.new_zeros(2, 10), zero)).keypoints
    # Fingers curl into the palm.
    to_palm = torch.nn.functional.normalize((curled - flat)[8::4].mean(0), dim=0)
    assert to_palm[1] < -0.8
    palm_end, tip_end = (list(ends) for ends in zip(*BONES, strict=True))
    bones = torch.nn.functional.normalize(flat[tip_end] - flat[palm_end], dim=-1)
    turn = roma.rotvec_to_rotmat(
        torch.tensor([[0.0, 0, 0], [1.2, 0, 0], [2, 1, 0], [-1.4, 0.3, 0.2]], dtype=torch.float64)
    )
    toward_camera = -(turn @ to_palm)[:, 2]
    found = facing(bones @ turn.mT)
    torch.testing.assert_close(found, -toward_camera, rtol=0, atol=0.35)
    assert torch.corrcoef(torch.stack([found, toward_camera]))[0, 1] < -0.97


def test_lines_and_tilts() -> None:
    bones = torch.nn.functional.normalize(torch.randn(5, 20, 3, dtype=torch.float64), dim=-1)
    as_it_is = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(20, 4)
    same, away, aside = tilted(bones, as_it_is)
    torch.testing.assert_close(same, bones)
    frame = torch.stack([same, away, aside], -1)
    torch.testing.assert_close(frame.mT @ frame, torch.eye(3).double().expand(5, 20, 3, 3))
    assert (away[..., 2] >= 0).all()
    assert not aside[..., 2].any()
    flat, _, _ = tilted(bones, 0 * as_it_is)
    torch.testing.assert_close(flat[..., :2], torch.nn.functional.normalize(bones[..., :2], dim=-1))
    line = torch.tensor([[2.0, 0.1, 0.01, 0.5]])
    found = on_line(line, torch.tensor([[3.0], [3.0]]), torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor([[7.61], [4.59]]))


def test_the_scatter_is_interpolated() -> None:
    scatter = KeypointScatter.load()
    knots = scatter.confidence.expand(21, -1).T
    torch.testing.assert_close(scatter.at(scatter.position, knots), scatter.position.T)
    middle = 0.5 * (knots[1:] + knots[:-1])
    expected = 0.5 * (scatter.position[:, 1:] + scatter.position[:, :-1]).T
    torch.testing.assert_close(scatter.at(scatter.position, middle), expected)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None].expand(2, 20)
    torch.testing.assert_close(scatter.at(scatter.depth, ends), scatter.depth[:, [0, -1]].T)
    assert (scatter.position[:, 0] > 3 * scatter.position[:, -1]).all()
    depth = torch.randn(4, 21, dtype=torch.float64)
    bones = torch.nn.functional.normalize(torch.randn(4, 20, 3, dtype=torch.float64), dim=-1)
    assert not scatter.expected_depth(depth, bones)[:, 0].any()
    torch.testing.assert_close(
        scatter.expected_depth(depth + 1, bones), scatter.expected_depth(depth, bones)
    )
    torch.testing.assert_close(
        scatter.expected_bones(bones).norm(dim=-1), torch.ones(4, 20, dtype=torch.float64)
    )


def test_mistakes_are_named(bare: HandModelData, mano: HandModelData, tmp_path: Path) -> None:
    with raises("definition.name", found="smpl"):
        mano_definition(mano, "smpl")
    with raises("definition.model_vertices", expected=778, found=1670):
        mano_definition(bare, "freihand")
    with raises("definition.other_mesh", file=MEDIAPIPE_DEFINITION):
        load_mediapipe_definition(mano)
    definition = load_mediapipe_definition(bare)
    with raises("definition.mesh_vertices", expected=1670, found=778):
        definition.keypoints(torch.zeros(1, 778, 3))
    with raises("definition.model_vertices", expected=1670, found=778):
        definition.applied_to(mano)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"offsets": [[0, 0, 0]]}, "definition.weights"),
        ({"weights": [[1.0, 1.0]] * 21}, "definition.weights"),
        ({"vertices": None}, "definition.fields"),
    ],
)
def test_damaged_definitions_are_refused(
    bare: HandModelData, tmp_path: Path, change: dict, code: str
) -> None:
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(json.loads(MEDIAPIPE_DEFINITION.read_text()) | change))
    with raises(code, file=path):
        load_mediapipe_definition(bare, path)


def test_files_that_are_no_definition_are_refused(bare: HandModelData, tmp_path: Path) -> None:
    path = tmp_path / "definition.json"
    with raises("definition.unreadable", file=path):
        load_mediapipe_definition(bare, path)
    path.write_text("[]")
    with raises("definition.no_table", file=path):
        load_mediapipe_definition(bare, path)
    path.write_text("{}")
    with raises("definition.fields", file=path):
        KeypointScatter.load(path)


def test_measuring_finds_the_offsets_that_made_the_detections(
    monkeypatch: pytest.MonkeyPatch, bare: HandModelData
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import detector_sightings as seeing
    import keypoint_forms as forms

    params = some_params(300)
    points, turns = seeing._bones(HandModel(bare, torch.float64), params)
    count = len(points)
    K = np.tile([[500.0, 0, 112], [0, 500, 112], [0, 0, 1]], (count, 1, 1))
    generator = np.random.default_rng(0)
    true = generator.normal(0, 0.006, (21, 2, 3))
    side = np.clip(generator.normal(0, 0.7, count), -1, 1)
    shifts = true[:, 0] + side[:, None, None] * true[:, 1]
    moved = points + np.einsum("nkij,nkj->nki", turns, shifts)
    seen = seeing.project(moved, K) + generator.normal(0, 0.3, (count, 21, 2))
    outliers = generator.random((count, 21)) < 0.1
    seen[outliers] += 40
    sightings = seeing.Sightings(
        *(points, turns, params, np.zeros((count, 21), np.uint8), np.zeros(count, bool), K),
        *(seen, np.ones((count, 21)), np.zeros((count, 21)), np.zeros((count, 21, 3))),
        *(count, 0, np.arange(count)),
    )
    found = forms.solve_view_offsets(sightings, side)
    assert np.linalg.norm(found - true, axis=-1).max() < 0.0006
    constant = forms.solve_offsets(sightings.select(np.flatnonzero(np.abs(side) < 0.05)))
    assert np.linalg.norm(constant - true[:, 0], axis=-1).max() < 0.002


def test_orders_agree() -> None:
    """Offsets are [joints, tips]; maps are in canonical order."""
    bare = load_open_hand(keypoint_offsets=False)
    definition = load_mediapipe_definition(bare)
    rest = np.concatenate(
        [bare.joint_regressor @ bare.v_template, bare.v_template[list(bare.tip_vertices)]]
    )
    on_bones = (rest + definition.offsets)[list(MODEL_TO_KEYPOINTS)]
    on_mesh = definition.matrix() @ bare.v_template
    assert np.linalg.norm(on_bones - on_mesh, axis=-1).max() < 0.004
