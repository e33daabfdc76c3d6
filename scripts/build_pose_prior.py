"""Build `fitter/hand_models/assets/pose_prior.safetensors` from sampled poses.

    python scripts/build_pose_prior.py [--output FILE]      (with the project installed)

Samples poses of `datasets.poses.sampler`, takes their PCA, and fits a Gaussian mixture by
expectation-maximisation (Bishop, "Pattern Recognition and Machine Learning", section 9.2.2) started
from k-means++ (Arthur and Vassilvitskii, SODA 2007). Same seed, same machine: same file. It prints
the mean log density of held-out poses beside that of one Gaussian, which the mixture must beat.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
from safetensors.numpy import save

from datasets.poses import sample_hand_angles
from fitter.hand_models import PosePrior
from fitter.hand_models.pose_prior import (
    POSE_PRIOR_PATH,
    component_log_densities,
    mixture_log_density,
)


@dataclass(frozen=True)
class BuildOptions:
    """Numbers that decide the file.

    Attributes:
        seed: of the generator that samples the poses and the first centres.
        samples: poses for the mean and the PCA.
        mixture_samples: how many of them the mixture is fitted to.
        mixture_size: number of Gaussians.
        iterations: of expectation-maximisation.
        floor: smallest standard deviation in radians of a Gaussian in any direction; keeps joints
            that hardly move from becoming walls in a fit.
    """

    seed: int = 20240
    samples: int = 200_000
    mixture_samples: int = 40_000
    mixture_size: int = 16
    iterations: int = 40
    floor: float = float(np.deg2rad(2.0))


@dataclass(frozen=True)
class Mixture:
    """K Gaussians in D dimensions; fields as in `PosePrior` without their prefix."""

    weights: np.ndarray
    means: np.ndarray
    precision_factors: np.ndarray
    log_norms: np.ndarray


def build(options: BuildOptions) -> PosePrior:
    """The prior for some options."""
    generator = np.random.default_rng(options.seed)
    angles = sample_hand_angles(generator, options.samples).reshape(-1, 45)
    mean = angles.mean(axis=0)
    variance, vectors = np.linalg.eigh(np.cov(angles.T))
    components = vectors.T[::-1]
    # An eigenvector's sign is arbitrary: let the largest entry be positive, on every machine.
    largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], axis=1)
    mixture = fit_mixture(generator, angles[: options.mixture_samples], options)
    return PosePrior(
        mean=mean,
        components=np.ascontiguousarray(components * np.sign(largest)),
        std=np.sqrt(np.maximum(variance[::-1], 0)),
        mixture_weights=mixture.weights,
        mixture_means=mixture.means,
        mixture_precision_factors=mixture.precision_factors,
        mixture_log_norms=mixture.log_norms,
    )


def fit_mixture(
    generator: np.random.Generator, points: np.ndarray, options: BuildOptions
) -> Mixture:
    """Maximum-likelihood mixture of points (N, D), every standard deviation at least the floor."""
    nearest = _nearest(points, _spread_centres(generator, points, options.mixture_size))
    shares = np.eye(options.mixture_size)[nearest]
    for _ in range(options.iterations):
        mixture = _maximise(points, shares, options.floor)
        joint = component_log_densities(
            points, mixture.means, mixture.precision_factors, mixture.log_norms
        ) + np.log(mixture.weights)
        shares = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    return _maximise(points, shares, options.floor)


def _maximise(points: np.ndarray, shares: np.ndarray, floor: float) -> Mixture:
    """The M step for responsibilities (N, K)."""
    totals = shares.sum(axis=0)
    if np.any(totals < points.shape[1]):
        raise ValueError("a Gaussian of the mixture has fewer poses than dimensions: use fewer")
    means = (shares.T @ points) / totals[:, None]
    factors, log_norms = [], []
    for mean, share, total in zip(means, shares.T, totals, strict=True):
        centred = points - mean
        covariance = (centred * share[:, None]).T @ centred / total
        variance, vectors = np.linalg.eigh(covariance)
        precision = (vectors / np.maximum(variance, floor**2)) @ vectors.T
        factor = scipy.linalg.cholesky(precision, lower=True)
        factors.append(factor)
        log_norms.append(np.log(np.diag(factor)).sum() - len(mean) / 2 * np.log(2 * np.pi))
    return Mixture(totals / totals.sum(), means, np.array(factors), np.array(log_norms))


def _spread_centres(generator: np.random.Generator, points: np.ndarray, count: int) -> np.ndarray:
    """k-means++ and ten rounds of Lloyd's algorithm."""
    centres = points[generator.integers(len(points))][None]
    for _ in range(count - 1):
        distance = _squared_distances(points, centres).min(axis=1)
        chosen = generator.choice(len(points), p=distance / distance.sum())
        centres = np.vstack([centres, points[chosen]])
    for _ in range(10):
        nearest = _nearest(points, centres)
        centres = np.stack([points[nearest == k].mean(axis=0) for k in range(count)])
    return centres


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return _squared_distances(points, centres).argmin(axis=1)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    cross = points @ centres.T
    squared = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * cross
    return np.maximum(squared, 0)


def write(prior: PosePrior, options: BuildOptions, path: Path) -> None:
    """Save a prior as float32 with its provenance."""
    provenance = {
        "source": "poses drawn by datasets/poses/sampler.py, no recorded data",
        "built_by": "scripts/build_pose_prior.py",
        "angles": "fitter/hand_models/anatomy.py, (15, 3) flattened, radians",
        **vars(options),
    }
    # One entry only: the order in which safetensors writes several is random.
    metadata = {"provenance": json.dumps(provenance)}
    arrays = {name: array.astype(np.float32) for name, array in vars(prior).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `save_file`, which makes files that only their owner may read.
    path.write_bytes(save(arrays, metadata=metadata))


def held_out_log_densities(prior: PosePrior, options: BuildOptions) -> tuple[float, float]:
    """Mean log density of unseen poses under the mixture and under one Gaussian with its floor."""
    generator = np.random.default_rng(options.seed + 1)
    unseen = sample_hand_angles(generator, 20_000).reshape(-1, 45)
    std = np.maximum(prior.std, options.floor)
    white = (unseen - prior.mean) @ prior.components.T / std
    gaussian = -0.5 * (white**2 + np.log(2 * np.pi)).sum(axis=1) - np.log(std).sum()
    return float(mixture_log_density(prior, unseen).mean()), float(gaussian.mean())


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=POSE_PRIOR_PATH)
    path = parser.parse_args().output
    options = BuildOptions()
    prior = build(options)
    write(prior, options, path)
    mixture, gaussian = held_out_log_densities(prior, options)
    share = np.cumsum(prior.std**2) / np.sum(prior.std**2)
    print(f"wrote {path}")
    print(f"log density of unseen poses: mixture {mixture:.2f}, one Gaussian {gaussian:.2f}")
    print(f"variance in 6, 10, 15, 20 components: {share[[5, 9, 14, 19]].round(3)}")


if __name__ == "__main__":
    main()
