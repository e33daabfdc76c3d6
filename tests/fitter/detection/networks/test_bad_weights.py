"""Weight files of the detector that cannot be used: one sentence each, by either runtime."""

import json
import shutil
from pathlib import Path

import pytest

from fitter.detection.networks.litert import LiteRtNetworks
from fitter.detection.networks.on_torch import TorchNetworks
from fitter.detection.networks.weights import ASSETS, read_weights
from tests.support.errors import raises

RUNTIMES = [LiteRtNetworks, lambda folder: TorchNetworks("cpu", folder)]


@pytest.fixture
def folder(tmp_path) -> Path:
    for path in (*ASSETS.glob("*.graph"), *ASSETS.glob("*.safetensors")):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture(params=RUNTIMES, ids=["litert", "torch"])
def load(request, folder):
    return lambda: request.param(folder=folder)


def header_of(content: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_no_file(load, folder):
    path = folder / "palm.safetensors"
    path.unlink()
    with raises("detector.no_weights", file=path, reason="No such file or directory"):
        load()


@pytest.mark.parametrize("share", [0.5, 0.999999])
def test_cut_off_in_the_weights(load, folder, share):
    path = folder / "landmark.safetensors"
    content = path.read_bytes()
    expected = len(header_of(content)[1])
    path.write_bytes(content[: int(share * len(content))])
    found = int(share * len(content)) - (len(content) - expected)
    with raises("detector.cut_weights", file=path, expected=expected, found=found):
        load()


@pytest.mark.parametrize("length", [0, 4, 8, 500])
def test_cut_off_in_the_header(load, folder, length):
    path = folder / "palm.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with raises("detector.damaged_weights", file=path, network="palm"):
        load()


def test_another_network(load, folder):
    path = folder / "palm.safetensors"
    shutil.copy(folder / "landmark.safetensors", path)
    with raises("detector.other_weights", file=path, expected="palm", found="landmark"):
        load()


@pytest.mark.parametrize(
    "change",
    [
        lambda header: [],
        lambda header: 3,
        lambda header: {**header, "__metadata__": None},
        lambda header: {**header, "__metadata__": {}},
        lambda header: {"__metadata__": header["__metadata__"]},
        lambda header: {**header, "top.0.bias": 7},
        lambda header: {**header, "top.0.bias": {"shape": [1], "data_offsets": [0]}},
        lambda header: {**header, "top.0.bias": {"shape": [1], "data_offsets": "ab"}},
    ],
)
def test_a_damaged_header(load, folder, change):
    path = folder / "landmark.safetensors"
    header, data = header_of(path.read_bytes())
    path.write_bytes(with_header(change(header), data))
    with raises("detector.damaged_weights", file=path, network="landmark"):
        load()


@pytest.mark.parametrize("field", ["shape", "offsets", "type"])
def test_a_header_of_other_tensors(load, folder, field):
    path = folder / "landmark.safetensors"
    header, data = header_of(path.read_bytes())
    name = next(key for key in header if key != "__metadata__")
    entry = header[name]
    if field == "type":
        entry["dtype"] = "F32"
    elif field == "shape":
        entry["shape"] = [*entry["shape"], 2]
    else:
        entry["data_offsets"] = [entry["data_offsets"][0], entry["data_offsets"][1] - 2]
    path.write_bytes(with_header(header, data))
    with raises("detector.damaged_weights", file=path, network="landmark"):
        load()


def test_a_tensor_by_another_name(folder):
    """PyTorch reads by name; LiteRT by place, as its graph says."""
    path = folder / "landmark.safetensors"
    header, data = header_of(path.read_bytes())
    header["other"] = header.pop("stem.0.bias")
    path.write_bytes(with_header(header, data))
    LiteRtNetworks(folder)
    with raises("detector.damaged_weights", file=path, network="landmark"):
        TorchNetworks("cpu", folder)


def test_no_graph(folder):
    path = folder / "landmark.graph"
    path.unlink()
    with raises("detector.no_weights", file=path, reason="No such file or directory"):
        LiteRtNetworks(folder)


@pytest.mark.parametrize("content", [b"", b"words", "half", "palm"])
def test_another_graph(folder, content):
    path = folder / "landmark.graph"
    if content == "half":
        content = path.read_bytes()[: path.stat().st_size // 2]
    elif content == "palm":
        content = (folder / "palm.graph").read_bytes()
    path.write_bytes(content)
    with raises("detector.damaged_graph", file=path, network="landmark"):
        LiteRtNetworks(folder)


def test_what_ships_says_where_it_comes_from():
    for name in ("palm", "landmark"):
        content = (ASSETS / f"{name}.safetensors").read_bytes()
        said = header_of(content)[0]["__metadata__"]
        assert said["network"] == name and said["licence"].startswith("Apache-2.0")
        assert said["source"].startswith("mediapipe 0.10.21")
        assert read_weights(name).tensors().keys() == read_weights(name).header.keys()
