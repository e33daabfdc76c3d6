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
from fitter.hand_models.motion import ROTATION
from fitter.store.layout import Block
from fitter.store.reader import StoreReader
from fitter.store.schema import SIDES
from fitter.store.tracks import TrackedFile
from fitter.tracks.calibration import (
    acceleration,
    by_coordinate,
    motion_change,
    room,
    surprise,
    widened,
)
from fitter.tracks.smoother import (
    Belief,
    Quadratic,
    message,
    predicted,
    reversed_in_time,
    started,
    updated,
)

PART = 128
"""Frames whose beliefs are in memory at once."""

REWEIGHTINGS = 4
"""Times that the weights of frames are formed again, and that it is measured how fast they move."""

OUTLIER = 4.0
"""How many times as far off as the median of its track a frame is that has a quarter of the largest
weight."""


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
        room = self._room()
        for part, said in self._backward():
            means, information = [], []
            for k, each in enumerate(said, part.start):
                means.append(self._as_parameters(k, each.mean))
                information.append(widened(each.information, room[k]))
            file.put(part.start, np.stack(means), np.stack(information))

    def _reweigh(self) -> None:
        """Give frames that are far from what all others say less weight, and motion that changes
        fast a larger density."""
        found = np.full(len(self._weights), np.nan)
        changes = np.full((len(found), 3), np.nan)
        medians: Medians[int] = Medians()
        ahead: dict[int, list[tuple[float, np.ndarray, int]]] = {}
        for k, each in self._known():
            track, time = int(self._places.track[k]), self._places.time[k]
            if each.seen is not None:
                found[k] = np.sqrt(surprise(each.seen, each.mean, each.information).whole)
                medians.add(track, found[k : k + 1])
            later = ahead.setdefault(track, [])
            later.insert(0, (time, self._smoothed(k, each), k))
            if len(later) == 3:
                times, places, numbers = zip(*later, strict=True)
                changes[numbers[1]] = acceleration(np.array(times), np.stack(places))
                later.pop()
        scales = medians.found()
        for k in np.flatnonzero(np.isfinite(found)).tolist():
            scale = OUTLIER * scales[int(self._places.track[k])]
            self._weights[k] = robust_weights(found[k : k + 1], scale)[0]
        for own in self._of_tracks():
            self._change[own] = motion_change(self._places.time[own], changes[own])

    def _room(self) -> np.ndarray:
        """(M, 3) how much less certain than it is by the model what each hand is told becomes."""
        surprises = np.full((len(self._weights), 3), np.nan)
        for k, each in self._known():
            if each.seen is not None:
                surprises[k] = surprise(each.seen, each.mean, each.information).groups
        found = np.ones_like(surprises)
        for own in self._of_tracks():
            found[own] = room(self._places.time[own], surprises[own], self._weights[own])
        return found

    def _known(self) -> Iterator[tuple[int, _Said]]:
        """The hands that are told something, the last one first."""
        for part, said in self._backward():
            for k in reversed(range(part.start, part.stop)):
                if np.isfinite(said[k - part.start].mean).all():
                    yield k, said[k - part.start]

    def _of_tracks(self) -> list[np.ndarray]:
        """The hands of each track, in the order of time."""
        order = np.argsort(self._places.track, kind="stable")
        ends = np.flatnonzero(np.diff(self._places.track[order])) + 1
        return np.split(order, ends)

    def _smoothed(self, k: int, said: _Said) -> np.ndarray:
        """(n,) where a frame and all others have a hand."""
        if said.seen is None:
            return said.mean
        seen = self._weighed(k, said.seen)
        right = seen.vector + said.information @ said.mean
        return np.linalg.solve(seen.information + said.information, right)

    def _density(self, k: int) -> np.ndarray:
        """(n,) of white acceleration at a hand."""
        density = self._motion.density
        return density * by_coordinate(np.square(self._change[k]), len(density))

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
