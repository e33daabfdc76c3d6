"""The networks on a CPU, by LiteRT: half the time that PyTorch or ONNX Runtime takes for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fitter.detection.networks.runtime import LandmarkValues, PalmValues
from fitter.detection.networks.shapes import LANDMARK_PIXELS, PALM_PIXELS
from fitter.detection.networks.weights import ASSETS, NetworkName, read_graph
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.system.streams import HeldStderr

OUTPUTS = {"palm": 2, "landmark": 5}
"""How many a network has."""


class LiteRtNetworks:
    """`HandNetworks` on one thread of a CPU.

    A window at a time: more at once are no faster, and a window's numbers depend on nothing else.
    """

    def __init__(self, folder: Path = ASSETS) -> None:
        """Load both networks.

        Raises:
            InputError: a file is not there, cut off, damaged, or another network's.
        """
        stderr = HeldStderr()
        try:
            with stderr.quiet():
                self._palm = _Network("palm", folder)
                self._landmark = _Network("landmark", folder)
        finally:
            stderr.close()

    def palms(self, picture: Picture, windows: Sequence[Window]) -> PalmValues:
        """See `HandNetworks.palms`."""
        values, logits = self._palm(picture.cut(windows, PALM_PIXELS))
        return PalmValues(values, logits[..., 0])

    def landmarks(self, picture: Picture, windows: Sequence[Window]) -> LandmarkValues:
        """See `HandNetworks.landmarks`."""
        images = picture.cut(windows, LANDMARK_PIXELS, repeats=True)
        landmarks, presence, handedness, world, features = self._landmark(images)
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
        try:
            self._interpreter: Any = Interpreter(model_content=self._model, num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _damaged(name, folder) from error
        self._inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self._outputs = [(each["index"], tuple(each["shape"][1:])) for each in outputs]
        side = {"palm": PALM_PIXELS, "landmark": LANDMARK_PIXELS}[name]
        shapes = [tuple(each["shape"]) for each in self._inputs]
        if shapes != [(1, side, side, 3)] or len(outputs) != OUTPUTS[name]:
            raise _damaged(name, folder)

    def __call__(self, windows: np.ndarray) -> list[np.ndarray]:
        results = [np.empty((len(windows), *shape), dtype=np.float32) for _, shape in self._outputs]
        for i, window in enumerate(windows):
            self._interpreter.set_tensor(
                self._inputs[0]["index"], window[None] * np.float32(1 / 255)
            )
            self._interpreter.invoke()
            for result, (index, _) in zip(results, self._outputs, strict=True):
                result[i] = self._interpreter.get_tensor(index)[0]
        return results


def _damaged(name: NetworkName, folder: Path) -> InputError:
    return InputError("detector.damaged_graph", file=folder / f"{name}.graph", network=name)
