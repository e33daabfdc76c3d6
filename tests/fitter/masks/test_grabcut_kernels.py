"""The density kernel against its readable twin."""

import numpy as np
import pytest

from fitter.masks.grabcut_kernels import fill_log_density


def gaussians(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    factors = rng.normal(0, 12, (count, 3, 3))
    covariances = factors @ factors.swapaxes(1, 2) + np.eye(3)
    whitens = np.linalg.inv(np.linalg.cholesky(covariances))
    shares, means = rng.normal(-5, 2, count), rng.uniform(0, 255, (count, 3))
    return tuple(np.float32(values) for values in (shares, means, whitens))


def log_density(
    colours: np.ndarray, shares: np.ndarray, means: np.ndarray, whitens: np.ndarray
) -> np.ndarray:
    """What `fill_log_density` fills in, in double precision."""
    away = np.einsum("kij,nkj->nki", whitens, colours[:, None].astype(np.float64) - means)
    terms = shares - 0.5 * (away**2).sum(axis=-1)
    largest = terms.max(axis=1)
    return largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_kernel_is_its_twin(count):
    rng = np.random.default_rng(count)
    colours = rng.integers(0, 256, (5000, 3), dtype=np.uint8)
    mixture = gaussians(rng, count)
    fast = np.empty(5000, np.float32)
    fill_log_density(colours, *mixture, fast)
    slow = log_density(colours, *mixture)
    assert np.isfinite(fast).all()
    np.testing.assert_allclose(fast, slow, rtol=2e-5, atol=2e-5)


def test_a_mixture_of_one_colour_keeps_its_height():
    one = np.full((1, 3), 7.0, np.float32)
    density = np.empty(2, np.float32)
    colours = np.array([[7, 7, 7], [7, 7, 9]], np.uint8)
    fill_log_density(
        colours, np.zeros(1, np.float32), one, np.eye(3, dtype=np.float32)[None], density
    )
    assert density.tolist() == [0.0, -2.0]
