"""Shading formulas, and overlays that show the right hand in the right place."""

import math
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from fitter.contact.records import ObjectMesh, PosedObject
from fitter.rendering.overlay import render_overlay, write_image_overlay, write_overlay
from fitter.rendering.overlay_hand import SIDE_COLOURS, OverlayObject
from fitter.rendering.overlay_names import overlay_name
from fitter.rendering.overlay_style import OverlayStyle
from fitter.store.schema import HandRow, ImageRow
from fitter.workers.overlays import overlay_hands
from tests.support.errors import raises
from tests.support.overlay_scenes import ball, grey, intrinsics, thing

PLAIN = OverlayStyle(opacity=1.0, skeleton=False, captions=False)


def is_side(colour: np.ndarray, side: str) -> bool:
    """Whether a shaded colour has the hue of a side."""
    target = np.array(SIDE_COLOURS[side], float)
    cosine = colour @ target / (np.linalg.norm(colour) * np.linalg.norm(target))
    return bool(cosine > 0.995)


def test_overlay_covers_the_projection_and_leaves_the_rest():
    picture = grey(120, 160)
    drawn = render_overlay(picture, [ball([0.02, 0.0, 0.5])], intrinsics(120, 160), PLAIN)
    assert (picture == 128).all()
    changed = (drawn != 128).any(-1)
    radius = 180 * 0.1 / math.sqrt(0.5**2 - 0.1**2)
    assert changed.sum() == pytest.approx(math.pi * radius**2, rel=0.06)
    rows, columns = np.nonzero(changed)
    assert np.mean(columns + 0.5) == pytest.approx(80 + 180 * 0.02 / 0.5, abs=0.8)
    assert np.mean(rows + 0.5) == pytest.approx(60, abs=0.8)


def test_outline_is_anti_aliased():
    black = np.zeros((100, 100, 3), np.uint8)
    drawn = render_overlay(black, [ball([0, 0, 0.5])], intrinsics(100, 100), PLAIN)
    # Along a row that the outline crosses at a slant some pixels are partly covered.
    brightness = drawn.sum(-1).astype(int)
    rows, columns = np.nonzero(brightness)
    edge = [brightness[r, columns[rows == r].min()] for r in range(rows.min(), rows.max())]
    assert min(edge) < 0.6 * max(edge)


@pytest.mark.parametrize("order", [1, -1])
def test_nearer_hand_hides_farther_whatever_the_order(order):
    hands = [ball([0, 0, 0.4], "left", 0.03), ball([0, 0, 0.7], "right", 0.1)][::order]
    drawn = render_overlay(grey(100, 100), hands, intrinsics(100, 100), PLAIN)
    assert is_side(drawn[50, 50].astype(float), "left")
    assert is_side(drawn[50, 34].astype(float), "right")


@pytest.mark.parametrize("look", ["mesh", "outline", "side-by-side"])
def test_objects_hide_hands_behind_them_alone(look):
    """The object is drawn in its own grey over a farther hand, and does not show behind a nearer
    one."""
    style, camera = OverlayStyle(look, opacity=1.0), intrinsics(100, 100)
    alone = render_overlay(grey(100, 100), [], camera, style, [thing([0, 0, 0.4], 0.03)])
    over = [ball([0, 0, 0.7], radius=0.02)]
    hidden = render_overlay(grey(100, 100), over, camera, replace(style, captions=False),
                            [thing([0, 0, 0.4], 0.03)])  # fmt: skip
    assert (alone != 128).any() and (hidden == alone).all()
    near = [ball([0, 0, 0.3], radius=0.05)]
    hand = render_overlay(grey(100, 100), near, camera, style)
    both = render_overlay(grey(100, 100), near, camera, style, [thing([0, 0, 0.6], 0.02)])
    assert (both == hand).all()


