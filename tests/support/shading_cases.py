"""Random tensors, a camera and a square, for the tests of shading."""

import numpy as np
import torch

DOUBLE = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=rng(seed), dtype=DOUBLE)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn((*shape, 3), generator=rng(seed), dtype=DOUBLE)
    return torch.nn.functional.normalize(drawn, dim=-1)


def intrinsics(height: int, width: int) -> np.ndarray:
    focal = 1.5 * min(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def square(batch: int = 1, size: float = 6.0, corner: float = 3.0) -> tuple:
    """Two faces that show a square of `size` pixels; a picture each is a little shifted."""
    corners = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=DOUBLE) * size + corner
    screen = torch.cat([corners, torch.tensor([[1.0], [1.2], [1.1], [1.3]], dtype=DOUBLE)], dim=1)
    screen = screen.repeat(batch, 1, 1)
    screen[..., :2] += 0.37 * torch.arange(batch, dtype=DOUBLE)[:, None, None]
    return screen, torch.tensor([[0, 1, 2], [0, 2, 3]])
