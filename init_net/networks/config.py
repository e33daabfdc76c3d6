"""The options of the networks, and networks of them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fitter.config.section import Section, mistake

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
InputSize = Annotated[
    int, Field(ge=32, le=2048, multiple_of=32, description="S, side of the crop, pixels")
]
Margin = Annotated[
    float,
    Field(gt=0, description="side of the crop over the longer side of the keypoints' box"),
]


REGRESSING = ("image_front", "keypoint_front", "fusion", "tail", "head")
"""Names of the parts that a lifter and a HandNet have, in the order in which data pass."""


class KeypointDropout(Section):
    """How often keypoints are taken away in training (not published)."""

    all: Share = Field(0.2, description="probability that a hand loses all keypoints")
    single: Share = Field(0.05, description="probability with which each of them goes otherwise")


class LifterConfig(Section):
    """A `init_net.networks.lifter.HandLifter`."""

    kind: Literal["lifter"] = "lifter"
    width: Positive = Field(256, description="features of the hidden layers")
    blocks: int = Field(3, ge=1, le=100, description="residual blocks of two layers each")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of features dropped in training")
    feature_dropout: float = Field(
        0.2, ge=0, lt=1, description="share of the detector's features dropped in training"
    )
    fusion_ratio: Positive = Field(
        8, description="of 2 width to the features of the fusion's bottleneck"
    )
    betas: Positive = Field(10, description="shape coefficients S")

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the network's parts, see `init_net.networks.parts`."""
        return REGRESSING


class HandNetConfig(Section):
    """A `init_net.networks.handnet.HandNet`: the compact one, where nothing else is given."""

    kind: Literal["handnet"] = "handnet"
    encoder: str = Field("mobilenetv3_small_100", description="name of the encoder in timm")
    split: int = Field(
        2, ge=1, description="last stage of the two fronts; 0 is the stem, at half the resolution"
    )
    fusion_ratio: Positive = Field(
        8, description="of 2C to the channels of the fusion's bottleneck"
    )
    hidden: list[Positive] = Field(
        [512, 256], max_length=100, description="sizes of the dense layers"
    )
    pooling: Literal["mean", "grid"] = Field(
        "grid",
        description="what the dense layers see of the encoder's last map: its mean, or all of its "
        "cells, so that where something is need not be told by what it is",
    )
    grid_channels: Positive = Field(64, description="of each cell, for the pooling grid")
    rotation: Literal["6d", "axis_angle"] = Field("6d", description="how rotations are given")
    betas: Positive = Field(10, description="shape coefficients S")
    decoder_channels: list[Positive] | None = Field(
        None,
        min_length=5,
        max_length=5,
        description="channels of the segmentation decoder's stages, from the coarsest, each of "
        "twice the resolution of the one before; null for none",
    )
    input_size: InputSize = 128
    margin: Margin = 1.4
    heatmap_sigma: float = Field(
        0.02, gt=0, description="standard deviation of a keypoint's Gaussian, sides of the crop"
    )
    keypoint_dropout: KeypointDropout = Field(
        default_factory=KeypointDropout, description="of training"
    )

    @property
    def part_names(self) -> tuple[str, ...]:
        """As `LifterConfig.part_names`."""
        return REGRESSING if self.decoder_channels is None else (*REGRESSING, "segmentation")


class SegmentationConfig(Section):
    """A `init_net.networks.segmentation.HandSegmentation`."""

    kind: Literal["segmentation"] = "segmentation"
    encoder: str = Field(
        "tu-mobilenetv3_small_100",
        description="name of the encoder in segmentation_models_pytorch, 'tu-' for those of timm",
    )
    decoder_channels: list[Positive] = Field(
        [64, 32, 24, 16, 8],
        min_length=5,
        max_length=5,
        description="channels of the decoder's stages, from the coarsest, each of twice the "
        "resolution of the one before",
    )
    input_size: InputSize = 128
    margin: Margin = 1.4
    heatmap_sigma: float = Field(
        0.02, gt=0, description="standard deviation of a keypoint's Gaussian, sides of the crop"
    )
    keypoint_dropout: KeypointDropout = Field(
        default_factory=KeypointDropout, description="of training"
    )

    @property
    def part_names(self) -> tuple[str, ...]:
        """As `LifterConfig.part_names`: none."""
        return ()


