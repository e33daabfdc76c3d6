"""How good a `HandAutoencoder` is on held-out crops, in the figures of S2HAND 4.1 and Zhao 4.2.

Lengths are millimetres. "PA" is after a similarity alignment of each hand. Unaligned ("camera",
Zhao's Table 5, whose definition is not published) is as the hand stands before its crop's camera:
a perspective one where it says, an orthographic one where the picture's camera would see it at its
scale (`init_net.training.autoencoder_terms.place`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models import HandModel, load_hand_model
from fitter.metrics import auc_per_hand, fscore, mpjpe, point_errors, procrustes_aligned
from init_net.autoencoder_records import AutoencoderInputs, AutoencoderPredictions
from init_net.hand_decoder import HandDecoder
from init_net.networks.parts import NOTHING
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.training.autoencoder_terms import place, placed_points
from init_net.training.evaluation import crop_batches
from init_net.training.true_hands import has_parameters, true_meshes

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder


Pair: TypeAlias = tuple[np.ndarray, np.ndarray]
"""What was found, and what is true."""


def autoencoder_inputs(crops: CropSamples) -> AutoencoderInputs:
    """What the network sees of crops."""
    return AutoencoderInputs(crops.image, crops.focal)


@dataclass(frozen=True)
class SpaceErrors:
    """How far N hands are off in 3D. NaN where the truth is not known; vertices are compared where
    the true hand is of the same mesh.

    Attributes:
        keypoints: (N,) mm, mean distance of the keypoints: MPJPE.
        vertices: (N,) mm, mean distance of the vertices: MPVPE.
        areas: (N, 2) AUC_J and AUC_V, up to 50 mm.
        f_scores: (N, 2) F-score of the vertices at 5 and 15 mm.
    """

    keypoints: np.ndarray
    vertices: np.ndarray
    areas: np.ndarray
    f_scores: np.ndarray

    @classmethod
    def of(cls, points: Pair, vertices: Pair | None) -> Self:
        """Compare hands, found and true: points (B, 21, 3) and vertices (B, V, 3), metres."""
        joints = point_errors(*points)
        areas = np.full((len(joints), 2), np.nan)
        areas[:, 0] = auc_per_hand(joints, known=np.isfinite(joints))
        surface, scores = np.full(len(joints), np.nan), np.full((len(joints), 2), np.nan)
        if vertices is not None:
            distances = point_errors(*vertices)
            surface, scores = 1000 * distances.mean(1), fscore(*vertices)
            areas[:, 1] = auc_per_hand(distances, known=np.isfinite(distances))
        return cls(1000 * mpjpe(*points, _known(points[1])), surface, areas, scores)

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """Those of several batches, in order."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(values) for values in columns))

    def figures(self, prefix: str, of_mean: str) -> dict[str, float]:
        """Means over the hands of which something is known.

        Args:
            prefix: of every name.
            of_mean: of those of mean distances, besides.
        """
        columns = {
            f"{of_mean}mpjpe_mm": self.keypoints,
            "auc": self.areas[:, 0],
            f"{of_mean}mpvpe_mm": self.vertices,
            "auc_v": self.areas[:, 1],
            "f_5": self.f_scores[:, 0],
            "f_15": self.f_scores[:, 1],
        }
        return _known_means({f"{prefix}{name}": column for name, column in columns.items()})


@dataclass(frozen=True)
class AutoencoderErrors:
    """How far a network is off on N crops. What is not known of a crop, or not said, is NaN.

    Attributes:
        projected, estimated, detected: (N, 21) pixels of the crop, from the true keypoints to J^pro
            and J^2d and to what the detector saw: the sets of S2HAND, Fig. 4.
        from_detected: (N, 21) pixels from what the detector saw to J^pro.
        aligned: in 3D, after a similarity alignment.
        camera: in 3D, unaligned.
        rooted: (N,) mm, keypoints with the wrists on each other.
    """

    projected: np.ndarray
    estimated: np.ndarray
    detected: np.ndarray
    from_detected: np.ndarray
    aligned: SpaceErrors
    camera: SpaceErrors
    rooted: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        network: HandAutoencoder,
        held_out: Cropper,
        absent: frozenset[str] = NOTHING,
        decoder: HandDecoder | None = None,
    ) -> Self:
        """Measure a network in eval mode.

        Args:
            network: to be measured.
            held_out: of samples.
            absent: parts of the network that are left out.
            decoder: of the network, on its device; None to make one.
        """
        device = next(network.parameters()).device
        measure = _Measure(decoder or HandDecoder(network.config).to(device))
        parts = []
        for whole in crop_batches(held_out):
            crops = whole.to(measure.device)
            inputs = autoencoder_inputs(crops)
            parts.append(measure(network(inputs, absent), crops))
        return cls(
            projected=np.concatenate([part.projected for part in parts]),
            estimated=np.concatenate([part.estimated for part in parts]),
            detected=np.concatenate([part.detected for part in parts]),
            from_detected=np.concatenate([part.from_detected for part in parts]),
            aligned=SpaceErrors.together([part.aligned for part in parts]),
            camera=SpaceErrors.together([part.camera for part in parts]),
            rooted=np.concatenate([part.rooted for part in parts]),
        )

    def figures(self) -> dict[str, float]:
        """Means over the crops of which something is known and said, those of aligned hands and
        ``mpjpe_mm`` named as of a `HandNet`."""
        flat = {
            "keypoints_2d_px": self.projected,
            "estimated_2d_px": self.estimated,
            "detected_2d_px": self.detected,
            "from_detected_px": self.from_detected,
            "mpjpe_mm": self.rooted,
        }
        return {
            **self.aligned.figures("", "pa_"),
            **self.camera.figures("camera_", ""),
            **_known_means(flat),
            "hands": float(len(self.rooted)),
        }


