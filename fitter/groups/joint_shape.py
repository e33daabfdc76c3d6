"""The shape that all images of one hand share: one step of Gauss-Newton over all of them.

Each image's cost depends on its own pose and place and on the shape. With those eliminated it is a
quadratic in the shape (`fitter.fitting.shape_information`), so that the sum of all costs is one
too, and the minimum of the sum and the priors, which count once a hand and not once an image, is
the joint optimum to the order to which the costs are known. What is held of a hand is S x S
numbers, whatever the number of its images.

An image whose own optimum lies far off, such as one with another person's hand or a wrong pose,
gets less weight: the sum is formed again, some times, with the weights of Geman and McClure. And
images of one hand err alike: the detector places its marks by the same habits in all of them, and
the model is the same. So n of them count for less than n, see `effective_images`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from fitter.energies.residuals import geman_mcclure
from fitter.energies.size import size_prior
from fitter.fitting.shape_information import ShapeInformation, unpacked
from fitter.hand_models.hand_size import HandSize
from fitter.records import HandParams

Key = TypeVar("Key", bound=Hashable)

REWEIGHTINGS = 4
"""Times that the sums are formed again; each goes twice through all images."""

OUTLIER = 1.0
"""How many times as far off as its hand's median an image is that has a quarter of the largest
weight."""

ALIKE = 0.2
"""Correlation of what two images of a hand err by. This and `OUTLIER` were chosen on 8 rendered
hands of 10 images each, see `docs/same_hand.md`."""

SIZE_FACTOR = 30.0
"""On the weight that the fits give the size's prior. A hand twice as large and twice as far away
gives the same image, so that what images say of the size by way of proportions is mostly error, and
adds up; the shape but for its size does not change."""

NEWTON_STEPS = 12
"""The priors are all but quadratic, so that few steps reach the last digits."""

_LEAST_EIGENVALUE = 1e-6
"""Relative to the largest one: what an image says less of than this it says nothing of."""

_BINS, _DECADES = 240, 24
"""Of the histogram of how far off images are, from 10^-12 to 10^12 in the unit of a standard
deviation."""


@dataclass(frozen=True)
class Images(Generic[Key]):
    """What N consecutive images of some hands say of their shapes.

    Attributes:
        keys: whose hand each shows.
        information: (N, E) float64, see `fitter.fitting.shape_information.entries`.
        sizes: (N,) metres that are known of each hand; NaN where they are not.
    """

    keys: list[Key]
    information: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class ShapePriors:
    """What is known of shapes in general.

    Attributes:
        size: of the hand model.
        shape_weight, size_weight: of `shape_prior` and `size_prior`.
    """

    size: HandSize
    shape_weight: float
    size_weight: float


@dataclass(frozen=True)
class JointShape:
    """The shape of one hand.

    Attributes:
        betas: (S,) float64.
        images: that say something of it.
    """

    betas: np.ndarray
    images: int


@dataclass
class _Sums:
    """What is added up of one hand: weighted sums, and the sum of the weights."""

    matrix: np.ndarray
    vector: np.ndarray
    size: float
    images: int = 0
    weight: float = 0.0

    @property
    def information(self) -> ShapeInformation:
        """Of all images, as much as they count."""
        factor = effective_images(self.images) / self.weight
        return ShapeInformation(factor * self.matrix, factor * self.vector)


def effective_images(count: int) -> float:
    """How many images with errors of their own say as much as `count` whose errors are alike: the
    variance of the mean of n values with correlation r is ``(1 + (n - 1) r) / n`` of one's."""
    return count / (1 + (count - 1) * ALIKE)


def joint_shapes(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int, priors: ShapePriors
) -> dict[Key, JointShape]:
    """The shapes of all hands.

    Args:
        stream: goes through all images in a fixed order, as often as it is called; images that say
            nothing have NaN and are left out.
        num_betas: S.
        priors: of the shapes.

    Returns:
        By hand, in the order of `sorted` keys' text, of all hands of which any image says
        something.
    """
    sums = _added(stream, num_betas, None)
    shapes = _solved(sums, priors)
    for _ in range(REWEIGHTINGS):
        weights = _Weights(shapes, _medians(stream, num_betas, shapes))
        sums = _added(stream, num_betas, weights)
        shapes = _solved(sums, priors)
    return {key: JointShape(shapes[key], sums[key].images) for key in sorted(sums, key=str)}


def distances(information: ShapeInformation, betas: np.ndarray) -> np.ndarray:
    """How far a shape is from what each of N images would have alone.

    Args:
        information: of N images.
        betas: (S,) the shape.

    Returns:
        (N,) root of twice the rise of an image's cost over its own minimum, for each direction of
        which it says anything.
    """
    values, axes = np.linalg.eigh(information.matrix)
    slope = (information.matrix @ betas) - information.vector
    along = np.einsum("nij,ni->nj", axes, slope)
    says = values > _LEAST_EIGENVALUE * values[:, -1:]
    rise = np.where(says, along**2 / np.where(says, values, 1.0), 0.0)
    return np.sqrt(rise.sum(1) / says.sum(1).clip(1))


