"""What a trained network may say of a hand before the fit, and who says it.

The fit takes an `Initializer` from whoever builds it; the ones that ship are in `init_net`, which
this package never imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import Config, InitConfig, Network
from fitter.errors import InputError
from fitter.fitting.crops import HandCrop
from fitter.records import NormalisedHands, TensorBatch

ENTRY_POINTS = "fit_hands.initializers"
"""Group of the entry points that installed packages offer networks by: `InitializerFactory`s."""


@dataclass(frozen=True)
class Prediction(TensorBatch):
    """Keypoints of B right hands as one network sees them.

    Attributes:
        joints: (B, 21, 3) relative to the wrist keypoint, camera axes of the (mirrored) image, in
            crop units of `NormalisedHands`: ``focal (X_k - X_wrist) / Z_wrist`` with Z along
            `NormalisedHands.view_direction`. NaN for a hand that the network could not see.
        spread: (B, 21, 2) standard deviation of `joints` across (each of two axes) and along the
            line of sight, crop units.
    """

    joints: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Predictions:
    """All that is known of B hands from networks.

    Attributes:
        starts: name of a network -> its guess, the one to be trusted most first.
        masks: (S, S) float32 in [0, 1] for each hand, the probability that a pixel of its crop
            shows it; None for a hand without a crop or where no network segments.
    """

    starts: dict[str, Prediction]
    masks: Sequence[np.ndarray | None]


class Initializer(Protocol):
    """Networks that look at hands before they are fitted."""

    @property
    def digests(self) -> Mapping[str, str]:
        """What tells these networks from others, for the store: name -> digest of the weights."""
        ...

    def __call__(self, hands: NormalisedHands, crops: Sequence[HandCrop | None]) -> Predictions:
        """What the networks say of B hands.

        Args:
            hands: as they were detected; of one that is not usable nothing is said.
            crops: their images, None where there is none.
        """
        ...


class InitializerFactory(Protocol):
    """What stands behind an entry point."""

    def __call__(
        self, config: InitConfig, kinds: Collection[Network], device: torch.device
    ) -> Initializer:
        """Load networks.

        Args:
            config: which weights.
            kinds: that are needed.
            device: where they are to compute.

        Raises:
            InputError: weights cannot be read, or are of another network or hand model.
        """
        ...


def load_initializer(config: Config, device: torch.device) -> Initializer | None:
    """The networks of a run, or None where it asks for none.

    Args:
        config: of the run.
        device: where the fit runs.

    Raises:
        InputError: no installed package offers networks by that name, or they cannot be loaded.
    """
    kinds = config.asked_networks
    if config.init.source == "network" and not {"lifter", "handnet"} & {*kinds}:
        raise InputError("init.source=network: expected a lifter or a handnet, found neither")
    if not kinds:
        return None
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    name = config.init.networks
    if name not in offered:
        raise InputError(
            f"init.networks: expected one of {', '.join(sorted(offered)) or 'none'}, found {name!r}"
        )
    factory: InitializerFactory = offered[name].load()
    return factory(config.init, kinds, device)