class StereoConfig(Section):
    """A `init_net.networks.stereo.StereoHandNet`."""

    kind: Literal["stereo"] = "stereo"
    mono: HandNetConfig = Field(
        default_factory=HandNetConfig, description="the network that looks at each view"
    )
    shared: bool = Field(
        True,
        description="both views are looked at with the same weights; false: each with its own, "
        "which begin alike",
    )
    sigmoid: bool = Field(
        True, description="weights lie between 0 and 1; false: they are any numbers"
    )

    @property
    def part_names(self) -> tuple[str, ...]:
        """As `LifterConfig.part_names`."""
        return (*self.mono.part_names, "original_front", "stereo")

    @property
    def input_size(self) -> int:
        """S of both crops, pixels."""
        return self.mono.input_size

    @property
    def margin(self) -> float:
        """Of both crops."""
        return self.mono.margin

    @property
    def betas(self) -> int:
        """Shape coefficients S."""
        return self.mono.betas


MAP_MULTIPLE = 8
"""Cells of which sides of heatmaps are multiples (not published)."""


class HourglassConfig(Section):
    """A `init_net.networks.hourglass.KeypointEstimator`: 2D keypoints of an image alone, which
    S2HAND (Chen et al. 2021, 3.3) trains beside its 3D branch and does without at inference."""

    stacks: Positive = Field(2, description="hourglasses one after the other (not published)")
    channels: Positive = Field(64, description="of their maps (not published)")
    depth: int = Field(3, ge=1, le=5, description="halvings within an hourglass (not published)")
    map_size: Positive = Field(
        32, multiple_of=MAP_MULTIPLE, description="side of the heatmaps, cells (not published)"
    )


class AutoencoderConfig(Section):
    """A `init_net.networks.autoencoder.HandAutoencoder`: S2HAND's network, and Zhao's."""

    kind: Literal["autoencoder"] = "autoencoder"
    encoder: str = Field("efficientnet_b0", description="name of the encoder in timm")
    hidden: list[Positive] = Field(
        [512], max_length=100, description="sizes of the dense layers before each code"
    )
    hand_model: str = Field(
        "open_hand",
        min_length=1,
        description="what poses the hand: open_hand, a MANO file, or the folder of a NIMBLE model",
    )
    pose_components: Positive = Field(30, description="principal components of the pose")
    betas: Positive = Field(10, description="shape coefficients S")
    rotation: Literal["6d", "axis_angle"] = Field(
        "axis_angle", description="how the last layer gives R; printed are three numbers"
    )
    appearance: Literal["none", "vertex_colours", "components"] = Field(
        "vertex_colours",
        description="the texture code: a colour a vertex (S2HAND 3.1), or coefficients of the hand "
        "model's skin (Zhao 3.1)",
    )
    appearance_components: Positive = Field(10, description="of the appearance components")
    light: Literal["ambient_directional", "even"] = Field(
        "ambient_directional",
        description="the light that the hand is drawn in: S2HAND's 11 numbers, or even and white",
    )
    camera: Literal["perspective", "orthographic"] = Field(
        "perspective",
        description="how 3D becomes 2D: M = s M0 R + T seen by the crop's K (S2HAND 3.2), or "
        "s Pi(M0 R) + t (Zhao 3.3)",
    )
    focal: Literal["given", "predicted"] = Field(
        "given",
        description="of a perspective camera: that of the picture, or the network's own",
    )
    estimator: HourglassConfig | None = Field(
        None, description="the 2D branch of training; null for none"
    )
    input_size: InputSize = 128
    margin: Margin = 1.4

    @model_validator(mode="after")
    def _has_a_focal_length(self) -> Self:
        if self.camera == "orthographic" and self.focal == "predicted":
            raise mistake("network.orthographic_focal")
        return self

    @property
    def part_names(self) -> tuple[str, ...]:
        """As `LifterConfig.part_names`."""
        is_bare = self.appearance == "none" and self.light == "even"
        texture = () if is_bare else ("texture",)
        estimator = () if self.estimator is None else ("estimator",)
        return ("encoder", "geometry", *texture, *estimator)


