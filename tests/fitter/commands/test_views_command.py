"""What is refused beside --views, and what exports, reports and evaluations make of its stores."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh

import fitter
from datasets.eval_command import eval_hands
from fitter.commands.export_hands import export_hands
from fitter.commands.report_hands import report_hands
from fitter.errors import sentence
from tests.support.glb_files import CAMERA, Glb
from tests.support.rig_folders import turning_rig, write_frames, write_rig

RIG = turning_rig(["left", "right"])
OPTIONS = ["--device", "cpu", "--max-hands", "1", "--set", "refine.stages={}"]


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    write_frames(folder / "in", RIG, 2)
    (folder / "in" / "keypoints.json").rename(folder / "keypoints.json")
    (folder / "people.csv").write_text("image,person\n*,anna\n")
    (folder / "list.json").write_text("[]")
    return folder


@pytest.fixture
def refuses(frames, say, monkeypatch):
    monkeypatch.chdir(frames)

    def run(told: str, *more: object, images=("in",), rig: str = "in/rig.json", before=True):
        found = say(*images, "--views", rig, "--out", "r.zarr", *more)
        assert (found.status, found.err) == (2, f"fit-hands: {told}\n")
        assert not Path("r.zarr").exists()

    return run


def test_options_that_mean_nothing_with_views_are_refused(refuses):
    calibrated = "whose rig file gives K"
    alone = "since frames share no shapes of people yet"
    for option, value, why in (
        ("--intrinsics", ["600,600,320,240"], calibrated),
        ("--dataset", ["freihand"], "since data sets are of single images"),
        ("--same-hand", [], alone),
        ("--people", ["people.csv"], alone),
    ):
        refuses(sentence("views.option", {"file": option, "why": why}), option, *value)


def test_images_that_are_no_folder_are_refused(refuses, frames):
    refuses(sentence("views.folder", {"file": "--views", "found": 2}), images=["in", "in"])
    refuses(sentence("frames.no_folder", {"file": "gone"}), images=["gone"])
    facts = {"file": "list.json"}
    refuses(sentence("views.keypoint_list", facts), "--keypoints", "list.json")


def test_a_rig_file_that_is_none_is_refused(refuses, frames):
    missing = {"file": "gone.json", "content": "the cameras of a rig"}
    refuses(sentence("json.missing", missing), rig="gone.json")
    write_rig(frames / "third.json", turning_rig(["left", "third"]))
    facts = {"file": "third.json, camera 'third'", "folder": "in/third"}
    refuses(sentence("rig.no_folder", facts), rig="third.json")
    write_rig(frames / "turned.json", RIG, right={"R": (2 * np.eye(3)).tolist()})
    facts = {"file": "turned.json, camera 'right', R", "most": 1e-3, "found": 3.0}
    refuses(sentence("rig.no_rotation", facts), rig="turned.json")


@pytest.fixture(scope="module")
def store(frames) -> Path:
    """The results of two frames; the vertices of the last are those of the fit."""
    out = frames / "results.zarr"
    marks = json.loads((frames / "keypoints.json").read_text())
    request = fitter.RunRequest(
        [str(frames / "in")], out, views=frames / "in" / "rig.json", quiet=True,
        keypoints=frames / "keypoints.json",
    )  # fmt: skip
    config = fitter.load_config(
        None, ["refine.stages={}", "detector.max_hands=1", "run.device=cpu"]
    )
    summary = fitter.fit_to_store(request, config)
    assert (summary.unit, summary.images, summary.hands) == ("frame", 2, 2), (summary, marks)
    return out


@pytest.mark.parametrize("kind", ["glb", "ply", "obj"])
def test_meshes_are_in_the_frame_of_the_rig(store, say, tmp_path, kind):
    told = say(store, "--format", kind, "--out", tmp_path / "out", command=export_hands)
    assert told.status == 0 and "2 hands of 2 frames" in told.err
    results = fitter.open_frames(store)
    for name in results:
        (hand,) = results[name]
        path = tmp_path / "out" / f"{name}_0_right.{kind}"
        if kind == "glb":
            points = Glb.read(path.read_bytes()).skinned() @ CAMERA
        else:
            points = np.asarray(trimesh.load(path, force="mesh").vertices)
        np.testing.assert_allclose(points.min(0), hand.vertices.min(0), atol=1e-4)
        np.testing.assert_allclose(points.max(0), hand.vertices.max(0), atol=1e-4)


def test_tables_have_frames_and_what_cameras_saw(store, say, tmp_path):
    for kind in ("csv", "json"):
        out = tmp_path / f"hands.{kind}"
        assert say(store, "--format", kind, "--out", out, command=export_hands).status == 0
    with (tmp_path / "hands.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["frame_name"] for row in rows] == ["000", "001"]
    assert rows[0]["cameras"] == "left right" and "box_x0" not in rows[0]
    hands = json.loads((tmp_path / "hands.json").read_text())
    results = fitter.open_frames(store)
    for row, said in zip(rows, hands, strict=True):
        (hand,) = results[said["frame_name"]]
        assert float(row["keypoints_3d_wrist_z"]) == pytest.approx(
            hand.keypoints_3d[0, 2], abs=1e-6
        )
        seen = said["views"]["right"]["keypoints_2d"]
        np.testing.assert_allclose(seen, hand.views["right"].keypoints_2d, rtol=1e-6)


@pytest.mark.parametrize("kind", ["coco", "freihand"])
def test_formats_of_single_images_are_refused(store, say, tmp_path, kind):
    told = say(store, "--format", kind, "--out", tmp_path / "o.json", command=export_hands)
    facts = {"file": store, "format": kind}
    assert told.err == f"export-hands: {sentence('views.export', facts)}\n"
    assert not (tmp_path / "o.json").exists()


def test_textures_reports_and_evaluations_are_refused(store, say, tmp_path, frames):
    words = ["--format", "glb", "--out", tmp_path / "o", "--textures", frames / "in"]
    told = say(store, *words, command=export_hands)
    assert told.err == f"export-hands: {sentence('views.textures', {'file': store})}\n"
    refusal = sentence("store.has_frames", {"file": store})
    told = say(store, "--out", tmp_path / "r.html", command=report_hands)
    assert (told.status, told.err) == (2, f"report-hands: {refusal}\n")
    told = say(store, "--dataset", "freihand", "freihand", command=eval_hands)
    assert (told.status, told.err) == (2, f"eval-hands: {refusal}\n")


def test_an_image_store_is_not_continued_with_views(frames, say, monkeypatch):
    monkeypatch.chdir(frames)
    shutil.copytree("in/left", "left")
    marks = json.loads(Path("keypoints.json").read_text())
    Path("left.json").write_text(
        json.dumps({name.removeprefix("left/"): hands for name, hands in marks.items()})
    )
    told = say("left", "--out", "i.zarr", "--keypoints", "left.json", *OPTIONS)
    assert told.status == 0, told.err
    words = ["--views", "in/rig.json", "--out", "i.zarr", "--resume", *OPTIONS]
    told = say("in", *words, "--keypoints", "keypoints.json")
    facts = {"file": "i.zarr", "was": "images", "now": "frames"}
    assert told.err == f"fit-hands: {sentence('store.other_rows', facts)}\n"
