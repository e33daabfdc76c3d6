"""Finding hands: geometry, sides, duplicates and searches on drawn hands; MediaPipe on real ones.

Drawn hands are 21 discs, each of its own grey level, that a stand-in for the networks reads back
from whatever pixels it is given: every window, enlargement and mirror image is thereby checked to
a fraction of a pixel. The stand-in sees what the networks see, large hands only.
"""

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

import fitter.detect as detect_module
from datasets.images import list_images, read_image_and_exif
from datasets.intrinsics import Intrinsics
from fitter.conventions import KEYPOINT_NAMES
from fitter.detect import (
    MediaPipeDetector,
    _Window,
    drop_duplicates,
    hand_size,
    search_windows,
    unordered_distance,
)
from fitter.mediapipe_hands import HeldStderr
from fitter.records import HandObservation, ImageRecord, InputError

ROOT = Path(__file__).parent.parent
SEES_FROM = 0.15
"""Share of the picture's longer side from which on the stand-in finds a hand."""


def shape(scale, wrist=(0.0, 0.0)):
    """An open right hand, back to the camera, fingers up: (21, 2) pixels."""
    points = [(0.0, 0.0)]
    for finger in range(5):
        angle = np.radians(-145 + 25 * finger)
        reach = (0.35, 0.55, 0.68, 0.82) if finger == 0 else (0.6, 0.75, 0.88, 1.0)
        points += [(r * np.cos(angle), r * np.sin(angle)) for r in reach]
    return scale * np.array(points) + np.array(wrist)


def draw(picture, keypoints, side="right", radius=None):
    """Paint the discs; the channel tells the side: red for right, green for left."""
    radius = radius or 0.035 * np.ptp(keypoints, axis=0).max()
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    for k, (u, v) in enumerate(keypoints):
        disc = (x - u) ** 2 + (y - v) ** 2 <= radius**2
        picture[disc] = 0
        picture[disc, 0 if side == "right" else 1] = 45 + 10 * k


def expected_xyz(keypoints):
    """(21, 3) metres that the stand-in makes of positions: the hand is 0.2 m wide."""
    metres = 0.2 * (keypoints - keypoints[0]) / np.ptp(keypoints[:, 0])
    return np.column_stack([metres, 0.001 * np.arange(21)])


class DrawnHands:
    """Stands in for the networks: reads at most one hand of either side from the discs."""

    looks = 0
    blur = 0.0

    def __init__(self, hand_count, min_score):
        self.closed = False

    def look(self, pixels):
        if self.closed:
            raise RuntimeError("closed")
        type(self).looks += 1
        mirrored = self._is_mirrored(pixels)
        hands = [self._read(pixels, side, mirrored) for side in ("right", "left")]
        return [hand for hand in hands if hand is not None]

    def close(self):
        self.closed = True

    @staticmethod
    def _is_mirrored(pixels):
        """A blue wedge, wide at its left end, tells which way round the picture is."""
        blue = (pixels[..., 2] > 200).sum(axis=0)
        columns = np.nonzero(blue)[0]
        return columns.size > 3 and blue[columns[0] : columns[-1] + 1][-1] > blue[columns[0]]

    def _read(self, pixels, side, mirrored):
        channel = pixels[..., 0 if side == "right" else 1].astype(int)
        other = pixels[..., 1 if side == "right" else 0].astype(int)
        # Only where a disc is even: its blurred rim has the levels of other discs.
        level = pixels[..., 0 if side == "right" else 1]
        even = cv2.dilate(level, np.ones((3, 3))) - cv2.erode(level, np.ones((3, 3))) <= 2
        positions = []
        for k in range(21):
            rows, columns = np.nonzero(even & (np.abs(channel - 45 - 10 * k) <= 2) & (other < 3))
            if rows.size < 3:
                return None
            positions.append((columns.mean() + 0.5, rows.mean() + 0.5))
        keypoints = np.array(positions)
        if np.ptp(keypoints, axis=0).max() < SEES_FROM * max(pixels.shape[:2]):
            return None
        xyz = expected_xyz(keypoints)
        if mirrored:
            side = "left" if side == "right" else "right"
        return HandObservation(
            keypoints=keypoints + self.blur * (-1 if mirrored else 1),
            confidence=np.full(21, 0.9),
            side=side,
            side_score=0.95,
            score=0.9,
            relative_depth=0.5 * (keypoints[:, 1] - keypoints[0, 1]),
            relative_xyz=xyz,
        )


