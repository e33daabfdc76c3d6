"""What `HandAutoencoder` takes, says and decodes, as typed batches of B right hands.

    AutoencoderInputs -> HandAutoencoder -> HandCode, focal -> HandDecoder -> DecodedHands

Frames and units are those of `init_net.records`: the view frame of a crop, and crop units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

from torch import Tensor

from fitter.records import TensorBatch


@dataclass(frozen=True)
class AutoencoderInputs(TensorBatch):
    """What `HandAutoencoder` sees.

    Attributes:
        image: (B, 3, S, S) sRGB in [0, 1], black outside the image.
        focal: (B,) of the crop's view frame (`init_net.view_frame.view_focal`), crop units. A crop
            that the hand fills looks alike at any distance: how far that is follows from it.
    """

    image: Tensor
    focal: Tensor


@dataclass(frozen=True)
class HandCode(TensorBatch):
    """The codes of B hands: x = (theta, beta, s, R, T) and y = (C, L) of S2HAND 3.1; m or n, and
    c = (t, R, s), of Zhao 3.1.

    Attributes:
        pose: (B, P) coefficients of the hand model's pose space, 0 for its mean pose
            (`HandModel.pose_from_pca` with `flat_hand_mean=False`).
        betas: (B, S) of the hand model.
        scale: (B,) positive. Perspective: s, by how much the hand is larger than the model's, about
            1. Orthographic: s, crop units a metre.
        global_orient: (B, 3) R, axis-angle, view frame.
        transl: (B, 3) of the wrist keypoint. Perspective: T, metres, view frame. Orthographic: t in
            crop units about the crop's middle; its third number is not used, and 0.
        colours: (B, V, 3) C, sRGB, of any size: E_C of S2HAND 3.4.1 keeps them in [0, 1]. None
            unless the texture code is a colour a vertex.
        appearance: (B, A) coefficients of the hand model's skin; None unless it is that.
        lighting: (B, 11) L as in `AmbientDirectionalLight.of`; None in even white light.
        log_focal: (B,) natural logarithm of the focal length over that of the picture, 0 where it
            is given.
    """

    pose: Tensor
    betas: Tensor
    scale: Tensor
    global_orient: Tensor
    transl: Tensor
    colours: Tensor | None
    appearance: Tensor | None
    lighting: Tensor | None
    log_focal: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every field that is there."""
        there = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: function(t) for n, t in there.items() if t is not None})


@dataclass(frozen=True)
class AutoencoderPredictions:
    """All that a `HandAutoencoder` says of B crops.

    Attributes:
        code: None where the 3D branch is left out.
        estimated: (B, 21, 2) J^2d of the 2D branch, crop units about the crop's middle; None where
            it is left out or not there.
    """

    code: HandCode | None
    estimated: Tensor | None


@dataclass(frozen=True)
class DecodedHands(TensorBatch):
    """B hands of their codes, in their crops' view frames.

    Attributes:
        vertices: (B, V, 3) M, metres, the hand's own size included; perspective: in the view frame;
            orthographic: relative to the wrist keypoint.
        keypoints: (B, 21, 3) J, likewise: where the detector marks them.
        joints: (B, 21, 3) J, likewise: the model's joints and fingertips, as data sets label them.
        keypoints_2d, joints_2d: (B, 21, 2) their projections J^pro, crop units about the crop's
            middle.
        screen: (B, V, 3) vertices as the rasteriser takes them but in crop units about the crop's
            middle, and a positive depth in metres.
        wrists: (B, 2) depths in metres, in the same way, of the wrist among `keypoints` and among
            `joints`.
    """

    vertices: Tensor
    keypoints: Tensor
    joints: Tensor
    keypoints_2d: Tensor
    joints_2d: Tensor
    screen: Tensor
    wrists: Tensor
