"""What `init_net` offers the engine: the names of its networks, and the options that they have.

The entry point of the package. The networks themselves are loaded by `init_net.predict`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from fitter.config.networks import NetworkOffer, NetworkOptions, OfferedNetwork

SHIPPED = "shipped"
"""In the place of a file of weights: those that come with the project."""

HANDNET = "handnet"
"""In the place of the segmentation's weights: the decoder of `InitNetOptions.handnet`'s."""

SHIPPED_WEIGHTS = Path(__file__).parent / "shipped"
"""Folder of the weights that ship; those of a network alone are named after it."""


def shipped_file(name: str) -> Path | None:
    """The file of the weights that ship under a name; None where none do."""
    path = SHIPPED_WEIGHTS / f"{name}.safetensors"
    return path if Path(name).name == name and path.exists() else None


def _is_file(given: str | None) -> bool:
    """Whether an option of `InitNetOptions` names a file of somebody's own."""
    return given not in (None, SHIPPED, HANDNET) and shipped_file(str(given)) is None


class InitNetOptions(NetworkOptions):
    """Which weights the networks have."""

    lifter: str | None = Field(
        SHIPPED, min_length=1, description="weights of the lifter: shipped, a file, or null"
    )
    handnet: str | None = Field(
        None,
        min_length=1,
        description="weights of the HandNet: shipped, a file, or null; an initialisation beside "
        "the lifter's that seldom helps",
    )
    stereo: str | None = Field(
        None,
        min_length=1,
        description="weights of the stereo network: a file, or null; an initialisation of hands "
        "that both cameras of a pair see (--views)",
    )
    segmentation: str | None = Field(
        SHIPPED,
        min_length=1,
        description="weights of the segmentation: shipped, a file, null, or handnet: the decoder "
        "of the HandNet's weights",
    )

    def with_absolute_paths(self) -> Self:
        """See `NetworkOptions.with_absolute_paths`."""
        files = {name: file for name, file in self if _is_file(file)}
        return self.model_copy(
            update={name: str(Path(file).absolute()) for name, file in files.items()}
        )


OFFER = NetworkOffer(
    options=InitNetOptions,
    networks=(
        OfferedNetwork("lifter", "initialisation", sees_images=False),
        OfferedNetwork("handnet", "initialisation", sees_images=True),
        OfferedNetwork("stereo", "initialisation", sees_images=True, cameras=2),
        OfferedNetwork("segmentation", "mask", sees_images=True),
    ),
    loader="init_net.predict:load_networks",
)
"""The entry point."""