def assert_placed(hand, keypoints):
    """Single discs are read to half a pixel; their mean would show a tenth of a pixel's shift."""
    error = hand.keypoints - keypoints
    assert np.abs(error).max() < 0.5
    assert np.abs(error.mean(axis=0)).max() < 0.1


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(detect_module, "HandGraph", DrawnHands)
    monkeypatch.setattr(DrawnHands, "looks", 0)
    monkeypatch.setattr(DrawnHands, "blur", 0.0)
    return DrawnHands


def record(pixels):
    return ImageRecord("a.png", Path("a.png"), pixels, np.eye(3), "default")


def canvas(width, height):
    return np.zeros((height, width, 3), dtype=np.uint8)


def wedge(picture, keypoints):
    """The mark that says which way round; right beside the hand, so that windows contain it."""
    (left, _), (right, bottom) = keypoints.min(axis=0), keypoints.max(axis=0)
    columns = np.arange(int(left), int(right))
    for column in columns:
        height = int(0.2 * (right - left) * (1 - (column - left) / (right - left))) + 1
        picture[int(bottom) + 12 : int(bottom) + 12 + height, column] = (0, 0, 255)


@pytest.mark.parametrize("side", ["right", "left"])
def test_both_looks_agree_in_the_pictures_frame(drawn, side):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints, side)
    wedge(picture, keypoints)
    (hand,) = MediaPipeDetector().detect(record(picture))
    assert drawn.looks == 2
    assert hand.side == side
    assert_placed(hand, keypoints)
    assert hand.confidence.min() > 0.95
    np.testing.assert_allclose(hand.relative_xyz, expected_xyz(keypoints), atol=5e-4)
    depth = 0.5 * (keypoints[:, 1] - keypoints[0, 1])
    np.testing.assert_allclose(hand.relative_depth, depth, atol=0.5)


def test_confidence_falls_with_disagreement(drawn, monkeypatch):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)
    wedge(picture, keypoints)
    means = []
    for blur in (0.0, 2.0, 6.0):
        monkeypatch.setattr(drawn, "blur", blur)
        means.append(MediaPipeDetector().detect(record(picture))[0].confidence.mean())
    assert means[0] > means[1] > means[2]


def test_without_a_second_look_the_score_is_the_confidence(drawn):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)
    (hand,) = MediaPipeDetector(second_look=False).detect(record(picture))
    assert drawn.looks == 1
    assert (hand.confidence == hand.score).all()


def test_a_hand_the_second_look_misses_is_doubted(drawn, monkeypatch):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)
    monkeypatch.setattr(MediaPipeDetector, "_look_around", lambda *_: None)
    (hand,) = MediaPipeDetector().detect(record(picture))
    assert hand.score == pytest.approx(0.45)
    assert hand.confidence.max() == pytest.approx(0.45)


@pytest.mark.parametrize("place", [(160, 200), (1070, 420), (640, 300)])
def test_a_hand_too_small_at_first_is_found_by_the_search(drawn, place):
    keypoints = shape(110, place)
    picture = canvas(1200, 500)
    draw(picture, keypoints)
    assert MediaPipeDetector(search=False).detect(record(picture)) == []
    (hand,) = MediaPipeDetector().detect(record(picture))
    assert_placed(hand, keypoints)


def test_a_second_hand_is_searched_beside_a_small_one(drawn):
    picture = canvas(1200, 900)
    small, smaller = shape(150, (400, 600)), shape(110, (1000, 300))
    draw(picture, small, "right")
    draw(picture, smaller, "left")
    wedge(picture, small)
    wedge(picture, smaller)
    assert len(MediaPipeDetector(max_hands=1).detect(record(picture))) == 1
    hands = MediaPipeDetector(max_hands=2).detect(record(picture))
    assert sorted(hand.side for hand in hands) == ["left", "right"]
    left = next(hand for hand in hands if hand.side == "left")
    assert_placed(left, smaller)


