"""Graph convolutions: spirals on the mesh, from its coarsest level to the mesh itself.

Kulon et al. 2020, "Weakly-Supervised Mesh-Convolutional Hand Reconstruction in the Wild", section
4.1: a dense layer from the latent features to those of the coarsest mesh, then up-sampling and a
spiral convolution with ELU for each level, and a last convolution to positions. Convolutions are
those of SpiralNet++ (Gong et al. 2019, eq. 3): one dense layer over a spiral's features.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from init_net.networks.config import MeshNetConfig
from init_net.networks.mesh_decoders.decoder import SMALL_WEIGHTS, UNIT, SparseUp
from init_net.networks.mesh_levels import MeshLevels

SPIRAL_LENGTH = 9
"""Vertices of a spiral: itself and, on a regular mesh, its neighbours and two more (not published
by Yu et al.; Gong et al. take as many)."""


class SpiralDecoder(nn.Module):
    """A `MeshDecoder`; level k of the mesh has `MeshNetConfig.channels[k]` features a vertex."""

    start: Tensor

    def __init__(self, config: MeshNetConfig, levels: MeshLevels, start: Tensor) -> None:
        """A decoder with PyTorch's own random weights but for the last layer.

        Args:
            config: of the network.
            levels: of its mesh, as many as there are channels.
            start: (V, 3) what it says nearly at first, metres, as `MeshDecoder` has it.
        """
        super().__init__()
        self._first = first = config.channels[0]
        self.dense = nn.Linear(config.latent, len(levels.meshes[0].vertices) * first)
        self.ups = nn.ModuleList(
            SparseUp(torch.from_numpy(up.vertices), torch.from_numpy(up.weights).to(start))
            for up in levels.ups
        )
        paths = [torch.from_numpy(mesh.spirals) for mesh in levels.meshes]
        widths = pairwise([first, *config.channels])
        self.convolutions = nn.ModuleList(
            SpiralConvolution(inside, outside, path)
            for (inside, outside), path in zip(widths, paths, strict=True)
        )
        self.last = SpiralConvolution(config.channels[-1], 3, paths[-1])
        nn.init.normal_(self.last.layer.weight, std=SMALL_WEIGHTS)
        nn.init.zeros_(self.last.layer.bias)
        self.register_buffer("start", start, persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        """See `MeshDecoder`."""
        first, *others = self.convolutions
        coarsest = self.dense(latent).unflatten(1, (-1, self._first))
        features = functional.elu(first(coarsest))
        for up, convolution in zip(self.ups, others, strict=True):
            features = functional.elu(convolution(up(features)))
        return self.start + UNIT * self.last(features)


class SpiralConvolution(nn.Module):
    """SpiralNet++ eq. 3.

    Attributes:
        path: (V, L) int64 the vertices about each, a buffer that is not stored with weights.
        layer: (L C) -> C'.
    """

    path: Tensor

    def __init__(self, inside: int, outside: int, path: Tensor) -> None:
        super().__init__()
        self.register_buffer("path", path, persistent=False)
        self.layer = nn.Linear(inside * path.shape[1], outside)

    def forward(self, features: Tensor) -> Tensor:
        """(B, V, C') of (B, V, C)."""
        along = features.index_select(1, self.path.flatten())
        found: Tensor = self.layer(along.view(len(features), len(self.path), -1))
        return found
