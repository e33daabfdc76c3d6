"""One scene seen by several cameras: it is the same scene, and each view is what a camera there
sees."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.records import HAND, TensorBatch, ViewSpec
from datasets.synthetic.rig_scenes import (
    BORDER,
    CLEARANCE,
    NEAREST,
    RigEngine,
    RigPoses,
)
from datasets.synthetic.rig_shapes import (
    DOME_BASELINE,
    STEREO_FOCUS,
    dome_rig,
    rig_focus,
    stereo_rig,
)
from fitter.camera import back_project
from fitter.hand_models import load_hand_model
from fitter.rendering.shading import vertex_normals
from fitter.rig import Rig, RigCamera
from tests.support.errors import raises

SIZE, COUNT = 80, 8
EVERYTHING = SyntheticSettings(
    occluder_share=0.4, second_hand_share=0.6, glove_share=0.3, child_share=0.3, grey_share=0.3
)


@pytest.fixture(scope="module")
def engine():
    return SyntheticEngine(SIZE, EVERYTHING)


@pytest.fixture(scope="module", params=["stereo", "dome"])
def rig(request):
    return stereo_rig(0.1, (SIZE, SIZE)) if request.param == "stereo" else dome_rig(3, (SIZE, SIZE))


@pytest.fixture(scope="module")
def scenes(engine, rig):
    return RigEngine(engine, rig).sample(11, range(COUNT))


@pytest.fixture(scope="module")
def views(engine, scenes):
    return engine.render_views(scenes.specs, scenes.views)


@pytest.fixture(scope="module")
def close(engine, rig):
    """Scenes whose images are squares around the hand."""
    return RigEngine(engine, rig, crops=True).sample(11, range(COUNT))


def same(one, other):
    """Whether two records hold the same bits."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if not (same(a, b) if isinstance(a, TensorBatch) else torch.equal(a, b)):
            return False
    return True


def in_rig(points, camera):
    """Points (B, N, 3) of a camera in the rig's frame."""
    return (points.numpy() - camera.translation) @ camera.rotation


def sampled(image, pixels):
    """Values of images (B, S, S, ...) at positions (B, N, 2), and which of them are inside."""
    place = pixels.floor().long()
    inside = ((place >= 0) & (place < image.shape[1])).all(-1)
    place = place.clamp(0, image.shape[1] - 1)
    rows = torch.arange(len(image))[:, None]
    return image[rows, place[..., 1], place[..., 0]], inside


