"""`MeshNet`: the network of WSIM 3D Hand (Yu et al. 2023, section 3).

    image -> encoder -> z -> decoder -> M_np -> regressor -> J^ -> JointVAE -> J~
                        z -> shape and twist -> beta, phi;  f(phi, J~) -> theta -> M(beta, theta)
                        z -> camera

Printed are the backbone, the sizes of z and of the VAE's code, the kinds of decoders, and that
shape and twist come from "two fully-connected networks" (4.1). Not printed: what these see, here z;
a camera, which their figures, relative to the wrist, do not need; and where the numbers begin, here
with a hand of mean pose and shape that fills the crop, fingers up and palm to the camera.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fitter.hand_models import HandModel, inverse_kinematics
from fitter.records import HandParams
from init_net.hand_model_id import network_hand_model, require_components
from init_net.mesh_records import MeshDraws, MeshInputs, MeshPredictions, RefinedJoints
from init_net.networks.config import MeshNetConfig
from init_net.networks.dense import dense_layers
from init_net.networks.encoders import pooled_encoder
from init_net.networks.hand_layer import HandLayer
from init_net.networks.heatmaps import channels_last
from init_net.networks.joint_vae import JointVAE
from init_net.networks.mesh_decoders.decoder import SMALL_WEIGHTS, facing_pose
from init_net.networks.mesh_decoders.parametric import ParametricDecoder
from init_net.networks.mesh_decoders.spiral import SPIRAL_LENGTH, SpiralDecoder
from init_net.networks.mesh_decoders.transformer import TransformerDecoder
from init_net.networks.mesh_levels import MeshLevels
from init_net.networks.parts import NOTHING

TWISTS = 15
"""Bones of the fingers, which have a twist each."""


class MeshNet(nn.Module):
    """`MeshInputs` to `MeshPredictions`; a network of parts (`HasParts`).

    Attributes:
        config: as given. Its `twist` may be exchanged at any time: weights do not depend on it.
        encoder: image to z.
        decoder: f of eq. 2, a `MeshDecoder`.
        vae: refines the joints; None without `MeshNetConfig.vae`.
        reconstruction: shape, twist and the parametric mesh, the part "parameters".
        camera: dense layer to the camera.
    """

    def __init__(self, config: MeshNetConfig) -> None:
        """A network with PyTorch's own random weights but for the last layers, see this module.

        Raises:
            InputError: there is no such encoder or hand model, the hand model has fewer components
                than there are coefficients, or its mesh has not as many levels as `channels` asks.
        """
        super().__init__()
        self.config = config
        model = network_hand_model(config.hand_model, config.betas)
        require_components(model.data, "betas", model.data.shapedirs.shape[2], config.betas)
        with torch.device("cpu"):  # numbers, also where a network is built without memory for any
            hand = HandLayer(model)
            start = hand.posed(facing_pose(model))
            seen = _camera_start(start[1][0], config.margin)
        self.encoder = _Encoder(config)
        self.decoder = _decoder(config, hand, (start[0][0], start[1][0]))
        self.vae = None if config.vae is None else JointVAE(config.vae)
        self.reconstruction = Reconstruction(config, hand)
        self.camera = dense_layers([config.latent, 3], seen, SMALL_WEIGHTS)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `HasParts.parts`."""
        parts = {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "vae": self.vae,
            "parameters": self.reconstruction,
            "camera": self.camera,
        }
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def optional_parts(self) -> frozenset[str]:
        """See `HasParts.optional_parts`: without a VAE the regressed joints pose the hand (Table 3,
        "w/o VAE")."""
        return frozenset({"vae"} & self.parts.keys())

    @property
    def hand(self) -> HandLayer:
        """What poses the parametric hand."""
        return self.reconstruction.hand

    @property
    def faces(self) -> Tensor:
        """(F, 3) int64 of the meshes, counter-clockwise seen from outside."""
        return self.hand.model.faces

    def forward(
        self,
        inputs: MeshInputs,
        absent: frozenset[str] = NOTHING,
        draws: MeshDraws | None = None,
    ) -> MeshPredictions:
        """Look at B hands.

        Args:
            inputs: of B crops.
            absent: parts that are left out, of `optional_parts`.
            draws: of B hands; needed while the VAE learns, and for random twists.

        Returns:
            Of the dtype of the image. A hand whose joints are not finite has NaN for its parameters
            and parametric mesh, which give no gradient, and no other hand sees it (but for the
            statistics of a batch, in training mode).

        Raises:
            ValueError: the crops are not of the configured size, the network cannot do without
                these parts, or draws are needed and missing.
        """
        size = self.config.input_size
        if inputs.image.shape[1:] != (3, size, size):
            shape = tuple(inputs.image.shape)
            raise ValueError(f"crops of shape (B, 3, {size}, {size}) expected, got {shape}")
        if not absent <= self.optional_parts:
            raise ValueError(f"parts among {sorted(self.optional_parts)} expected, got {absent}")
        latent = self.encoder(inputs.image)
        # Under mixed precision meshes and kinematics would be halves: off by half a millimetre.
        with torch.autocast(inputs.image.device.type, enabled=False):
            vertices = self.decoder(latent)
            regressed = self.hand.regress(vertices)
            refined: RefinedJoints | None = None
            if self.vae is not None and "vae" not in absent:
                refined = self.vae(regressed, None if draws is None else draws.code)
            joints = regressed if refined is None else refined.joints
            betas, twist = self.reconstruction.said(latent)
            hand = self.reconstruction.solved(joints, betas, self._twist(twist, draws))
            posed_vertices, posed_joints = self.hand.posed(hand)
            camera = self.camera(latent)
        return MeshPredictions(
            vertices=vertices,
            regressed=regressed,
            refined=refined,
            betas=betas,
            twist=twist,
            hand=hand,
            parametric_vertices=posed_vertices,
            parametric_joints=posed_joints,
            camera=torch.cat([camera[:, :1].exp(), camera[:, 1:]], 1),
        )

    def _twist(self, said: Tensor, draws: MeshDraws | None) -> Tensor:
        """(B, 15) what poses the hand: Table 4's choices."""
        if self.config.twist == "predicted":
            return said
        if self.config.twist == "zero":
            return torch.zeros_like(said)
        if draws is None:
            raise ValueError("draws expected, of which random twists are made")
        return draws.twist.to(said)


