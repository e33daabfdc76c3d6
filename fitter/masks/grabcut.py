"""GrabCut with mixtures of our own and a prior of place: pixels and seeds -> a region.

GrabCut (Rother, Kolmogorov, Blake, "GrabCut: interactive foreground extraction using iterated graph
cuts", SIGGRAPH 2004) alternates between two Gaussian mixtures, of the object's colours and of the
background's, and a minimum cut. Here the cut is OpenCV's and the rest is not:

- There are pixels that must not teach either mixture their colours.
- What a pixel's colour says is one number, the log-odds log p(colour | object) - log p(colour |
  background), held between limits; what is known of the place beforehand is added. A background of
  the object's colour then leaves the decision to the place, where plain GrabCut cuts thin parts off
  and follows the colour as far as it may.
- OpenCV starts its mixtures from its global random numbers, which can be set but not put back.
  Nothing here is random, and no global state is read or changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fitter.masks.grabcut_kernels import fill_log_density

_COMPONENTS = 5
"""Gaussians in each mixture, as published and as OpenCV's layout wants it."""

_RANGE = 8.0
"""Log-odds of either sign that the eight bits of a channel span."""

_MEAN = 64.0
"""Distance of both Gaussians of `_two_sides` from the middle of a channel."""


@dataclass(frozen=True)
class Seeds:
    """What is known of an image of H x W pixels before its colours are looked at.

    Attributes:
        labels: (H, W) uint8 of cv2.GC_BGD and GC_FGD, which stay as they are, and cv2.GC_PR_BGD and
            GC_PR_FGD, which are a first estimate.
        place: (H, W) log-odds that a pixel belongs to the object, by where it is.
        known: (H, W) bool, pixels whose colours may be learned.
    """

    labels: np.ndarray
    place: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class GrabCutSettings:
    """How colour, place and outline are weighed; chosen on renders of the open hand.

    Attributes:
        scales: of each round of mixtures and cut, how many pixels are taken as one along each
            side. The first rounds only have to find what the colours are.
        colour_limit: largest log-odds that a colour is worth.
        evidence: cost of going against log-odds of one; that of an outline is at most 50 for each
            pair of pixels it parts (OpenCV's).
    """

    scales: tuple[int, ...] = (2, 1)
    colour_limit: float = 4.0
    evidence: float = 4.0


def grabcut(pixels: np.ndarray, seeds: Seeds, settings: GrabCutSettings) -> np.ndarray | None:
    """Separate an object from its background.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        seeds: of the same size.
        settings: weights.

    Returns:
        (H, W) bool, the object; None where either side has too few known pixels for a mixture.
    """
    # L*a*b*: the cut follows differences of colour as the eye sees them.
    colours = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2LAB)
    found = _is_object(seeds.labels)
    for scale in settings.scales:
        if scale > 1:
            # Fewer pixels may be too few for a mixture where all of them are not.
            coarse = _coarse_round(colours, seeds, found, settings, scale)
            found = found if coarse is None else coarse
            continue
        fine = _round(colours, seeds, found, settings)
        if fine is None:
            return None
        found = fine
    return found


