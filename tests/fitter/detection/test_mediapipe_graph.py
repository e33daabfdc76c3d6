"""MediaPipe itself: plain pictures, its messages, and real hands."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from fitter.conventions import KEYPOINT_NAMES
from fitter.detection.backend import load_backend
from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.detection.same_hand import hand_size
from fitter.inputs.images import ImageEntry, read_image_and_exif
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.listing import ImageSource
from fitter.records import ImageRecord
from fitter.system.streams import HeldStderr
from tests.support.drawn_hands import canvas, record
from tests.support.paths import ROOT


def mediapipe_detector_of(**options):
    return HandDetector(DetectorOptions(**options), load_backend("mediapipe", 0.5))


@pytest.fixture(scope="module")
def mediapipe_detector():
    with mediapipe_detector_of() as detector:
        yield detector


@pytest.mark.parametrize("size", [(16, 16), (16, 4000), (64, 900), (3000, 2000)])
def test_mediapipe_finds_no_hand_in_a_plain_picture(mediapipe_detector, size):
    picture = np.full((size[1], size[0], 3), 120, dtype=np.uint8)
    assert mediapipe_detector.detect(record(picture)) == []


def test_a_closed_detector_says_so():
    detector = mediapipe_detector_of()
    detector.close()
    detector.close()
    with pytest.raises(RuntimeError, match="closed"):
        detector.detect(record(canvas(64, 64)))


def test_importing_does_not_load_mediapipe_and_detecting_is_silent():
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from fitter.detection import DetectorOptions, HandDetector, load_backend\n"
        "from fitter.records import ImageRecord\n"
        "assert 'mediapipe' not in sys.modules\n"
        "picture = np.full((200, 200, 3), 90, dtype=np.uint8)\n"
        "with HandDetector(None, load_backend('mediapipe', 0.5)) as detector:\n"
        "    detector.detect(ImageRecord('a', Path('a'), picture, np.eye(3), 'default'))\n"
        "print('own words', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == "own words\n"


def test_held_back_errors_are_passed_on(capfd):
    held = HeldStderr()
    for number in range(3):
        with held.quiet():
            os.write(2, b"W0000 00:00:1.0 1 inference.cc:1] a warning\nE0000 error %d\n" % number)
        assert capfd.readouterr().err == f"E0000 error {number}\n"
    held.close()
    held.close()
    assert capfd.readouterr().err == ""


def test_more_than_any_pipe_takes_can_be_held(capfd):
    held = HeldStderr()
    with held.quiet():
        for _ in range(64):
            os.write(2, (b"e" * 9_999 + b"\n") * 10)
    assert len(capfd.readouterr().err) == 6_400_000
    held.close()


def test_last_words_before_an_abort_are_heard():
    program = (
        "import os\n"
        "from fitter.detection.mediapipe_graph import HeldStderr\n"
        "held = HeldStderr()\n"
        "with held.quiet():\n"
        "    os.write(2, b'E0000 passed on\\n')\n"
        "with held.quiet():\n"
        "    os.write(2, b'F0000 Check failed: 1 == 2\\n')\n"
        "    os.abort()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == -signal.SIGABRT
    assert done.stderr == "E0000 passed on\nF0000 Check failed: 1 == 2\n"


real = pytest.mark.skipif("HAND_REAL_DATA" not in os.environ, reason="needs the real pictures")


def real_records(step):
    root = Path(os.environ["HAND_REAL_DATA"]) / "dev"
    source = ImageSource.of([str(root / "evaluation/rgb")])
    entries = [ImageEntry(name, source.root / name) for name in source.names()]
    intrinsics = Intrinsics.from_option(str(root / "evaluation_K.json"))
    intrinsics.require_for([entry.name for entry in entries], len(entries))
    xyz = np.array(json.loads((root / "evaluation_xyz.json").read_text()))
    for index in range(0, len(entries), step):
        entry = entries[index]
        pixels, exif = read_image_and_exif(entry.path)
        size = (pixels.shape[1], pixels.shape[0])
        matrix, source = intrinsics.intrinsics_for(entry, index, size, exif)
        image = ImageRecord(entry.name, entry.path, pixels, matrix, source)
        projected = xyz[index] @ image.intrinsics.T
        yield image, projected[:, :2] / projected[:, 2:]


@real
def test_real_hands_are_found_as_right_hands_where_they_are():
    with mediapipe_detector_of(max_hands=1) as detector:
        for image, truth in real_records(15):
            (hand,) = detector.detect(image)
            assert hand.side == "right"
            assert hand.keypoints.shape == (21, 2)
            assert len(KEYPOINT_NAMES) == len(hand.confidence) == 21
            error = np.linalg.norm(hand.keypoints - truth, axis=1).mean()
            assert error < 0.12 * hand_size(hand)
            assert hand.relative_depth[0] == 0


@real
def test_real_hands_mirrored_are_left_hands():
    with mediapipe_detector_of(max_hands=1) as detector:
        for image, truth in real_records(30):
            mirrored = np.ascontiguousarray(image.pixels[:, ::-1])
            (hand,) = detector.detect(record(mirrored))
            assert hand.side == "left"
            expected = truth * [-1, 1] + [image.pixels.shape[1], 0]
            error = np.linalg.norm(hand.keypoints - expected, axis=1).mean()
            assert error < 0.12 * hand_size(hand)


@real
def test_pixel_centres_lie_at_one_half():
    """Turned by half a turn, a position p becomes size - p exactly in this convention alone."""
    with mediapipe_detector_of(max_hands=1, second_pass=False) as detector:
        sums = []
        for image, _ in real_records(10):
            turned = np.ascontiguousarray(image.pixels[::-1, ::-1])
            (upright,) = detector.detect(image)
            (down,) = detector.detect(record(turned))
            sums.append(upright.keypoints + down.keypoints - 256.0)
        assert np.abs(np.mean(sums, axis=(0, 1))).max() < 0.3


@real
def test_an_enlarged_hand_is_found_at_the_enlarged_place():
    with mediapipe_detector_of(max_hands=1) as detector:
        for image, _ in real_records(50):
            (hand,) = detector.detect(image)
            large = cv2.resize(image.pixels, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
            (again,) = detector.detect(record(large))
            assert np.abs(again.keypoints / 8 - hand.keypoints).mean() < 0.02 * hand_size(hand)
            ratio = np.ptp(again.relative_depth) / np.ptp(hand.relative_depth)
            assert ratio == pytest.approx(8, rel=0.15)


@real
def test_many_pictures_leak_neither_memory_nor_threads():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    image, _ = next(iter(real_records(1000)))
    descriptors = Path("/proc/self/fd")
    with mediapipe_detector_of(max_hands=1, second_pass=False) as detector:
        for _ in range(20):
            detector.detect(image)
        before = resident(), threading.active_count(), len(list(descriptors.iterdir()))
        for _ in range(80):
            detector.detect(image)
        after = resident(), threading.active_count(), len(list(descriptors.iterdir()))
    assert after[0] - before[0] < 20e6
    assert after[1:] == before[1:]
