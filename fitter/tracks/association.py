"""Which hands of the frames of a video are one hand.

Frame by frame the hands found are assigned to the tracklets that were there before, at the least
sum of costs (`scipy.optimize.linear_sum_assignment`): how far the 21 keypoints lie from where the
tracklet's motion has them, in lengths of the hand; how much the distance from the camera differs;
and how sure the sides are that they differ. A tracklet that finds no hand for `COAST` seconds, or
for `LOST` times the usual step of frames that are far apart, ends. Then tracklets of one side whose
times do not overlap are linked to tracks where a hand may have moved from one to the next, again at
the least sum: of the time between, and of the way from where one ended to where the next began. The
side is decided once for each track, by the probabilities of all its frames.

Frames are taken in order, and of a video that is over only a few numbers a tracklet are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from fitter.detection.same_hand import nearest_distance
from fitter.records import Side
from fitter.tracks.linking import Tracklet, farthest, linked

COAST, LOST = 0.4, 2.5
"""Seconds for which a tracklet waits for its hand at least, and steps from frame to frame where
these are longer: one frame that lost the hand ends no tracklet, at any rate."""
STEPS = 9
"""The last steps of a video whose median is its usual one."""
SPEED_KEPT = 0.25
"""Seconds for which a tracklet goes on as it moved; for no longer where frames are far apart, since
hands turn back within a second."""
SIDE_COST, DEPTH_COST = 0.7, 0.5
"""Of sides that are surely different, and of distances whose logarithms differ by 1."""
WAIT_COST, YOUNG_COST = 0.5, 0.3
"""Of each second that a tracklet has waited for, and of one in fewer frames than a track has: what
was found twice in a frame leaves the hand to the tracklet that had it."""
SAME = 0.25
"""Mean distance of keypoints, in lengths of the hand, below which two hands of a frame are one that
was found twice."""
MISREAD = 0.1
"""Mean distance of each keypoint to the other hand's nearest, likewise, below which two are one
hand whose keypoints were read in another order, as those of the other side."""
# All of these were chosen on rendered videos.


@dataclass(frozen=True)
class FrameHands:
    """The H hands that were found in a frame.

    Attributes:
        image: place of the frame in the store.
        video: its name.
        number: of the frame.
        time: seconds.
        slots: (H,) int.
        keypoints: (H, 21, 2) pixels.
        depth: (H,) metres from the camera; NaN where the fit failed.
        right: (H,) probability that it is a right hand.
    """

    image: int
    video: str
    number: int
    time: float
    slots: np.ndarray
    keypoints: np.ndarray
    depth: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Track:
    """One hand of a video.

    Attributes:
        video: its name.
        side: of the hand.
        side_score: mean probability of `side` over its frames, in [0.5, 1].
        first, last: numbers of frames.
        frames: in which it was found.
    """

    video: str
    side: Side
    side_score: float
    first: int
    last: int
    frames: int


@dataclass(frozen=True)
class Association:
    """Which hands are of which tracks.

    Attributes:
        tracks: track k is number k + 1 in the store.
        image, slot, track: (M,) int of each hand in a track, in the order of images and slots;
            `track` from 1 on.
    """

    tracks: list[Track]
    image: np.ndarray
    slot: np.ndarray
    track: np.ndarray


@dataclass
class _Live:
    """A tracklet that is going on."""

    number: int
    time: float
    keypoints: np.ndarray
    depth: float
    velocity: np.ndarray
    right: float = 0.0
    frames: int = 0

    @property
    def probability(self) -> float:
        """That it is a right hand."""
        return self.right / max(self.frames, 1)

    def expected(self, time: float) -> np.ndarray:
        """(21, 2) pixels."""
        return self.keypoints + self.velocity * min(time - self.time, SPEED_KEPT)


@dataclass
class _Video:
    """A video that is being gone through."""

    name: str
    live: list[_Live] = field(default_factory=list)
    tracklets: list[Tracklet] = field(default_factory=list)
    time: float = -np.inf
    steps: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS))

    def go_on(self, time: float, max_gap: float) -> None:
        """To the next frame; tracklets that have waited for too long end."""
        if np.isfinite(self.time):
            self.steps.append(time - self.time)
        self.time = time
        usual = float(np.median(self.steps)) if self.steps else 0.0
        wait = max(COAST, min(LOST * usual, max_gap))
        self.live = [live for live in self.live if time - live.time <= wait]


def associate(
    frames: Iterable[FrameHands], max_gap: float = 10.0, least_frames: int = 3
) -> Association:
    """The tracks of all videos.

    Args:
        frames: of all videos, those of one in the order of time and after each other; a video that
            comes back is another one. Frames without a time, or none after the one before, are in
            no track.
        max_gap: seconds for which a hand may be out of sight.
        least_frames: that a track has at least.
    """
    entries: list[tuple[int, int, int]] = []
    tracks: list[Track] = []
    of_tracklet: list[int] = []
    video: _Video | None = None

    def end(done: _Video) -> None:
        found, numbers = linked(done.tracklets, max_gap, least_frames)
        of_tracklet.extend(len(tracks) + 1 + k if k >= 0 else 0 for k in numbers)
        tracks.extend(Track(done.name, *each) for each in found)

    for frame in frames:
        if video is None or frame.video != video.name:
            if video is not None:
                end(video)
            video = _Video(frame.video)
        if not frame.time > video.time:
            continue
        video.go_on(frame.time, max_gap)
        first = len(of_tracklet)
        for slot, number in zip(frame.slots, _assigned(video, frame, least_frames), strict=True):
            if number >= 0:
                entries.append((frame.image, int(slot), first + number))
    if video is not None:
        end(video)
    table = np.array(entries, np.int64).reshape(-1, 3)
    numbers = np.array([0, *of_tracklet], np.int64)[table[:, 2] + 1]
    kept = table[numbers > 0], numbers[numbers > 0]
    order = np.lexsort((kept[0][:, 1], kept[0][:, 0]))
    image, slot = kept[0][order, :2].T
    return Association(tracks, image, slot, kept[1][order])


def _assigned(video: _Video, frame: FrameHands, least_frames: int) -> list[int]:
    """The number of the tracklet of each hand of the next frame of a video, -1 for none."""
    hands = range(len(frame.slots))
    costs = np.array([[_cost(live, frame, h) for h in hands] for live in video.live])
    costs = costs.reshape(len(video.live), len(hands))
    waited = np.array([frame.time - live.time for live in video.live])
    barred = costs > farthest(waited)[:, None]
    young = np.array([live.frames < least_frames for live in video.live], float)
    costs = costs + (WAIT_COST * waited + YOUNG_COST * young)[:, None]
    # One that no tracklet may take costs more than any number that may be taken.
    rows, columns = linear_sum_assignment(np.where(barred, 1e6, costs))
    taken = {h: video.live[k] for k, h in zip(rows, columns, strict=True) if not barred[k, h]}
    numbers = {h: _continued(video, frame, h, live) for h, live in taken.items()}
    for h in hands:
        if h in numbers:
            continue
        again = any(_is_same(frame.keypoints[h], frame.keypoints[k]) for k in numbers)
        waiting = [live for live in video.live if live.number not in numbers.values()]
        misread = _misread(waiting, frame, h, least_frames)
        if again:
            numbers[h] = -1
        elif misread is not None:
            numbers[h] = _misread_in(video, frame, h, misread)
        else:
            numbers[h] = _continued(video, frame, h, None)
    return [numbers[h] for h in hands]


def _misread(
    waiting: Sequence[_Live], frame: FrameHands, h: int, least_frames: int
) -> _Live | None:
    """The tracklet whose hand a hand is with its keypoints in another order, as one of the other
    side is found in its pixels; None where it is no such."""
    for live in waiting:
        is_known = live.frames >= least_frames
        if is_known and _is_misread(frame.keypoints[h], live.expected(frame.time)):
            return live
    return None


def _misread_in(video: _Video, frame: FrameHands, h: int, live: _Live) -> int:
    """Add such a hand to its tracklet, whose number is given: it is there, and where its keypoints
    are says nothing of those that come."""
    live.right, live.frames = live.right + float(frame.right[h]), live.frames + 1
    before = video.tracklets[live.number]
    video.tracklets[live.number] = replace(
        before, end=frame.time, last=frame.number, frames=live.frames, right=live.probability
    )
    return live.number


def _apart(keypoints: np.ndarray, others: np.ndarray) -> float:
    """Mean distance of two hands' keypoints (21, 2), in lengths of the larger hand."""
    length = max(_length(keypoints), _length(others))
    return float(np.linalg.norm(keypoints - others, axis=1).mean() / length)


