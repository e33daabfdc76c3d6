"""Hands as motions: BVH and animated GLB of tracks, read back."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from fitter.export.motions import motion_sink
from fitter.export.request import ExportRequest
from fitter.export.sinks import Source
from fitter.export.summary import ExportSummary
from fitter.results import open_results
from tests.support.errors import raises
from tests.support.exported_hands import open_hand, params_of
from tests.support.exported_stores import files
from tests.support.fitted_stores import image_row, posed_hand, write_store
from tests.support.glb_files import CAMERA, Glb, validated
from tests.support.motion_files import GLTF, Bvh, frame_hands, tracked

TENTH_MM = 1e-4
TIMES = [0.0, 0.04, 0.07, 0.12, 0.16, 0.2]
"""Seconds, of a variable frame rate."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Gives motions their model; its hands are those of photographs."""
    path = tmp_path_factory.mktemp("motions") / "r.zarr"
    write_store(path, {"a.jpg": image_row(posed_hand(1), posed_hand(2, "left"))})
    return path


def video():
    """A right hand in frames 10 to 15, not in 12 and 13; a left one in 11 and 12, and another."""
    right = {frame: tracked(frame, 3) for frame in (10, 11, 14, 15)}
    left = {frame: tracked(frame, 4, "left", shape=1) for frame in (11, 12)}
    return right, left


def frames(name="clips/a.mp4"):
    right, left = video()
    for place, number in enumerate(range(10, 16)):
        hands = [track[number] for track in (left, right) if number in track]
        yield frame_hands(name, number, place, *hands, time=TIMES[place])


def written(store, out, images, kind="bvh", **values):
    request = ExportRequest(store, out, kind, quiet=True, **values)
    source = Source(request, open_results(store), ExportSummary())
    with motion_sink(source) as sink:
        for image in images:
            sink.add(image)
    return source.summary


def posed(row):
    """(J, 3) joints and (5, 3) fingertips of a hand by the model itself, metres, camera frame."""
    model = open_hand().model(row.side)
    found = model(params_of(row))
    tips = found.vertices[0, list(model.data.tip_vertices)]
    return found.joints[0].numpy(), tips.numpy()


@pytest.fixture(scope="module")
def made(store, tmp_path_factory):
    """BVH of the tracks, and what is said of them."""
    out = tmp_path_factory.mktemp("bvh")
    return out, written(store, out, frames())


