"""Crops as a `MeshNet` learns from them, and the two hands of a picture beside each other.

A pair is two samples of one picture: a right hand, and a left one that is mirrored as all samples
are. Each is said in its own crop's view frame; the picture's camera brings them together.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fitter.records import TensorBatch
from init_net.mesh_records import MeshDraws
from init_net.samples.crop_samples import CropSamples, CropViews

HANDS = 2
"""Rows of a pair: the right hand, then the mirrored left one."""


@dataclass(frozen=True)
class MeshSamples(TensorBatch):
    """B crops.

    Attributes:
        crops: and what is true of their hands.
        views: their cameras.
        draws: what is drawn at random for the network.
    """

    crops: CropSamples
    views: CropViews
    draws: MeshDraws


def beside_each_other(points: Tensor, views: CropViews) -> tuple[Tensor, Tensor]:
    """The hands of B / 2 pairs in the frame of their picture's camera, metres.

    Their wrists are placed where they truly are: how far away a hand is a weak-perspective camera
    says within centimetres at best, and nothing could be told of a touch.

    Args:
        points: (B, P, 3) metres, relative to the wrist joint, view frames; see `HANDS`.
        views: of the same crops.

    Returns:
        (B / 2, P, 3) of right hands and of left ones, these no longer mirrored.
    """
    placed = (points + views.wrist.to(points)[:, None]) @ views.rotation.to(points)
    right, left = placed[::HANDS], placed[1::HANDS]
    return right, left * left.new_tensor([-1.0, 1.0, 1.0])
