"""Nearest points of a surface, against all its faces and against many points of them."""

import numpy as np

from fitter.formats.closest import Surface, closest_on_triangles
from fitter.hand_models import load_open_hand


def test_on_one_triangle():
    """No point of a fine grid on the triangle is nearer; thin and flat triangles too."""
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(60, 3, 3))
    corners[40:50, 2] = corners[40:50, 0] + 1e-3 * rng.normal(size=(10, 3))
    corners[50:, 2] = 0.3 * corners[50:, 0] + 0.7 * corners[50:, 1]  # a line
    points = 2 * rng.normal(size=(60, 3))
    shares = closest_on_triangles(points, corners)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(-1), 1)
    found = np.linalg.norm((shares[..., None] * corners).sum(1) - points, axis=1)
    steps = np.linspace(0, 1, 101)
    grid = np.array([(a, b * (1 - a), (1 - b) * (1 - a)) for a in steps for b in steps])
    best = np.linalg.norm(np.einsum("gk,nkc->ngc", grid, corners) - points[:, None], axis=-1)
    assert (found <= best.min(axis=1) + 1e-9).all()
    assert (found >= best.min(axis=1) - 0.05).all()


def test_on_a_hand():
    data = load_open_hand()
    surface = Surface(data.v_template, data.faces)
    rng = np.random.default_rng(1)
    picked = rng.integers(0, len(data.v_template), 200)
    points = data.v_template[picked] + rng.normal(scale=0.004, size=(200, 3))
    found = surface.closest(points)
    corners = data.v_template[data.faces]
    shares = closest_on_triangles(points[:, None], corners[None])
    every = (shares[..., None] * corners).sum(2)
    least = np.linalg.norm(every - points[:, None], axis=-1).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(found.points - points, axis=1), least, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=1), 1)


def test_the_border_is_known():
    """Beyond a cut the nearest point is on the border, at a fingertip it is not."""
    data = load_open_hand()
    along = data.v_template @ (np.mean(data.v_template[list(data.tip_vertices)], axis=0))
    kept = along > np.quantile(along, 0.2)
    surface = Surface(data.v_template, data.faces[kept[data.faces].all(axis=1)])
    least = along < np.quantile(along, 0.05)
    assert surface.closest(data.v_template[least]).at_edge.all()
    assert not surface.closest(data.v_template[list(data.tip_vertices)]).at_edge.any()
    whole = Surface(data.v_template, data.faces)
    assert not whole.closest(data.v_template).at_edge.any()  # the open hand is closed
