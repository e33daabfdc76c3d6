"""Data sets of several cameras on disk: each camera's an ordinary one, and one truth for all."""

import json
from dataclasses import replace

import numpy as np
import pytest

from datasets.readers import open_dataset
from datasets.synthetic import SyntheticEngine
from datasets.synthetic.command import synth_hands
from datasets.synthetic.rig_files import write_rig_dataset
from datasets.synthetic.rig_request import RigRequest, check_rig_to_render
from datasets.synthetic.rig_scenes import RigEngine
from datasets.synthetic.rig_shapes import stereo_rig
from datasets.synthetic.settings import SyntheticSettings
from fitter.errors import sentence
from fitter.hand_models import load_hand_model
from fitter.records import HandParams
from fitter.rig import Rig
from tests.support.errors import raises

SIZE, COUNT = (56, 40), 3
RIG = stereo_rig(0.1, SIZE)


def request(out, count=COUNT, **options):
    settings = SyntheticSettings(view="egocentric", object_share=0.0)
    return RigRequest(
        out=out, count=count, seed=4, size=max(SIZE), settings=settings, rig=RIG, vertices=True,
        **options,
    )  # fmt: skip


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    assert list(write_rig_dataset(request(folder))) == [0, COUNT]
    return folder


def truth_of(folder, index):
    return json.loads((folder / "truth" / f"{index:08d}.json").read_text())


class TestContent:
    @pytest.mark.parametrize("dataset", ["synthetic", "freihand"])
    def test_each_cameras_folder_is_an_ordinary_data_set(self, written, dataset):
        for name, camera in zip(RIG.names, RIG.cameras, strict=True):
            images = open_dataset(dataset, written / name, "training")
            assert len(images) == COUNT
            seen = images[1]
            assert seen.pixels.shape == (*SIZE[::-1], 3)
            np.testing.assert_allclose(seen.annotation.intrinsics, camera.intrinsics, atol=1e-4)
            (hand,) = seen.annotation.hands
            truth = truth_of(written, 1)
            there = np.array(truth["xyz"]) @ camera.rotation.T + camera.translation
            np.testing.assert_allclose(hand.keypoints_3d, there, atol=2e-6)
            at = there @ camera.intrinsics.T
            np.testing.assert_allclose(hand.keypoints_2d, at[:, :2] / at[:, 2:], atol=0.02)

    def test_what_is_cut_out_is_what_is_rendered_there(self, written):
        """The hand's mask lies around the keypoints, on the pixels of the smaller image."""
        for name in RIG.names:
            images = open_dataset("synthetic", written / name, "training")
            for place in range(COUNT):
                (mask,) = images.masks(place)
                assert mask.shape == SIZE[::-1]
                (hand,) = images.annotation(place).hands
                middle = hand.keypoints_2d.mean(axis=0)
                found = np.argwhere(mask)[:, ::-1].mean(axis=0)
                assert np.linalg.norm(found - middle) < 0.35 * np.ptp(hand.keypoints_2d)

    def test_the_rig_file_says_where_the_cameras_stand(self, written):
        said = json.loads((written / "rig.json").read_text())["cameras"]
        for camera, own in zip(RIG.cameras, said, strict=True):
            assert own["name"] == camera.name and own["size"] == list(SIZE)
            np.testing.assert_array_equal(own["K"], camera.intrinsics)
            np.testing.assert_array_equal(own["R"], camera.rotation)
            np.testing.assert_array_equal(own["t"], camera.translation)
            files = sorted((written / own["images"]).iterdir())
            assert [file.stem for file in files] == [f"{k:08d}" for k in range(COUNT)]

    def test_parameters_and_vertices_are_in_the_rigs_frame(self, written):
        import torch

        model = load_hand_model(dtype=torch.float64)
        for index in range(COUNT):
            truth = truth_of(written, index)
            hand = HandParams(
                **{k: torch.tensor(v, dtype=torch.float64)[None] for k, v in truth["hand"].items()}
            )
            mesh = model(hand)
            np.testing.assert_allclose(mesh.keypoints[0], truth["xyz"], atol=2e-6)
            vertices = np.load(written / "vertices" / f"{index:08d}.npy")
            np.testing.assert_allclose(vertices, mesh.vertices[0], atol=2e-6)


