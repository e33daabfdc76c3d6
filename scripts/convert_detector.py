"""Convert the detector's networks out of an installed `mediapipe` into the project's own files.

    palm_detection_full.tflite, hand_landmark_full.tflite ->
        fitter/detection/assets/{palm,landmark}.safetensors   weights, half precision as they were
        fitter/detection/assets/{palm,landmark}.graph         the graph without its weights

The weights keep TensorFlow's axes (output, height, width, input), so that LiteRT runs the graph on
the very bytes of the weight file: the graph says of each weight where in that file it lies. The
names are those of the PyTorch modules in `fitter.detection.networks`, whose shapes the conversion
checks. Needs ``pip install "mediapipe==0.10.21" ai-edge-litert``.

    python scripts/convert_detector.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from safetensors.numpy import save
from torch import nn

from fitter.detection.networks.landmark import LandmarkNetwork
from fitter.detection.networks.palm import PalmNetwork

ASSETS = Path(__file__).parents[1] / "fitter" / "detection" / "assets"

SOURCES = {
    "palm": "palm_detection/palm_detection_full.tflite",
    "landmark": "hand_landmark/hand_landmark_full.tflite",
}

LICENCE = "Apache-2.0, Copyright The MediaPipe Authors"

_BEHIND = 1 << 24
"""Stands for the graph's length until that is known."""

_ALIGNMENT = 64
"""Bytes; what follows the graph begins at a multiple of it."""

_WEIGHED = {
    schema.BuiltinOperator.CONV_2D: nn.Conv2d,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: nn.Conv2d,
    schema.BuiltinOperator.FULLY_CONNECTED: nn.Linear,
    schema.BuiltinOperator.PRELU: nn.PReLU,
}


class Graph:
    """A `.tflite` file in the schema's own classes, with what the conversion asks of it."""

    def __init__(self, content: bytes) -> None:
        self.model: Any = schema.ModelT.InitFromPackedBuf(content)
        (self.main,) = self.model.subgraphs

    def code(self, operator: Any) -> int:
        """The kind of an operator."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def buffer_of(self, tensor: int) -> int:
        """The buffer that a tensor's values lie in; halves are found behind their conversion."""
        for operator in self.main.operators:
            halves = self.code(operator) == schema.BuiltinOperator.DEQUANTIZE
            if halves and operator.outputs[0] == tensor:
                return self.buffer_of(operator.inputs[0])
        return self.main.tensors[tensor].buffer

    def weights(self) -> list[tuple[type[nn.Module], list[int]]]:
        """The operators that have weights, in order: the layer they are, and their buffers."""
        return [
            (_WEIGHED[self.code(operator)], [self.buffer_of(int(i)) for i in operator.inputs[1:]])
            for operator in self.main.operators
            if self.code(operator) in _WEIGHED
        ]

    def values(self, buffer: int) -> np.ndarray:
        """The values of a buffer, in the shape and type of the tensor that it is of."""
        tensor = next(t for t in self.main.tensors if t.buffer == buffer)
        kinds = {schema.TensorType.FLOAT16: np.float16, schema.TensorType.FLOAT32: np.float32}
        data = np.asarray(self.model.buffers[buffer].data, np.uint8).tobytes()
        return np.frombuffer(data, kinds[tensor.type]).reshape(tensor.shape)

    def packed(self) -> bytes:
        """The file again."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def convert(name: str, network: nn.Module, source: Path) -> None:
    """Write the two files of one network.

    Raises:
        ValueError: the file's layers are not those of the network.
    """
    content = source.read_bytes()
    graph = Graph(content)
    layers = [
        (key, layer)
        for key, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.PReLU)
    ]
    found = graph.weights()
    if len(layers) != len(found):
        raise ValueError(
            f"{source}: expected {len(layers)} layers with weights, found {len(found)}"
        )
    tensors: dict[str, np.ndarray] = {}
    places: dict[int, str] = {}
    for (key, layer), (kind, buffers) in zip(layers, found, strict=True):
        parameters = list(layer.named_parameters())
        for (part, parameter), buffer in zip(parameters, buffers, strict=True):
            values = graph.values(buffer)
            if not isinstance(layer, kind) or values.size != parameter.numel():
                raise ValueError(f"{source}: {key}.{part} has the shape {values.shape}")
            # A bias of zeros may serve several layers: the first one's name is where it lies.
            tensors[f"{key}.{part}"] = values
            places.setdefault(buffer, f"{key}.{part}")
    metadata = {
        "network": name,
        "source": f"mediapipe {version('mediapipe')}, {source.name}",
        "source_sha256": hashlib.sha256(content).hexdigest(),
        "licence": LICENCE,
        "axes": "output, height, width, input",
    }
    ASSETS.mkdir(exist_ok=True)
    weights = save(tensors, metadata)
    (ASSETS / f"{name}.safetensors").write_bytes(weights)
    _point_at(graph, places, weights)
    if name == "landmark":
        _also_give_features(graph)
    (ASSETS / f"{name}.graph").write_bytes(_settled(graph))


def _point_at(graph: Graph, places: dict[int, str], weights: bytes) -> None:
    """Empty the buffers of weights, and say how far into the weight file's data each lies."""
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    for buffer, key in places.items():
        start, end = header[key]["data_offsets"]
        part = graph.model.buffers[buffer]
        part.data, part.offset, part.size = None, _BEHIND + start, end - start


def _settled(graph: Graph) -> bytes:
    """The packed graph, padded, with offsets that count from its beginning: the weights follow.

    How long the graph is does not depend on the offsets, as long as there are any.
    """
    length = -(-len(graph.packed()) // _ALIGNMENT) * _ALIGNMENT
    for part in graph.model.buffers:
        if part.size:
            part.offset += length - _BEHIND
    packed = graph.packed().ljust(length, b"\0")
    if len(packed) != length:
        raise ValueError("the graph's length changed while it was packed")
    return packed


def _also_give_features(graph: Graph) -> None:
    """Make the mean of the last maps an output, after the others."""
    (mean,) = (
        operator
        for operator in graph.main.operators
        if graph.code(operator) == schema.BuiltinOperator.MEAN
    )
    graph.main.outputs = [*graph.main.outputs, mean.outputs[0]]
    graph.model.signatureDefs = None


def main() -> None:
    """Convert both networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    import mediapipe

    modules = Path(mediapipe.__file__).parent / "modules"
    for name, network in (("palm", PalmNetwork()), ("landmark", LandmarkNetwork())):
        convert(name, network, modules / SOURCES[name])
        sizes = {path.name: path.stat().st_size for path in sorted(ASSETS.glob(f"{name}.*"))}
        print(name, sizes)


if __name__ == "__main__":
    main()
