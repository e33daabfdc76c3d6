"""What a picture shows of the texels."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.textures import HandView, Occluder, views
from fitter.textures.views import see
from tests.support.textured_hands import SIZE, atlas, camera, chequered, encoded, posed, shoot

WALL = np.array([[0, 1, 2], [0, 2, 3]])


def wall(depth: float, left: float = 0.0) -> Occluder:
    """A large wall to the right of x = left in the camera's frame."""
    corners = [[left, -1, depth], [left + 1, -1, depth], [left + 1, 1, depth], [left, 1, depth]]
    return Occluder(np.array(corners), WALL)


@pytest.fixture(scope="module")
def palm():
    return shoot(chequered(), posed(palm=True)).view


def test_only_what_faces_the_camera_is_seen(palm):
    at, seen = atlas(), see(atlas(), palm)
    place = at.at(palm.vertices)
    cosine = -(seen.normals * place).sum(1) / np.linalg.norm(place, axis=1)
    assert (seen.weight[cosine < 0.2] == 0).all() and (seen.weight > 0).mean() > 0.2
    back = see(at, shoot(chequered(), posed(palm=False)).view)
    assert not ((back.weight > 0) & (seen.weight > 0)).any()


def test_colours_are_those_of_the_picture(palm):
    at = atlas()
    white = np.full_like(palm.pixels, 188)
    seen = see(at, replace(palm, pixels=white))
    np.testing.assert_allclose(encoded(seen.colours[seen.weight > 0]), 188 / 255, atol=1e-6)


def test_every_seen_texel_has_the_colour_at_its_own_place(palm):
    at = atlas()
    row, column = np.mgrid[:SIZE, :SIZE]
    ramp = np.stack([column, row, 0 * row], -1).astype(np.float64) / SIZE
    seen = see(at, replace(palm, pixels=np.round(255 * encoded(ramp)).astype(np.uint8)))
    place = at.at(palm.vertices) @ camera().T
    wanted = (place[:, :2] / place[:, 2:] - 0.5) / SIZE
    known = seen.weight > 0
    np.testing.assert_allclose(seen.colours[known, :2], wanted[known], atol=0.006)


def test_what_is_in_front_hides_and_what_is_behind_does_not(palm):
    at, free = atlas(), see(atlas(), palm)
    place = at.at(palm.vertices)
    hidden = see(at, replace(palm, others=[wall(0.4)]))
    behind_wall = place[:, 0] / place[:, 2] > 0.0
    assert (free.weight[behind_wall] > 0).any() and (hidden.weight[behind_wall] == 0).all()
    far = place[:, 0] < -0.03
    np.testing.assert_array_equal(hidden.weight[far], free.weight[far])
    np.testing.assert_array_equal(see(at, replace(palm, others=[wall(2.0)])).weight, free.weight)


def test_a_finger_hides_the_palm_behind_it():
    at, vertices = atlas(), posed(palm=True)
    other = vertices + [0.0, 0.02, -0.08]  # a second hand as large as the first one
    view = HandView(np.zeros((SIZE, SIZE, 3), np.uint8), camera(), vertices, "right",
                    [Occluder(other, at.faces)])  # fmt: skip
    free = see(at, replace(view, others=()))
    assert see(at, view).weight.sum() < 0.3 * free.weight.sum()


def test_the_border_of_mesh_and_mask_is_rejected(palm):
    at, free = atlas(), see(atlas(), palm)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, : SIZE // 2] = True
    masked = see(at, replace(palm, mask=mask))
    place = at.at(palm.vertices) @ camera().T
    x = place[:, 0] / place[:, 2]
    assert (masked.weight[x > SIZE / 2 - 1.0] == 0).all()
    assert (masked.weight <= free.weight + 1e-9).all()
    np.testing.assert_allclose(masked.weight[x < SIZE / 2 - 8], free.weight[x < SIZE / 2 - 8])


def test_a_part_beyond_the_image_is_not_seen(palm):
    at = atlas()
    half = replace(palm, pixels=palm.pixels[:, : SIZE // 2])
    place = at.at(palm.vertices) @ camera().T
    seen = see(at, half)
    assert (seen.weight[place[:, 0] / place[:, 2] > SIZE / 2] == 0).all()
    assert (seen.weight > 0).any()


def test_what_lies_just_left_of_the_window_of_the_test_is_not_inside():
    # Of a large picture a pixel of the test is wide, and what is left of the first one is no part
    # of it.
    at, view = atlas(), shoot(chequered(), posed(palm=True)).view
    place = at.at(view.vertices) @ camera().T
    column = place[:, 0] / place[:, 2]
    origin = np.array([SIZE / 2, 0.0])
    window = views._Window(origin, 0.1, (SIZE // 10, SIZE // 20))
    cosine = np.ones(len(column))
    texels = (place[:, :2] / place[:, 2:], np.zeros(len(column)), cosine)
    found = views._unhidden(view, view.vertices, at.faces, window, texels)
    just = (column < origin[0]) & (column > origin[0] - 10)
    assert just.any() and (found[column > origin[0]] > 0).any()
    assert (found[just] == 0).all()


def test_clipped_pixels_count_little(palm):
    at, free = atlas(), see(atlas(), palm)
    clipped = see(at, replace(palm, pixels=np.full_like(palm.pixels, 255)))
    known = free.weight > 0
    np.testing.assert_allclose(clipped.weight[known], 0.05 * free.weight[known], rtol=1e-4)


def test_a_hand_that_is_not_before_the_camera_is_not_seen(palm):
    for away in ([0, 0, -2.0], [5.0, 0, 0]):
        seen = see(atlas(), replace(palm, vertices=palm.vertices + away))
        assert (seen.weight == 0).all()


def test_shapes_are_checked(palm):
    with pytest.raises(ValueError, match="uint8"):
        replace(palm, pixels=palm.pixels.astype(np.float32))
    with pytest.raises(ValueError, match="as its image"):
        replace(palm, mask=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="vertices"):
        see(atlas(), replace(palm, vertices=palm.vertices[:9]))
