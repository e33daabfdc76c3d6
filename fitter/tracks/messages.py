"""The messages of all frames of all tracks, streamed forward and backward over the rows of a pass.

Beliefs go forward over the rows, part by part, and what they are at the beginning of each part is
kept on the disk; then backward, where each part is gone through forward once more. So memory holds
one part, whatever the length of a video, and where parts are cut changes nothing.

A rotation has no coordinates that are smooth over a whole track. It gets the sum of the turns from
frame to frame before it, as left increments, and beliefs are about that: near a frame, which is
where its message is used, a difference of such sums is a left increment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from fitter.conventions import MIRROR_AXIS_ANGLE
from fitter.fitting.motion_information import MotionInformation, unpacked_motion
from fitter.groups.people import parts_of
from fitter.groups.robust import Medians, robust_weights
from fitter.hand_models.motion import PLACE, RIGID, ROTATION
from fitter.store.layout import Block
from fitter.store.reader import StoreReader
from fitter.store.schema import SIDES
from fitter.store.tracks import TrackedFile
from fitter.tracks.smoother import (
    Belief,
    Quadratic,
    distance,
    message,
    predicted,
    reversed_in_time,
    started,
    updated,
)

_PLACE, _TURN, _POSE = range(3)
"""Of what a hand's motion changes: columns of accelerations."""

PART = 128
"""Frames whose beliefs are in memory at once."""

REWEIGHTINGS = 2
"""Times that the weights of frames are formed again, and that it is measured how fast they move."""

OUTLIER = 4.0
"""How many times as far off as the median of its track a frame is that has a quarter of the largest
weight."""

WINDOW = 0.2
"""Seconds before and after a frame over which it is measured how fast the motion changes."""

LONGEST_STEP = 0.2
"""Seconds between frames of which that can be said."""

SPARSE = 0.06
"""Seconds to the nearest frame of its track from which on a hand is told nothing of its motion: a
finger opens and closes meanwhile. Fits to a video of signing were worse with it than alone at 12.5
frames a second and fewer."""

USUAL = (4.0, 6.0, 5.0)
"""Root mean square accelerations, a second squared, of the place, the rotation (radians) and a
component of the pose, at which the noises are as they are given; they are proportional to them."""

LEAST, MOST = 0.25, 4.0
"""Bounds of the factor."""
# All of these were chosen on a rendered video.


@dataclass(frozen=True)
class Places:
    """The M hands of all tracks, in the order of images and slots; see
    `fitter.store.tracks.TrackedHands`.

    Attributes:
        image, slot, track: (M,) int64.
        filled: (M,) bool.
        time: (M,) seconds of the frames.
    """

    image: np.ndarray
    slot: np.ndarray
    track: np.ndarray
    filled: np.ndarray
    time: np.ndarray


def far_apart(places: Places) -> np.ndarray:
    """(M,) bool, of found hands whose track has no frame within `SPARSE` seconds."""
    order = np.lexsort((places.time, places.track))
    steps = np.diff(places.time[order])
    steps[np.diff(places.track[order]) != 0] = np.inf
    nearest = np.minimum(np.append(np.inf, steps), np.append(steps, np.inf))
    apart = np.empty(len(order), bool)
    apart[order] = nearest > SPARSE
    return apart & ~places.filled


@dataclass(frozen=True)
class Motion:
    """How the hands of a store may move.

    Attributes:
        components: K, of the pose.
        density: (6 + K,) of white acceleration, see `fitter.tracks.smoother`.
        sides: by track's number, that of its hand.
        betas: by track's number, its shape (S,); tracks without one have no messages.
    """

    components: int
    density: np.ndarray
    sides: Mapping[int, str]
    betas: Mapping[int, np.ndarray]


