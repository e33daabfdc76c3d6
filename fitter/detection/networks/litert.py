"""The networks on a CPU, by LiteRT: half the time that PyTorch or ONNX Runtime takes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fitter.detection.networks.runtime import LandmarkValues, PalmValues
from fitter.detection.networks.weights import ASSETS, NetworkName, read_graph
from fitter.system.streams import HeldStderr


class LiteRtNetworks:
    """`HandNetworks` on one thread of a CPU.

    A window at a time: more at once are no faster, and a window's numbers depend on nothing else.
    """

    def __init__(self, folder: Path = ASSETS) -> None:
        """Load both networks.

        Raises:
            InputError: a weight file is not there, cut off, or another network's.
        """
        stderr = HeldStderr()
        try:
            with stderr.quiet():
                self._palm = _Network("palm", folder)
                self._landmark = _Network("landmark", folder)
        finally:
            stderr.close()

    def palms(self, windows: np.ndarray) -> PalmValues:
        """See `HandNetworks.palms`."""
        values, logits = self._palm(windows)
        return PalmValues(values, logits[..., 0])

    def landmarks(self, windows: np.ndarray) -> LandmarkValues:
        """See `HandNetworks.landmarks`."""
        landmarks, presence, handedness, world, features = self._landmark(windows)
        shape = (len(windows), 21, 3)
        return LandmarkValues(
            landmarks=landmarks.reshape(shape),
            presence=presence[:, 0],
            handedness=handedness[:, 0],
            world=world.reshape(shape),
            features=features,
        )


class _Network:
    """One network: windows (N, S, S, 3) uint8 to its outputs, each (N, ...) float32."""

    def __init__(self, name: NetworkName, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # Kept: the interpreter reads the weights where they lie.
        self._model = read_graph(name, folder)
        self._interpreter: Any = Interpreter(model_content=self._model, num_threads=1)
        self._interpreter.allocate_tensors()
        (entry,) = self._interpreter.get_input_details()
        self._input = entry["index"]
        self._outputs = [
            (each["index"], each["shape"][1:]) for each in self._interpreter.get_output_details()
        ]

    def __call__(self, windows: np.ndarray) -> list[np.ndarray]:
        results = [np.empty((len(windows), *shape), dtype=np.float32) for _, shape in self._outputs]
        for i, window in enumerate(windows):
            self._interpreter.set_tensor(self._input, window[None] * np.float32(1 / 255))
            self._interpreter.invoke()
            for result, (index, _) in zip(results, self._outputs, strict=True):
                result[i] = self._interpreter.get_tensor(index)[0]
        return results