class Reconstruction(nn.Module):
    """Yu et al. 3.3: shape and twist of z, theta of twist and joints.

    Attributes:
        hand: the hand model as a layer.
        shape, twist: the two fully-connected networks; both say nearly 0 at first.
    """

    def __init__(self, config: MeshNetConfig, hand: HandLayer) -> None:
        super().__init__()
        self.hand = hand
        sizes = [config.latent, *config.hidden]
        self.shape = dense_layers([*sizes, config.betas], torch.zeros(config.betas), SMALL_WEIGHTS)
        self.twist = dense_layers([*sizes, TWISTS], torch.zeros(TWISTS), SMALL_WEIGHTS)

    def said(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) shapes and (B, 15) twists, radians, of z (B, Z)."""
        return self.shape(latent), self.twist(latent)

    def solved(self, joints: Tensor, betas: Tensor, twist: Tensor) -> HandParams:
        """``theta = f(phi, J)`` with the shape, the wrist joint at the origin; see
        `fitter.hand_models.inverse_kinematics`.

        Args:
            joints: (B, 21, 3) metres, canonical order, as data sets label them.
            betas: (B, S).
            twist: (B, 15) radians.
        """
        found = inverse_kinematics(self.hand.joints, joints, betas, twist)
        return self.hand.about_the_wrist(found)


class _Encoder(nn.Module):
    """timm's encoder with its own pooling, and a dense layer to z; of a ResNet-50 that is its
    layer of 1,000 classes (Yu et al. 3.2: z of 1,000 numbers)."""

    def __init__(self, config: MeshNetConfig) -> None:
        super().__init__()
        self.image, features = pooled_encoder(config.encoder, config.input_size)
        # Convolutions of few channels take half the time so, on a CPU; the numbers are the same.
        self.image.to(memory_format=torch.channels_last)
        self.latent = nn.Linear(features, config.latent)

    def forward(self, image: Tensor) -> Tensor:
        """(B, Z) of (B, 3, S, S) in [0, 1], in the dtype of the image."""
        # Colours about 0; the statistics of natural images are for trained encoders.
        features = self.image(channels_last(2 * image - 1))
        with torch.autocast(image.device.type, enabled=False):
            latent: Tensor = self.latent(features.to(image.dtype))
        return latent


def _decoder(config: MeshNetConfig, hand: HandLayer, start: tuple[Tensor, Tensor]) -> nn.Module:
    """f of eq. 2, which begins at vertices (V, 3) and joints (21, 3)."""
    data = hand.model.data
    if config.decoder == "parametric":
        with torch.device("cpu"):
            own = HandLayer(HandModel(data))  # parts share nothing
        return ParametricDecoder(config, own)
    root = data.rest_joints.template[0]
    levels = MeshLevels.of(data.v_template, data.faces, len(config.channels), SPIRAL_LENGTH, root)
    if config.decoder == "spiral":
        return SpiralDecoder(config, levels, start[0])
    return TransformerDecoder(config, levels, *start)


def _camera_start(joints: Tensor, margin: float) -> Tensor:
    """(3,) what the camera's layer says at first of a hand with joints (21, 3) about its wrist,
    metres: the log of crop units a metre, and the wrist in crop units."""
    flat = joints[:, :2]
    low, high = flat.amin(0), flat.amax(0)
    size = 1 / (margin * (high - low).max())
    return torch.cat([size.log()[None], -size * (low + high) / 2])
