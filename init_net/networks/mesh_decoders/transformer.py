"""A mesh transformer after METRO.

Lin et al. 2021, "End-to-End Human Pose and Mesh Reconstruction with Transformers", section 3: each
joint and each vertex of a coarse mesh is a token, the image's features beside its place in the hand
at rest; blocks of attention among all tokens get narrower one after the other; a last layer says
each coarse vertex, and a learned matrix those of the whole mesh.

Theirs has three blocks of four layers with four heads, as here. Here the tokens are those of the
coarsest of as many levels as there are blocks; the matrix begins as the barycentric one of
`init_net.networks.mesh_levels`, to which a difference is learned; layers are normalised before
their attention, and nothing is dropped at random (not published by Yu et al.). What becomes of the
joints' tokens is not asked: joints are those of the mesh (Yu eq. 2).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from init_net.networks.config import MeshNetConfig
from init_net.networks.mesh_decoders.decoder import SMALL_WEIGHTS, UNIT
from init_net.networks.mesh_levels import MeshLevels, up_sampling

LAYERS, HEADS = 4, 4
"""Of each block, as METRO has them."""

_WIDER = 4
"""Of the width of a block to that of its layers' dense part."""


class TransformerDecoder(nn.Module):
    """A `MeshDecoder`; `MeshNetConfig.channels` are the widths of the blocks."""

    places: Tensor
    start: Tensor
    up: Tensor
    rest: Tensor

    def __init__(
        self, config: MeshNetConfig, levels: MeshLevels, start: Tensor, joints: Tensor
    ) -> None:
        """A decoder with PyTorch's own random weights but for the last layers.

        Args:
            config: of the network.
            levels: of its mesh, as many as there are channels.
            start: (V, 3) what it says nearly at first, metres, as `MeshDecoder` has it.
            joints: (21, 3) of that hand.
        """
        super().__init__()
        coarse, fine = levels.meshes[0], levels.meshes[-1]
        count = len(coarse.vertices)
        up = torch.from_numpy(up_sampling(coarse, fine.vertices).dense(count)).to(start)
        # The coarse mesh has vertices of the fine one: where it has them, up-sampling keeps them.
        kept = torch.from_numpy(levels.kept[0])
        first, *_ = widths = config.channels
        self.register_buffer("places", torch.cat([joints, start[kept]]) / UNIT, persistent=False)
        self.register_buffer("start", start[kept], persistent=False)
        self.features, self.place = nn.Linear(config.latent, first), nn.Linear(3, first)
        self.narrow = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Layer(width) for _ in range(LAYERS))) for width in widths
        )
        self.norm = nn.LayerNorm(widths[-1])
        self.last = nn.Linear(widths[-1], 3)
        nn.init.normal_(self.last.weight, std=SMALL_WEIGHTS)
        nn.init.zeros_(self.last.bias)
        # What is the hand model's is not stored; what is learned is added to it.
        self.register_buffer("up", up, persistent=False)
        self.register_buffer("rest", (start - up @ start[kept]) / UNIT, persistent=False)
        self.up_change = nn.Parameter(torch.zeros(up.shape))
        self.rest_change = nn.Parameter(torch.zeros(start.shape))

    def forward(self, latent: Tensor) -> Tensor:
        """See `MeshDecoder`."""
        tokens = self.place(self.places) + self.features(latent)[:, None]
        for number, block in enumerate(self.blocks):
            if number:
                tokens = self.narrow[number - 1](tokens)
            tokens = block(tokens)
        moved = self.last(self.norm(tokens[:, -len(self.start) :]))
        coarse = self.start / UNIT + moved
        return UNIT * ((self.up + self.up_change) @ coarse + self.rest + self.rest_change)


class _Layer(nn.Module):
    """Attention among all tokens, then a dense part, each added to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = HEADS if width % HEADS == 0 else 1
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.dense = nn.Sequential(
            nn.Linear(width, _WIDER * width), nn.GELU(), nn.Linear(_WIDER * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, C) of the same."""
        before, behind = self.norms
        asked = before(tokens)
        tokens = tokens + self.attention(asked, asked, asked, need_weights=False)[0]
        found: Tensor = tokens + self.dense(behind(tokens))
        return found