def _is_same(keypoints: np.ndarray, others: np.ndarray) -> bool:
    """Whether two hands of a frame, (21, 2) each, are one that was found twice."""
    return _apart(keypoints, others) < SAME or _is_misread(keypoints, others)


def _is_misread(keypoints: np.ndarray, others: np.ndarray) -> bool:
    """Whether two hands' keypoints lie in the same places whatever their names."""
    length = max(_length(keypoints), _length(others))
    return nearest_distance(keypoints, others) < MISREAD * length


def _length(keypoints: np.ndarray) -> float:
    """Longer side in pixels of the box around a hand's keypoints (21, 2)."""
    return float(max(np.ptp(keypoints, axis=0).max(), 1.0))


def _cost(live: _Live, frame: FrameHands, h: int) -> float:
    """Of taking a hand for the one of a tracklet."""
    far = _apart(frame.keypoints[h], live.expected(frame.time))
    deep = abs(np.log(frame.depth[h] / live.depth))
    # 0 of equal sides, 1 of sides that are surely different, in between of unsure ones.
    one, other = live.probability, frame.right[h]
    differ = max(one * (1 - other) + other * (1 - one) - 0.5, 0.0) * 2
    return far + SIDE_COST * differ + (DEPTH_COST * min(deep, 1.0) if np.isfinite(deep) else 0.0)


def _continued(video: _Video, frame: FrameHands, h: int, live: _Live | None) -> int:
    """Add a hand to its tracklet, or begin one; its number."""
    keypoints, depth, right = frame.keypoints[h], float(frame.depth[h]), float(frame.right[h])
    middle = keypoints.mean(axis=0)
    length = _length(keypoints)
    if live is None:
        live = _Live(len(video.tracklets), frame.time, keypoints, depth, np.zeros(2))
        video.live.append(live)
        video.tracklets.append(
            Tracklet(
                frame.time, frame.number, middle, depth,
                frame.time, frame.number, middle, depth, length,
            )
        )  # fmt: skip
    else:
        live.velocity = (middle - live.keypoints.mean(axis=0)) / (frame.time - live.time)
        live.time, live.keypoints = frame.time, keypoints
        live.depth = depth if np.isfinite(depth) else live.depth
    live.right, live.frames = live.right + right, live.frames + 1
    before = video.tracklets[live.number]
    video.tracklets[live.number] = replace(
        before,
        end=frame.time,
        last=frame.number,
        end_place=middle,
        start_depth=before.start_depth if np.isfinite(before.start_depth) else live.depth,
        end_depth=live.depth,
        length=max(before.length, length),
        frames=live.frames,
        right=live.probability,
    )
    return live.number
