"""Convolutional encoders of timm, cut in two: a front for each kind of input, one tail."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fitter.errors import InputError
from fitter.light_imports import without_compiler

with without_compiler():
    import timm
    from timm.models import FeatureListNet
    from timm.models._features import FeatureInfo
    from timm.models.efficientnet import EfficientNetFeatures
    from timm.models.mobilenetv3 import MobileNetV3Features


def is_encoder(name: str) -> bool:
    """Whether timm itself has such a model: it also reads others, from the network or the disk."""
    return timm.is_model(name)


@dataclass(frozen=True)
class SplitEncoder:
    """An encoder in two parts; ``tail(front(image))`` are its last features.

    Attributes:
        front: (B, in_channels, S, S) to (B, split_channels, s, s).
        tail: from there to (B, channels, S / 32, S / 32).
        split_channels: C where it is cut.
        channels: of its output.
    """

    front: nn.Sequential
    tail: nn.Sequential
    split_channels: int
    channels: int


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
    cut = list(steps).index(_spelled(model, stages.module_name(split))) + 1
    modules = list(steps.values())
    return SplitEncoder(
        nn.Sequential(*modules[:cut]),
        nn.Sequential(*modules[cut:]),
        channels[split],
        channels[last],
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
