"""A user's network of keypoints: a tiny one, whose answers are known, and files that are none."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fitter.detection.backend import load_backend
from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.detection.identity import detector_identity
from fitter.detection.onnx_backend import MARGIN, MEAN, STD, OnnxBackend, SimccNetwork
from fitter.detection.windows import Picture, Window
from fitter.errors import sentence
from tests.support.drawn_hands import observed, record, shape
from tests.support.errors import raises
from tests.support.paths import ROOT

onnx = pytest.importorskip("onnx", exc_type=ImportError)
pytest.importorskip("onnxruntime", exc_type=ImportError)

SIDE, SPLIT = 32, 2


def tiny(
    path: Path, keypoints=21, outputs=2, size=(SIDE, SIDE), kind=onnx.TensorProto.FLOAT
) -> Path:
    """Keypoint k is k / 2 pixels right of the column, and below the row, with the most red."""
    from onnx import helper, numpy_helper

    def along(axis: str, over: int) -> list:
        length = size[2 - over]
        places = np.zeros((keypoints, length, SIDE * SPLIT), np.float32)
        for k in range(keypoints):
            for i in range(length):
                places[k, i, min(i * SPLIT + k, SIDE * SPLIT - 1)] = 1
        constants.append(numpy_helper.from_array(places, f"places_{axis}"))
        sums = f"sum_{axis}"
        return [
            helper.make_node("ReduceMax", ["red"], [sums], axes=[over], keepdims=0),
            helper.make_node("MatMul", [sums, f"places_{axis}"], [f"many_{axis}"]),
            helper.make_node("Transpose", [f"many_{axis}"], [f"simcc_{axis}"], perm=[1, 0, 2]),
        ]

    constants: list = []
    nodes = [
        helper.make_node("Gather", ["image", "first"], ["plane"], axis=1),
        helper.make_node("Cast", ["plane"], ["red"], to=onnx.TensorProto.FLOAT),
    ]
    constants.append(numpy_helper.from_array(np.array(0), "first"))
    nodes += along("x", 1) + along("y", 2)
    names = ["simcc_x", "simcc_y", "red"][:outputs]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, [1, 3, *size])],
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def file(tmp_path) -> Path:
    return tiny(tmp_path / "hand.onnx")


def spot(height: int, width: int, x: int, y: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[y, x, 0] = 255
    return picture


class Finder:
    """Stands in for the networks that ship: reports what it is told."""

    def __init__(self, hands):
        self.hands = hands

    def find(self, picture, windows):
        return [list(self.hands) for _ in windows]

    def follow(self, picture, hands, mirrored):
        return [None, *hands[1:]]


def test_places_are_read_with_their_split_ratio(file):
    network = SimccNetwork(file)
    assert network.pixels == SIDE
    windows = np.stack([spot(SIDE, SIDE, 5, 9), spot(SIDE, SIDE, 11, 2)])
    points, scores = network(windows)
    expected = np.arange(21)[:, None] / SPLIT + [5, 9]
    np.testing.assert_allclose(points[0], expected)
    np.testing.assert_allclose(points[1], np.arange(21)[:, None] / SPLIT + [11, 2])
    assert (scores == 1).all()  # of 2.2, in [0, 1]
    for i in range(2):
        alone = network(windows[i : i + 1])
        np.testing.assert_array_equal(alone[0][0], points[i])
    assert network(windows[:0])[0].shape == (0, 21, 2)


def test_colours_are_those_of_imagenet_and_scores_the_lower_of_two(file):
    """An even window of a value v shows red (v - mean) / std, which is the score in places."""
    network = SimccNetwork(file)
    for value in (0, 140, 255):
        _, scores = network(np.full((1, SIDE, SIDE, 3), value, np.uint8))
        red = np.clip((value - MEAN[0]) / STD[0], 0, 1)
        np.testing.assert_allclose(scores[0, 0], red, atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_keypoints_lie_in_the_picture(file, mirrored):
    """The square around the hand is cut, and its places brought back."""
    points = shape(40, (60, 70))
    hand = observed(points, 0.8)
    box = hand.box
    centre, size = 0.5 * (box[:2] + box[2:]), MARGIN * max(box[2:] - box[:2])
    window = Window(centre, size, mirrored=mirrored)
    x, y = np.floor(window.points_to_picture(np.array([10.0, 12.0]), SIDE)).astype(int)
    picture = spot(120, 140, x, y)
    picture[y - 1 : y + 2, x - 1 : x + 2, 0] = 255
    backend = OnnxBackend(Finder([hand]), SimccNetwork(file))
    if mirrored:
        lost, found = backend.follow(Picture(picture), [hand, hand], mirrored)
        assert lost is None
    else:
        ((found,),) = backend.find(Picture(picture), [Window.whole(picture)])
    there = window.points_from_picture(found.keypoints, SIDE)
    np.testing.assert_allclose(there - there[0], np.arange(21)[:, None] / SPLIT + [0, 0], atol=1e-6)
    away = np.linalg.norm(found.keypoints[0] - [x + 0.5, y + 0.5])
    assert away < 1.5 * size / SIDE + 1
    assert found.relative_depth is None and found.relative_xyz is None
    assert (found.side, found.score) == (hand.side, hand.score)
    assert found.confidence.shape == (21,) and found.confidence.max() <= 1


def test_the_detector_works_with_it(file):
    """With the networks that ship: the hand, its side and its score are theirs. This network says
    of a mirror image what no hand would, so it looks once."""
    from PIL import Image

    with Image.open(ROOT / "examples" / "open_palm.jpg") as image:
        picture = np.asarray(image.convert("RGB"))
    truth = json.loads((ROOT / "examples" / "ground_truth.json").read_text())["hands"]
    (known,) = [hand for hand in truth if hand["image"] == "open_palm.jpg"]
    options = DetectorOptions(max_hands=1, second_pass=False)
    with HandDetector(options, load_backend("onnx", 0.5, file)) as detector:
        (hand,) = detector.detect(record(picture))
    assert hand.side == known["side"] and hand.score > 0.4
    assert hand.relative_depth is None and np.isfinite(hand.keypoints).all()


class TestRefused:
    def test_files(self, tmp_path, file):
        path = tmp_path / "a.onnx"
        with raises("onnx.missing", file=path):
            SimccNetwork(path)
        with raises("detector.no_onnx_model"):
            load_backend("onnx", 0.5)
        whole = file.read_bytes()
        for content in (b"", b"words", whole[: len(whole) // 2]):
            path.write_bytes(content)
            with raises("onnx.cannot_run", file=path) as refusal:
                SimccNetwork(path)
            said = refusal.value.without("file")
            assert len(said) < 350 and "\n" not in said

    def test_other_inputs(self, tmp_path):
        path = tiny(tmp_path / "a.onnx", size=(SIDE, 2 * SIDE))
        with raises(
            "onnx.other_input", file=path, found=f"tensor(float) [1, 3, {SIDE}, {2 * SIDE}]"
        ):
            SimccNetwork(path)
        path = tiny(tmp_path / "a.onnx", kind=onnx.TensorProto.UINT8)
        with raises("onnx.other_input", found=f"tensor(uint8) [1, 3, {SIDE}, {SIDE}]"):
            SimccNetwork(path)

    def test_other_outputs(self, tmp_path):
        places = SIDE * SPLIT
        path = tiny(tmp_path / "a.onnx", keypoints=17)
        with raises("onnx.other_outputs", file=path, found=[[1, 17, places]] * 2):
            SimccNetwork(path)
        path = tiny(tmp_path / "a.onnx", outputs=1)
        with raises("onnx.other_outputs", found=[[1, 21, places]]):
            SimccNetwork(path)
        path = tiny(tmp_path / "a.onnx", outputs=3)
        with raises("onnx.other_outputs", found=[[1, 21, places]] * 2 + [[1, SIDE, SIDE]]):
            SimccNetwork(path)

    def test_a_missing_package(self, file, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with raises("detector.no_onnxruntime"):
            SimccNetwork(file)

    def test_the_command(self, refused, here):
        options = ["--device", "cpu", "--set", "detector.backend=onnx"]
        refused(sentence("detector.no_onnx_model", {"file": "detector.onnx_model"}), *options)
        said = sentence("onnx.missing", {"file": "no.onnx"})
        refused(said, *options, "--set", "detector.onnx_model=no.onnx")


def test_a_store_tells_one_network_from_another(file):
    found = detector_identity("onnx", file)
    assert set(found) == {"detector_networks_sha256", "detector_onnx_sha256"}
    file.write_bytes(file.read_bytes() + b"\0")
    assert detector_identity("onnx", file)["detector_onnx_sha256"] != found["detector_onnx_sha256"]
