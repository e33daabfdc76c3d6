"""The atlas of models without one: one to one, little stretched, apart, and the same every time."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fitter.hand_models import load_hand_model, uv_atlas
from fitter.hand_models.atlas_charts import Chart, charts, palm_faces, split
from fitter.hand_models.atlas_flattening import (
    flattened,
    is_one_to_one,
    signed_areas,
    triangles_in_plane,
)
from fitter.hand_models.mano import load_mano
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.uv_atlas import GUTTER, UvAtlas, unwrap, with_atlas
from tests.support import mano_files
from tests.support.errors import raises

GRID = 700


def without_cap(data):
    """The hand open at the wrist, as MANO is."""
    tips = data.v_template[list(data.tip_vertices)]
    up = tips.mean(0) - (data.joint_regressor @ data.v_template)[0]
    height = (data.v_template @ up)[data.faces].mean(1)
    corners = data.v_template[data.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals @ up / np.linalg.norm(normals, axis=1) / np.linalg.norm(up)
    cap = (facing < -0.8) & (height < np.quantile(height, 0.05))
    return replace(data, faces=data.faces[~cap])


def bare(seed: int | None, opened: bool):
    """The open hand without its own texture coordinates, of some shape, closed or open."""
    data = load_open_hand()
    if seed is not None:
        betas = np.random.default_rng(seed).normal(0, 1.5, data.shapedirs.shape[2])
        data = replace(data, v_template=data.v_template + data.shapedirs @ betas)
    data = without_cap(data) if opened else data
    return replace(data, layout=None)


CASES = [(None, False), (None, True), (0, True), (1, False), (5, True), (6, False)]


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    data = bare(*request.param)
    return data, unwrap(data)


def covers(atlas: UvAtlas) -> np.ndarray:
    """(GRID, GRID) how many triangles hold the centre of each cell of the unit square."""
    count = np.zeros((GRID, GRID), int)
    for corners in atlas.uv[atlas.faces] * GRID:
        low = np.floor(corners.min(0)).astype(int)
        high = np.ceil(corners.max(0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones_like(x, bool)
        for k in range(3):
            (ax, ay), (bx, by) = corners[k], corners[(k + 1) % 3]
            inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0
        count[low[1] : high[1], low[0] : high[0]] += inside
    return count


def stretch(data, atlas: UvAtlas) -> np.ndarray:
    """(F, 2) singular values of the map to the atlas, largest first, 1 being its mean scale."""
    shape, flat = triangles_in_plane(data.v_template[data.faces]), atlas.uv[atlas.faces]
    before, after = (np.stack([t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]], 2) for t in (shape, flat))
    scale = np.sqrt(signed_areas(flat).sum() / signed_areas(shape).sum())
    return np.linalg.svd(after @ np.linalg.inv(before), compute_uv=False) / scale


def test_no_triangle_is_folded_and_none_overlap(case) -> None:
    data, atlas = case
    assert atlas.faces.shape == data.faces.shape
    assert (signed_areas(atlas.uv[atlas.faces]) > 0).all()
    found = covers(atlas)
    assert found.max() == 1
    assert found.mean() == pytest.approx(signed_areas(atlas.uv[atlas.faces]).sum(), rel=0.01)


def test_it_keeps_the_mesh(case) -> None:
    """A row of the atlas is one vertex, and all rows are used."""
    data, atlas = case
    pairs = np.unique(np.stack([atlas.faces.ravel(), data.faces.ravel()], 1), axis=0)
    assert pairs[:, 0].tolist() == list(range(len(atlas.uv)))


def test_it_is_in_few_pieces_that_lie_apart(case) -> None:
    _, atlas = case
    pieces = charts(atlas.faces, np.zeros(len(atlas.faces), int))
    assert 2 <= len(pieces) <= 16
    assert atlas.uv.min() >= 0.499 * GUTTER and atlas.uv.max() <= 1 - 0.499 * GUTTER
    trees = []
    for piece in pieces:
        edge = atlas.uv[piece.vertices[piece.border]]
        steps = np.linspace(0, 1, 20)[:, None, None]
        trees.append(cKDTree((edge[:, 0] + steps * (edge[:, 1] - edge[:, 0])).reshape(-1, 2)))
    for i, tree in enumerate(trees):
        for other in trees[:i]:
            assert tree.query(other.data)[0].min() > 0.95 * GUTTER


def test_it_is_little_stretched_and_well_filled(case) -> None:
    data, atlas = case
    area = signed_areas(triangles_in_plane(data.v_template[data.faces]))
    large, small = stretch(data, atlas).T
    assert np.average(large / small, weights=area) < 1.2
    assert large.max() < 2.5 and small.min() > 0.15
    assert signed_areas(atlas.uv[atlas.faces]).sum() > 0.25


def test_palm_and_back_face_opposite_ways() -> None:
    data = bare(None, opened=False)
    palm = palm_faces(data)
    corners = data.v_template[data.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # The open hand lies in the plane of x and z, its palm down.
    down = normals[:, 1] < -0.7 * np.linalg.norm(normals, axis=1)
    up = normals[:, 1] > 0.7 * np.linalg.norm(normals, axis=1)
    assert palm[down].mean() > 0.97 and palm[up].mean() < 0.03


def test_both_hands_have_one_atlas() -> None:
    right = bare(None, opened=True)
    again, left = with_atlas(right), with_atlas(right.mirrored())
    np.testing.assert_array_equal(again.uv, left.uv)
    np.testing.assert_array_equal(again.uv_faces, left.uv_faces[:, ::-1])
    np.testing.assert_array_equal(again.mirrored().uv_faces, left.uv_faces)
    np.testing.assert_array_equal(unwrap(right).uv, again.uv)


def test_a_loaded_model_has_one(tmp_path) -> None:
    path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", mano_files.fabricate())
    assert load_mano(path).uv is None
    right, left = load_hand_model(path).data, load_hand_model(path, "left").data
    assert right.uv_faces.shape == right.faces.shape and 0 <= right.uv.min() < right.uv.max() <= 1
    np.testing.assert_array_equal(right.uv, left.uv)
    own = load_open_hand()
    np.testing.assert_array_equal(load_hand_model().data.uv, own.uv)


def test_it_is_made_once_and_only_when_asked_for(tmp_path, monkeypatch) -> None:
    made = []

    def counted(data):
        made.append(data)
        return unwrap(data)

    monkeypatch.setattr("fitter.hand_models.uv_atlas.unwrap", counted)
    path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", mano_files.fabricate())
    right = load_hand_model(path)
    left = right.mirrored()
    again = replace(right.data, name="the same")
    assert not made
    assert right.data.uv is left.data.uv is again.uv
    assert left.data.mirrored().uv_faces is right.data.uv_faces
    assert len(made) == 1


def test_joints_without_palm_and_back_are_named_where_a_texture_is_asked_for(tmp_path) -> None:
    arrays = mano_files.fabricate()
    arrays["J_regressor"] = np.repeat(arrays["J_regressor"][:1], 16, 0)
    bare_hand = bare(None, opened=True)
    joints = np.repeat(bare_hand.joint_regressor[:1], 16, 0)
    loaded = load_hand_model(mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", arrays)).data
    assert loaded.side == "right"
    with raises("model.no_anatomy", file="open_hand"):
        _ = with_atlas(replace(bare_hand, joint_regressor=joints)).uv


@pytest.mark.parametrize("count", [0, 1, 6000])
def test_few_of_however_many_loose_faces_are_flattened(count, monkeypatch) -> None:
    data = bare(None, opened=False)
    faces = np.random.default_rng(0).integers(0, len(data.v_template), (count, 3))
    flatten = Mock(side_effect=uv_atlas.flattened)
    monkeypatch.setattr(uv_atlas, "flattened", flatten)
    atlas = unwrap(replace(data, faces=faces))
    assert flatten.call_count <= min(count, uv_atlas.MOST_PIECES)
    real = [len(set(face)) == 3 for face in faces.tolist()]
    assert atlas.faces.shape == faces.shape and 0 <= atlas.uv.min() <= atlas.uv.max() <= 1
    np.testing.assert_array_equal(signed_areas(atlas.uv[atlas.faces]) > 0, real)
    assert covers(atlas).max() <= 1


def test_a_soup_of_faces_is_laid_out_face_by_face(tmp_path) -> None:
    """Nothing is known of a file's faces but that they index vertices."""
    path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", mano_files.fabricate())
    data = load_mano(path)
    atlas = unwrap(data)
    areas = signed_areas(atlas.uv[atlas.faces])
    twice = [len(set(face)) < 3 for face in data.faces.tolist()]
    assert any(twice)
    np.testing.assert_array_equal(areas > 0, ~np.array(twice))
    assert covers(atlas).max() == 1