class TestViews:
    def test_a_rig_of_the_scenes_camera_alone_is_the_camera(self, engine):
        specs = engine.sample(3, range(COUNT))
        turn = torch.eye(3, dtype=torch.float64).expand(COUNT, 3, 3)
        still = torch.zeros(COUNT, 3, dtype=torch.float64)
        view = ViewSpec(turn, still, specs.view, specs.background, specs.lens)
        (seen,), alone = engine.render_views(specs, [view]), engine.render(specs)
        for field in fields(alone):
            if field.name != "specs":
                assert torch.equal(getattr(seen, field.name), getattr(alone, field.name))

    def test_keypoints_and_vertices_are_the_same_in_the_rigs_frame(self, rig, views):
        for name in ("keypoints_3d", "vertices"):
            here = [in_rig(getattr(v, name), c) for v, c in zip(views, rig.cameras, strict=True)]
            for other in here[1:]:
                np.testing.assert_allclose(other, here[0], atol=1e-8)

    def test_projections_are_those_of_the_rig(self, rig, views):
        there = in_rig(views[0].keypoints_3d, rig.cameras[0])
        for view, camera in zip(views, rig.cameras, strict=True):
            seen = (there @ camera.rotation.T + camera.translation) @ camera.intrinsics.T
            np.testing.assert_allclose(view.keypoints_2d, seen[..., :2] / seen[..., 2:], atol=1e-4)
            np.testing.assert_allclose(view.intrinsics[0], camera.intrinsics)

    def test_a_view_is_an_ordinary_sample_of_its_camera(self, engine, views):
        """Light is computed anew there, through shadow maps that lie otherwise."""
        for view in views:
            again = engine.render(view.specs)
            for name in ("keypoints_3d", "vertices", "keypoints_2d"):
                torch.testing.assert_close(
                    getattr(again, name), getattr(view, name), rtol=0, atol=1e-5
                )
            assert (again.parts != view.parts).float().mean() < 1e-3
            difference = (again.image.int() - view.image.int()).abs().float()
            # The shadow maps of infrared lamps and of daylight alike have 4 mm to a pixel.
            assert difference.flatten(1).mean(1).max() < 1.5

    def test_a_surface_is_where_the_other_view_sees_it(self, engine, rig, close):
        views, share = engine.render_views(close.specs, close.views), []
        for a, first in zip(views, rig.cameras, strict=True):
            steps = torch.arange(SIZE) + 0.5
            y, x = torch.meshgrid(steps, steps, indexing="ij")
            pixels = torch.stack([x, y], -1).view(1, -1, 2).expand(len(a.mask), -1, -1).double()
            points = back_project(pixels, a.depth.flatten(1).double(), a.intrinsics)
            there = torch.from_numpy(in_rig(points, first))
            for b, second in zip(views, rig.cameras, strict=True):
                if a is b:
                    continue
                turn, shift = map(torch.from_numpy, (second.rotation, second.translation))
                moved = there @ turn.T + shift
                at = moved @ b.intrinsics.mT
                depth, inside = sampled(b.depth, at[..., :2] / at[..., 2:])
                shown = (a.mask.flatten(1) > 0.99) & inside
                nearer = (moved[..., 2] - depth)[shown & (depth > 0)]
                # Nobody looks through a surface: what the other view shows there is not behind it,
                # but at the outline, where a pixel shows what is next to it.
                assert (nearer > -0.006).float().mean() > 0.96
                share.append((nearer.abs() < 0.006).float().mean())
        # Cameras of a dome see the hand from all sides, those of a pair from nearly the same one.
        assert min(share) > (0.6 if len(rig) == 2 else 0.005)

    def test_a_point_is_as_bright_in_every_view(self, engine, close):
        """With matt skin, through perfect lenses, where it is not seen along the surface."""
        specs = replace(close.specs, skin=replace(close.specs.skin, gloss=torch.zeros(COUNT, 2)))
        specs = replace(
            specs, glove=replace(specs.glove, present=torch.zeros(COUNT, dtype=torch.bool))
        )
        lens = close.views[0].lens
        clear = replace(
            lens, vignette=0 * lens.vignette, blur=0 * lens.blur, motion=0 * lens.motion,
            noise=0 * lens.noise, quality=0 * lens.quality + 100,
        )  # fmt: skip
        views = engine.render_views(specs, [replace(view, lens=clear) for view in close.views])
        ours = specs.imaging.kind < 2  # an infrared lamp's light falls off from each camera
        faces, found = torch.from_numpy(load_hand_model().data.faces), []
        for view in views:
            at = view.vertices @ view.intrinsics.mT
            pixels = at[..., :2] / at[..., 2:]
            colour, inside = sampled(view.image, pixels)
            depth, _ = sampled(view.depth, pixels)
            whole, _ = sampled((view.mask > 0.99) & (view.parts == HAND), pixels)
            near = (view.vertices[..., 2] - depth).abs() < 0.002
            normals = vertex_normals(view.vertices, faces)
            to_eye = -torch.nn.functional.normalize(view.vertices, dim=-1)
            faced = (normals * to_eye).sum(-1) > 0.5
            found.append((colour.float(), ours[:, None] & inside & whole & near & faced))
        apart, elsewhere = [], []
        for number, (colour, seen) in enumerate(found):
            for other, also in found[:number]:
                apart.append((other - colour).abs().mean(-1)[seen & also])
                elsewhere.append((other.roll(7, 1) - colour).abs().mean(-1)[seen & also])
        assert len(torch.cat(apart)) > 50
        assert torch.cat(apart).median() < 6.0
        assert torch.cat(apart).median() < 0.5 * torch.cat(elsewhere).median()

    def test_a_sample_does_not_depend_on_its_batch(self, engine, rig, scenes, views):
        part = RigEngine(engine, rig).batch(11, [4, 6])
        for alone, whole in zip(part, views, strict=True):
            assert same(alone, whole[torch.tensor([4, 6])])

    def test_light_turns_with_the_scene(self, rig, views):
        turned = [
            np.einsum("ij,bkj->bki", camera.rotation.T, view.specs.light.toward.numpy())
            for view, camera in zip(views, rig.cameras, strict=True)
        ]
        for other in turned[1:]:
            np.testing.assert_allclose(other, turned[0], atol=1e-6)


