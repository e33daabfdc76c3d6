"""Styles of overlays: what each draws, what it leaves, and folders that hold one style alone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fitter.hand_models import load_hand_model
from fitter.meshes import HandMeshes
from fitter.raster import RasterSettings
from fitter.refinement.scene import draw as draw_scene
from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_folder import STYLE_FILE, OverlayFolder
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_style import LOOKS, VIEWS, OverlayStyle
from fitter.rendering.overlay_views import render_view, rotated
from fitter.rendering.shading import srgb_from_linear
from fitter.rendering.skin import TexturedSkin, VertexSkin
from fitter.textures import HandTexture
from tests.support.errors import raises
from tests.support.fitted_stores import posed_hand
from tests.support.nimble_files import nimble_folder
from tests.support.overlay_scenes import ball, grey, intrinsics
from tests.support.refine_scenes import camera, scene_model, true_hands, view_of

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
        colours = np.zeros((2, 2, 3), np.float32)
        colours[0, :, 0], colours[1, :, 1] = 1, 1  # red above, green below
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
        image = drawn([replace(square, skin=skin)], OverlayStyle("appearance")).astype(int)
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


@pytest.fixture(scope="module")
def meshes():
    return HandMeshes(load_hand_model("open_hand", dtype=torch.float64))


class TestSkinOfAFittedHand:
    def test_what_no_stage_fitted_is_the_mean_skin_in_white_light(self, meshes):
        row = posed_hand(0)
        skin = meshes.skin(row, meshes.vertices(row))
        mean = meshes.appearance.vertex_colours(torch.zeros(1, meshes.appearance.count))[0]
        np.testing.assert_allclose(skin.reflectance, mean, rtol=1e-6)
        assert skin.irradiance.min() >= 0.7 - 1e-6 and skin.irradiance.max() <= 1 + 1e-6
        assert np.ptp(skin.irradiance, axis=1).max() < 1e-6  # white

    @pytest.mark.parametrize("light", ["spherical_harmonics", "ambient_directional"])
    @pytest.mark.parametrize("linear", [True, False])
    def test_it_is_what_the_stages_compared_with_the_photograph(self, light, linear):
        model, side = scene_model(light=light, linear=linear), 192
        scene, rng = model.start(true_hands(model, 1)), np.random.default_rng(3)
        stds = {"appearance": 1.0, "vertex_colours": 0.03, "lighting": 0.2}
        moved = {
            name: getattr(scene, name) + std * torch.from_numpy(rng.normal(size=shape)).float()
            for name, std in stds.items()
            for shape in [getattr(scene, name).shape]
        }
        scene = replace(scene, **moved)
        view = replace(view_of(model, scene, side), intrinsics=camera(1, side).float())
        seen = draw_scene(model, scene, view, RasterSettings(silhouette="edge"), shaded=True)
        pose = ("global_orient", "hand_pose", "betas", "transl")
        row = posed_hand(0, **{n: getattr(scene, n)[0].numpy() for n in (*pose, *stds)})
        meshes = HandMeshes(load_hand_model("open_hand", dtype=torch.float64), linear)
        vertices = meshes.vertices(row)
        hand = OverlayHand.of(row, vertices, meshes.faces("right"), meshes.skin(row, vertices))
        K = camera(1, side)[0].numpy()
        shown = drawn([hand], OverlayStyle("appearance"), grey(side, side), K)
        inside = cv2.erode(seen.fragments.mask[0].numpy().astype(np.uint8), np.ones((3, 3))) > 0
        expected = 255 * seen.foreground[0].clamp(0, 1).numpy()
        assert inside.sum() > 3000 and expected[inside].std() > 10
        assert np.abs(shown - expected)[inside].mean() < 2

    @pytest.mark.parametrize("side", ["right", "left"])
    @pytest.mark.parametrize("own", [False, True], ids=["maps", "texture"])
    def test_maps_are_shaded_at_every_pixel_as_the_stages_do_it(self, own, side):
        hand = load_hand_model(nimble_folder(), dtype=torch.float64)
        size, texels = 192, 64 if own else 256
        model = scene_model(hand=hand, texture_size=texels)
        scene, rng = model.start(true_hands(model, 1)), np.random.default_rng(3)
        stds = {"appearance": 1.0, "vertex_colours": 0.1, "lighting": 0.3}
        if own:
            stds["texture"] = 0.5
        moved = {
            name: getattr(scene, name) + std * torch.from_numpy(rng.normal(size=shape)).float()
            for name, std in stds.items()
            for shape in [getattr(scene, name).shape]
        }
        scene = replace(scene, **moved)
        view = replace(view_of(model, scene, size), intrinsics=camera(1, size).float())
        seen = draw_scene(model, scene, view, RasterSettings(silhouette="edge"), shaded=True)
        pose = ("global_orient", "hand_pose", "betas", "transl")
        values = {n: getattr(scene, n)[0].numpy() for n in (*pose, *stds)}
        if own:
            values["texture"] = model.maps(scene).diffuse[0].numpy()
        meshes = HandMeshes(hand)
        expected = 255 * seen.foreground[0].clamp(0, 1).numpy()
        inside = cv2.erode(seen.fragments.mask[0].numpy().astype(np.uint8), np.ones((3, 3))) > 0
        K = camera(1, size)[0].numpy()
        row = posed_hand(0, **values)
        vertices = meshes.vertices(row)
        if side == "left":  # what is stored is that of the mirrored image
            row, vertices = replace(row, side="left"), vertices * np.float32([-1, 1, 1])
            K = K * [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
            K[0, 2] = size - K[0, 2]
            expected, inside = expected[:, ::-1], inside[:, ::-1]
        shown_hand = OverlayHand.of(row, vertices, meshes.faces(side), meshes.skin(row, vertices))
        shown = drawn([shown_hand], OverlayStyle("appearance"), grey(size, size), K)
        assert inside.sum() > 3000 and expected[inside].std() > 10
        assert np.abs(shown - expected)[inside].mean() < 3

    def test_a_texture_is_shown_in_the_light_of_the_hand(self, meshes):
        # The hand's own mean skin as a texture: nearly what its vertices show.
        size = len(meshes.appearance.texture_mean)
        colours = meshes.appearance.texture(torch.zeros(1, meshes.appearance.count))[0].numpy()
        texture = HandTexture(colours, np.ones((size, size), np.float32))
        row = posed_hand(0)
        vertices = meshes.vertices(row)
        shown = []
        for own in (None, texture, HandTexture(1 - colours, texture.weight)):
            hand = OverlayHand.of(
                row, vertices, meshes.faces("right"), meshes.skin(row, vertices, own)
            )
            shown.append(
                drawn(
                    [hand],
                    OverlayStyle("appearance"),
                    camera=2.5 * CAMERA
                    + [[0, 0, -1.5 * CAMERA[0, 2]], [0, 0, -1.5 * CAMERA[1, 2]], [0, 0, -1.5]],
                ).astype(int)
            )
        plain, textured, other = shown
        seen = (plain != 128).any(-1)
        assert seen.mean() > 0.05
        assert np.abs(plain - textured)[seen].mean() < 6 < 30 < np.abs(plain - other)[seen].mean()

    def test_a_left_hand_is_the_right_one_in_the_mirror(self, meshes):
        rng = np.random.default_rng(0)
        for count in (11, 27):
            values = {
                "lighting": rng.random(count).astype(np.float32),
                "appearance": rng.normal(size=meshes.appearance.count).astype(np.float32),
            }
            right, left = (posed_hand(0, side, **values) for side in ("right", "left"))
            vertices = meshes.vertices(right)
            a = meshes.skin(right, vertices)
            b = meshes.skin(left, vertices * [-1, 1, 1])
            np.testing.assert_allclose(a.irradiance, b.irradiance, atol=1e-6)
            np.testing.assert_array_equal(a.reflectance, b.reflectance)
            assert np.ptp(a.irradiance) > 0.1

    def test_a_hand_lit_from_the_left_is_bright_there(self, meshes):
        row = posed_hand(0, lighting=np.float32([0, 0, 0, 0, 1, 1, 1, 1, -1, 0, 0]))
        vertices = meshes.vertices(row)
        skin = meshes.skin(row, vertices)
        lit = skin.irradiance[:, 0] > 0.7
        assert vertices[lit, 0].mean() < vertices[~lit, 0].mean()


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

    def test_a_view_in_skin_shows_skin(self):
        hand = quad(skin=flat_skin((1, 0, 0)))
        panel = render_view([hand], "back", (120, 120), "appearance")
        assert panel[60, 60].tolist() == [255, 0, 0]


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
