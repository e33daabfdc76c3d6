"""What two views are worth: a stereo network against what it says of the right view alone.

Seeber et al., table 4: the same, synthetically adapted network, on held-out pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models import HandModel, load_hand_model
from fitter.metrics import point_errors
from init_net.networks.stereo import Pictures, StereoHandNet
from init_net.posing import regressed_keypoints, regressed_vertices
from init_net.records import RegressedHands
from init_net.samples.stereo_samples import StereoCropper, StereoSamples
from init_net.stereo_fusion import fuse, wrist_place
from init_net.training.evaluation import HandErrors, standard_error

_BATCH = 32
"""Pairs that are looked at at once."""


@dataclass(frozen=True)
class ViewErrors:
    """How far N hands are off in the right camera.

    Attributes:
        aligned: after a similarity alignment of each hand.
        place: (N,) mm, distance of the wrist keypoint.
    """

    aligned: HandErrors
    place: np.ndarray

    def figures(self) -> dict[str, float]:
        """Means over the hands; see `HandErrors.figures`."""
        return {**self.aligned.figures(), "place_mm": float(self.place.mean())}

    def standard_errors(self) -> dict[str, float]:
        """By how much those means would scatter over other hands of the same kind."""
        five, fifteen = self.aligned.f_scores.T
        return {
            **self.aligned.standard_errors(),
            "f_5": standard_error(five),
            "f_15": standard_error(fifteen),
            "place_mm": standard_error(self.place),
        }


@dataclass(frozen=True)
class StereoErrors:
    """How far a stereo network is off on N pairs.

    Attributes:
        mono: of what it says of the right view.
        stereo: of what both views say together.
        weights: (N, 48) of the right view (eq. 6).
    """

    mono: ViewErrors
    stereo: ViewErrors
    weights: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(
        cls, network: StereoHandNet, held_out: StereoCropper, pictures: Pictures = "rendered"
    ) -> Self:
        """Measure a network in eval mode.

        Args:
            network: with its stereo layer.
            held_out: pairs whose hands are known, as rendered ones are.
            pictures: what they are, see `StereoHandNet.forward`.
        """
        device = next(network.parameters()).device
        model = load_hand_model(children=True)
        on_cpu = model.keypoint_model()
        keypoints = on_cpu.to(device)
        mono, stereo, weights = [], [], []
        for pairs in _batches(held_out):
            inputs = pairs.inputs.to(device)
            said = network(inputs, pictures=pictures)
            found = fuse(said, inputs.geometry, keypoints).to("cpu")
            right = said.right.to("cpu")
            points = regressed_keypoints(on_cpu, right)
            place = wrist_place(points, right.camera, pairs.right_focal)
            mono.append(_errors(model, pairs, right, points, place))
            stereo.append(_errors(model, pairs, found.hands, found.points, found.wrist))
            weights.append(said.weights.cpu().numpy())
        return cls(_joined(mono), _joined(stereo), np.concatenate(weights))

    def figures(self) -> dict[str, float]:
        """Means over the pairs: of one view ``mono_``, of both ``stereo_``."""
        both = {"mono": self.mono, "stereo": self.stereo}
        named = {
            f"{name}_{figure}": value
            for name, errors in both.items()
            for figure, value in errors.figures().items()
        }
        return {**named, "weight": float(self.weights.mean()), "hands": float(len(self.weights))}

    def gain(self) -> tuple[float, float]:
        """By how many mm the aligned mesh of both views is nearer to the truth, and the standard
        error of that: of the same pairs, it is less than those of either."""
        gained = self.mono.aligned.vertices - self.stereo.aligned.vertices
        return float(gained.mean()), standard_error(gained)


def _errors(
    model: HandModel, pairs: StereoSamples, hands: RegressedHands, points: Tensor, place: Tensor
) -> ViewErrors:
    """Of B hands, keypoints (B, 21, 3) and wrists (B, 3) in the right view."""
    aligned = HandErrors.of(
        points,
        pairs.right.points,
        regressed_vertices(model, hands).double(),
        regressed_vertices(model, pairs.right.hands).double(),
    )
    return ViewErrors(aligned, 1000 * point_errors(place.numpy(), pairs.right_wrist.numpy()))


def _joined(parts: list[ViewErrors]) -> ViewErrors:
    return ViewErrors(
        HandErrors.together([part.aligned for part in parts]),
        np.concatenate([part.place for part in parts]),
    )


def _batches(pairs: StereoCropper) -> Iterator[StereoSamples]:
    count = len(pairs.pairs)
    for rows in np.array_split(np.arange(count), -(-count // _BATCH)):
        yield pairs.crop(rows, (0,))
