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

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from fitter.energies.size import size_prior
from fitter.fitting.shape_information import ShapeInformation, unpacked
from fitter.groups.robust import Medians, robust_weights
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

SOLVED_AT_ONCE = 1024
"""Hands whose small systems are solved at once."""


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
    """How far shapes are from what each of N images would have alone.

    Args:
        information: of N images.
        betas: (S,) or (N, S) the shapes.

    Returns:
        (N,) root of twice the rise of an image's cost over its own minimum, for each direction of
        which it says anything.
    """
    values, axes = np.linalg.eigh(information.matrix)
    slope = np.einsum("nij,nj->ni", information.matrix, np.broadcast_to(betas, values.shape))
    along = np.einsum("nij,ni->nj", axes, slope - information.vector)
    says = values > _LEAST_EIGENVALUE * values[:, -1:]
    rise = np.where(says, along**2 / np.where(says, values, 1.0), 0.0)
    return np.sqrt(rise.sum(1) / says.sum(1).clip(1))


def _usable(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int
) -> Iterator[tuple[list[Key], ShapeInformation, np.ndarray]]:
    """What the images of each part of the stream say, and the sizes that are known, without those
    that say nothing."""
    for images in stream():
        rows = np.flatnonzero(np.isfinite(images.information).all(1))
        if len(rows):
            keys = [images.keys[row] for row in rows]
            yield keys, unpacked(images.information[rows], num_betas), images.sizes[rows]


@dataclass(frozen=True)
class _Weights(Generic[Key]):
    """By how far off images are from the shapes of their hands, and those hands' medians."""

    shapes: Mapping[Key, np.ndarray]
    medians: Mapping[Key, float]

    def __call__(self, keys: list[Key], information: ShapeInformation) -> np.ndarray:
        scale = OUTLIER * np.array([self.medians[key] for key in keys])
        return robust_weights(_distances(keys, information, self.shapes), scale)


def _distances(
    keys: list[Key], information: ShapeInformation, shapes: Mapping[Key, np.ndarray]
) -> np.ndarray:
    return distances(information, np.array([shapes[key] for key in keys]))


def _added(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int, weights: _Weights[Key] | None
) -> dict[Key, _Sums]:
    """The weighted sums of all hands."""
    sums: dict[Key, _Sums] = {}
    for keys, information, sizes in _usable(stream, num_betas):
        weighed = np.ones(len(sizes)) if weights is None else weights(keys, information)
        # One after another: the sum must not depend on how the stream is cut.
        for key, weight, size, matrix, vector in zip(
            keys, weighed, sizes, *information, strict=True
        ):
            found = sums.get(key)
            if found is None:
                found = _Sums(np.zeros((num_betas, num_betas)), np.zeros(num_betas), np.nan)
                sums[key] = found
            if np.isnan(found.size):
                found.size = float(size)
            found.matrix += weight * matrix
            found.vector += weight * vector
            found.weight += float(weight)
            found.images += 1
    return sums


def _medians(
    stream: Callable[[], Iterable[Images[Key]]], num_betas: int, shapes: Mapping[Key, np.ndarray]
) -> dict[Key, float]:
    """The median of how far off the images of each hand are."""
    medians: Medians[Key] = Medians()
    for keys, information, _ in _usable(stream, num_betas):
        far = _distances(keys, information, shapes)
        for place, key in enumerate(keys):
            medians.add(key, far[place : place + 1])
    return medians.found()


def _solved(sums: Mapping[Key, _Sums], priors: ShapePriors) -> dict[Key, np.ndarray]:
    """The shapes with the lowest cost, (S,) each."""
    found: dict[Key, np.ndarray] = {}
    keys = list(sums)
    for start in range(0, len(keys), SOLVED_AT_ONCE):
        some = keys[start : start + SOLVED_AT_ONCE]
        found |= zip(some, _minima([sums[key] for key in some], priors), strict=True)
    return found


def _minima(sums: Sequence[_Sums], priors: ShapePriors) -> np.ndarray:
    """(G, S) shapes of G hands by Newton's method; where the size is known on the surface of shapes
    of that size."""
    like = priors.size.template
    parts = [each.information for each in sums]
    matrix = like.new_tensor(np.array([part.matrix for part in parts]))
    vector = like.new_tensor(np.array([part.vector for part in parts]))
    size = like.new_tensor([each.size for each in sums])
    betas = torch.zeros_like(vector)
    identity = torch.eye(vector.shape[-1], dtype=like.dtype, device=like.device)
    known = size.isfinite()
    weight = SIZE_FACTOR * priors.size_weight
    for _ in range(NEWTON_STEPS):
        betas = priors.size.held(betas, size)
        gradient = (matrix @ betas[..., None])[..., 0] - vector + 2 * priors.shape_weight * betas
        hessian = matrix + 2 * priors.shape_weight * identity
        prior = size_prior(_hand(betas), priors.size)
        free = _solve(hessian + weight * prior.hessian, -gradient - weight * prior.gradient)
        step = free
        if known.any():
            held = _along_surface(gradient, hessian, priors.size.with_slope(betas)[1])
            step = torch.where(known[:, None], held, free)
        betas = betas + step
    return priors.size.held(betas, size).numpy()


def _along_surface(gradient: Tensor, hessian: Tensor, normal: Tensor) -> Tensor:
    """The steps (G, S) to the minima at right angles to `normal` (G, S): Nocedal, Wright,
    "Numerical optimization", 2006, eq. 16.5."""
    across = normal.new_zeros(len(normal), 1)
    last = torch.cat([normal, across], 1)
    system = torch.cat([torch.cat([hessian, normal[..., None]], 2), last[:, None]], 1)
    return _solve(system, torch.cat([-gradient, across], 1))[:, :-1]


def _solve(system: Tensor, right: Tensor) -> Tensor:
    """The least-squares solutions (G, S), of least norm: priors of weight 0 may leave a direction
    open."""
    return torch.linalg.lstsq(system, right[..., None], driver="gelsd").solution[..., 0]


def _hand(betas: Tensor) -> HandParams:
    still = betas.new_zeros(len(betas), 3)
    return HandParams(still, still[:, None], betas, still)