class TestBvh:
    @pytest.fixture
    def out(self, made):
        return made[0]

    @pytest.fixture
    def summary(self, made):
        return made[1]

    def test_a_file_for_each_track(self, out, summary):
        assert files(out) == [
            "clips/a.mp4_track3_right.bvh",
            "clips/a.mp4_track3_right.frames.csv",
            "clips/a.mp4_track4_left.bvh",
            "clips/a.mp4_track4_left.frames.csv",
        ]
        assert (summary.hands, summary.images, summary.files) == (6, 5, 4)

    @pytest.mark.parametrize(("track", "side"), [(3, "right"), (4, "left")])
    def test_joints_come_back_to_a_tenth_of_a_millimetre(self, out, track, side):
        bvh = Bvh.read((out / "clips" / f"a.mp4_track{track}_{side}.bvh").read_text())
        rows = video()[track - 3]
        first = min(rows)
        data = open_hand().model(side).data
        for frame, row in rows.items():
            found = bvh.joints(frame - first)
            joints, tips = posed(row)
            for name, expected in zip(data.skeleton.names, joints, strict=True):
                assert np.abs(found[name] - GLTF @ expected).max() < TENTH_MM, (frame, name)
        # Ends are fixed to the last joints, as they are at rest; skin around them may give.
        ends = [found[f"{finger}_{end}_end"] for finger, end in LAST]
        assert np.abs(np.array(ends) - tips @ GLTF).max() < 4e-3

    def test_bones_keep_their_lengths_and_shoulders_of_the_rest_pose(self, out):
        text = (out / "clips" / "a.mp4_track3_right.bvh").read_text()
        bvh = Bvh.read(text)
        rest = open_hand().model("right").data.rest_joints
        betas = video()[0][10].betas
        joints = rest.template + rest.shapedirs @ betas
        data = open_hand().model("right").data
        for joint, parent in enumerate(data.skeleton.parents):
            (bone,) = [b for b in bvh.bones if b.name == data.skeleton.names[joint]]
            start = joints[parent] if parent >= 0 else joints[0]
            assert np.allclose(bone.offset, joints[joint] - start, atol=1e-6)
        assert bvh.bones[0].channels == [
            *(f"{axis}position" for axis in "XYZ"),
            *(f"{axis}rotation" for axis in "ZYX"),
        ]

    def test_gaps_hold_still_and_are_said(self, out, summary):
        bvh = Bvh.read((out / "clips" / "a.mp4_track3_right.bvh").read_text())
        assert len(bvh.values) == 6 and bvh.seconds == pytest.approx(0.04)
        assert np.array_equal(bvh.values[1], bvh.values[2])
        assert np.array_equal(bvh.values[1], bvh.values[3])
        assert not np.array_equal(bvh.values[3], bvh.values[4])
        with (out / "clips" / "a.mp4_track3_right.frames.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["frame"]) for row in rows] == list(range(10, 16))
        assert [float(row["time"]) for row in rows] == TIMES
        assert [row["found"] for row in rows] == list("110011")
        said = summary.motions.sentences()
        assert said[0] == "2 tracks of 8 frames" and said[1].startswith("2 frames in gaps")
        assert len(said) == 2  # times are known, and shapes are one

    def test_angles_do_not_leap(self, store, tmp_path):
        turning = [
            replace(tracked(0, 1), global_orient=np.array([0.0, 0.0, angle]))
            for angle in np.linspace(0, 4 * np.pi, 40)
        ]
        images = [frame_hands("a.mp4", k, k, hand) for k, hand in enumerate(turning)]
        summary = written(store, tmp_path / "out", images)
        bvh = Bvh.read((tmp_path / "out" / "a.mp4_track1_right.bvh").read_text())
        assert np.abs(np.diff(bvh.values[:, 3:6], axis=0)).max() < 20
        assert bvh.seconds == pytest.approx(1 / 30)
        assert any("without times" in sentence for sentence in summary.motions.sentences())

    def test_other_shapes_within_a_track_are_said(self, store, tmp_path):
        images = [frame_hands("a.mp4", k, k, tracked(k, 1, shape=k)) for k in range(3)]
        summary = written(store, tmp_path / "out", images)
        own = np.stack([open_rest(posed_hand(k).betas) for k in range(3)])
        mean = open_rest(np.mean([posed_hand(k).betas for k in range(3)], axis=0))
        errors = np.linalg.norm((own - own[:, :1]) - (mean - mean[0]), axis=-1)
        assert summary.motions.shape_mm == pytest.approx(1000 * errors.max(), rel=1e-3)
        assert any("mm from where they were fitted" in s for s in summary.motions.sentences())

    def test_videos_do_not_mix(self, store, tmp_path):
        images = [*frames("a.mp4"), *frames("b.mp4")]
        written(store, tmp_path / "out", images)
        one, other = (tmp_path / "out" / f"{name}.mp4_track3_right.bvh" for name in "ab")
        assert one.read_text() == other.read_text()

    def test_photographs_have_a_frame_each(self, store, tmp_path):
        from fitter.export import export_results

        request = ExportRequest(store, tmp_path / "out", "bvh", quiet=True)
        summary = export_results(request)
        assert (summary.hands, summary.files) == (2, 4)
        for slot, side in enumerate(("right", "left")):
            bvh = Bvh.read((tmp_path / "out" / f"a.jpg_{slot}_{side}.bvh").read_text())
            joints, _ = posed(open_results(store)["a.jpg"][slot])
            found = np.array(list(bvh.joints(0).values()))
            near = np.linalg.norm(found[:, None] - joints @ GLTF, axis=-1).min(axis=0)
            assert len(bvh.values) == 1 and near.max() < TENTH_MM


LAST = [("thumb", "ip"), ("index", "dip"), ("middle", "dip"), ("ring", "dip"), ("little", "dip")]


def open_rest(betas):
    rest = open_hand().data.rest_joints
    return rest.template + rest.shapedirs @ betas


@pytest.fixture(scope="module")
def animated(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("glb")
    written(store, out, frames(), "glb", per="track")
    return out


class TestAnimatedGlb:
    @pytest.fixture
    def out(self, animated):
        return animated

    def test_every_frame_shows_the_fitted_mesh(self, out):
        for number, (track, side) in enumerate(((3, "right"), (4, "left"))):
            found = Glb.read((out / "clips" / f"a.mp4_track{track}_{side}.glb").read_bytes())
            rows = video()[number]
            first = min(rows)
            corners = found.attributes(0)["POSITION"]
            for frame, row in rows.items():
                at_frame(found, frame - first)
                shown = found.skinned() @ CAMERA
                expected = open_hand().vertices(row)
                far = np.linalg.norm(shown[:, None] - expected[None], axis=-1)
                assert len(corners) == len(shown) and far.min(axis=1).max() < 2e-5
                assert far.min(axis=0).max() < 2e-5

    def test_gaps_are_not_seen(self, out):
        found = Glb.read((out / "clips" / "a.mp4_track3_right.glb").read_bytes())
        (animation,) = found.json["animations"]
        (channel,) = [c for c in animation["channels"] if c["target"]["path"] == "scale"]
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "STEP"
        scales = found.array(sampler["output"])
        assert scales[:, 0].tolist() == [1, 1, 0, 0, 1, 1]
        assert np.allclose(found.array(sampler["input"])[:, 0], TIMES)
        assert found.json["nodes"][channel["target"]["node"]]["name"] == "right_camera"

    def test_joints_take_the_shorter_way(self, out):
        found = Glb.read((out / "clips" / "a.mp4_track3_right.glb").read_bytes())
        (animation,) = found.json["animations"]
        for channel in animation["channels"]:
            if channel["target"]["path"] == "rotation":
                values = found.array(animation["samplers"][channel["sampler"]]["output"])
                assert (np.sum(values[1:] * values[:-1], axis=1) >= 0).all()

    def test_the_validator_finds_no_fault(self, out):
        for track in ("3_right", "4_left"):
            issues = validated(out / "clips" / f"a.mp4_track{track}.glb")
            assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


def at_frame(found: Glb, frame: int) -> None:
    """Put the nodes where an animation has them in a frame."""
    (animation,) = found.json["animations"]
    for channel in animation["channels"]:
        values = found.array(animation["samplers"][channel["sampler"]]["output"])
        target = channel["target"]
        if target["path"] != "scale":
            found.json["nodes"][target["node"]][target["path"]] = values[frame].tolist()


@pytest.mark.parametrize(
    ("kind", "values", "code"),
    [
        ("bvh", {"per": "hand"}, "export.per_track"),
        ("obj", {"per": "track"}, "export.per_track"),
        ("csv", {"per": "track"}, "export.per"),
        ("glb", {"per": "track", "textures": "."}, "export.textures_track"),
        ("bvh", {"textures": "."}, "export.textures_unused"),
        ("glb", {"images": "."}, "export.images_unused"),
    ],
)
def test_what_does_not_go_together_is_refused(store, tmp_path, kind, values, code):
    with raises(code):
        ExportRequest(store, tmp_path / "out", kind, **values)
