"""Styles of overlays: what each draws, what it leaves, and folders that hold one style alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_folder import STYLE_FILE, OverlayFolder
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_style import LOOKS, VIEWS, OverlayStyle
from fitter.rendering.overlay_views import render_view, rotated
from fitter.rendering.shading import srgb_from_linear
from fitter.rendering.skin import TexturedSkin, VertexSkin
from tests.support.errors import raises
from tests.support.overlay_scenes import ball, grey, intrinsics

SIZE = (240, 320)
CAMERA = intrinsics(*SIZE)


def drawn(hands, style, pixels=None, camera=CAMERA):
    return render_overlay(grey(*SIZE) if pixels is None else pixels, hands, camera, style)


def noise(shape=SIZE):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def outline_radius(radius, depth):
    """Pixels around the image's middle at which a ball ahead ends."""
    return CAMERA[0, 0] * radius / np.sqrt(depth**2 - radius**2)


def distances():
    """(H, W) pixels from the image's middle."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return np.hypot(rows - SIZE[0] / 2, columns - SIZE[1] / 2)


def quad(depth=0.5, size=0.1, **extra):
    """A square that faces the camera, its corners at (-1, -1), (1, -1), (1, 1), (-1, 1) sizes."""
    corners = size * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])[:, ::-1]
    return OverlayHand(corners + [0, 0, depth], faces, "right", **extra)


def flat_skin(colour, light=1.0, linear=True):
    reflectance = np.tile(np.float32(colour), (4, 1))
    return VertexSkin(reflectance, np.full((4, 3), light, np.float32), linear)


def textured_quad():
    """A square with a texture that is red above and green below."""
    colours = np.zeros((2, 2, 3), np.float32)
    colours[0, :, 0], colours[1, :, 1] = 1, 1
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)  # v up: the square's top is 1
    square = quad()
    skin = TexturedSkin(
        vertices=square.vertices.astype(np.float32),
        uv=uv,
        uv_faces=square.faces.copy(),
        lighting=np.float32([1, 1, 1, 1, 0, 1, 1, 1, 0, 0, -1]),
        side="right",
        diffuse=colours,
    )
    return replace(square, skin=skin)


class TestLooks:
    def test_without_a_word_it_is_the_mesh(self):
        hands = [ball((0, 0, 0.5), keypoints=np.full((21, 2), 100.0), score=0.5)]
        plain = render_overlay(grey(*SIZE), hands, CAMERA)
        explicit = OverlayStyle("mesh", opacity=0.75, skeleton=True, captions=True)
        assert np.array_equal(plain, drawn(hands, explicit))

    def test_side_by_side_is_the_photograph_and_its_mesh(self):
        hands, photograph = [ball((0.02, 0, 0.5), score=0.3)], noise()
        both = drawn(hands, OverlayStyle("side-by-side"), photograph)
        assert np.array_equal(both[:, : SIZE[1]], photograph)
        assert np.array_equal(both[:, SIZE[1] :], drawn(hands, OverlayStyle(), photograph))

    def test_an_outline_is_a_line_along_the_contour_and_nothing_else(self):
        photograph = noise()
        changed = drawn([ball((0, 0, 0.5))], OverlayStyle("outline"), photograph) != photograph
        away = distances()[changed.any(-1)] - outline_radius(0.1, 0.5)
        assert len(away) and away.min() > -3.5 and away.max() < 3.5
        angles = np.unique(
            np.round(np.degrees(np.arctan2(*(np.argwhere(changed.any(-1)).T - 119.5)[::-1])) / 10)
        )
        assert len(angles) >= 36  # all around

    def test_the_nearer_of_two_has_its_whole_contour_and_the_farther_the_seen_part(self):
        near, far = ball((0, 0, 0.4), radius=0.04), ball((0, 0, 0.8), "left", radius=0.2)
        image = drawn([far, near], OverlayStyle("outline")).astype(int)
        inner = np.abs(distances() - outline_radius(0.04, 0.4)) < 1
        outer = np.abs(distances() - outline_radius(0.2, 0.8)) < 1
        blue, orange = (image[ring].mean(0) for ring in (inner, outer))
        assert blue[2] > blue[0] + 50 and orange[0] > orange[2] + 50
        between = (distances() > outline_radius(0.04, 0.4) + 6) & (
            distances() < outline_radius(0.2, 0.8) - 6
        )
        assert (image[between] == 128).all()

    def test_a_finger_before_a_palm_has_a_line_of_its_own(self):
        # One hand alone, so that only the step of depth tells.
        palm, finger = quad(0.5, 0.1), quad(0.48, 0.03)
        hand = OverlayHand(
            np.concatenate([palm.vertices, finger.vertices]),
            np.concatenate([palm.faces, finger.faces + 4]),
            "right",
        )
        image = drawn([hand], OverlayStyle("outline"))
        middle = image[SIZE[0] // 2]
        edges = SIZE[1] / 2 + CAMERA[0, 0] * np.array(
            [-0.1 / 0.5, -0.03 / 0.48, 0.03 / 0.48, 0.1 / 0.5]
        )
        lines = np.flatnonzero((middle != 128).any(-1)) + 0.5
        assert np.abs(lines[:, None] - edges).min(1).max() < 3.5
        assert np.abs(lines[:, None] - edges).min(0).max() < 1.5

    def test_a_slanted_surface_has_no_line(self):
        slanted = quad(0.5, 0.1)
        slanted.vertices[:, 2] += 2.5 * slanted.vertices[:, 0]  # 68 degrees
        image = drawn([slanted], OverlayStyle("outline"))
        line = (image[SIZE[0] // 2] != 128).any(-1)
        xs = SIZE[1] / 2 + CAMERA[0, 0] * slanted.vertices[:2, 0] / slanted.vertices[:2, 2]
        inside = slice(int(xs.min()) + 5, int(xs.max()) - 5)
        assert line.any() and not line[inside].any()

    @pytest.mark.parametrize("look", LOOKS)
    def test_opacity_goes_from_the_photograph_to_the_drawing(self, look):
        photograph = noise()
        hand = quad(skin=flat_skin((0.3, 0.2, 0.1)))
        shown = [
            drawn([hand], OverlayStyle(look, opacity, False, False), photograph)[:, -SIZE[1] :]
            for opacity in (0.0, 0.5, 1.0)
        ]
        assert np.array_equal(shown[0], photograph) and (shown[2] != photograph).any()
        halfway = (shown[0].astype(float) + shown[2]) / 2
        # Lines lie over their rim, which does not add up.
        assert np.abs(shown[1] - halfway).max() <= (40 if look == "outline" else 1.5)


class TestAppearance:
    def test_it_is_reflectance_times_light_and_nothing_else(self):
        points = np.full((21, 2), 160.0)
        hand = quad(skin=flat_skin((0.3, 0.2, 0.1), 0.5), keypoints=points, score=0.9)
        image = drawn([hand], OverlayStyle("appearance"))
        expected = 255 * srgb_from_linear(torch.tensor([0.15, 0.1, 0.05])).numpy()
        assert np.abs(image[120, 160] - expected).max() <= 0.51
        inside = (image != 128).any(-1)
        assert (image[inside].std(0) < 0.3).all()  # one colour: no skeleton, no caption

    def test_without_linear_light_the_product_is_the_value(self):
        image = drawn(
            [quad(skin=flat_skin((0.6, 0.4, 0.2), 0.5, False))], OverlayStyle("appearance")
        )
        assert np.abs(image[120, 160] - 255 * np.array([0.3, 0.2, 0.1])).max() <= 0.51

    def test_a_texture_takes_the_place_of_the_vertices(self):
        image = drawn([textured_quad()], OverlayStyle("appearance")).astype(int)
        y = round(CAMERA[1, 1] * 0.09 / 0.5)
        assert image[120 - y, 160].tolist() == [255, 0, 0]
        assert image[120 + y, 160].tolist() == [0, 255, 0]

    def test_of_two_hands_each_has_its_own(self):
        red, green = flat_skin((1, 0, 0)), flat_skin((0, 1, 0))
        image = drawn(
            [quad(0.5, skin=red), quad(0.4, 0.02, skin=green)], OverlayStyle("appearance")
        )
        assert image[120, 160].tolist() == [0, 255, 0] and image[120, 110].tolist() == [255, 0, 0]

    def test_a_hand_without_skin_is_a_fault(self):
        with pytest.raises(ValueError, match="skin"):
            drawn([quad()], OverlayStyle("appearance"))


class TestViews:
    @pytest.mark.parametrize("view", VIEWS)
    def test_a_view_is_a_rotation(self, view):
        axes = rotated(np.eye(3), view, np.zeros(3)).T
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(axes) == pytest.approx(1)

    def test_from_the_side_depth_goes_to_the_right(self):
        # The nearer ball is blue-green, the farther one orange, as high as each other.
        near, far = ball((0, 0, 0.5), radius=0.05), ball((0, 0, 0.9), "left", radius=0.05)
        panel = render_view([far, near], "side", (200, 300), "mesh").astype(int)
        blue = np.argwhere(panel[..., 2] > panel[..., 0] + 15)
        orange = np.argwhere(panel[..., 0] > panel[..., 2] + 15)
        assert blue[:, 1].max() < orange[:, 1].min()
        apart = (orange.min(0) + orange.max(0) - blue.min(0) - blue.max(0)) / 2
        assert abs(apart[0]) <= 1
        # Without perspective both are as large, and 0.4 m apart is four times their diameter.
        for seen in (blue, orange):
            assert apart[1] / (np.ptp(seen[:, 1]) + 1) == pytest.approx(4, rel=0.1)

    def test_from_the_top_the_camera_is_below(self):
        near, far = ball((-0.1, 0, 0.5), radius=0.05), ball((0.1, 0, 0.9), "left", radius=0.05)
        panel = render_view([far, near], "top", (300, 300), "outline").astype(int)
        blue = np.argwhere(panel[..., 2] > panel[..., 0] + 40).mean(0)
        orange = np.argwhere(panel[..., 0] > panel[..., 2] + 40).mean(0)
        assert blue[0] > orange[0] + 50 and blue[1] < orange[1] - 20

    def test_views_are_put_beside_what_is_there_otherwise(self):
        hands, style = [ball((0, 0, 0.5))], OverlayStyle("outline")
        wide = drawn(hands, replace(style, views=("side", "back")))
        assert wide.shape == (240, 320 + 2 * 240, 3)
        assert np.array_equal(wide[:, :320], drawn(hands, style))
        none = drawn([], replace(style, views=("side",)))
        assert none.shape == (240, 560, 3) and (none[60:, 320:] > 200).all()

    def test_a_view_shows_what_the_photograph_shows(self):
        style, inside = OverlayStyle("outline", views=("side", "top")), ball((0, 0, 0.5))
        beside, behind = ball((5, 0, 0.5), "left"), ball((0, 0, -0.5), "left")
        panels = drawn([inside, beside, behind], style)[:, 320:]
        np.testing.assert_array_equal(panels, drawn([inside], style)[:, 320:])
        at_the_border = drawn([inside, ball((0.25, 0, 0.5), "left")], style)[:, 320:]
        assert (at_the_border != panels).any()

    def test_a_view_in_skin_shows_skin(self):
        hand = quad(skin=flat_skin((1, 0, 0)))
        panel = render_view([hand], "back", (120, 120), "appearance")
        assert panel[60, 60].tolist() == [255, 0, 0]
        panel = render_view([textured_quad()], "back", (120, 120), "appearance")
        colours = {tuple(panel[row, 60].tolist()) for row in range(10, 110)}
        assert {(255, 0, 0), (0, 255, 0)} <= colours


class TestStyles:
    @pytest.mark.parametrize(
        ("values", "code", "found"),
        [
            ({"look": "wire"}, "overlay.look", "wire"),
            ({"opacity": 1.5}, "overlay.opacity", 1.5),
            ({"opacity": float("nan")}, "overlay.opacity", None),
            ({"opacity": "half"}, "overlay.opacity", "half"),
            ({"views": ("side", "left")}, "overlay.view", "left"),
        ],
    )
    def test_what_is_none_is_said(self, values, code, found):
        with raises(code, **({} if found is None else {"found": found})):
            OverlayStyle(**values)

    def test_a_name_a_record_and_what_differs_from_it(self):
        assert OverlayStyle.of("outline") == OverlayStyle("outline")
        given = OverlayStyle("appearance", views=("side",))
        assert OverlayStyle.of(given, 0.5) == OverlayStyle("appearance", 0.5, views=("side",))
        assert OverlayStyle.of(given, views=()).views == ()


class TestFolder:
    def test_the_default_style_leaves_nothing_there(self, tmp_path):
        OverlayFolder(tmp_path / "new", OverlayStyle(opacity=0.75)).prepare()
        assert [*(tmp_path / "new").iterdir()] == []

    def test_a_folder_keeps_its_style(self, tmp_path):
        style = OverlayStyle("outline", views=("side",))
        OverlayFolder(tmp_path, style).prepare()
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b.png.jpg").touch()
        OverlayFolder(tmp_path, replace(style, opacity=1.0)).check()
        with raises("overlay.other_style", name="look", was="outline", now="mesh"):
            OverlayFolder(tmp_path).check()
        with raises("overlay.other_style", name="views", was=("side",), now=()):
            OverlayFolder(tmp_path, OverlayStyle("outline")).prepare()

    def test_one_without_a_word_holds_the_default_style(self, tmp_path):
        (tmp_path / "a.jpg.jpg").touch()
        OverlayFolder(tmp_path).prepare()
        with raises("overlay.other_style", file=tmp_path, name="opacity", was=0.75, now=0.5):
            OverlayFolder(tmp_path, OverlayStyle(opacity=0.5)).prepare()

    def test_one_that_was_emptied_takes_any_style(self, tmp_path):
        OverlayFolder(tmp_path, OverlayStyle("outline")).prepare()
        (tmp_path / ".unfinished-1.jpg").touch()  # a process was killed
        OverlayFolder(tmp_path).prepare()
        assert not (tmp_path / STYLE_FILE).exists()

    def test_a_damaged_word_is_said(self, tmp_path):
        (tmp_path / "a.jpg").touch()
        (tmp_path / STYLE_FILE).write_text('{"look": ')
        with raises("overlay.style_file", file=tmp_path / STYLE_FILE):
            OverlayFolder(tmp_path).check()
