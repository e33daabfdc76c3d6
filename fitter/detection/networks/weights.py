"""The weight files of the detector's networks, which `scripts/convert_detector.py` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fitter.errors import InputError

if TYPE_CHECKING:
    from torch import nn

NetworkName = Literal["palm", "landmark"]

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class WeightFile:
    """A weight file, read and checked.

    Attributes:
        path: of the file.
        header: the shape, type and place of each tensor, by its name in the PyTorch module.
        data: what follows the header: all tensors.
    """

    path: Path
    header: dict[str, dict]
    data: memoryview

    def tensors(self) -> dict[str, np.ndarray]:
        """All tensors, float16, with TensorFlow's axes (output, height, width, input)."""
        result = {}
        for name, entry in self.header.items():
            start, end = entry["data_offsets"]
            values = np.frombuffer(self.data[start:end], np.float16)
            result[name] = values.reshape(entry["shape"])
        return result

    def load_into(self, network: nn.Module) -> None:
        """Fill a PyTorch module, whose axes are (output, input, height, width)."""
        import torch

        state = {}
        for name, parameter in network.named_parameters():
            values = self.tensors()[name].astype(np.float32)
            if parameter.ndim == 4:
                # A depthwise layer's weights are (1, height, width, channels).
                is_depthwise = parameter.shape[1] == 1 and values.shape[0] == 1
                values = values.transpose((3, 0, 1, 2) if is_depthwise else (0, 3, 1, 2))
            state[name] = torch.from_numpy(values.copy()).reshape(parameter.shape)
        network.load_state_dict(state)


def read_weights(name: NetworkName, folder: Path = ASSETS) -> WeightFile:
    """Read a weight file.

    Args:
        name: of the network.
        folder: it lies in, beside the network's graph.

    Raises:
        InputError: it is not there, cut off, or another network's.
    """
    path = folder / f"{name}.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError("detector.no_weights", file=path, reason=error.strerror) from error
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
        found = header.pop("__metadata__")["network"]
        size = max(entry["data_offsets"][1] for entry in header.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("detector.damaged_weights", file=path, network=name) from error
    if found != name:
        raise InputError("detector.other_weights", file=path, expected=name, found=found)
    data = memoryview(content)[8 + length :]
    if len(data) != size:
        raise InputError("detector.cut_weights", file=path, expected=size, found=len(data))
    return WeightFile(path, header, data)


def read_graph(name: NetworkName, folder: Path = ASSETS) -> bytes:
    """The graph of a network and its weights as one model, as LiteRT takes it.

    Raises:
        InputError: see `read_weights`.
    """
    path = folder / f"{name}.graph"
    weights = read_weights(name, folder)
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise InputError("detector.no_weights", file=path, reason=error.strerror) from error
    return graph + weights.data.tobytes()
