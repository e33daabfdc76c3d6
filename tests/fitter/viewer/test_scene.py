"""What a viewer shows, without a browser: rows that are read, cameras, pictures, hands, words."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fitter.fitted_hand import render_hands
from fitter.hand_models import load_hand_model
from fitter.inputs.frame_names import frame_name
from fitter.inputs.images import read_image
from fitter.inputs.photographs import Photographs
from fitter.rendering.overlay_style import OverlayStyle
from fitter.results import open_frames, open_results
from fitter.rig import FrameNames
from fitter.store.frame_schema import FrameRow, ViewHandRow, ViewRow
from fitter.store.reader import StoreReader
from fitter.store.result_store import ResultStore
from fitter.viewer.cameras import SceneCamera
from fitter.viewer.rows import StoreRows
from fitter.viewer.scene import HandFilter, SceneMaker
from fitter.viewer.trails import trails_of
from fitter.viewer.words import hand_words, scene_words
from tests.support.exported_hands import params_of
from tests.support.fitted_stores import (
    HEIGHT,
    WIDTH,
    image_row,
    posed_hand,
    store_spec,
    write_images,
    write_store,
)
from tests.support.report_stores import HARMFUL_NAME, mixed_rows, write_part
from tests.support.rig_folders import turning_rig

K = np.array([[300.0, 0, 70.0], [0, 280.0, 55.0], [0, 0, 1]])


@pytest.fixture
def mixed(tmp_path):
    write_store(tmp_path / "r.zarr", mixed_rows())
    write_images(tmp_path / "in", ["a/two.jpg"])
    return StoreRows(open_results(tmp_path / "r.zarr"))


def maker(rows, folder=None, **options):
    return SceneMaker(rows, None if folder is None else Photographs(folder), **options)


class TestCameras:
    def camera(self, seed=0):
        rng = np.random.default_rng(seed)
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        rotation *= np.sign(np.linalg.det(rotation))
        return SceneCamera("a", K, (160, 120), rotation, rng.normal(size=3))

    def test_every_pixel_of_a_picture_hangs_on_its_line_of_sight(self):
        camera = self.camera()
        corners = camera.corners(0.7)
        seen = corners @ camera.rotation.T + camera.translation
        assert np.allclose(seen[:, 2], 0.7)
        pixels = (seen @ K.T)[:, :2] / seen[:, 2:]
        assert np.allclose(pixels, [[0, 0], [160, 0], [160, 120], [0, 120]])
        plane = camera.plane(0.7)
        assert np.allclose([plane.width, plane.height], [160 / 300 * 0.7, 120 / 280 * 0.7])
        assert np.allclose(plane.centre, corners.mean(axis=0))

    def test_the_centre_is_where_lines_of_sight_meet(self):
        camera = self.camera(1)
        assert np.allclose(camera.rotation @ camera.centre + camera.translation, 0)
        near, far = camera.corners(0.2), camera.corners(0.6)
        assert np.allclose(camera.centre + 3 * (near - camera.centre), far)

    def test_a_view_through_the_camera_has_the_whole_height_in_it(self):
        camera = self.camera()
        half = 280.0 * np.tan(camera.field_of_view / 2)
        assert np.isclose(half, max(55.0, 120 - 55.0))


class TestScenes:
    def test_an_image_has_its_camera_and_hands(self, mixed):
        scene = maker(mixed).scene(0)
        hands = mixed.results["a/two.jpg"]
        assert (scene.name, scene.status, scene.others) == ("a/two.jpg", "ok", 0)
        assert [seen.slot for seen in scene.hands] == [0, 1]
        for seen, hand in zip(scene.hands, hands, strict=True):
            assert np.array_equal(seen.hand.vertices, hand.vertices)
        (camera,) = scene.cameras
        assert np.array_equal(camera.intrinsics, hands[0].intrinsics) and camera.pixels is None
        assert scene.depth > max(hand.vertices[:, 2].max() for hand in hands)

    @pytest.mark.parametrize(
        ("chosen", "slots"),
        [
            (HandFilter(0.2), [0, 1]),
            (HandFilter(0.21), [0]),
            (HandFilter(0.91), []),
        ],
    )
    def test_scores_choose_hands(self, mixed, chosen, slots):
        scene = maker(mixed).scene(0, chosen)
        assert [seen.slot for seen in scene.hands] == slots
        assert scene.others == 2 - len(slots)

    def test_refused_hands_are_shown_when_they_are_asked_for_and_failed_fits_never(self, mixed):
        places = {name: place for place, name in enumerate(mixed_rows())}
        for name, without, shown in (("b/refused.jpg", 0, 1), ("b/unfitted.jpg", 0, 0)):
            assert len(maker(mixed).scene(places[name]).hands) == without
            assert len(maker(mixed).scene(places[name], HandFilter(0, False)).hands) == shown

    def test_the_overlay_is_the_one_of_the_hands(self, mixed, tmp_path):
        scene = maker(mixed, tmp_path / "in").scene(0)
        pixels = read_image(tmp_path / "in" / "a" / "two.jpg")
        expected = render_hands(pixels, mixed.results["a/two.jpg"], "mesh")
        assert np.array_equal(scene.overlay(scene.cameras[0], OverlayStyle("mesh")), expected)
        assert not np.array_equal(expected, pixels)

    def test_pictures_are_reduced_and_overlays_with_them(self, mixed, tmp_path):
        scene = maker(mixed, tmp_path / "in", picture_side=48).scene(0)
        (camera,) = scene.cameras
        assert camera.pixels.shape == (32, 48, 3) and camera.size == (96, 64)
        assert np.allclose(camera.pixel_intrinsics()[:2], camera.intrinsics[:2] / 2)
        outline = scene.overlay(camera, OverlayStyle("outline"))
        rows, columns = np.nonzero(np.abs(outline.astype(int) - 90).max(axis=-1) > 30)
        points = np.concatenate([seen.hand.keypoints_2d for seen in scene.hands]) / 2
        assert abs(columns.mean() - points[:, 0].mean()) < 3
        assert abs(rows.mean() - points[:, 1].mean()) < 3

    def test_a_picture_that_is_gone_leaves_the_hands(self, mixed, tmp_path):
        scene = maker(mixed, tmp_path / "in").scene(1)
        assert scene.name == "b/left.jpg" and len(scene.hands) == 1
        assert scene.cameras[0].pixels is None
        assert scene.overlay(scene.cameras[0], OverlayStyle()) is None

    def test_what_was_not_reached_is_said(self, tmp_path):
        names = {f"{k}.jpg": image_row(posed_hand(k)) for k in range(8)}
        write_part(tmp_path / "r.zarr", names, 1)
        rows = StoreRows(open_results(tmp_path / "r.zarr"))
        assert maker(rows).scene(3).status == "ok"
        pending = maker(rows).scene(5)
        assert (pending.status, list(pending.hands)) == ("pending", [])
        assert "not reached yet" in scene_words(pending, 8)

    def test_rows_that_are_written_later_are_seen(self, tmp_path):
        listed = {f"{k}.jpg": image_row(posed_hand(k)) for k in range(8)}
        write_part(tmp_path / "r.zarr", listed, 1)
        rows = StoreRows(open_results(tmp_path / "r.zarr"))
        assert rows.row(5) is None
        with ResultStore.resume(tmp_path / "r.zarr", store_spec(list(listed))) as store:
            (block,) = store.pending_blocks()
            store.write_block(block, list(listed.values())[block.start : block.stop])
        assert len(rows.hands(5)) == 1


class TestWords:
    def test_a_hand_is_told_whole(self, mixed):
        (seen, _) = maker(mixed).scene(0).hands
        said = hand_words(seen)
        for expected in ("0.900", "right", "172.0", "given", "2.25", "0.87", "converged"):
            assert expected in said, expected
        assert ", ".join(f"{value:.2f}" for value in seen.hand.betas) in said
        for vector in seen.hand.hand_pose:
            assert ", ".join(f"{value:.2f}" for value in vector) in said

    def test_names_and_reasons_are_no_markup(self, mixed):
        place = list(mixed_rows()).index(HARMFUL_NAME)
        scene = maker(mixed).scene(place)
        for said in (scene_words(scene, 7), hand_words(scene.hands[0])):
            assert "<script" not in said and "<img" not in said
        assert "&lt;script&gt;" in scene_words(scene, 7)


class TestLargeStores:
    MANY = 100_000

    @pytest.fixture
    def rows(self, tmp_path, monkeypatch):
        """Of 100,000 frames, of which the first block is done; `read` notes the rows read."""
        names = [frame_name(f"{k // 25_000}.mp4", k % 25_000) for k in range(self.MANY)]
        with ResultStore.create(tmp_path / "r.zarr", store_spec(names, 64)) as store:
            first = store.blocks()[0]
            hand = posed_hand(0)
            made = [image_row(replace(hand, score=k / 64)) for k in range(64)]
            store.write_block(first, made)
        rows = StoreRows(open_results(tmp_path / "r.zarr"))
        self.read, original = [], StoreReader._read

        def noted(reader, variable, block):
            self.read.append((variable.name, len(block)))
            return original(reader, variable, block)

        monkeypatch.setattr(StoreReader, "_read", noted)
        return rows

    def test_a_look_at_one_image_reads_its_chunk_alone(self, rows):
        assert len(maker(rows).scene(40).hands) == 1
        assert max(count for _, count in self.read) <= 64
        names = [name for name, _ in self.read]
        assert len(names) == len(set(names))  # each variable once
        assert "vertices" not in names
        before = len(self.read)
        maker(rows).scene(41)  # of the same chunk
        assert len(self.read) == before

    def test_a_video_is_found_without_reading_its_names(self, rows, monkeypatch):
        seen, name = [], StoreRows.name
        monkeypatch.setattr(StoreRows, "name", lambda rows, k: seen.append(k) or name(rows, k))
        assert rows.run(40_000) == range(25_000, 50_000)
        assert rows.run(0) == range(25_000) and rows.run(99_999) == range(75_000, 100_000)
        assert len(seen) < 200

    def test_the_next_hand_with_a_score(self, rows):
        assert rows.next_hand(0, 1, 0.5) == 32
        assert rows.next_hand(50, -1, 0.0) == 49
        assert rows.next_hand(50, -1, 0.9) is None
        assert {name for name, _ in self.read} == {"valid", "score"}

    def test_names_are_found_by_a_part_of_them(self, rows):
        assert rows.find("2.mp4/00000005", 0) == 50_005
        assert rows.find("3.MP4", 10) == 75_000
        assert rows.find("nothing", 0) is None


class TestTrails:
    def test_a_trail_has_no_line_over_a_gap(self):
        wrists = np.arange(6.0)[:, None] * [1.0, 0, 0]
        keypoints = np.zeros((6, 2, 21, 3), np.float32)
        tracks = np.zeros((6, 2), int)
        for frame, slot in ((0, 0), (1, 1), (3, 0), (4, 1), (5, 0)):  # frame 2 does not have it
            keypoints[frame, slot, 0], tracks[frame, slot] = wrists[frame], 7
        values = {"track": tracks, "keypoints_3d": keypoints}
        rows = SimpleNamespace(
            run=lambda place: range(6), read=lambda name, part: values[name][part.start : part.stop]
        )
        (trail,) = trails_of(rows, 5, [None, 7, 7])
        assert trail.track == 7
        assert np.allclose(trail.segments[:, :, 0], [[0, 1], [3, 4], [4, 5]])
        (shorter,) = trails_of(rows, 3, [7])
        assert np.allclose(shorter.segments[:, :, 0], [[0, 1]])

    def test_a_store_without_tracks_has_no_trails(self, mixed):
        assert maker(mixed).scene(0).trails == []


class TestFrames:
    def test_cameras_of_a_rig_see_the_hand_where_it_is(self, tmp_path):
        rig = turning_rig(["left", "right"], size=(WIDTH, HEIGHT))
        hand = posed_hand(1, score=0.9)
        model = load_hand_model("open_hand", dtype=torch.float64)
        joints = model(params_of(hand)).joints[0].numpy()
        seen = ViewHandRow(view_weight=1.0, keypoints_2d=hand.keypoints_2d)
        views = tuple(
            ViewRow(
                view_status="ok",
                image_width=WIDTH,
                image_height=HEIGHT,
                intrinsics=camera.intrinsics,
                hands=(seen,),
            )
            for camera in rig.cameras
        )
        row = FrameRow(frame_status="ok", hands=(replace(hand, joints_3d=joints),), views=views)
        names = ("left/one.png", "right/one.png")
        spec = replace(store_spec([FrameNames("one", names).text]), rig=rig)
        with ResultStore.create(tmp_path / "f.zarr", spec) as store:
            store.write_block(store.blocks()[0], [row])
        write_images(tmp_path / "in", list(names))
        rows = StoreRows(open_frames(tmp_path / "f.zarr"))
        scene = maker(rows, tmp_path / "in").scene(0)
        assert [camera.rig_name for camera in scene.cameras] == ["left", "right"]
        for camera, calibrated in zip(scene.cameras, rig.cameras, strict=True):
            assert np.allclose(camera.centre, calibrated.centre)
            assert camera.pixels is not None
            drawn = scene.overlay(camera, OverlayStyle("appearance"))
            shown = np.abs(drawn.astype(int) - 90).max(axis=-1) > 12
            points = scene.hands[0].hand.vertices @ camera.rotation.T + camera.translation
            pixels = (points @ camera.intrinsics.T)[:, :2] / points[:, 2:]
            inside = ((pixels > 1) & (pixels < [WIDTH - 1, HEIGHT - 1])).all(axis=1)
            assert inside.any()
            columns, lines = pixels[inside].astype(int).T
            assert shown[lines, columns].mean() > 0.9
        assert "left: 96 x 64 pixels" in scene_words(scene, 1)