class Messages:
    """What all other frames say of each hand of each track."""

    def __init__(self, rows: StoreReader, places: Places, motion: Motion, scratch: Path) -> None:
        """Prepare.

        Args:
            rows: of a pass that is complete.
            places: of the hands in it.
            motion: of their tracks.
            scratch: an empty folder for what does not stay in memory.
        """
        self._rows, self._places, self._motion, self._scratch = rows, places, motion, scratch
        self._weights = np.ones(len(places.image))
        self._change = np.ones((len(places.image), 3))
        self._groups = np.repeat([_TURN, _PLACE, _POSE], [3, 3, motion.components])
        parts = (
            _Part(block, *np.searchsorted(places.image, [block.start, block.stop]).tolist())
            for block in parts_of(rows, PART)
        )
        self._parts = [part for part in parts if part.start < part.stop]
        self._last = {int(track): k for k, track in enumerate(places.track)}
        self._rotations, self._charts = self._turns()

    def write(self, file: TrackedFile) -> None:
        """Make the messages and write them to a file that is laid out for these hands."""
        for _ in range(REWEIGHTINGS):
            self._reweigh()
        apart = far_apart(self._places)
        for part, said in self._backward():
            means = np.stack([self._as_parameters(part.start + k, each.mean)
                              for k, each in enumerate(said)])  # fmt: skip
            means[apart[part.start : part.stop]] = np.nan
            file.put(part.start, means, np.stack([each.information for each in said]))

    def _reweigh(self) -> None:
        """Give frames that are far from what all others say less weight, and motion that changes
        fast more room."""
        found = np.full(len(self._weights), np.nan)
        change = np.full(self._change.shape, np.nan)
        medians: Medians[int] = Medians()
        ahead: dict[int, list[tuple[float, np.ndarray, int]]] = {}
        for part, said in self._backward():
            for k, each in reversed(list(enumerate(said, part.start))):
                track, time = int(self._places.track[k]), self._places.time[k]
                if not np.isfinite(each.mean).all():
                    continue
                if each.seen is not None:
                    found[k] = distance(each.seen, each.mean, each.information)
                    medians.add(track, found[k : k + 1])
                later = ahead.setdefault(track, [])
                later.insert(0, (time, self._smoothed(k, each), k))
                if len(later) == 3:
                    change[later[1][2]] = self._acceleration(later)
                    later.pop()
        scales = medians.found()
        for k in np.flatnonzero(np.isfinite(found)).tolist():
            scale = OUTLIER * scales[int(self._places.track[k])]
            self._weights[k] = robust_weights(found[k : k + 1], scale)[0]
        self._set_change(change)

    def _smoothed(self, k: int, said: _Said) -> np.ndarray:
        """(n,) where a frame and all others have a hand."""
        if said.seen is None:
            return said.mean
        seen = self._weighed(k, said.seen)
        right = seen.vector + said.information @ said.mean
        return np.linalg.solve(seen.information + said.information, right)

    def _acceleration(self, three: list[tuple[float, np.ndarray, int]]) -> np.ndarray:
        """(3,) of the place, the rotation and the pose in the middle of three frames, root mean
        square over their coordinates; NaN across gaps."""
        (t0, x0, _), (t1, x1, _), (t2, x2, _) = three
        if max(t1 - t0, t2 - t1) > LONGEST_STEP or not t0 < t1 < t2:
            return np.full(3, np.nan)
        found = np.square(2 * ((x2 - x1) / (t2 - t1) - (x1 - x0) / (t1 - t0)) / (t2 - t0))
        pose = found[RIGID:].mean() if len(found) > RIGID else 0.0
        return np.sqrt([found[PLACE].mean(), found[ROTATION].mean(), pose])

    def _set_change(self, acceleration: np.ndarray) -> None:
        """How fast the motion changes around each frame, by the accelerations (M, 3)."""
        order = np.argsort(self._places.track, kind="stable")
        ends = np.flatnonzero(np.diff(self._places.track[order])) + 1
        for own in np.split(order, ends):
            time, values = self._places.time[own], acceleration[own]
            known = np.isfinite(values).all(1)
            sums = np.concatenate(
                [np.zeros((1, 4)), np.cumsum(np.where(known[:, None], np.column_stack(
                    [np.square(values), known]), 0.0), axis=0)]
            )  # fmt: skip
            first = np.searchsorted(time, time - WINDOW, "left")
            last = np.searchsorted(time, time + WINDOW, "right")
            total = sums[last] - sums[first]
            rms = np.sqrt(total[:, :3] / total[:, 3:].clip(1))
            factor = np.where(total[:, 3:] > 0, rms / np.array(USUAL), 1.0)
            self._change[own] = factor.clip(LEAST, MOST)

    def _density(self, k: int) -> np.ndarray:
        """(n,) of white acceleration at a hand."""
        return self._motion.density * np.square(self._change[k])[self._groups]

    def _backward(self) -> Iterator[tuple[_Part, list[_Said]]]:
        """The messages of all parts, the last one first."""
        places = self._places
        ahead: dict[int, _Known] = {}
        for number, _ in enumerate(self._parts):
            self._forward(number)
        for number in reversed(range(len(self._parts))):
            part = self._parts[number]
            seen = self._seen(part)
            before = self._forward(number, seen)
            said: list[_Said] = []
            for k in reversed(range(part.start, part.stop)):
                track, here = int(places.track[k]), seen[k - part.start]
                place = self._coordinates(k, here)
                known = ahead.get(track)
                after = (
                    started(place) if known is None else known.at(-places.time[k], self._density(k))
                )
                own = before[k - part.start]
                if track not in self._motion.betas:
                    nothing = np.full(len(place), np.nan), np.zeros((len(place), len(place)))
                    said.append(_Said(None, *nothing))
                    continue
                said.append(_Said(here, *message(own, reversed_in_time(after))))
                after = after if here is None else updated(after, self._weighed(k, here))
                ahead[track] = _Known(-places.time[k], after, self._density(k))
            yield part, said[::-1]

    def _forward(self, number: int, seen: list[_Seen | None] | None = None) -> list[Belief]:
        """What the frames before predict of each hand of a part; what is believed after the part
        is kept for the next one."""
        part, places = self._parts[number], self._places
        states = _load(self._scratch / f"{number}.npz") if number else {}
        seen = self._seen(part) if seen is None else seen
        found: list[Belief] = []
        for k in range(part.start, part.stop):
            track, here = int(places.track[k]), seen[k - part.start]
            known = states.get(track)
            place = self._coordinates(k, here)
            density = self._density(k)
            belief = started(place) if known is None else known.at(places.time[k], density)
            found.append(belief)
            if here is not None:
                belief = updated(belief, self._weighed(k, here))
            states[track] = _Known(places.time[k], belief, density)
            if self._last[track] == k:
                del states[track]
        _save(self._scratch / f"{number + 1}.npz", states)
        return found

    def _weighed(self, k: int, seen: _Seen) -> _Seen:
        return _Seen(*(self._weights[k] * part for part in seen))

    def _coordinates(self, k: int, seen: _Seen | None) -> np.ndarray:
        """(n,) where a hand was fitted; somewhere where it was not."""
        if seen is not None:
            return np.linalg.lstsq(seen.information, seen.vector, rcond=1e-9)[0]
        rest = np.zeros(len(self._motion.density) - 3)
        return np.concatenate([self._charts[k], rest])

    def _as_parameters(self, k: int, mean: np.ndarray) -> np.ndarray:
        """(n,) coordinates in the chart of a hand, its rotation as axis-angle; NaN as they are."""
        if not np.isfinite(mean).all():
            return mean
        turn = Rotation.from_rotvec(mean[ROTATION] - self._charts[k])
        rotation = (turn * Rotation.from_rotvec(self._rotations[k])).as_rotvec()
        return np.concatenate([rotation, mean[3:]])

    def _turns(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, 3) rotation of each hand as axis-angle, and the sum of all turns of its track before
        it; of a hand without a fit those of the hand before, or of the first one."""
        count = len(self._places.image)
        rotations, charts = np.full((count, 3), np.nan), np.zeros((count, 3))
        for part in self._parts:
            found = self._read(part, "global_orient")
            mirrored = [self._motion.sides[int(t)] == "left" for t in self._places.track[part.of]]
            found[mirrored] *= MIRROR_AXIS_ANGLE
            found[~self._usable(part)] = np.nan
            rotations[part.of] = found
        before: dict[int, int] = {}
        unknown: dict[int, list[int]] = {}
        for k in range(count):
            track = int(self._places.track[k])
            last = before.get(track)
            if np.isnan(rotations[k]).any():
                if last is None:
                    unknown.setdefault(track, []).append(k)
                    rotations[k] = 0.0
                    continue
                rotations[k], charts[k] = rotations[last], charts[last]
                continue
            now = Rotation.from_rotvec(rotations[k])
            if last is not None:
                turn = now * Rotation.from_rotvec(rotations[last]).inv()
                charts[k] = charts[last] + turn.as_rotvec()
            for earlier in unknown.pop(track, []):
                rotations[earlier], charts[earlier] = rotations[k], charts[k]
            before[track] = k
        return rotations, charts

    def _usable(self, part: _Part) -> np.ndarray:
        """(m,) bool: hands that were fitted, as ones of their track's side."""
        codes = [SIDES.index(self._motion.sides[int(t)]) for t in self._places.track[part.of]]
        found = self._read(part, "valid") & (self._read(part, "side") == codes)
        return found & ~self._places.filled[part.of]

    def _read(self, part: _Part, name: str) -> np.ndarray:
        """(m, ...) of the hands of a part."""
        image, slot = self._places.image[part.of], self._places.slot[part.of]
        return self._rows.read(name, part.block)[image - part.block.start, slot]

    def _seen(self, part: _Part) -> list[_Seen | None]:
        """What the frames of a part say of its hands."""
        motion, betas = self._motion, self._read(part, "betas").astype(np.float64)
        stored = self._read(part, "motion_information")
        found: MotionInformation = unpacked_motion(stored, motion.components, betas.shape[1])
        usable = self._usable(part) & np.isfinite(stored).all(1)
        seen: list[_Seen | None] = []
        for k, track in enumerate(self._places.track[part.of].tolist()):
            if not usable[k] or track not in motion.betas:
                seen.append(None)
                continue
            place = np.concatenate([self._charts[part.start + k], found.place[k], found.pose[k]])
            slope = found.gradient[k] + found.across[k] @ (motion.betas[track] - betas[k])
            seen.append(_Seen(found.hessian[k], found.hessian[k] @ place - slope))
        return seen


