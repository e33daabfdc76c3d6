"""The parameters of a hand model, and its layer behind them: the "MANO layer network".

Yu et al. 4.1 take that of Hasson et al. 2019, "Learning Joint Reconstruction of Hands and
Manipulated Objects", section 3.1: dense layers to pose and shape, and the hand model as the last
layer. There the pose is 30 coefficients and the wrist's axis-angle; here each joint has the six
numbers of Zhou et al. 2019, whose way back is continuous (not published by Yu et al.).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fitter.hand_models.keypoint_model import local_rotations
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.networks.config import MeshNetConfig
from init_net.networks.dense import dense_layers
from init_net.networks.hand_layer import HandLayer
from init_net.networks.mesh_decoders.decoder import SMALL_WEIGHTS, facing_pose
from init_net.networks.rotations import COUNTS, to_rotations


class ParametricDecoder(nn.Module):
    """A `MeshDecoder` that has parameters besides.

    Attributes:
        hand: the layer that poses it.
    """

    def __init__(self, config: MeshNetConfig, hand: HandLayer) -> None:
        """A decoder with PyTorch's own random weights but for the last layer, which says nearly
        `facing_pose` at first.

        Args:
            config: of the network.
            hand: on the CPU.
        """
        super().__init__()
        self.hand = hand
        with torch.device("cpu"):  # numbers, also where a network is built without memory for any
            matrices = local_rotations(facing_pose(hand.model))[0]
            pose = (matrices - torch.eye(3))[..., :2].flatten()
            start = torch.cat([pose, pose.new_zeros(config.betas)])
        self._pose = len(pose)
        self.dense = dense_layers([config.latent, *config.hidden, len(start)], start, SMALL_WEIGHTS)

    def forward(self, latent: Tensor) -> Tensor:
        """See `MeshDecoder`."""
        vertices: Tensor = self.hand(*self._said(latent))[0]
        return vertices

    def parameters_of(self, latent: Tensor) -> HandParams:
        """The parameters of the B hands of `forward`, whose wrist joint is at the origin."""
        rotations, betas = self._said(latent)
        vectors = roma.rotmat_to_rotvec(rotations)
        params = HandParams(vectors[:, 0], vectors[:, 1:], betas, torch.zeros_like(vectors[:, 0]))
        return self.hand.about_the_wrist(params)

    def _said(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(B, R + 1, 3, 3) local rotations and (B, S) shapes."""
        numbers = self.dense(latent)
        values = numbers[:, : self._pose].unflatten(1, (-1, COUNTS["6d"]))
        return to_rotations(values, "6d"), numbers[:, self._pose :]