@pytest.mark.parametrize(
    "mesh", [trimesh.creation.box((0.1, 0.1, 0.1)), trimesh.creation.icosahedron()]
)
def test_outlines_of_coarse_objects_are_edges_and_leave_faces_free(mesh):
    """Every sharp edge that faces the camera and the silhouette are drawn, and nothing between."""
    mesh.apply_scale(0.1 / mesh.extents.max())
    turn = trimesh.transformations.euler_matrix(0.6, 0.5, 0.2)[:3, :3]
    known = PosedObject(ObjectMesh("it", mesh.vertices, mesh.faces), turn, np.array([0, 0, 0.4]))
    camera = intrinsics(400, 400)
    drawn = render_overlay(
        grey(400, 400), [], camera, OverlayStyle("outline"), [OverlayObject.of(known)]
    )
    is_line = (drawn != 128).any(-1)
    posed = trimesh.Trimesh(known.vertices, mesh.faces, process=False)
    faces_us = ((posed.face_normals * posed.triangles_center).sum(1) < 0)[posed.face_adjacency]
    is_fold = (posed.face_adjacency_angles > 0.9) & faces_us.any(1)
    wanted = posed.face_adjacency_edges[is_fold | (faces_us.sum(1) == 1)]

    def pixels(points):
        at = points @ camera.T
        return (at[:, :2] / at[:, 2:]).astype(int)

    middles = pixels(known.vertices[wanted].mean(1))
    near = cv2.dilate(is_line.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert near[middles[:, 1], middles[:, 0]].all()
    flat = np.zeros((400, 400), np.uint8)
    for first, second in known.vertices[wanted]:
        ends = pixels(np.stack([first, second]))
        cv2.line(flat, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1, 11)
    assert not (is_line & (flat == 0)).any()


def test_an_object_stands_in_the_panels_and_has_no_caption():
    style = OverlayStyle(views=("side",))
    drawn = render_overlay(grey(100, 100), [], intrinsics(100, 100), style, [thing([0, 0, 0.5])])
    nothing = render_overlay(grey(100, 100), [], intrinsics(100, 100), style)
    differs = (drawn != nothing).any(-1)
    assert differs[:, :100].any() and differs[:, 100:].any()
    colours = drawn[:, :100][differs[:, :100]].astype(int)
    assert np.ptp(colours, axis=-1).max() <= 8  # grey, no letters in the colour of a side


def test_the_appearance_of_hands_leaves_objects_out():
    style = OverlayStyle("appearance", views=("top",))
    things = [thing([0, 0, 0.5])]
    drawn = render_overlay(grey(60, 60), [], intrinsics(60, 60), style, things)
    assert (drawn == render_overlay(grey(60, 60), [], intrinsics(60, 60), style)).all()


def test_opacity_blends():
    views = [
        render_overlay(
            grey(60, 60),
            [ball([0, 0, 0.5])],
            intrinsics(60, 60),
            OverlayStyle(opacity=opacity, skeleton=False, captions=False),
        )[30, 30].astype(float)
        for opacity in (0.0, 0.5, 1.0)
    ]
    assert (views[0] == 128).all()
    np.testing.assert_allclose(views[1], (views[0] + views[2]) / 2, atol=1.01)


def test_hidden_keypoints_are_rings():
    points = np.stack([np.linspace(60, 540, 21), np.tile([80.0, 320.0], 11)[:21]], axis=1)
    seen = np.where(np.arange(21) % 2 == 0, 0.9, 0.1)
    style = OverlayStyle(opacity=0.0, captions=False)

    rings = render_overlay(grey(400, 600), [ball((0, 0, 1), keypoints=points, visibility=seen)],
                           intrinsics(400, 600), style)  # fmt: skip
    discs = render_overlay(grey(400, 600), [ball((0, 0, 1), keypoints=points)],
                           intrinsics(400, 600), style)  # fmt: skip
    for index, (x, y) in enumerate(points.astype(int)):
        part = (slice(y - 4, y + 5), slice(x - 4, x + 5))
        same = (rings[part] == discs[part]).all()
        assert same == (seen[index] > 0.5), index


def test_skeleton_is_drawn_at_the_keypoints():
    keypoints = np.stack([np.linspace(20, 180, 21), np.full(21, 40.5)], -1)
    hand = ball([0, 0.1, 0.5], radius=0.02, keypoints=keypoints)
    style = OverlayStyle(captions=False)
    drawn = render_overlay(np.zeros((200, 200, 3), np.uint8), [hand], intrinsics(200, 200), style)
    lit = np.nonzero(drawn[:60].any(-1))
    assert lit[1].min() == pytest.approx(20, abs=4.5) and lit[1].max() == pytest.approx(
        180, abs=4.5
    )
    assert np.mean(lit[0] + 0.5) == pytest.approx(40.5, abs=0.5)


def test_bad_keypoints_and_vertices_are_left_out():
    keypoints = np.full((21, 2), 30.0)
    keypoints[4] = np.nan
    keypoints[8] = 1e30
    hand = ball([0, 0, 0.5], keypoints=keypoints, score=0.5, note="failed")
    hand.vertices[0] = np.nan
    behind = ball([0, 0, -0.5], score=0.1)
    drawn = render_overlay(grey(64, 64), [hand, behind], intrinsics(64, 64))
    assert (drawn != 128).any()
    only_behind = render_overlay(grey(64, 64), [behind], intrinsics(64, 64))
    assert (only_behind == 128).all()


def test_caption_says_side_and_score_and_changes_the_picture():
    hand = ball([0, 0, 0.5], "left", score=0.876, note="drifted")
    assert hand.caption == "left 0.88 drifted"
    style = OverlayStyle(opacity=0.0, skeleton=False)
    for size in ((64, 64), (256, 256), (1200, 1600)):
        drawn = render_overlay(grey(*size), [hand], intrinsics(*size), style)
        rows, _ = np.nonzero((drawn != 128).any(-1))
        assert len(rows) and rows.max() - rows.min() < 0.4 * size[0]


@pytest.mark.parametrize("hands", [[], [ball([5.0, 0, 0.5])]])
def test_nothing_to_draw(hands):
    assert (render_overlay(grey(50, 40), hands, intrinsics(50, 40)) == 128).all()


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="uint8"):
        render_overlay(np.zeros((4, 4, 3)), [], np.eye(3))
    with pytest.raises(ValueError, match="intrinsics"):
        render_overlay(grey(4, 4), [], np.eye(4))


