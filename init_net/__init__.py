"""Networks that look at a hand before it is fitted: what they are, how they are trained, weights.

`HandLifter` makes 21 keypoints in 3D of 21 in the image and what the detector has seen of the hand,
`HandNet` the parameters of a hand of its crop, `HandSegmentation` its mask. Each is a plain
`torch.nn.Module`. The trained lifter on 21 keypoints alone:

    >>> import torch
    >>> from init_net import LifterInputs, load_network, weights_file
    >>> lifter = load_network(weights_file("lifter"))
    >>> pixels, side = 80 + 100 * torch.rand(1, 21, 2), 140.0       # of a square crop of 260 pixels
    >>> hands = lifter(LifterInputs(
    ...     positions=(pixels - 130) / side,                        # side of the crop 1, middle 0
    ...     confidence=torch.ones(1, 21),
    ...     depth=torch.full((1, 21), torch.nan),                   # not known
    ...     bones=torch.full((1, 20, 3), torch.nan),                # nor these
    ...     focal=torch.tensor([600.0]) / side,
    ...     features=torch.full((1, 2, 1152), torch.nan),           # nor what a detector has seen
    ... ))
    >>> hands.keypoints.shape, hands.std.shape, hands.rotations.shape
    (torch.Size([1, 21, 3]), torch.Size([1, 21, 2]), torch.Size([1, 16, 3, 3]))

The rooms, each of which imports only those before it: `records`, `hand_model_id`, `posing`,
`networks`, then `weights`, then `predict`, then `samples`, then `training`. The engine finds this
package by the entry point `init_net.offer`. Importing it loads no PyTorch: names are imported when
they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from init_net.model_card import WeightsInfo
    from init_net.networks.build import build_network
    from init_net.networks.config import HandNetConfig, LifterConfig, SegmentationConfig
    from init_net.networks.handnet import HandNet
    from init_net.networks.lifter import HandLifter
    from init_net.networks.segmentation import HandSegmentation
    from init_net.offer import OFFER, InitNetOptions
    from init_net.predict import Networks, load_networks
    from init_net.records import (
        CropInputs,
        CropPredictions,
        LiftedHands,
        LifterInputs,
        RegressedHands,
    )
    from init_net.training.config import TrainConfig, load_train_config
    from init_net.training.loop import train
    from init_net.training.tasks import build_task
    from init_net.view_frame import lifter_inputs
    from init_net.weights import load_network, read_info, save_weights, weights_file

__all__ = [
    "OFFER",
    "CropInputs",
    "CropPredictions",
    "HandLifter",
    "HandNet",
    "HandNetConfig",
    "HandSegmentation",
    "InitNetOptions",
    "LiftedHands",
    "LifterConfig",
    "LifterInputs",
    "Networks",
    "RegressedHands",
    "SegmentationConfig",
    "TrainConfig",
    "WeightsInfo",
    "build_network",
    "build_task",
    "lifter_inputs",
    "load_network",
    "load_networks",
    "load_train_config",
    "read_info",
    "save_weights",
    "train",
    "weights_file",
]

_MODULES = {
    "model_card": ("WeightsInfo",),
    "networks.build": ("build_network",),
    "networks.config": ("HandNetConfig", "LifterConfig", "SegmentationConfig"),
    "networks.handnet": ("HandNet",),
    "networks.lifter": ("HandLifter",),
    "networks.segmentation": ("HandSegmentation",),
    "offer": ("OFFER", "InitNetOptions"),
    "predict": ("Networks", "load_networks"),
    "records": ("CropInputs", "CropPredictions", "LiftedHands", "LifterInputs", "RegressedHands"),
    "training.config": ("TrainConfig", "load_train_config"),
    "training.loop": ("train",),
    "training.tasks": ("build_task",),
    "view_frame": ("lifter_inputs",),
    "weights": ("load_network", "read_info", "save_weights", "weights_file"),
}
__getattr__, __dir__ = lazy_face(
    __name__,
    {name: f"init_net.{module}" for module, names in _MODULES.items() for name in names},
)
