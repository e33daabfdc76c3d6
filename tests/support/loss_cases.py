"""Numbers at random, and how the tests of losses compare them."""

import torch
from scipy.spatial.transform import Rotation

B = 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


SURE = torch.ones(B, 21, dtype=torch.float64)
"""Confidence of true keypoints."""


def close(actual, expected, atol=1e-10):
    torch.testing.assert_close(
        torch.as_tensor(actual), torch.as_tensor(expected), rtol=1e-10, atol=atol
    )


def summed(terms, weights):
    """(B,) sum of terms, each times the weight of its name; both have the same names in order."""
    factors = weights.model_dump()
    assert [*factors] == [*terms]
    return sum(factors[name] * term for name, term in terms.items())


def turns(seed, size=1.0):
    """(B, 16, 3) axis-angle and (B, 16, 3, 3)."""
    vectors = size * randn(B, 16, 3, seed=seed)
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3).numpy()).as_matrix()
    return vectors, torch.tensor(matrices).view(B, 16, 3, 3)