def test_a_huge_picture_gives_positions_in_its_own_pixels(drawn):
    keypoints = shape(1500, (1800, 2200))
    picture = canvas(4000, 2600)
    draw(picture, keypoints)
    (hand,) = MediaPipeDetector().detect(record(picture))
    assert np.abs(hand.keypoints - keypoints).max() < 2.0
    assert hand.relative_depth[12] == pytest.approx(0.5 * (keypoints[12, 1] - 2200), rel=0.01)


def test_keypoints_outside_the_picture_are_distrusted(drawn, monkeypatch):
    keypoints = shape(150, (203.3, 240.7))
    picture = canvas(400, 320)
    draw(picture, keypoints)

    def shifted(self, pixels):
        hands = DrawnHands.look(self, pixels)
        for hand in hands:
            hand.keypoints[4] = (-5.0, 50.0)
        return hands

    monkeypatch.setattr(detect_module, "HandGraph", type("Shifted", (DrawnHands,), {}))
    monkeypatch.setattr(detect_module.HandGraph, "look", shifted)
    monkeypatch.setattr(detect_module.HandGraph, "_is_mirrored", staticmethod(lambda _: False))
    (hand,) = MediaPipeDetector(second_look=False).detect(record(picture))
    assert hand.confidence[4] == pytest.approx(0.1 * hand.score)
    assert (np.delete(hand.confidence, 4) == hand.score).all()


def observed(keypoints, score, side="right"):
    return HandObservation(
        keypoints, np.ones(21), side, 0.9, score, np.zeros(21), np.zeros((21, 3))
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_hand_found_twice_is_kept_once(side):
    points = shape(100)
    better, worse = observed(points, 0.9), observed(points + np.array([8.0, -5.0]), 0.8, side)
    assert drop_duplicates([worse, better]) == [better]


def test_one_hand_found_under_both_sides_with_swapped_fingers_is_kept_once():
    points = shape(100)
    swapped = points[[0, *(4 * f + j for f in (5, 4, 3, 2, 1) for j in (-3, -2, -1, 0))]]
    better, worse = observed(points, 0.9), observed(swapped + 1.0, 0.8, "left")
    assert drop_duplicates([better, worse]) == [better]


@pytest.mark.parametrize("degrees", [60, 90, 135, 180])
def test_two_hands_in_one_box_both_stay(degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = shape(100) - shape(100).mean(axis=0)
    first, second = observed(points, 0.9), observed(points @ turn.T, 0.8)
    assert drop_duplicates([first, second]) == [first, second]
    assert unordered_distance(first, second) == unordered_distance(second, first)


def test_best_scores_come_first_and_at_most_max_hands(drawn, monkeypatch):
    scores = [0.6, 0.9, 0.8, 0.7]
    found = [observed(shape(80, (100 + 150 * i, 150)), s) for i, s in enumerate(scores)]
    monkeypatch.setattr(drawn, "look", lambda *_: found)
    hands = MediaPipeDetector(max_hands=3, second_look=False).detect(record(canvas(700, 200)))
    assert [hand.score for hand in hands] == [0.9, 0.8, 0.7]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (333, 333), (2000, 300), (17, 5000)])
def test_rounds_of_windows_cover_the_picture(size):
    rounds = search_windows(*size)
    assert len(rounds) == (1 if max(size) == 5000 else 3)
    for windows in rounds:
        covered = np.zeros((size[1], size[0]), dtype=bool)
        for window in windows:
            x, y = window.crop.origin[0].numpy()
            side = float(window.crop.size[0])
            y0, y1 = max(round(y), 0), max(round(y + side), 0)
            covered[y0:y1, max(round(x), 0) : max(round(x + side), 0)] = True
        assert covered.all()