class RefinerConfig(Section):
    """The variational autoencoder of Yu et al. 3.2, whichever network it is a part of."""

    latent: Positive = Field(128, description="size of its latent code (Yu et al. 4.1)")
    hidden: list[Positive] = Field(
        [512],
        max_length=100,
        description="sizes of the dense layers before the code, the decoder's in the other order "
        "(not published)",
    )


class JointVAEConfig(RefinerConfig):
    """A `init_net.networks.joint_vae.JointVAE` (Yu et al. 3.2) by itself: joints that were
    regressed from a mesh, to the joints that pose it."""

    kind: Literal["joint_vae"] = "joint_vae"
    hand_model: str = Field(
        "open_hand",
        min_length=1,
        description="whose joints: open_hand, a MANO file, or the folder of a NIMBLE model",
    )
    betas: Positive = Field(10, description="shape coefficients S of the hands it learns from")

    @property
    def part_names(self) -> tuple[str, ...]:
        """As `LifterConfig.part_names`: itself, so that a `MeshNet` can begin with it."""
        return ("vae",)


class MeshNetConfig(Section):
    """A `init_net.networks.mesh_net.MeshNet`: the network of WSIM 3D Hand (Yu et al.)."""

    kind: Literal["mesh_net"] = "mesh_net"
    encoder: str = Field("resnet50", description="name of the encoder in timm")
    latent: Positive = Field(1000, description="size of z (Yu et al. 3.2)")
    decoder: Literal["spiral", "transformer", "parametric"] = Field(
        "spiral",
        description="f(z): spiral convolutions on the mesh, a mesh transformer, or the parameters "
        "of the hand model (Yu et al. 4.1)",
    )
    channels: list[Positive] = Field(
        [128, 64, 32],
        min_length=1,
        max_length=6,
        description="spiral: features of the decoder's levels, from the coarsest mesh; each level "
        "has about a quarter of the vertices of the next. transformer: widths of its blocks, on "
        "the coarsest of as many levels. parametric: not used (not published)",
    )
    hand_model: str = Field(
        "open_hand",
        min_length=1,
        description="whose mesh it is: open_hand, a MANO file, or the folder of a NIMBLE model",
    )
    vae: RefinerConfig | None = Field(
        default_factory=RefinerConfig,
        description="what refines the regressed joints; null for none (Table 3)",
    )
    twist: Literal["predicted", "zero", "random"] = Field(
        "predicted", description="twists of the bones: the network's, 0, or random (Table 4)"
    )
    betas: Positive = Field(10, description="shape coefficients S")
    hidden: list[Positive] = Field(
        [512],
        max_length=100,
        description="sizes of the dense layers of the heads of shape and twist, and of the "
        "parametric decoder (not published)",
    )
    input_size: InputSize = 128
    margin: Margin = 1.4

    @property
    def part_names(self) -> tuple[str, ...]:
        """As `LifterConfig.part_names`."""
        vae = () if self.vae is None else ("vae",)
        return ("encoder", "decoder", *vae, "parameters", "camera")


NetworkConfig = Annotated[
    LifterConfig
    | HandNetConfig
    | SegmentationConfig
    | StereoConfig
    | AutoencoderConfig
    | JointVAEConfig
    | MeshNetConfig,
    Field(discriminator="kind"),
]
"""A network's options, told apart by `kind`."""