def strip(turns: float) -> tuple[Chart, np.ndarray]:
    """A flat strip of quads bent into an arc, in the plane; beyond one turn it covers itself."""
    angle = np.linspace(0, 2 * np.pi * turns, 60)
    arc = np.stack([np.cos(angle), np.sin(angle)], 1)
    points = np.concatenate([arc, 1.3 * arc])
    k = np.arange(59)
    faces = np.concatenate([np.stack([k, k + 60, k + 61], 1), np.stack([k, k + 61, k + 1], 1)])
    return charts(faces, np.zeros(len(faces), int))[0], points


def test_what_covers_itself_is_no_map() -> None:
    for turns, fits in ((0.9, True), (1.2, False)):
        chart, points = strip(turns)
        flat = points[chart.vertices]
        assert is_one_to_one(chart, flat, flat[chart.corners]) == fits
    folded = flat.copy()
    folded[0] = 2 * folded[1] - folded[0]
    assert not is_one_to_one(chart, folded, flat[chart.corners])
    assert not is_one_to_one(chart, flat[:, ::-1], flat[chart.corners])


def test_a_flat_piece_stays_as_it_is() -> None:
    chart, points = strip(0.9)
    positions = np.column_stack([points, np.zeros(len(points))])
    flat = flattened(chart, positions)
    want, found = (np.linalg.norm(p[:, None] - p, axis=2) for p in (points[chart.vertices], flat))
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_a_ring_is_no_disk_and_is_cut() -> None:
    """Two borders: a ring has to be cut open before it lies flat."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    low = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    positions = np.concatenate([low, low + [0, 0, 1]])
    k, after = np.arange(12), np.roll(np.arange(12), -1)
    faces = np.concatenate(
        [np.stack([k, after, after + 12], 1), np.stack([k, after + 12, k + 12], 1)]
    )
    (ring,) = charts(faces, np.zeros(24, int))
    assert not ring.is_disk and flattened(ring, positions) is None
    halves = split(faces, ring, positions, np.zeros(24, bool))
    assert len(halves) == 2 and all(half.is_disk for half in halves)
    assert all(flattened(half, positions) is not None for half in halves)
