"""The shapes that hands keep while they are fitted together.

A smaller hand nearer to the camera looks the same. Free to shrink, a group that is to be out of
itself and close together does so: all its hands become small and near, by tens of centimetres in
the worst case. So a group's shapes are settled before, from what each hand's own fit says.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.known_shape import KnownShape

TWO_PEOPLE = 0.15
"""Logarithm of the ratio of two hands' sizes beyond which they are taken for two people's, about
three standard deviations of what is between two fits of one person's. # not published"""


def kept_shapes(
    size: HandSize, betas: Tensor, known: KnownShape, pairs: tuple[Tensor, Tensor]
) -> KnownShape:
    """What B hands keep to: the shape that is known; of a left and a right hand of one person the
    mean of both, which errs less than either; of any other its own.

    Args:
        size: of the model.
        betas: (B, S) of the hands as they were fitted alone.
        known: of the same hands.
        pairs: (P,) places of hands that may be one person's.
    """
    own = betas.double()
    kept = known.held(size, own)
    free = known.size.isnan() & known.betas.isnan().any(-1)
    first, second = pairs
    length = size(own).log()
    same = free[first] & free[second] & ((length[first] - length[second]).abs() <= TWO_PEOPLE)
    first, second = first[same], second[same]
    total = own.index_add(0, first, own[second]).index_add(0, second, own[first])
    like = torch.ones_like(length)
    count = like.index_add(0, first, like[second]).index_add(0, second, like[first])
    shapes = torch.where(free[:, None], total / count[:, None], kept)
    return KnownShape(torch.full_like(length, torch.nan), shapes)
