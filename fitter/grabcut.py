"""GrabCut with mixtures of our own: a picture, seeds and what may be learned from -> a region.

GrabCut (Rother, Kolmogorov, Blake, "GrabCut: interactive foreground extraction using iterated graph
cuts", SIGGRAPH 2004) alternates between two Gaussian mixtures, of the object's colours and of the
background's, and a minimum cut. The cut is OpenCV's. The mixtures are fitted here, for two reasons:
there are pixels that must not teach either mixture their colours, and OpenCV starts its mixtures
from its global random numbers, which can be set but not put back. Nothing here is random, and no
global state is read or changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_COMPONENTS = 5
"""Gaussians in each mixture, as published and as OpenCV's layout wants it."""


def grabcut(
    pixels: np.ndarray, seeds: np.ndarray, known: np.ndarray, iterations: int
) -> np.ndarray | None:
    """Separate an object from its background.

    Args:
        pixels: (H, W, 3) uint8, three channels of any colour space.
        seeds: (H, W) uint8 of cv2.GC_BGD, GC_FGD, GC_PR_BGD and GC_PR_FGD.
        known: (H, W) bool, pixels whose colours may be learned.
        iterations: rounds of mixtures and cut.

    Returns:
        (H, W) bool, the object; None where either side has too few known pixels for a mixture.
    """
    pixels, labels = np.ascontiguousarray(pixels), seeds.copy()
    for _ in range(iterations):
        is_object = _is_object(labels)
        background, foreground = (
            _mixture(pixels[part & known]) for part in (~is_object, is_object)
        )
        if background is None or foreground is None:
            return None
        cv2.grabCut(pixels, labels, None, background, foreground, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return _is_object(labels)


def _is_object(labels: np.ndarray) -> np.ndarray:
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _mixture(colours: np.ndarray) -> np.ndarray | None:
    """Gaussians over (N, 3) uint8 colours in OpenCV's layout, (1, 65) float64; None for too few.

    Clusters are split in two along their widest direction, the widest first (Orchard and Bouman,
    "Color quantization of images", IEEE TSP 39, 1991), which is how Rother et al. start theirs.
    """
    if len(colours) < 4 * _COMPONENTS:
        return None
    clusters = [_Cluster.of(colours.astype(np.float64))]
    while len(clusters) < _COMPONENTS:
        widest = max(range(len(clusters)), key=lambda i: clusters[i].spread)
        halves = clusters[widest].halves()
        if halves is None:
            break
        clusters[widest : widest + 1] = halves
    layout = np.zeros((1, 13 * _COMPONENTS))
    shares, means, covariances = np.split(layout[0], [_COMPONENTS, 4 * _COMPONENTS])
    for i, cluster in enumerate(clusters):
        shares[i] = len(cluster.colours) / len(colours)
        means[3 * i : 3 * i + 3] = cluster.mean
        # Even areas have no spread of their own; that of rounding keeps the Gaussian proper.
        covariances[9 * i : 9 * i + 9] = (cluster.covariance + np.eye(3)).ravel()
    return layout


@dataclass(frozen=True)
class _Cluster:
    """(N, 3) colours with their mean and covariance."""

    colours: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    spread: float
    axis: np.ndarray

    @classmethod
    def of(cls, colours: np.ndarray) -> _Cluster:
        mean = colours.mean(axis=0)
        centred = colours - mean
        covariance = centred.T @ centred / len(colours)
        values, vectors = np.linalg.eigh(covariance)
        return cls(colours, mean, covariance, float(values[-1] * len(colours)), vectors[:, -1])

    def halves(self) -> tuple[_Cluster, _Cluster] | None:
        """Both sides of the mean along the widest direction; None where all colours are one."""
        beyond = (self.colours - self.mean) @ self.axis > 0
        if not beyond.any() or beyond.all():
            return None
        return _Cluster.of(self.colours[~beyond]), _Cluster.of(self.colours[beyond])
