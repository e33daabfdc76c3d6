"""What `init_net` offers the engine: the names of its networks, and the options that they have.

The entry points of the package: its own networks, and those of two papers that draw the hand which
they predict, each by its name. The networks themselves are loaded by `init_net.predict`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator

from fitter.config.networks import NetworkOffer, NetworkOptions, OfferedNetwork
from fitter.config.section import mistake

SHIPPED = "shipped"
"""In the place of a file of weights: those that come with the project."""

HANDNET = "handnet"
"""In the place of the segmentation's weights: the decoder of `InitNetOptions.handnet`'s."""

AUTOENCODERS = ("s2hand", "zhao")
"""Networks of the kind autoencoder, by the names of the papers that they are trained as."""

MESH_NETS = ("wsim",)
"""Networks of the kind mesh_net, likewise."""

NETWORK_KINDS = {
    **dict.fromkeys(AUTOENCODERS, "autoencoder"),
    **dict.fromkeys(MESH_NETS, "mesh_net"),
}
"""Kind of network that weights are of, where an option is not named after it."""

CAMERAS = {"s2hand": "perspective", "zhao": "orthographic"}
"""How a network projects the hand that it says (`AutoencoderConfig.camera`): by it the two papers'
are told apart."""

SHIPPED_WEIGHTS = Path(__file__).parent / "shipped"
"""Folder of the weights that ship; those of a network alone are named after it."""


def shipped_file(name: str) -> Path | None:
    """The file of the weights that ship under a name; None where none do."""
    path = SHIPPED_WEIGHTS / f"{name}.safetensors"
    return path if Path(name).name == name and path.exists() else None


def _is_file(given: str | None) -> bool:
    """Whether an option of `InitNetOptions` names a file of somebody's own."""
    return given not in (None, SHIPPED, HANDNET) and shipped_file(str(given)) is None


class _Weights(NetworkOptions):
    """Base of options that name files of weights."""

    def with_absolute_paths(self) -> Self:
        """See `NetworkOptions.with_absolute_paths`."""
        files = {name: file for name, file in self if _is_file(file)}
        return self.model_copy(
            update={name: str(Path(file).absolute()) for name, file in files.items()}
        )


class InitNetOptions(_Weights):
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


class PosingOptions(_Weights):
    """Which weights the networks have that stand beside one that poses a hand model."""

    hand_model: str | None = Field(
        None,
        min_length=1,
        description="file or folder of the hand model that the network poses; null where it lies "
        "at the place that its weights name",
    )
    lifter: str | None = Field(
        None,
        min_length=1,
        description="weights of the lifter, a prior and an initialisation beside: shipped, a file, "
        "or null",
    )
    segmentation: str | None = Field(
        SHIPPED,
        min_length=1,
        description="weights of the segmentation, for stages that need masks: shipped, a file, or "
        "null",
    )

    @field_validator("segmentation")
    @classmethod
    def _is_of_no_handnet(cls, given: str | None) -> str | None:
        if given == HANDNET:
            raise mistake("network.no_handnet_beside")
        return given


class S2HandOptions(PosingOptions):
    """Those of the network of S2HAND."""

    s2hand: str | None = Field(
        None, min_length=1, description="weights of the network of train-hands s2hand: a file"
    )


class ZhaoOptions(PosingOptions):
    """Those of Zhao's network."""

    zhao: str | None = Field(
        None, min_length=1, description="weights of the network of train-hands zhao: a file"
    )


class WsimOptions(PosingOptions):
    """Those of the network of WSIM 3D Hand (Yu et al.)."""

    wsim: str | None = Field(
        None, min_length=1, description="weights of the network of train-hands wsim: a file"
    )


_LOADER = "init_net.predict:load_networks"

OFFER = NetworkOffer(
    options=InitNetOptions,
    networks=(
        OfferedNetwork("lifter", "initialisation", sees_images=False),
        OfferedNetwork("handnet", "initialisation", sees_images=True),
        OfferedNetwork("stereo", "initialisation", sees_images=True, cameras=2),
        OfferedNetwork("segmentation", "mask", sees_images=True),
    ),
    loader=_LOADER,
)
"""The entry point `init_net`."""


def _offer_of(name: str, options: type[NetworkOptions]) -> NetworkOffer:
    """A network that poses a hand model, and what may stand beside it."""
    return NetworkOffer(
        options=options,
        networks=(
            OfferedNetwork(name, "initialisation", sees_images=True),
            OfferedNetwork("lifter", "initialisation", sees_images=False),
            OfferedNetwork("segmentation", "mask", sees_images=True),
        ),
        loader=_LOADER,
    )


S2HAND = _offer_of("s2hand", S2HandOptions)
"""The entry point `s2hand`."""

ZHAO = _offer_of("zhao", ZhaoOptions)
"""The entry point `zhao`."""

WSIM = _offer_of("wsim", WsimOptions)
"""The entry point `wsim`."""