_Seen = Quadratic


@dataclass(frozen=True)
class _Part:
    """Consecutive frames, and the hands of tracks in them, from `start` to `stop` (exclusive)."""

    block: Block
    start: int
    stop: int

    @property
    def of(self) -> slice:
        """The places of its hands."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class _Said:
    """What a frame says of a hand, and what all others do."""

    seen: _Seen | None
    mean: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class _Known:
    """What is believed of a track at a time, backward times count down; and the density there."""

    time: float
    belief: Belief
    density: np.ndarray

    def at(self, time: float, density: np.ndarray) -> Belief:
        """Some time later, where the density is another: between them it is their mean."""
        return predicted(self.belief, time - self.time, (self.density + density) / 2)


def _save(path: Path, states: Mapping[int, _Known]) -> None:
    known = list(states.values())
    np.savez(
        path,
        track=np.array(list(states), np.int64),
        time=np.array([each.time for each in known]),
        mean=np.array([each.belief.mean for each in known]),
        covariance=np.array([each.belief.covariance for each in known]),
        density=np.array([each.density for each in known]),
    )


def _load(path: Path) -> dict[int, _Known]:
    with np.load(path) as arrays:
        columns = [arrays[name] for name in ("track", "time", "mean", "covariance", "density")]
    return {
        int(track): _Known(float(time), Belief(mean, covariance), density)
        for track, time, mean, covariance, density in zip(*columns, strict=True)
    }