@pytest.mark.parametrize("name", ["overlay.jpg", "overlay.png"])
def test_written_overlay_can_be_read(tmp_path, name):
    hands, camera = [ball([0, 0, 0.5], score=0.9)], intrinsics(64, 80)
    write_overlay(tmp_path / name, grey(64, 80), hands, camera)
    written = np.asarray(Image.open(tmp_path / name)).astype(float)
    drawn = render_overlay(grey(64, 80), hands, camera)
    assert np.abs(written - drawn).mean() < (3 if name.endswith("jpg") else 1e-9)


@pytest.mark.parametrize("name", ["missing/overlay.png", "overlay.docx"])
def test_unwritable_overlay_names_the_file(tmp_path, name):
    with raises("overlay.unwritable", file=tmp_path / name):
        write_overlay(tmp_path / name, grey(8, 8), [], np.eye(3))


def test_a_hand_fitted_with_another_focal_length_is_drawn_with_it():
    """Each by its own: one fitted twice as far away with twice the focal length hides nothing."""
    camera = intrinsics(96, 128)
    near, far = ball([0.1, 0, 0.6], radius=0.05), ball([-0.1, 0.02, 1.2], "left", radius=0.05)
    doubled = camera.copy()
    doubled[:2, :2] *= 2
    expected = render_overlay(
        render_overlay(grey(96, 128), [near], camera, PLAIN), [far], doubled, PLAIN
    )
    both = render_overlay(grey(96, 128), [near, replace(far, focal_scale=2.0)], camera, PLAIN)
    assert (np.abs(both.astype(int) - expected) > 1).mean() < 0.01
    assert (both != render_overlay(grey(96, 128), [near, far], camera, PLAIN)).any(-1).mean() > 0.02


def test_the_overlay_of_a_stored_hand_takes_its_focal_length(tmp_path):
    camera, hand = intrinsics(96, 128), ball([0.1, 0, 0.6], radius=0.05)
    meshes = SimpleNamespace(
        vertices=lambda row: hand.vertices, faces=lambda side: {"right": hand.faces}[side]
    )
    pictures = {}
    for scale in (None, 1.5):
        row = HandRow(valid=True, side="right", focal_scale=scale)
        image = ImageRow(image_status="ok", intrinsics=camera, hands=(row,))
        path = tmp_path / overlay_name("a.png")
        hands = overlay_hands(meshes, image)
        write_image_overlay(path, grey(96, 128), hands, camera)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png.jpg"]
        pictures[scale] = np.asarray(Image.open(path)).astype(int)
        drawn = replace(hand, focal_scale=scale or 1.0)
        expected = render_overlay(grey(96, 128), [drawn], camera)
        assert np.abs(pictures[scale] - expected).mean() < 3
    assert np.abs(pictures[None] - pictures[1.5]).mean() > 5
