"""Convolutional encoders of timm, cut in two: a front for each kind of input, one tail."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitter.errors import InputError
from fitter.light_imports import without_compiler

with without_compiler():
    import timm
    from timm.layers import convert_sync_batchnorm
    from timm.models import FeatureListNet
    from timm.models._features import FeatureInfo
    from timm.models.efficientnet import EfficientNetFeatures
    from timm.models.mobilenetv3 import MobileNetV3Features


def is_encoder(name: str) -> bool:
    """Whether timm itself has such a model: it also reads others, from the network or the disk."""
    return timm.is_model(name)


def synchronised(network: nn.Module) -> nn.Module:
    """A network with `SyncBatchNorm` in the place of its batch normalisation, else what it was:
    PyTorch's own conversion would lose the activations that timm's layers have in them."""
    found: nn.Module = convert_sync_batchnorm(network)
    return found


def pooled_encoder(name: str, size: int) -> tuple[nn.Module, int]:
    """Build an encoder with random weights that makes one vector of an image: timm's model without
    its classifier, with its own pooling and all that it has before or behind that.

    Args:
        name: of the encoder in timm, such as "efficientnet_b0".
        size: S of the images, pixels.

    Returns:
        A module (B, 3, S, S) -> (B, F), and F.

    Raises:
        InputError: timm has no such encoder, or it takes no such images.
    """
    if not is_encoder(name):
        raise InputError("network.no_timm_encoder", encoder=name)
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0)
        outline = copy.deepcopy(model).to("meta").eval()
        shape = outline(torch.zeros(1, 3, size, size, device="meta")).shape
    except Exception as error:  # timm raises many kinds
        raise InputError("network.no_timm_features", encoder=name, reason=str(error)) from error
    if len(shape) != 2:
        reason = f"an output of shape {tuple(shape)}"
        raise InputError("network.no_timm_features", encoder=name, reason=reason)
    return model, shape[1]


@dataclass(frozen=True)
class SplitEncoder:
    """An encoder in two parts; ``tail(front(image))`` are its last features.

    A stage of it ends where its maps are at half the resolution of the stage before.

    Attributes:
        front: (B, in_channels, S, S) to (B, C, s, s), where it is cut.
        tail: from there to (B, C', s', s'), the last stage.
        front_ends, tail_ends: places in either of the modules that a stage ends with; the last
            one is the part's last module.
        channels: of every stage.
        strides: of every stage: pixels of the image along a cell of its map.
    """

    front: nn.Sequential
    tail: nn.Sequential
    front_ends: tuple[int, ...]
    tail_ends: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def split_channels(self) -> int:
        """C where it is cut."""
        return self.channels[len(self.front_ends) - 1]


def staged(modules: nn.Sequential, maps: Tensor, ends: Collection[int]) -> list[Tensor]:
    """Run modules one after the other, and keep what those at the places `ends` say.

    Args:
        modules: of `SplitEncoder`.
        maps: (B, C, H, W) for the first of them.
        ends: places; the last module's has to be among them.

    Returns:
        The maps at `ends`, in order: the last one is what the modules together say.
    """
    found = []
    for place, module in enumerate(modules):
        maps = module(maps)
        if place in ends:
            found.append(maps)
    return found


def split_encoder(name: str, split: int, in_channels: int) -> SplitEncoder:
    """Build an encoder with random weights and cut it behind one of its feature stages.

    timm gives any of its encoders as a list of stages, each at half the resolution of the one
    before, and says which module each stage ends with. The ResNets and EfficientNets among them
    (and all others whose modules simply follow each other) are cut behind that module. For a ResNet
    the stages are the stem and its four layers, so that split = 2 is behind its second layer, the
    third stage: "at the third ResNet layer" of Seeber 3.1, where ResNet-50 has the C = 512 of the
    printed bottleneck 2C / 8 = 128.

    Args:
        name: of the encoder in timm, such as "resnet50" or "mobilenetv3_small_100".
        split: index of the last stage of the front, from 1; 0 is the stem, at half the resolution.
        in_channels: of the image; the first convolution is made for them.

    Raises:
        InputError: timm has no such encoder, it is none that can be cut, or it has no such stage.
    """
    if not is_encoder(name):
        raise InputError("network.no_timm_encoder", encoder=name)
    try:
        model = timm.create_model(name, pretrained=False, features_only=True, in_chans=in_channels)
    except Exception as error:  # timm raises many kinds
        raise InputError("network.no_timm_features", encoder=name, reason=str(error)) from error
    known = isinstance(model, FeatureListNet | EfficientNetFeatures | MobileNetV3Features)
    # Transformers such as Swin follow the list as well, but their maps are (B, H, W, C).
    if not known or str(getattr(model, "output_fmt", "NCHW")) not in ("NCHW", "Format.NCHW"):
        raise InputError("network.no_sequence", encoder=name, found=type(model).__name__)
    stages: FeatureInfo = model.feature_info  # type: ignore[assignment]  # timm sets it so
    channels = stages.channels()
    last = len(channels) - 1
    if not 1 <= split < last:
        raise InputError("network.no_split", encoder=name, last=last - 1, found=split)
    steps = _steps(model)
    places = list(steps)
    ends = [places.index(_spelled(model, stages.module_name(k))) for k in range(last + 1)]
    cut = ends[split] + 1
    modules = list(steps.values())[: ends[last] + 1]
    return SplitEncoder(
        front=nn.Sequential(*modules[:cut]),
        tail=nn.Sequential(*modules[cut:]),
        front_ends=tuple(end for end in ends if end < cut),
        tail_ends=tuple(end - cut for end in ends if end >= cut),
        channels=tuple(channels),
        strides=tuple(stages.reduction()),
    )


def _steps(model: nn.Module) -> dict[str, nn.Module]:
    """The modules in the order they run, by the name that timm's feature stages have."""
    steps: dict[str, nn.Module] = {}
    for name, module in model.named_children():
        # EfficientNets keep all but their stem in one list of blocks.
        parts = module.named_children() if name == "blocks" else ()
        inner = {f"{name}.{part}": block for part, block in parts}
        steps.update(inner or {name: module})
    return steps


def _spelled(model: nn.Module, name: str) -> str:
    """The name of a module as `_steps` has it: a `FeatureListNet` is flat."""
    return name.replace(".", "_") if isinstance(model, FeatureListNet) else name