def _coarse_round(
    colours: np.ndarray, seeds: Seeds, found: np.ndarray, settings: GrabCutSettings, scale: int
) -> np.ndarray | None:
    """`_round` on an image of fewer pixels."""
    height, width = found.shape
    size = (max(1, width // scale), max(1, height // scale))

    def shrunk(values: np.ndarray, how: int) -> np.ndarray:
        return cv2.resize(values, size, interpolation=how)

    small = Seeds(
        shrunk(seeds.labels, cv2.INTER_NEAREST),
        shrunk(seeds.place.astype(np.float32), cv2.INTER_AREA),
        shrunk(seeds.known.astype(np.uint8), cv2.INTER_NEAREST) > 0,
    )
    inside = shrunk(found.astype(np.uint8), cv2.INTER_NEAREST) > 0
    # An outline has a `scale`th of its pairs of pixels, an area a squared one of its pixels.
    balanced = replace(settings, evidence=settings.evidence * scale)
    cut = _round(shrunk(colours, cv2.INTER_NEAREST), small, inside, balanced)
    if cut is None:
        return None
    grown = cv2.resize(cut.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    sure = seeds.labels == cv2.GC_FGD
    return (grown & (seeds.labels != cv2.GC_BGD)) | sure


def _round(
    colours: np.ndarray, seeds: Seeds, found: np.ndarray, settings: GrabCutSettings
) -> np.ndarray | None:
    """Mixtures of what was found inside and outside, and the cut they lead to, all (H, W)."""
    inner, outer = (_mixture(colours[part & seeds.known]) for part in (found, ~found))
    if inner is None or outer is None:
        return None
    odds = _log_density(colours, inner) - _log_density(colours, outer)
    odds = np.clip(odds, -settings.colour_limit, settings.colour_limit) + seeds.place
    first = np.clip(np.rint(128 + odds * (127 / _RANGE)), 0, 255).astype(np.uint8)
    # The cut sees the odds in the first channel; in the others it sees the image's edges.
    channels = np.dstack([first, colours[..., :2]])
    labels = seeds.labels.copy()
    background, foreground = (_two_sides(side, settings.evidence) for side in (-1, 1))
    no_box, only_cut = (0, 0, 0, 0), cv2.GC_EVAL_FREEZE_MODEL
    cv2.grabCut(channels, labels, no_box, background, foreground, 1, only_cut)
    return _is_object(labels)


def _is_object(labels: np.ndarray) -> np.ndarray:
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _two_sides(sign: int, evidence: float) -> np.ndarray:
    """(1, 65) float64 in OpenCV's layout: a single Gaussian on one side of the first channel.

    Two Gaussians of variance v with means m - d and m + d differ by 2 d (x - m) / v in their
    logarithms: v makes that `evidence` times the log-odds. Along the other channels they agree.
    """
    variance = 2 * _MEAN * (127 / _RANGE) / evidence
    model = np.zeros((1, 13 * _COMPONENTS))
    model[0, 0] = 1
    model[0, _COMPONENTS : _COMPONENTS + 3] = (128 + sign * _MEAN, 128, 128)
    model[0, 4 * _COMPONENTS : 4 * _COMPONENTS + 9] = np.diag([variance, 1e6, 1e6]).ravel()
    return model


@dataclass(frozen=True)
class _Cluster:
    """(N, 3) colours with their mean and covariance.

    Attributes:
        scatter: sum of squared distances from the mean along the widest direction.
        axis: (3,) that direction.
    """

    colours: np.ndarray
    count: int
    mean: np.ndarray
    covariance: np.ndarray
    scatter: float
    axis: np.ndarray

    @classmethod
    def of(cls, colours: np.ndarray) -> _Cluster:
        mean = colours.mean(axis=0)
        centred = colours - mean
        covariance = centred.T @ centred / len(colours)
        # Descending; NumPy's needs several times as long for three numbers.
        _, values, vectors = cv2.eigen(covariance)
        widest = float(values[0, 0] * len(colours))
        return cls(colours, len(colours), mean, covariance, widest, vectors[0])

    def halves(self) -> tuple[_Cluster, _Cluster] | None:
        """Both sides of the mean along the widest direction; None where all colours are one."""
        beyond = (self.colours - self.mean) @ self.axis > 0
        if not beyond.any() or beyond.all():
            return None
        return _Cluster.of(self.colours[~beyond]), _Cluster.of(self.colours[beyond])


def _mixture(colours: np.ndarray) -> list[_Cluster] | None:
    """Gaussians over (N, 3) uint8 colours; None for too few.

    Clusters are split in two along their widest direction, the widest first (Orchard and Bouman,
    "Color quantization of images", IEEE TSP 39, 1991), which is how Rother et al. start theirs.
    """
    if len(colours) < 4 * _COMPONENTS:
        return None
    clusters = [_Cluster.of(colours.astype(np.float64))]
    while len(clusters) < _COMPONENTS:
        widest = max(range(len(clusters)), key=lambda i: clusters[i].scatter)
        halves = clusters[widest].halves()
        if halves is None:
            break
        clusters[widest : widest + 1] = halves
    return clusters


def _gaussians(mixture: list[_Cluster]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of K clusters the logarithms of weight and height (K,), the means (K, 3), and the inverses
    (K, 3, 3) of the covariances' Cholesky factors, all float32."""
    total = sum(cluster.count for cluster in mixture)
    # Even areas have no variance of their own; that of rounding keeps the Gaussian proper.
    covariances = np.stack([cluster.covariance for cluster in mixture]) + np.eye(3)
    whitens = np.linalg.inv(np.linalg.cholesky(covariances))
    counts = np.array([cluster.count for cluster in mixture])
    heights = np.log(np.diagonal(whitens, axis1=1, axis2=2)).sum(axis=1)
    means = np.stack([cluster.mean for cluster in mixture])
    weights = np.log(counts / total) + heights
    return weights.astype(np.float32), means.astype(np.float32), whitens.astype(np.float32)


def _log_density(colours: np.ndarray, mixture: list[_Cluster]) -> np.ndarray:
    """(H, W) logarithm of the mixture's density, up to a constant, at (H, W, 3) uint8 colours."""
    density = np.empty(colours.shape[:2], dtype=np.float32)
    fill_log_density(colours.reshape(-1, 3), *_gaussians(mixture), density.reshape(-1))
    return density
