"""MANO fitted to hands of another model: the same hand, and how far from it is said."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.formats.closest import Surface
from fitter.formats.hand_record import HandRecord
from fitter.formats.mano_fit import ManoConverter, load_mano_meshes
from fitter.formats.mano_npz import KEYS, mano_npz
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from tests.support import exported_hands as hands
from tests.support.errors import raises
from tests.support.fitted_stores import K, image_row, posed_hand
from tests.support.small_mano import write_small_mano


@pytest.fixture(scope="module")
def mano(tmp_path_factory):
    return write_small_mano(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl")


@pytest.fixture(scope="module")
def converter(mano):
    return ManoConverter(hands.open_hand(), load_mano_meshes(mano))


def gentle(seed, side="right", **changes):
    """A hand in a pose that hands have."""
    row = posed_hand(seed, side)
    return replace(row, hand_pose=0.5 * row.hand_pose, **changes)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_same_hand(converter, side):
    for seed in (1, 2):
        row = gentle(seed, side)
        found = converter(row)
        source, target = converter.source, converter.target
        away = Surface(source.vertices(row).astype(float), source.faces(side)).closest(
            target.vertices(found.row).astype(float)
        )
        distances = np.linalg.norm(away.points - target.vertices(found.row), axis=1)
        assert 1000 * distances[~away.at_edge].mean() == pytest.approx(found.vertex_error_mm, 1e-3)
        assert found.vertex_error_mm < 0.15 and found.keypoint_error_mm < 0.6
        assert found.row.side == side and found.row.score == row.score
        keypoints = [
            KeypointDefinition.of(meshes.model(side), "mano").keypoints(hands.params_of(of))
            for meshes, of in ((source, row), (target, found.row))
        ]
        between = 1000 * (keypoints[0] - keypoints[1]).norm(dim=-1).mean().item()
        assert between == pytest.approx(found.keypoint_error_mm, abs=1e-3)


def test_offsets_of_the_mesh_are_followed(converter):
    """What stands in the parameters of neither model is fitted all the same: a hand 2 % larger."""
    row = gentle(3)
    vertices = converter.source.vertices(row)
    offsets = 0.02 * (vertices - vertices.mean(0))
    plain, larger = converter(row), converter(replace(row, vertex_offsets=offsets))
    grown = np.ptp(converter.target.vertices(larger.row), axis=0).max()
    assert grown > 1.01 * np.ptp(converter.target.vertices(plain.row), axis=0).max()
    assert larger.vertex_error_mm < 0.5


def test_a_mirrored_hand_gives_the_mirrored_parameters(converter):
    right = gentle(4)
    flip = np.array([1.0, -1.0, -1.0])
    left = replace(
        right,
        side="left",
        global_orient=right.global_orient * flip,
        hand_pose=right.hand_pose * flip,
        transl=right.transl * [-1, 1, 1],
    )
    of_right, of_left = converter(right).row, converter(left).row
    np.testing.assert_allclose(of_left.hand_pose, of_right.hand_pose * flip, atol=1e-3)
    np.testing.assert_allclose(of_left.betas, of_right.betas, atol=1e-3)


def test_mano_passes_as_it_is(mano):
    meshes = load_mano_meshes(mano)
    row = gentle(5)
    found = ManoConverter(meshes, meshes)(row)
    assert found.row is row and (found.vertex_error_mm, found.keypoint_error_mm) == (0, 0)


def test_no_mano_file(tmp_path):
    with raises("model.unknown"):
        load_mano_meshes(tmp_path / "MANO_RIGHT.pkl")


@pytest.fixture(scope="module")
def npz(converter):
    rows = [gentle(1), gentle(2, "left", score=None)]
    pairs = [
        (HandRecord(f"{place}.jpg", place, place, image_row(row), row), converter(row))
        for place, row in enumerate(rows)
    ]
    return pairs, mano_npz(pairs, converter.target.data)


def read(content, tmp_path):
    path = tmp_path / "hands.npz"
    path.write_bytes(content)
    return dict(np.load(path))


def test_the_file(npz, converter, tmp_path):
    pairs, content = npz
    found = read(content, tmp_path)
    assert found.keys() == KEYS.keys()
    assert list(found["image_name"]) == ["0.jpg", "1.jpg"] and list(found["hand"]) == [0, 1]
    assert list(found["is_rhand"]) == [True, False]
    assert found["score"][0] == np.float32(0.5) and np.isnan(found["score"][1])
    np.testing.assert_array_equal(found["intrinsics"], [K, K])
    assert found["hand_pose"].shape == (2, 45) and found["betas"].shape == (2, 10)
    for place, (_, hand) in enumerate(pairs):
        assert found["vertex_error_mm"][place] == hand.vertex_error_mm > 0
        np.testing.assert_array_equal(found["hand_pose"][place], hand.row.hand_pose.ravel())


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("place", [0, 1])
def test_smplx_poses_it_as_we_do(npz, converter, tmp_path, mano, flat, place):
    """Either pose by its `flat_hand_mean`; the left hand by the mirrored model."""
    smplx = pytest.importorskip("smplx")
    import torch

    pairs, content = npz
    found = {name: array[place : place + 1] for name, array in read(content, tmp_path).items()}
    layer = smplx.MANO(str(mano), use_pca=False, flat_hand_mean=flat)
    flip = np.array([1.0, 1.0, 1.0] if found["is_rhand"][0] else [-1.0, 1.0, 1.0])
    turn = np.array([1.0, 1.0, 1.0] if found["is_rhand"][0] else [1.0, -1.0, -1.0])
    pose = found["hand_pose" if flat else "hand_pose_from_mean"].reshape(15, 3) * turn
    given = {
        "global_orient": found["global_orient"] * turn,
        "hand_pose": pose.reshape(1, 45),
        "betas": found["betas"],
        "transl": found["transl"] * flip,
    }
    with torch.no_grad():
        theirs = layer(**{name: torch.as_tensor(np.float32(v)) for name, v in given.items()})
    mine = converter.target.vertices(pairs[place][1].row)
    np.testing.assert_allclose(theirs.vertices[0].numpy() * flip, mine, atol=2e-6)
