"""What a trained network may say of a hand before the fit, and who says it.

The fit takes an `Initializer` from whoever builds it. Which networks there are is said by the
offers of installed packages (`fitter.config.networks`); this package imports none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import Config
from fitter.errors import InputError
from fitter.records import HandCrop, NormalisedHands, TensorBatch
from fitter.rig import RigCamera


@dataclass(frozen=True)
class Looks(TensorBatch):
    """How B right hands look, see `Prediction`; NaN where nothing is said.

    Attributes:
        colours: (B, V, 3), or (B, 1, 3) where none are said.
        appearance: (B, A), or (B, 1) likewise; coefficients beyond those that are said are NaN.
        lighting: (B, 11).
    """

    colours: Tensor
    appearance: Tensor
    lighting: Tensor

    @property
    def said(self) -> Tensor:
        """(B,) bool: whether colours or coefficients are known."""
        return self.has_colours | self.has_appearance

    @property
    def has_colours(self) -> Tensor:
        """(B,) bool."""
        return self.colours.isfinite().all(-1).all(-1)

    @property
    def has_appearance(self) -> Tensor:
        """(B,) bool."""
        return self.appearance.isfinite().any(-1)

    @property
    def has_lighting(self) -> Tensor:
        """(B,) bool."""
        return self.lighting.isfinite().all(-1)

    def only(self, kept: Tensor) -> Looks:
        """The same with nothing said of hands that are not `kept` (B,) bool."""

        def where(values: Tensor) -> Tensor:
            return torch.where(kept.view(-1, *[1] * (values.ndim - 1)), values, torch.nan)

        return self.map(where)


_UNSAID = {
    "visibility": (21,),
    "rotations": (16, 3, 3),
    "betas": (1,),
    "wrist": (3,),
    "colours": (1, 3),
    "appearance": (1,),
    "lighting": (11,),
}
"""Shapes, without the batch, of what a network need not say."""


@dataclass(frozen=True)
class Prediction(TensorBatch):
    """Keypoints of B right hands as one network sees them, and the hands where it poses them.

    Attributes:
        keypoints: (B, 21, 3) relative to the wrist keypoint, camera axes of the (mirrored) image,
            in crop units of `NormalisedHands`: ``focal (X_k - X_wrist) / Z_wrist`` with Z along
            `NormalisedHands.view_direction`. NaN for a hand that the network could not see.
        std: (B, 21, 2) standard deviation of `keypoints` across (each of two axes) and along the
            line of sight, crop units.
        visibility: (B, 21) probability that each keypoint is seen in the image; NaN where the
            network says nothing of it, which is what None becomes.
        rotations: (B, 1 + R, 3, 3) of the R joints that rotate beside the root, 15 in MANO's
            skeleton: the wrist's in the camera's axes, then each relative to its parent; NaN, as
            all below, where the network poses no hand model.
        betas: (B, S) of the model that it poses, whose keypoints `keypoints` are.
        wrist: (B, 3) metres, where its camera has the wrist keypoint, camera axes.
        colours: (B, V, 3) sRGB of the vertices of the model that it poses; NaN, as all below, where
            the network says nothing of looks.
        appearance: (B, A) coefficients of that model's skin, in the place of colours.
        lighting: (B, 11) the light in which these are seen, camera axes, as
            `AmbientDirectionalLight.of` takes it, of a network that multiplies it with colours as
            they are stored (sRGB); NaN for even white light.
    """

    keypoints: Tensor
    std: Tensor
    visibility: Tensor | None = None
    rotations: Tensor | None = None
    betas: Tensor | None = None
    wrist: Tensor | None = None
    colours: Tensor | None = None
    appearance: Tensor | None = None
    lighting: Tensor | None = None

    def __post_init__(self) -> None:
        for name, shape in _UNSAID.items():
            if getattr(self, name) is None:
                unknown = self.keypoints.new_full((len(self.keypoints), *shape), torch.nan)
                object.__setattr__(self, name, unknown)

    @property
    def visible(self) -> Tensor:
        """(B, 21) `visibility`, NaN where nothing is said."""
        assert self.visibility is not None  # since `__post_init__`
        return self.visibility

    @property
    def posed(self) -> tuple[Tensor, Tensor, Tensor]:
        """`rotations`, `betas` and `wrist`, NaN where nothing is said."""
        assert self.rotations is not None and self.betas is not None and self.wrist is not None
        return self.rotations, self.betas, self.wrist

    @property
    def looks(self) -> Looks:
        """What is said of colours and light, NaN where nothing is."""
        assert self.colours is not None and self.appearance is not None  # since `__post_init__`
        assert self.lighting is not None
        return Looks(self.colours, self.appearance, self.lighting)


@dataclass(frozen=True)
class Predictions:
    """All that is known of B hands from networks.

    Attributes:
        initialisations: name of a network, among `NetworkOffer.initialisations` -> its prediction,
            the most trusted first.
        masks: (S, S) float32 in [0, 1] for each hand, the probability that a pixel of its crop
            shows it; None for a hand without a crop or where no network segments.
        together: as `initialisations`, of networks that take all views of a hand together; they are
            places to begin at, and neither a prior nor a reason to trust a fit.
    """

    initialisations: dict[str, Prediction]
    masks: Sequence[np.ndarray | None]
    together: Mapping[str, Prediction] = field(default_factory=dict)

    @property
    def starts(self) -> dict[str, Prediction]:
        """All that fits may begin at."""
        return {**self.initialisations, **self.together}


@dataclass(frozen=True)
class ViewedRows:
    """N rows, a hand in a camera each, as networks take them that look at all views of a hand.

    Attributes:
        hands: the rows as they were detected, right ones.
        crops: their images, None where there is none.
        hand: (N,) int64, ascending: rows of one number are one hand.
        cameras: of the N rows.
        is_left: (N,) bool, whether the hand was a left one.
    """

    hands: NormalisedHands
    crops: Sequence[HandCrop | None]
    hand: Tensor
    cameras: Sequence[RigCamera]
    is_left: Tensor


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

    def together(self, rows: ViewedRows) -> Mapping[str, Prediction]:
        """What networks that take all views of a hand together say of N rows: name among
        `NetworkOffer.initialisations` -> its prediction, NaN for rows of hands of another number of
        views than it takes. Empty without such a network."""
        ...


class InitializerFactory(Protocol):
    """What stands behind `fitter.config.networks.NetworkOffer.loader`."""

    def __call__(
        self, options: Any, names: Collection[str], margin: float, device: torch.device
    ) -> Initializer:
        """Load networks.

        Args:
            options: of the type that the offer names.
            names: of the networks that are needed.
            margin: of the crops that they will see: side of the square over the longer side of the
                keypoints' box.
            device: where they are to compute.

        Raises:
            InputError: weights cannot be read, are of another network or hand model, take the
                features of another detector, or were trained on crops of another margin.
        """
        ...


def load_initializer(config: Config, device: torch.device) -> Initializer | None:
    """The networks of a run, or None where it asks for none.

    Args:
        config: of the run.
        device: where the fit runs.

    Raises:
        InputError: `network.no_initialisation`: fits are to start where networks say, and none
            that says it has weights; or they cannot be loaded.
    """
    asked = config.asked_networks
    offer = config.init.offer
    gives = {network.gives for network in asked}
    if config.init.source == "network" and "initialisation" not in gives:
        raise InputError(
            "network.no_initialisation",
            file="init.source=network",
            known=" or ".join(f"init.{name}" for name in offer.initialisations),
        )
    if not asked:
        return None
    factory: InitializerFactory = offer.load()
    names = [network.name for network in asked]
    return factory(config.init.options, names, config.refine.margin, device)
