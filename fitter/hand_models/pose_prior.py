"""How likely a hand pose is: a PCA and a Gaussian mixture over the 45 anatomical angles.

The asset is built by `scripts/build_pose_prior.py` from poses of `datasets.poses.sampler`. It holds
for any model with MANO's 16 joints, because it speaks of the angles of `fitter.hand_models.anatomy`
and not of rotation vectors: the 45 angles are (15, 3) flattened, joints in MANO's order, radians.
`on_skeleton` embeds it in the angles of models whose metacarpals move too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fitter.errors import InputError
from fitter.hand_models.anatomy import Anatomy

POSE_PRIOR_PATH = Path(__file__).parent / "assets" / "pose_prior.safetensors"
"""The prior that ships with the package."""


@dataclass(frozen=True)
class PosePrior:
    """Distribution of the A anatomical angles, float64, radians; K mixture components. A is 45, or
    3 R for the R rotating joints of another skeleton, see `on_skeleton`.

    Attributes:
        mean: (A,) mean pose.
        components: (A, A) orthonormal principal directions, one in each row, by falling variance.
        std: (A,) standard deviation along each of them.
        mixture_weights: (K,) positive, sum 1.
        mixture_means: (K, A).
        mixture_precision_factors: (K, A, A) L with L L^T the inverse of the component's
            covariance, in the asset lower triangular, so that ``(x - mean) @ L`` is white.
        mixture_log_norms: (K,) log of the density of each (unweighted) Gaussian at its mean:
            log det L - A/2 log 2 pi.
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


def on_skeleton(prior: PosePrior, anatomy: Anatomy) -> PosePrior:
    """The prior over the angles of a model's skeleton, in which metacarpals may move too.

    The asset knows nothing of these, so each of their angles is an independent Gaussian about the
    rest pose. Its standard deviation is a quarter of the range between the joint's limits: ranges
    of motion are what living joints reach, which is read as two standard deviations on either side.

    Args:
        prior: over the 45 angles of MANO's joints.
        anatomy: of the model.

    Returns:
        The same where the skeleton has no metacarpals.
    """
    metacarpals = anatomy.skeleton.metacarpal_rows
    if not metacarpals:
        return prior
    size = 3 * anatomy.skeleton.rotations
    own = np.arange(size).reshape(-1, 3)[list(anatomy.skeleton.finger_rows)].ravel()
    added = np.arange(size).reshape(-1, 3)[list(metacarpals)].ravel()
    std = ((anatomy.upper - anatomy.lower) / 4).ravel()[added]

    def embedded(rows: np.ndarray) -> np.ndarray:
        wide = np.zeros((*rows.shape[:-1], size))
        wide[..., own] = rows
        return wide

    count = len(prior.mixture_means)
    factors = np.zeros((count, size, size))
    factors[:, own[:, None], own] = prior.mixture_precision_factors
    factors[:, added, added] = 1 / std
    components = np.concatenate([embedded(prior.components), np.eye(size)[added]])
    every = np.concatenate([prior.std, std])
    order = np.argsort(-every, kind="stable")
    return PosePrior(
        mean=embedded(prior.mean),
        components=components[order],
        std=every[order],
        mixture_weights=prior.mixture_weights,
        mixture_means=embedded(prior.mixture_means),
        mixture_precision_factors=factors,
        mixture_log_norms=prior.mixture_log_norms
        - np.log(std).sum()
        - len(std) / 2 * np.log(2 * np.pi),
    )


def pose_pca(prior: PosePrior, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The prior's PCA in the rotation vectors of a model with the given axes.

    The map from angles to rotation vectors is orthonormal, so the components stay orthonormal
    and their standard deviations are still `PosePrior.std`.

    Args:
        prior: see `load_pose_prior`.
        axes: (R, 3, 3), see `anatomy.Anatomy.axes`.

    Returns:
        mean (3 R,) and components (3 R, 3 R) in radians as in a MANO file:
        ``hand_pose = coefficients @ components[:n] + mean``, relative to the rest pose.
    """

    def rotate(angles: np.ndarray) -> np.ndarray:
        triples = angles.reshape(-1, len(axes), 3)
        return np.einsum("nja,jac->njc", triples, axes).reshape(angles.shape)

    return rotate(prior.mean), rotate(prior.components)


def mixture_log_density(prior: PosePrior, angles: np.ndarray) -> np.ndarray:
    """Log density (N,) of poses (N, A) under the mixture, in radians^-A."""
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