def _by_hand(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int
) -> Iterator[tuple[Key, ShapeInformation, np.ndarray]]:
    """Each hand's part of each part of the stream, and the sizes that are known."""
    for images in stream():
        usable = np.isfinite(images.information).all(1)
        places: dict[Key, list[int]] = {}
        for place in np.flatnonzero(usable):
            places.setdefault(images.keys[place], []).append(int(place))
        for key, rows in places.items():
            yield key, unpacked(images.information[rows], num_betas), images.sizes[rows]


@dataclass(frozen=True)
class _Weights(Generic[Key]):
    """By how far off images are from the shapes of their hands, and those hands' medians."""

    shapes: Mapping[Key, np.ndarray]
    medians: Mapping[Key, float]

    def __call__(self, key: Key, information: ShapeInformation) -> np.ndarray:
        far = distances(information, self.shapes[key]) / (OUTLIER * self.medians[key])
        return geman_mcclure(torch.from_numpy(far**2))[1].numpy()


def _added(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int, weights: _Weights[Key] | None
) -> dict[Key, _Sums]:
    """The weighted sums of all hands."""
    sums: dict[Key, _Sums] = {}
    for key, information, sizes in _by_hand(stream, num_betas):
        known = sizes[np.isfinite(sizes)]
        found = sums.get(key)
        if found is None:
            found = _Sums(np.zeros((num_betas, num_betas)), np.zeros(num_betas), np.nan)
            sums[key] = found
        if len(known):
            found.size = float(known[0])
        weighed = np.ones(len(sizes)) if weights is None else weights(key, information)
        # One after another: the sum must not depend on how the stream is cut.
        for weight, matrix, vector in zip(weighed, *information, strict=True):
            found.matrix += weight * matrix
            found.vector += weight * vector
            found.weight += float(weight)
        found.images += len(sizes)
    return sums


def _medians(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int, shapes: Mapping[Key, np.ndarray]
) -> dict[Key, float]:
    """The median of how far off the images of each hand are, from a histogram."""
    counts: dict[Key, np.ndarray] = {}
    per_decade = _BINS / _DECADES
    for key, information, _ in _by_hand(stream, num_betas):
        far = distances(information, shapes[key])
        bins = np.floor((np.log10(far.clip(1e-300)) + _DECADES / 2) * per_decade)
        histogram = counts.setdefault(key, np.zeros(_BINS, np.int64))
        np.add.at(histogram, bins.clip(0, _BINS - 1).astype(int), 1)
    return {key: _median(histogram) for key, histogram in counts.items()}


def _median(histogram: np.ndarray) -> float:
    """The middle, on the logarithmic scale, of the bin with the median, interpolated in it."""
    total, below = histogram.sum(), np.cumsum(histogram)
    place = int(np.searchsorted(below, total / 2))
    before = below[place] - histogram[place]
    share = (total / 2 - before) / histogram[place]
    return float(10 ** ((place + share) * _DECADES / _BINS - _DECADES / 2))


def _solved(sums: Mapping[Key, _Sums], priors: ShapePriors) -> dict[Key, np.ndarray]:
    """The shapes with the lowest cost, (S,) each."""
    return {key: _minimum(found, priors) for key, found in sums.items()}


def _minimum(sums: _Sums, priors: ShapePriors) -> np.ndarray:
    """Newton's method; where the size is known on the surface of shapes of that size."""
    like = priors.size.template
    matrix, vector = (like.new_tensor(part) for part in sums.information)
    size = like.new_tensor([sums.size])
    betas = like.new_zeros(1, len(vector))
    identity = torch.eye(len(vector), dtype=like.dtype, device=like.device)
    is_known = bool(size.isfinite())
    for _ in range(NEWTON_STEPS):
        betas = priors.size.held(betas, size)
        gradient = matrix @ betas[0] - vector + 2 * priors.shape_weight * betas[0]
        hessian = matrix + 2 * priors.shape_weight * identity
        if is_known:
            step = _along_surface(gradient, hessian, priors.size.with_slope(betas)[1][0])
        else:
            prior = size_prior(_hand(betas), priors.size)
            weight = SIZE_FACTOR * priors.size_weight
            step = _solve(
                hessian + weight * prior.hessian[0], -gradient - weight * prior.gradient[0]
            )
        betas = betas + step
    return priors.size.held(betas, size)[0].cpu().numpy()


def _along_surface(gradient: Tensor, hessian: Tensor, normal: Tensor) -> Tensor:
    """The step to the minimum at right angles to `normal`: Nocedal, Wright, "Numerical
    optimization", 2006, eq. 16.5."""
    across = normal.new_zeros(1, 1)
    system = torch.cat(
        [
            torch.cat([hessian, normal[:, None]], 1),
            torch.cat([normal[None], across], 1),
        ]
    )
    return _solve(system, torch.cat([-gradient, across[0]]))[:-1]


def _solve(system: Tensor, right: Tensor) -> Tensor:
    """The least-squares solution, of least norm: priors of weight 0 may leave a direction open."""
    return torch.linalg.lstsq(system, right[:, None], driver="gelsd").solution[:, 0]


def _hand(betas: Tensor) -> HandParams:
    still = betas.new_zeros(len(betas), 3)
    return HandParams(still, still[:, None], betas, still)
