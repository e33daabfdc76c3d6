"""How likely a hand pose is: a PCA and a Gaussian mixture over the 45 anatomical angles.

The asset is built by `scripts/build_pose_prior.py` from poses of `datasets.poses.sampler`. It holds
for any model with MANO's 16 joints, because it speaks of the angles of `fitter.hand_models.anatomy`
and not of rotation vectors: the 45 angles are (15, 3) flattened, joints in MANO's order, radians.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fitter.errors import InputError

POSE_PRIOR_PATH = Path(__file__).parent / "assets" / "pose_prior.safetensors"
"""The prior that ships with the package."""


@dataclass(frozen=True)
class PosePrior:
    """Distribution of the 45 anatomical angles, float64, radians; K mixture components.

    Attributes:
        mean: (45,) mean pose.
        components: (45, 45) orthonormal principal directions, one in each row, by falling variance.
        std: (45,) standard deviation along each of them.
        mixture_weights: (K,) positive, sum 1.
        mixture_means: (K, 45).
        mixture_precision_factors: (K, 45, 45) lower triangular L with L L^T the inverse of the
            component's covariance, so that ``(x - mean) @ L`` is white.
        mixture_log_norms: (K,) log of the density of each (unweighted) Gaussian at its mean:
            log det L - 45/2 log 2 pi.
    """

    mean: np.ndarray
    components: np.ndarray
    std: np.ndarray
    mixture_weights: np.ndarray
    mixture_means: np.ndarray
    mixture_precision_factors: np.ndarray
    mixture_log_norms: np.ndarray


def load_pose_prior(path: Path = POSE_PRIOR_PATH) -> PosePrior:
    """Read a prior.

    Raises:
        InputError: the file is missing, is no safetensors file or lacks a field.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError("prior.unreadable", file=path, reason=str(error)) from error
    names = [field.name for field in fields(PosePrior)]
    if missing := [name for name in names if name not in arrays]:
        raise InputError(
            "prior.fields_missing", file=path, fields=", ".join(names), missing=", ".join(missing)
        )
    return PosePrior(**{name: arrays[name].astype(np.float64) for name in names})


def pose_prior_identity() -> dict[str, str]:
    """What tells the shipped prior from others, for the store."""
    return {"pose_prior_sha256": hashlib.sha256(POSE_PRIOR_PATH.read_bytes()).hexdigest()}


def pose_pca(prior: PosePrior, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The prior's PCA in the rotation vectors of a model with the given axes.

    The map from angles to rotation vectors is orthonormal, so the components stay orthonormal
    and their standard deviations are still `PosePrior.std`.

    Args:
        prior: see `load_pose_prior`.
        axes: (15, 3, 3), see `anatomy.Anatomy.axes`.

    Returns:
        mean (45,) and components (45, 45) in radians as in a MANO file:
        ``hand_pose = coefficients @ components[:n] + mean``, relative to the rest pose.
    """

    def rotate(angles: np.ndarray) -> np.ndarray:
        triples = angles.reshape(-1, 15, 3)
        return np.einsum("nja,jac->njc", triples, axes).reshape(angles.shape)

    return rotate(prior.mean), rotate(prior.components)


def mixture_log_density(prior: PosePrior, angles: np.ndarray) -> np.ndarray:
    """Log density (N,) of poses (N, 45) under the mixture, in radians^-45."""
    terms = component_log_densities(
        angles, prior.mixture_means, prior.mixture_precision_factors, prior.mixture_log_norms
    )
    return np.logaddexp.reduce(terms + np.log(prior.mixture_weights), axis=1)


def component_log_densities(
    angles: np.ndarray, means: np.ndarray, factors: np.ndarray, log_norms: np.ndarray
) -> np.ndarray:
    """Log densities (N, K) of poses (N, D) under K Gaussians, see `PosePrior` for the rest."""
    white = [(angles - mean) @ factor for mean, factor in zip(means, factors, strict=True)]
    squared = np.stack([np.einsum("nd,nd->n", w, w) for w in white], axis=1)
    return log_norms - 0.5 * squared