class TestWriting:
    def test_continues_where_it_was_left(self, written, tmp_path):
        whole = content(written)
        for path, data in whole.items():
            # Stopped after the left camera's images of the last frame.
            if path.stem == "00000002" and path.parts[0] != "left":
                continue
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        assert list(write_rig_dataset(request(tmp_path))) == [2, 3]
        assert content(tmp_path) == whole

    def test_frames_do_not_depend_on_how_many_there_are(self, written, tmp_path):
        list(write_rig_dataset(request(tmp_path, count=1)))
        list(write_rig_dataset(request(tmp_path)))
        assert content(tmp_path) == content(written)

    def test_another_rig_is_refused_and_replaced(self, written, tmp_path):
        list(write_rig_dataset(request(tmp_path, count=1)))
        named = tuple(replace(c, name=f"{c.name}2") for c in RIG.cameras)
        other = replace(request(tmp_path, count=1), rig=Rig(named))
        names = {"found": "left, right", "expected": "left2, right2"}
        with raises("synthetic.other_samples", name="rig of cameras", **names):
            list(write_rig_dataset(other))
        first, last = RIG.cameras
        apart = first.translation + 0.125
        further = replace(request(tmp_path, count=1), rig=Rig((replace(
            first, translation=apart), replace(last, translation=apart))))  # fmt: skip
        numbers = {"found": first.translation.tolist(), "expected": apart.tolist()}
        with raises("synthetic.other_samples", name="t of camera 'left'", **numbers):
            list(write_rig_dataset(further))
        list(write_rig_dataset(replace(other, overwrite=True)))
        assert {path.name for path in tmp_path.iterdir()} == {
            "left2", "right2", "rig.json", "synthetic.json", "truth", "vertices",
        }  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "change"),
        [
            ("synthetic.rig_name", {"name": "truth"}),
            ("synthetic.rig_name", {"name": "a/b"}),
            ("synthetic.rig_size", {"size": None}),
            ("synthetic.rig_sizes", {"size": (40, 56)}),
            ("synthetic.rig_size_limits", {"size": (15, 48)}),
            ("synthetic.rig_size_limits", {"size": (48, 2049)}),
            ("synthetic.rig_distortion", {"distortion": np.array([0.1, 0, 0, 0])}),
        ],
    )
    def test_rigs(self, code, change):
        left, right = RIG.cameras
        if code == "synthetic.rig_size_limits":  # of all cameras: sizes alike
            left = replace(left, **change)
        with raises(code):
            check_rig_to_render(Rig((left, replace(right, **change))), "rig.json")

    @pytest.mark.parametrize(
        ("code", "facts", "words"),
        [
            (
                "synthetic.baseline",
                {"file": "--stereo", "found": 0.9, "least": 0.01, "most": 0.3},
                ["--stereo", 0.9],
            ),
            (
                "synthetic.stereo_view",
                {"file": "--view", "found": "third_person"},
                ["--stereo", 0.1, "--view", "third_person"],
            ),
            ("synthetic.no_rig", {"file": "--vertices"}, ["--vertices"]),
        ],
    )
    def test_options(self, say, tmp_path, code, facts, words):
        told = say("--count", 1, "--out", tmp_path / "s", *words, command=synth_hands)
        assert (told.status, told.err) == (2, f"synth-hands: {sentence(code, facts)}\n")
        assert not (tmp_path / "s").exists()

    def test_one_rig_at_a_time(self, say, tmp_path):
        words = ["--count", 1, "--out", tmp_path / "s", "--stereo", 0.1, "--dome", 2]
        told = say(*words, command=synth_hands)
        assert told.status == 2 and "not allowed with argument" in told.err


def test_the_command_writes_what_the_engine_renders(say, tmp_path):
    out = tmp_path / "s"
    words = ["--count", 1, "--out", out, "--dome", 2, "--size", 48, "--seed", 3, "--quiet"]
    assert say(*words, command=synth_hands).status == 0
    truth = truth_of(out, 0)
    from datasets.synthetic.rig_shapes import dome_rig

    views = RigEngine(SyntheticEngine(48), dome_rig(2, (48, 48))).batch(3, [0])
    for view, name in zip(views, ("camera0", "camera1"), strict=True):
        np.testing.assert_allclose(truth["cameras"][name]["xyz"], view.keypoints_3d[0], atol=1e-6)
    assert not (out / "vertices").exists()