class TestPlaces:
    def test_every_camera_sees_the_whole_hand(self, views):
        for view in views:
            at = view.keypoints_2d
            assert (at > BORDER * SIZE).all() and (at < (1 - BORDER) * SIZE).all()
            distance = view.keypoints_3d.norm(dim=-1)
            assert distance.amin() > CLEARANCE and distance.mean(1).amin() > NEAREST

    def test_crops_are_squares_around_the_hand(self, engine, rig):
        cut = RigEngine(engine, rig, crops=True).batch(11, range(4))
        for view in cut:
            low, high = view.keypoints_2d.amin(1), view.keypoints_2d.amax(1)
            assert (low > 0).all() and (high < SIZE).all()
            side = (high - low).amax(1)
            assert (side > SIZE / 2.3).all() and (side < SIZE / 1.25).all()

    def test_a_camera_that_looks_away_asks_nothing_of_the_hands(self, engine):
        ahead = stereo_rig(0.1, (SIZE, SIZE)).cameras
        turn = np.diag([-1.0, 1.0, -1.0])
        back = replace(ahead[1], name="back", rotation=turn, translation=np.zeros(3))
        poses = RigPoses.of([Rig((*ahead, back))])
        assert poses.must_see.tolist() == [[True, True, False]]
        *_, away = RigEngine(engine, Rig((*ahead, back))).batch(1, range(2))
        assert (away.keypoints_3d[..., 2] < 0).all() and not (away.parts == HAND).any()

    def test_no_camera_sees_the_focus(self):
        intrinsics = np.diag([1e5, 1e5, 1.0])
        camera = RigCamera("tele", intrinsics, np.eye(3), np.zeros(3), size=(SIZE, SIZE))
        with raises("synthetic.rig_unseen"):
            RigPoses.of([Rig((camera,))])


class TestShapes:
    def test_a_stereo_pair(self):
        rig = stereo_rig(0.12, (64, 48))
        assert rig.names == ("left", "right")
        np.testing.assert_allclose(rig.cameras[1].centre - rig.cameras[0].centre, [0.12, 0, 0])
        np.testing.assert_allclose(rig_focus(rig), [0, 0, STEREO_FOCUS], atol=1e-12)

    @pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
    def test_a_dome_looks_at_its_middle(self, count):
        rig = dome_rig(count, (64, 64))
        assert len(set(rig.names)) == count
        centres = np.stack([camera.centre for camera in rig.cameras])
        for camera in rig.cameras:
            assert np.allclose(camera.rotation @ camera.rotation.T, np.eye(3))
            assert np.linalg.det(camera.rotation) > 0
            x, y, z = camera.translation  # the rig's origin in the camera
            assert 0.2 <= z <= 0.6 and abs(x) < 1e-9 and abs(y) < 1e-9
        if count > 1:
            apart = np.linalg.norm(centres[:, None] - centres, axis=-1) + 9 * np.eye(count)
            assert apart.min() >= DOME_BASELINE
            np.testing.assert_allclose(rig_focus(rig), np.zeros(3), atol=1e-9)

    def test_lines_of_sight_that_miss_each_other(self):
        """The nearest point to two skew lines is half way between them."""
        one = RigCamera("one", np.eye(3), np.eye(3), np.array([0.0, -0.1, 0.0]))
        turn = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # looks along x
        two = RigCamera("two", np.eye(3), turn, -turn @ np.array([-1.0, 0.3, 0.5]))
        np.testing.assert_allclose(rig_focus(Rig((one, two))), [0, 0.2, 0.5], atol=1e-12)

    def test_refusals(self):
        with raises("synthetic.baseline", found=0.0):
            stereo_rig(0.0, (64, 64))
        with raises("synthetic.dome", found=400):
            dome_rig(400, (64, 64))
