"""What installed packages offer as networks: their names, their options, who loads them.

A package offers networks by an entry point of the group `fit_hands.initializers`, which names a
`NetworkOffer`. Its options then belong to the section `init` of the configuration, beside those of
`fitter.config.options.InitConfig`. The engine itself knows no network by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, Self

from fitter.config.section import Section
from fitter.errors import InputError

ENTRY_POINTS = "fit_hands.initializers"
"""Group of the entry points; the name of one is what `init.networks` says."""


class NetworkOptions(Section):
    """Base of the options that an offer adds to the section `init`.

    Each network of the offer has the option of its name: its weights, or None where it is not
    wanted. Further options are the offer's own affair.
    """

    def with_absolute_paths(self) -> Self:
        """The same for a process that works in another folder."""
        return self


@dataclass(frozen=True)
class OfferedNetwork:
    """One network of an offer.

    Attributes:
        name: an identifier: of its option, of its code in `initialisation_source`, and of its
            digest in the store.
        gives: whether it says where the hand is, for fits to start from, or which pixels show it.
        sees_images: whether it looks at the hands' crops; else the keypoints are enough for it.
        cameras: of how many cameras it takes the views of a hand together; it then is for rigs of
            as many.
    """

    name: str
    gives: Literal["initialisation", "mask"]
    sees_images: bool
    cameras: int = 1


@dataclass(frozen=True)
class NetworkOffer:
    """The networks that a package offers. Importing it must be light: it loads no network.

    Attributes:
        options: of the networks.
        networks: of those that give initialisations, the most trusted first.
        loader: where their `fitter.fitting.initializer.InitializerFactory` is, "module:function";
            the module is imported when the networks are needed.
    """

    options: type[NetworkOptions]
    networks: tuple[OfferedNetwork, ...]
    loader: str

    @property
    def initialisations(self) -> tuple[str, ...]:
        """Names of the networks that give initialisations."""
        return tuple(each.name for each in self.networks if each.gives == "initialisation")

    def load(self) -> Any:
        """The function that `loader` names."""
        module, _, function = self.loader.partition(":")
        return getattr(import_module(module), function)


def require_cameras(networks: Sequence[OfferedNetwork], cameras: int) -> None:
    """Refuse networks that are for rigs of another number of cameras.

    Args:
        networks: that a run asks for.
        cameras: of its rig; 1 for single images.

    Raises:
        InputError: `network.other_cameras`: one of them is.
    """
    for network in networks:
        if network.cameras not in (1, cameras):
            raise InputError(
                "network.other_cameras",
                file=f"init.{network.name}",
                expected=network.cameras,
                found=cameras,
            )


@lru_cache
def load_offer(name: str) -> NetworkOffer:
    """The networks that an installed package offers under a name.

    Raises:
        InputError: `network.not_offered`: no package does.
    """
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise InputError("network.not_offered", file="init.networks", known=known, found=name)
    offer: NetworkOffer = offered[name].load()
    return offer


def offer_with(option: str) -> str | None:
    """The first name, in alphabetical order, under which a package offers networks with an option;
    None for one that no offer has."""
    names = sorted(point.name for point in entry_points(group=ENTRY_POINTS))
    return next((name for name in names if option in load_offer(name).options.model_fields), None)
