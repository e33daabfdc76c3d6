"""The density of GrabCut's mixtures as a Numba kernel."""

from __future__ import annotations

import math

import numpy as np

from fitter.numba_kernels import compile_kernel


@compile_kernel
def fill_log_density(
    colours: np.ndarray,
    shares: np.ndarray,
    means: np.ndarray,
    whitens: np.ndarray,
    density: np.ndarray,
) -> None:
    """Logarithm of a mixture of K Gaussians at N colours, up to a constant.

    Args:
        colours: (N, 3) uint8.
        shares: (K,) float32, logarithm of each Gaussian's weight and height.
        means: (K, 3) float32.
        whitens: (K, 3, 3) float32, lower triangular, the inverses of the covariances' Cholesky
            factors.
        density: (N,) float32, filled.
    """
    count = len(shares)
    terms = np.empty(count, dtype=np.float32)
    for n in range(len(colours)):
        x, y, z = np.float32(colours[n, 0]), np.float32(colours[n, 1]), np.float32(colours[n, 2])
        largest = np.float32(-np.inf)
        for k in range(count):
            dx, dy, dz = x - means[k, 0], y - means[k, 1], z - means[k, 2]
            a = whitens[k, 0, 0] * dx
            b = whitens[k, 1, 0] * dx + whitens[k, 1, 1] * dy
            c = whitens[k, 2, 0] * dx + whitens[k, 2, 1] * dy + whitens[k, 2, 2] * dz
            terms[k] = shares[k] - np.float32(0.5) * (a * a + b * b + c * c)
            largest = max(largest, terms[k])
        total = np.float32(0.0)
        for k in range(count):
            away = terms[k] - largest
            # Less than a float32 can add to the term of the nearest Gaussian, which is 1.
            if away > np.float32(-17.0):
                total += math.exp(away)
        density[n] = largest + math.log(total)
