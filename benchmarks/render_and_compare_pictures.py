"""What an arm has learned of how hands look: crops, hands as they are drawn, and textures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from arms import Plan, held_out
from torch import Tensor

from init_net.autoencoder_records import HandCode
from init_net.hand_decoder import HandDecoder
from init_net.hand_pictures import draw_hands
from init_net.networks.autoencoder import HandAutoencoder
from init_net.training.autoencoder_evaluation import autoencoder_inputs

TEXTURES = (
    Path(__file__).resolve().parents[1] / "docs" / "images" / "render_and_compare_texture.jpg"
)

HANDS = 8
"""Columns of the grid."""

FILLED = 0.8
"""Side of the crop that a hand at rest fills."""

SIDES = {"palm": (0.5 * np.pi, 0.0, 0.0), "back": (-0.5 * np.pi, 0.0, 0.0)}
"""Of a hand at rest, axis-angle."""


def draw_textures(network: HandAutoencoder, plan: Plan, file: Path) -> None:
    """Write the grid: a column a hand; rows: the crop, the hand drawn before it, and both sides of
    the hand at rest in even light.

    Args:
        network: of a code of colours.
        plan: whose held-out crops are shown.
        file: where to.
    """
    side = network.config.input_size
    cropper = held_out(plan, side, network.config.margin)
    crops = cropper.crop(range(min(HANDS, len(cropper.samples))), (0,))
    inputs = autoencoder_inputs(crops)
    with torch.no_grad():
        code = network(inputs).code
        assert code is not None
        decoder = HandDecoder(network.config)
        drawn = draw_hands(decoder, code, decoder(code, crops.focal, crops.projection), side)
        assert drawn.image is not None
        photograph = crops.image.permute(0, 2, 3, 1)
        before = photograph * (1 - drawn.silhouette[..., None]) + drawn.image
        rows = [photograph, before]
        rows += [_at_rest(decoder, code, inputs.focal, side, turn) for turn in SIDES.values()]
    grid = torch.cat([torch.cat(list(row), 1) for row in rows], 0).clamp(0, 1)
    pixels = (255 * grid).round().to(torch.uint8).numpy()
    cv2.imwrite(str(file), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def _at_rest(
    decoder: HandDecoder, code: HandCode, focal: Tensor, side: int, turn: tuple[float, ...]
) -> Tensor:
    """(B, S, S, 3) the hands' colours on a hand of the mean pose, in even light, before white."""
    rest = replace(
        code,
        pose=torch.zeros_like(code.pose),
        global_orient=torch.tensor(turn, dtype=code.pose.dtype).expand_as(code.global_orient),
        scale=torch.ones_like(code.scale),
        transl=torch.zeros_like(code.transl),
        lighting=None,
    )
    vertices = decoder(rest, focal).vertices
    low, high = vertices.amin(1), vertices.amax(1)
    extent = (high - low)[:, :2].amax(1)
    away = torch.stack(
        [torch.zeros_like(focal), torch.zeros_like(focal), focal * extent / FILLED], 1
    )
    rest = replace(rest, transl=away - 0.5 * (low + high))
    drawn = draw_hands(decoder, rest, decoder(rest, focal), side)
    assert drawn.image is not None
    return drawn.image + 1 - drawn.silhouette[..., None]
