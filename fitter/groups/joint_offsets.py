"""The offsets that all images of one hand share: what moves the hand of the shared shape onto the
surfaces that the images were fitted with, in the rest pose.

An image's own offsets also make up for what its own shape has wrong. So it is not they that are
taken together but the surfaces: each is compared with the shared shape in the same pose, up to size
and place, which an image does not show and which the fits that come after find anew.

An image tells where the surface is that it shows, and the regularisers carry the rest along. So
vertices that face the camera, or lie near the outline, count in full, and others for little. Where
a surface is far from that of the other images, such as with another person's hand or something in
front of it, it gets less weight: Geman and McClure's, formed again some times.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from fitter.groups.robust import Medians, robust_weights
from fitter.hand_models import HandModel
from fitter.hand_models.rest_offsets import rest_offsets
from fitter.records import HandParams
from fitter.rendering import vertex_normals

Key = TypeVar("Key", bound=Hashable)

UNSEEN = 0.05
"""Weight of a vertex that an image does not show."""

OUTLINE = 0.2
"""Cosine of the angle to the line of sight up to which a vertex that faces away is near the
outline."""

LEAST_DETERMINANT = 0.3
"""Of a vertex's skinning matrix; see `rest_offsets`."""

REWEIGHTINGS = 2
"""Times that the means are formed again; each goes twice through all images."""

OUTLIER = 3.0
"""How many times as far off as the median of its hand's vertices one is that has a quarter of the
largest weight."""


@dataclass(frozen=True)
class OffsetImages(Generic[Key]):
    """N consecutive images of some hands, as right hands.

    Attributes:
        keys: whose hand each shows.
        params: of the N hands, in the camera's frame.
        offsets: (N, V, 3) metres, in the same frame.
    """

    keys: list[Key]
    params: HandParams
    offsets: Tensor


@dataclass(frozen=True)
class _Surface(Generic[Key]):
    """What one image says of a hand: (V, 3) metres in the rest pose, and (V,) weights."""

    key: Key
    offsets: np.ndarray
    weights: np.ndarray

    @property
    def is_seen(self) -> np.ndarray:
        """(V,) bool; other vertices are where the priors leave them."""
        return self.weights > UNSEEN

    def distances(self, means: Mapping[Key, np.ndarray]) -> np.ndarray:
        """(V,) metres from its hand's offsets."""
        return np.linalg.norm(self.offsets - means[self.key], axis=-1)


def joint_offsets(
    model: HandModel,
    stream: Callable[[], Iterable[OffsetImages[Key]]],
    shapes: Mapping[Key, np.ndarray],
) -> dict[Key, np.ndarray]:
    """The offsets of all hands.

    Args:
        model: the right-hand model.
        stream: goes through all images in a fixed order, as often as it is called.
        shapes: (S,) coefficients that all images of a hand share; images of others are left out.

    Returns:
        (V, 3) float32 metres in the rest pose of the right hand; 0 where no image says anything.
    """

    def surfaces() -> Iterator[_Surface[Key]]:
        for images in stream():
            yield from _surfaces(model, images, shapes)

    means = _means(surfaces(), None)
    for _ in range(REWEIGHTINGS):
        medians: Medians[Key] = Medians()
        for surface in surfaces():
            medians.add(surface.key, surface.distances(means)[surface.is_seen])
        means = _means(surfaces(), (means, medians.found()))
    return {key: found.astype(np.float32) for key, found in means.items()}


def _means(
    surfaces: Iterable[_Surface[Key]],
    known: tuple[Mapping[Key, np.ndarray], Mapping[Key, float]] | None,
) -> dict[Key, np.ndarray]:
    """(V, 3) weighted means of the surfaces of each hand.

    Args:
        surfaces: of all images.
        known: the means before, and the medians of the distances from them; or None.
    """
    sums: dict[Key, tuple[np.ndarray, np.ndarray]] = {}
    for surface in surfaces:
        key, weights = surface.key, surface.weights
        if known is not None and key in known[1]:
            far, scale = surface.distances(known[0]), OUTLIER * known[1][key]
            # The image as a whole as well: it may be the only one that shows a vertex.
            whole = np.median(far[surface.is_seen], keepdims=True) if surface.is_seen.any() else far
            weights = weights * robust_weights(far, scale) * robust_weights(whole, scale)
        total, of = sums.setdefault(
            key, (np.zeros(surface.offsets.shape), np.zeros((len(weights), 1)))
        )
        total += weights[:, None] * surface.offsets
        of += weights[:, None]
    return {key: total / np.where(of > 0, of, 1.0) for key, (total, of) in sums.items()}


def _surfaces(
    model: HandModel, images: OffsetImages[Key], shapes: Mapping[Key, np.ndarray]
) -> Iterator[_Surface[Key]]:
    """What each of some images says."""
    places = [place for place, key in enumerate(images.keys) if key in shapes]
    if not places:
        return
    keys = [images.keys[place] for place in places]
    index = torch.tensor(places, device=images.offsets.device)
    params, moved = images.params[index], images.offsets[index]
    vertices = model(params).vertices + moved
    betas = params.betas.new_tensor(np.array([shapes[key] for key in keys]))
    shared = replace(params, betas=betas)
    weight = _weight(vertices, model.faces)
    plain = model(shared).vertices
    posed = _moved_onto(vertices, plain, weight) - plain
    found, known = rest_offsets(model, shared, posed, LEAST_DETERMINANT)
    weight = torch.where(known, weight, 0.0)
    for key, *values in zip(keys, found.cpu().numpy(), weight.cpu().numpy(), strict=True):
        if np.isfinite(values[0]).all():
            yield _Surface(key, *values)


def _moved_onto(vertices: Tensor, onto: Tensor, weight: Tensor) -> Tensor:
    """Vertices (B, V, 3), scaled and moved to where the weighted squares of their distances from
    others (B, V, 3) are least."""
    share = (weight / weight.sum(-1, keepdim=True))[..., None]
    centre = (share * onto).sum(1, keepdim=True)
    own = vertices - (share * vertices).sum(1, keepdim=True)
    other = onto - centre
    scale = (share * own * other).sum((1, 2)) / (share * own.square()).sum((1, 2))
    return scale[:, None, None] * own + centre


def _weight(vertices: Tensor, faces: Tensor) -> Tensor:
    """(B, V) how well the image of each hand shows its vertices (B, V, 3)."""
    sight = torch.nn.functional.normalize(vertices, dim=-1)
    facing = -(vertex_normals(vertices, faces) * sight).sum(-1)
    return torch.where(facing > -OUTLINE, 1.0, UNSEEN)