class _Measure:
    """Measures batches."""

    def __init__(self, decoder: HandDecoder) -> None:
        self._decoder = decoder
        self.device = decoder.faces.device
        self._model = _open_hand()
        own = decoder.config.hand_model == "open_hand"
        self._has_mesh = own and len(decoder.model.v_template) == len(self._model.v_template)

    def __call__(self, said: AutoencoderPredictions, crops: CropSamples) -> AutoencoderErrors:
        """Of what is said of B crops, on their device."""
        side = crops.image.shape[-1]
        seen = crops.keypoints / side - 0.5
        seen = torch.where((crops.confidence > 0)[..., None], seen, torch.nan)

        def pixels(found: Tensor | None, true: Tensor) -> np.ndarray:
            if found is None:
                return np.full(true.shape[:2], np.nan)
            return side * point_errors(_array(found), _array(true))

        if said.code is None:
            points = crops.points.new_full(crops.points.shape, torch.nan)
            projected, marked, placed, vertices = None, None, points, None
        else:
            code = said.code.map(Tensor.float)
            decoded = self._decoder(code, crops.focal, crops.projection)
            is_marks = crops.is_marks[:, None, None]
            marked = decoded.keypoints_2d
            projected = torch.where(is_marks, marked, decoded.joints_2d)
            placed = placed_points(self._decoder, code, decoded, crops)
            vertices = decoded.vertices + place(self._decoder, code, crops.focal)[:, None]
        true = crops.points + crops.wrist[:, None]
        return AutoencoderErrors(
            projected=pixels(projected, crops.positions),
            estimated=pixels(said.estimated, crops.positions),
            detected=pixels(seen, crops.positions),
            from_detected=pixels(marked, seen),
            aligned=self._in_space(placed, crops.points, vertices, crops, aligned=True),
            camera=self._in_space(placed, true, vertices, crops, aligned=False),
            rooted=1000
            * mpjpe(
                _array(placed - placed[:, :1]), _array(crops.points), _known(_array(crops.points))
            ),
        )

    def _in_space(
        self, found: Tensor, true: Tensor, surface: Tensor | None, crops: CropSamples, aligned: bool
    ) -> SpaceErrors:
        points = _pair(found, true, aligned)
        if surface is None or not self._has_mesh:
            return SpaceErrors.of(points, None)
        vertices = np.full(surface.shape, np.nan)
        known = has_parameters(crops)
        if bool(known.any()):
            vertices[known.cpu().numpy()] = true_meshes(self._model, crops[known].to("cpu"))
        return SpaceErrors.of(points, _pair(surface, torch.from_numpy(vertices), aligned))


@lru_cache(maxsize=1)
def _open_hand() -> HandModel:
    """What true hands are posed with; kept, since there are many validations."""
    return load_hand_model(dtype=torch.float64, children=True)


def _pair(found: Tensor, true: Tensor, aligned: bool) -> Pair:
    first, second = _array(found), _array(true)
    return (procrustes_aligned(first, second, known=_known(second)) if aligned else first), second


def _known(true: np.ndarray) -> np.ndarray:
    """(B, P) bool, which of the true points (B, P, 3) are known."""
    return np.isfinite(true).all(-1)


def _array(points: Tensor) -> np.ndarray:
    return points.detach().double().cpu().numpy()


def _known_means(columns: dict[str, np.ndarray]) -> dict[str, float]:
    """Means of what is known, by name; nothing of columns of which nothing is."""
    means = {}
    for name, column in columns.items():
        known = column[~np.isnan(column)]
        if len(known):
            means[name] = float(known.mean())
    return means
