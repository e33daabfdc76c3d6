"""Which pseudo-labels are learned from, and how far each counts.

Filtered by score, freed of near-duplicates by perceptual hash, weighted by confidence. Confidences
are those of S2HAND (Chen et al. 2021) eq. 3 and 4, here over their mean in the set: they move
weight between its hands and keypoints, while the set's share of a batch says how much all of it
counts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fitter.errors import InputError
from init_net.samples.shards import ShardedSamples

HASH_BITS = 64

SCENES = (4,)
"""Seed of the order that portions of a set are taken from."""

PAIRS = (0, 11)
"""The same of pairs, which were split before there were portions: their runs go on."""


@dataclass(frozen=True)
class LabelRules:
    """What is learned from of a set.

    Attributes:
        least_score: of a hand.
        near_duplicates: bits of perceptual hashes up to which hands count as one; None: no two do.
    """

    least_score: float = 0.0
    near_duplicates: int | None = None


def labelled(
    samples: ShardedSamples, rules: LabelRules, among: np.ndarray | None = None
) -> ShardedSamples:
    """Those samples of a folder that rules leave.

    Args:
        samples: N.
        rules: of what is learned from.
        among: (N,) bool, those that may be; None for all.

    Raises:
        InputError: none is left.
    """
    score = samples.column("label_score")
    asked = samples.column("usable") & (score >= rules.least_score)
    keep = np.flatnonzero(asked if among is None else asked & among)
    if rules.near_duplicates is not None:
        hashes = samples.column("picture_hash")[keep]
        keep = keep[distinct(hashes, score[keep], rules.near_duplicates)]
    if len(keep) == 0:
        raise InputError(
            "samples.none_left", file=samples.folder, count=len(samples), score=rules.least_score
        )
    return samples.subset(keep)


def in_portion(
    scenes: np.ndarray, portion: tuple[float, float], order: tuple[int, ...] = SCENES
) -> np.ndarray:
    """Which samples are in a portion of all: those of one scene are together in it or not.

    The scenes are put in an order that is random and depends on their numbers alone, and those
    from one share of it to another are taken: portions that meet have no scene in common, and
    together they have all.

    Seeber et al., 4.1, take 70 % of "unique samples" to learn from; which is not published.

    Args:
        scenes: (N,) the number of what each sample shows, see `AnnotatedImages.scene`: a number of
            its own, or the one that several versions of a picture share.
        portion: from and to, shares in [0, 1].
        order: its seed, `SCENES` or `PAIRS`.

    Returns:
        (N,) bool.
    """
    unique = np.unique(scenes)
    place = np.empty(len(unique))
    shuffled = np.random.default_rng(order).permutation(len(unique))
    place[shuffled] = (np.arange(len(unique)) + 0.5) / max(len(unique), 1)
    first, last = portion
    return np.isin(scenes, unique[(place >= first) & (place < last)])


@dataclass(frozen=True)
class LabelWeights:
    """How far each sample of a set and each of its keypoints counts.

    Attributes:
        hands: (N,) float32 of mean 1.
        keypoints: (N, 21) float32 of mean 1.
    """

    hands: np.ndarray
    keypoints: np.ndarray

    @classmethod
    def of(cls, samples: ShardedSamples, confidence: bool = True) -> LabelWeights:
        """Those of a set: score and confidence over their means; all 1 without `confidence`, or
        where a set says the same of all."""
        hands, keypoints = samples.column("label_score"), samples.column("label_confidence")
        if not confidence:
            hands, keypoints = np.ones_like(hands), np.ones_like(keypoints)
        return cls(_over_mean(hands), _over_mean(keypoints))


def _over_mean(values: np.ndarray) -> np.ndarray:
    mean = float(values.mean(dtype=np.float64))
    # Nobody is sure of anything: all count alike.
    return np.ones_like(values) if mean == 0 else (values / mean).astype(np.float32)


def distinct(hashes: np.ndarray, score: np.ndarray, bits: int) -> np.ndarray:
    """Places of hashes of which no two are within `bits` bits of each other, in ascending order.

    Greedy from the best score on, the first of equal ones first: each is kept unless one that is
    kept is near. Two hashes that differ in at most `bits` bits agree in at least one of
    ``bits + 1`` pieces, so that only those with a common piece are compared.

    Args:
        hashes: (N,) uint64.
        score: (N,).
        bits: from 0 on, below 64.
    """
    edges = np.linspace(0, HASH_BITS, bits + 2).astype(int)
    pieces = [
        ((hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)).tolist()
        for low, high in pairwise(edges.tolist())
    ]
    whole = hashes.tolist()
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    kept = []
    for place in np.argsort(-score, kind="stable").tolist():
        keys = [(number, piece[place]) for number, piece in enumerate(pieces)]
        near = (whole[other] for key in keys for other in buckets.get(key, ()))
        if any((whole[place] ^ other).bit_count() <= bits for other in near):
            continue
        kept.append(place)
        for key in keys:
            buckets[key].append(place)
    return np.array(sorted(kept), np.int64)
