"""Task files of the detector that cannot be used: one sentence, and nothing left behind."""

import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from fitter.detection.backend import load_backend
from fitter.detection.mediapipe_task import MODELS, TaskLandmarker
from fitter.errors import sentence
from tests.support import task_files
from tests.support.errors import raises

QUICK = ["--device", "cpu", "--max-hands", "1", "--set", "refine.stages={}"]


def refuses(path: Path, code: str, **facts: str) -> None:
    with raises(f"task.{code}", file=path, **facts):
        TaskLandmarker(path, 2, 0.5)


def test_files_that_are_no_bundle(tmp_path):
    path = tmp_path / "a.task"
    refuses(path, "missing")
    refuses(tmp_path, "not_regular")
    path.write_bytes(b"")
    refuses(path, "empty")
    path.write_text("<html>not found</html>\n")
    refuses(path, "no_bundle")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.25, 0.5, 0.95, 0.99999])
def test_files_that_are_cut_off(tmp_path, share):
    """Models end with a zip's directory of their own, which a cut may leave as the last one."""
    whole = task_files.bundle(tmp_path / "whole.task").read_bytes()
    path = tmp_path / "cut.task"
    path.write_bytes(whole[: int(share * len(whole))])
    refuses(path, "cut_off")


def test_bundles_that_are_padded_in_front_are_whole(tmp_path):
    """As MediaPipe's own writer leaves them: members begin at multiples of 4."""
    path = task_files.bundle(tmp_path / "a.task")
    whole = path.read_bytes()
    path.write_bytes(bytes(2) + whole)
    TaskLandmarker(path, 2, 0.5).close()
    path.write_bytes(bytes(2) + whole[: len(whole) // 2])
    refuses(path, "cut_off")


def test_bundles_of_other_tasks(tmp_path):
    path = tmp_path / "a.task"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hand_landmarker.task", b"")
        file.writestr("hand_gesture_recognizer.task", b"")
    found = "hand_gesture_recognizer.task, hand_landmarker.task"
    refuses(path, "no_model", missing="hand_detector.tflite", found=found)
    path.write_bytes(task_files.network(task_files.NETWORKS[MODELS[0]]))  # a model is a zip too
    refuses(path, "no_model", missing="hand_detector.tflite", found="labels.txt")
    task_files.bundle(path, hand_landmarks_detector=None)
    missing = "hand_landmarks_detector.tflite"
    refuses(path, "no_model", missing=missing, found="hand_detector.tflite")


def test_bundles_that_are_compressed_or_damaged(tmp_path):
    path = task_files.bundle(tmp_path / "a.task", zipfile.ZIP_DEFLATED)
    refuses(path, "compressed")
    damaged = bytearray(task_files.bundle(path).read_bytes())
    damaged[1_000_000] ^= 255
    path.write_bytes(damaged)
    refuses(path, "damaged_model", model="hand_detector.tflite")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hand_detector": b"words"}, "The model is not a valid Flatbuffer buffer"),
        ({"hand_detector": "hand_landmark/hand_landmark_full"}, "CalculatorGraph::Run() failed: "),
    ],
)
def test_models_that_cannot_be_run(tmp_path, capfd, changes, reason):
    changes = {k: task_files.network(v) if isinstance(v, str) else v for k, v in changes.items()}
    path = task_files.bundle(tmp_path / "a.task", **changes)
    with raises("task.cannot_run", file=path, version=version("mediapipe")) as refusal:
        TaskLandmarker(path, 2, 0.5)
    # What MediaPipe says is its own and may change.
    assert refusal.value.facts["reason"].startswith(reason)
    said = refusal.value.without("file")
    assert len(said) < 300 and "\n" not in said
    assert capfd.readouterr().err == ""  # the sentence says it once


def test_a_release_without_networks(monkeypatch):
    """Stands in for mediapipe from 0.10.22 on, which has no module `mediapipe.python`."""
    monkeypatch.setitem(sys.modules, "mediapipe.python.solution_base", None)
    with raises("detector.no_models", version=version("mediapipe")):
        load_backend("mediapipe", 0.5)


def test_no_mediapipe_at_all(tmp_path, monkeypatch):
    task = task_files.bundle(tmp_path / "a.task")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    for file in (None, task):
        with raises("detector.no_mediapipe"):
            load_backend("mediapipe", 0.5, file)


class TestTheCommand:
    def test_refuses_in_one_sentence(self, refused, here):
        said = sentence("task.missing", {"file": "no.task"})
        refused(said, "--task", "no.task", *QUICK)
        readme = "notes/readme.txt"
        said = sentence("task.no_bundle", {"file": readme})
        refused(said, "--set", f"detector.task={readme}", *QUICK)

    def test_does_not_read_it_where_keypoints_are_given(self, say):
        given = ["photos", "--out", "o.zarr", "--task", "no.task", "--keypoints", "known.json"]
        assert say(*given, *QUICK).status == 0

    def test_goes_on_with_its_own_task_file_alone(self, say, here):
        task_files.bundle(Path("hand.task"))
        run = ["photos", "--out", "o.zarr", "--task", "hand.task", *QUICK]
        assert say(*run).status == 0
        told = say(*run, "--resume")
        assert told.status == 0, told.err
        # The same networks in another file: nobody can know that they are the same.
        task_files.bundle(Path("hand.task"), more=b"")
        told = say(*run, "--resume")
        assert told.status == 2 and "model.detector_task_sha256 was '" in told.err
        told = say("photos", "--out", "o.zarr", *QUICK, "--resume")
        was = "configuration.detector.task was 'hand.task' when it was started and is None now"
        assert told.status == 2 and was in told.err
