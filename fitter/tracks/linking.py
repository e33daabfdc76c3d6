"""Tracklets of one video, linked to tracks: a hand that left, or was hidden, and came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fitter.records import Side

WAY_COST = 0.3
"""Of a way of one length of the hand for each second of the gap and one at once, beside 1 of the
whole time that a hand may be gone."""
FARTHEST, FARTHER, REACH = 1.0, 2.0, 6.0
"""Lengths of the hand that it may be from where it is expected, by how much they rise with each
second, and their bound: a metre or so, what an arm reaches from where its hand usually is."""
MOST_RATIO = 2.5
"""Of the distances from the camera, and of the lengths in the picture, of what may be one hand."""
FEW = 2
"""Times the least frames of a track; what was found in fewer may be no hand, and is linked only to
what lies at most `FARTHEST` from it."""
# not published: the cost was chosen on rendered videos


@dataclass(frozen=True)
class Tracklet:
    """A hand as long as it is seen.

    Attributes:
        start, end: seconds.
        first, last: numbers of frames.
        start_place, end_place: (2,) pixels, middle of its keypoints.
        start_depth, end_depth: metres from the camera; NaN where no fit tells.
        length: pixels, of its keypoints' box, the largest of all frames.
        frames: in which it was found.
        right: mean probability that it is a right hand.
    """

    start: float
    first: int
    start_place: np.ndarray
    start_depth: float
    end: float
    last: int
    end_place: np.ndarray
    end_depth: float
    length: float
    frames: int = 0
    right: float = 0.5


class Linked(NamedTuple):
    """A track, see `fitter.tracks.association.Track`."""

    side: Side
    side_score: float
    first: int
    last: int
    frames: int


def farthest(seconds: np.ndarray) -> np.ndarray:
    """(N,) lengths of a hand that it may be from where it is expected after (N,) seconds."""
    return np.minimum(FARTHEST + FARTHER * seconds, REACH)


def linked(
    tracklets: Sequence[Tracklet], max_gap: float, least_frames: int
) -> tuple[list[Linked], list[int]]:
    """The tracks of a video, and of each tracklet its track's place, -1 for none.

    Args:
        tracklets: in the order in which they begin.
        max_gap: seconds that two of one track lie apart at most.
        least_frames: of a tracklet that is no chance find.
    """
    kept = [k for k, each in enumerate(tracklets) if each.frames >= least_frames]
    following = {
        kept[k]: kept[after]
        for k, after in _links([tracklets[k] for k in kept], max_gap, FEW * least_frames).items()
    }
    before = {after: k for k, after in following.items()}
    found: list[Linked] = []
    places = [-1] * len(tracklets)
    for k in kept:
        if k in before:
            continue
        chain = [k]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        parts = [tracklets[each] for each in chain]
        frames = sum(part.frames for part in parts)
        right = sum(part.right * part.frames for part in parts) / frames
        for each in chain:
            places[each] = len(found)
        found.append(
            Linked(
                "right" if right > 0.5 else "left",
                max(right, 1 - right),
                parts[0].first,
                parts[-1].last,
                frames,
            )
        )
    return found, places


def _way(one: Tracklet, other: Tracklet, sure: int) -> float | None:
    """Lengths of the hand from where a tracklet ended to where another one began; None where they
    cannot be one hand."""
    gap = other.start - one.end
    if gap <= 0 or (one.right > 0.5) != (other.right > 0.5):
        return None
    way = float(np.linalg.norm(other.start_place - one.end_place)) / max(one.length, other.length)
    few = min(one.frames, other.frames) < sure
    if way > (FARTHEST if few else farthest(np.array(gap))):
        return None
    # Depths are NaN of hands that no fit tells of: they bar nothing.
    ratios = np.array([other.start_depth / one.end_depth, other.length / one.length])
    return None if (np.abs(np.log(ratios)) > np.log(MOST_RATIO)).any() else way


def _links(tracklets: Sequence[Tracklet], max_gap: float, sure: int) -> dict[int, int]:
    """Which tracklet each goes on in; those of fewer than `sure` frames may be no hands."""
    edges = []
    for k, one in enumerate(tracklets):
        for later in range(k + 1, len(tracklets)):
            other = tracklets[later]
            gap = other.start - one.end
            if gap > max_gap:
                break  # those after begin later still
            way = _way(one, other, sure)
            if way is not None:
                cost = gap / max(max_gap, 1e-9) + WAY_COST * way / (1 + gap)
                edges.append((k, later, cost))
    if not edges:
        return {}
    first, second, costs = (np.array(column) for column in zip(*edges, strict=True))
    size = len(tracklets)
    # Ends and beginnings are two kinds of nodes; what hangs together is assigned together.
    graph = coo_array((np.ones(len(first)), (first, size + second)), shape=(2 * size, 2 * size))
    group = connected_components(graph, directed=False)[1]
    found: dict[int, int] = {}
    for each in np.unique(group[first]):
        own = group[first] == each
        ends, rows = np.unique(first[own], return_inverse=True)
        starts, columns = np.unique(second[own], return_inverse=True)
        # Not to link costs more than any link, so that as many as can be are linked.
        matrix = np.full((len(ends), len(starts)), 1e3)
        matrix[rows, columns] = costs[own]
        for row, column in zip(*linear_sum_assignment(matrix), strict=True):
            if matrix[row, column] < 1e3:
                found[int(ends[row])] = int(starts[column])
    return found