@pytest.mark.parametrize(
    "place, is_cut",
    [((300, 250), False), ((205, 250), True), ((300, 420), True), ((300, 100), True)],
)
def test_a_hand_that_leaves_its_window_is_cut(drawn, place, is_cut):
    window = _Window.at(np.array([300.0, 250.0]), 200.0, 256)
    points = shape(90)
    points = points - 0.5 * (points.min(axis=0) + points.max(axis=0)) + place
    assert window.cuts(observed(points, 0.9), canvas(600, 500)) == is_cut
    # At the picture's own border nothing is cut off that could be seen elsewhere.
    whole = _Window.at(np.array([300.0, 250.0]), 600.0, 256)
    assert not whole.cuts(observed(points - [400.0, 0.0], 0.9), canvas(600, 500))


def test_the_search_leaves_out_hands_that_a_window_cuts(drawn, monkeypatch):
    """A stand-in that reports every window's hand across the window's right edge."""
    across = shape(90)
    across = across - across.min(axis=0)

    def look(self, pixels):
        size = pixels.shape[1]
        return [observed(across + np.array([size - 40.0, 20.0]), 0.9)] if size == 256 else []

    monkeypatch.setattr(drawn, "look", look)
    hands = MediaPipeDetector(max_hands=20, second_look=False).detect(record(canvas(512, 256)))
    # Windows of both rounds end at the picture's right border or inside it: only there they stay.
    assert hands
    assert all(hand.box[2] > 512 for hand in hands)


@pytest.mark.parametrize("options", [{"max_hands": 0}, {"min_score": 1.5}, {"min_score": -0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        MediaPipeDetector(**options)


@pytest.fixture(scope="module")
def mediapipe_detector():
    with MediaPipeDetector() as detector:
        yield detector


@pytest.mark.parametrize("size", [(16, 16), (16, 4000), (64, 900), (3000, 2000)])
def test_mediapipe_finds_no_hand_in_a_plain_picture(mediapipe_detector, size):
    picture = np.full((size[1], size[0], 3), 120, dtype=np.uint8)
    assert mediapipe_detector.detect(record(picture)) == []


def test_a_closed_detector_says_so():
    detector = MediaPipeDetector()
    detector.close()
    detector.close()
    with pytest.raises(RuntimeError, match="closed"):
        detector.detect(record(canvas(64, 64)))


def test_importing_does_not_load_mediapipe_and_detecting_is_silent():
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from fitter.detect import MediaPipeDetector\n"
        "from fitter.records import ImageRecord\n"
        "assert 'mediapipe' not in sys.modules\n"
        "picture = np.full((200, 200, 3), 90, dtype=np.uint8)\n"
        "with MediaPipeDetector() as detector:\n"
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
        "from fitter.mediapipe_hands import HeldStderr\n"
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
    entries = list_images(root / "evaluation/rgb")
    intrinsics = Intrinsics.from_option(str(root / "evaluation_K.json"), len(entries))
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
    with MediaPipeDetector(max_hands=1) as detector:
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
    with MediaPipeDetector(max_hands=1) as detector:
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
    with MediaPipeDetector(max_hands=1, second_look=False) as detector:
        sums = []
        for image, _ in real_records(10):
            turned = np.ascontiguousarray(image.pixels[::-1, ::-1])
            (upright,) = detector.detect(image)
            (down,) = detector.detect(record(turned))
            sums.append(upright.keypoints + down.keypoints - 256.0)
        assert np.abs(np.mean(sums, axis=(0, 1))).max() < 0.3


@real
def test_an_enlarged_hand_is_found_at_the_enlarged_place():
    with MediaPipeDetector(max_hands=1) as detector:
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
    with MediaPipeDetector(max_hands=1, second_look=False) as detector:
        for _ in range(20):
            detector.detect(image)
        before = resident(), threading.active_count(), len(list(descriptors.iterdir()))
        for _ in range(80):
            detector.detect(image)
        after = resident(), threading.active_count(), len(list(descriptors.iterdir()))
    assert after[0] - before[0] < 20e6
    assert after[1:] == before[1:]
