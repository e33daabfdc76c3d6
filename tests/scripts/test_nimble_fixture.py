"""The builder of NIMBLE's files: sizes, closed meshes, tissues inside one another, determinism."""

import numpy as np
import pytest
from build_nimble_fixture import Fixture, FixtureOptions
from nimble_fixture_skin import closest_on_faces, place_of, sized_skin

from fitter.hand_models import load_open_hand
from fitter.hand_models.nimble.collision_reference import winding_numbers


@pytest.fixture(scope="module")
def fixture():
    return Fixture(FixtureOptions.scaled(0.1, texture=32))


def edges(faces):
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return np.unique(sides, axis=0, return_counts=True)


def volume(points, faces):
    a, b, c = (points[faces[:, k]] for k in range(3))
    return np.einsum("fc,fc->", a, np.cross(b, c)) / 6


@pytest.mark.parametrize("count", [4994, 778, 300])
def test_skin_of_a_size_is_closed_and_the_same_hand(count):
    data = load_open_hand()
    skin = sized_skin(data, count, data.tip_vertices)
    points = skin(data.v_template)
    found, uses = edges(skin.faces)
    assert len(points) == count and len(skin.faces) == 2 * count - 4
    assert set(uses) == {2} and len(points) - len(found) + len(skin.faces) == 2
    own = volume(data.v_template, data.faces)
    assert volume(points, skin.faces) == pytest.approx(own, rel=0.02)
    np.testing.assert_allclose(
        points[place_of(skin, data.tip_vertices)], data.v_template[list(data.tip_vertices)]
    )
    # Texture coordinates go with the surface: where a face has its corners the open hand has them.
    face, bary = closest_on_faces(points[skin.faces].mean(1), data.v_template, data.faces)
    there = np.einsum("fk,fkc->fc", bary, data.uv[data.uv_faces[face]])
    off = np.linalg.norm(skin.uv[skin.uv_faces].mean(1) - there, axis=1)
    assert np.quantile(off, 0.9) < 0.02


def test_published_sizes():
    options = FixtureOptions.scaled(1.0)
    sizes = (options.bones, options.muscles, options.skin, options.surface, options.texture)
    assert sizes == (3345, 5635, 5990, 4994, 1024)


def test_bones_are_in_muscles_and_muscles_in_skin(fixture):
    outer = fixture.outside(fixture.data.v_template)
    for body in (fixture.bones, fixture.muscles):
        _, uses = edges(body.faces)
        assert set(uses) == {2}
        for number in np.unique(body.body):
            own = body.faces[body.body[body.faces[:, 0]] == number]
            assert volume(body.points - body.points[own[0, 0]], own) > 0
        inside = winding_numbers(body.points, outer, fixture.outside.faces)
        np.testing.assert_allclose(inside, 1, atol=1e-6)
    middle = np.abs(fixture.bones.along - 0.5) < 0.3
    around = winding_numbers(
        fixture.bones.points[middle], fixture.muscles.points, fixture.muscles.faces
    )
    assert (around > 0.5).mean() > 0.95


def test_same_options_same_files(fixture):
    again = Fixture(fixture.options)
    for name, value in fixture.geometry().items():
        np.testing.assert_array_equal(value, again.geometry()[name], err_msg=name)


def test_joints_follow_from_the_bones(fixture):
    stored = fixture.geometry()
    bones = fixture.hand.points[: stored["bone_v_sep"]]
    np.testing.assert_allclose(stored["jreg_bone"] @ bones, fixture.rig.points, atol=1e-6)
    moved = fixture.hand.shapedirs[: stored["bone_v_sep"]]
    found = np.einsum("jv,vcs->jcs", stored["jreg_bone"], moved)
    np.testing.assert_allclose(found, fixture.rig.displacements(fixture.data), atol=1e-5)
