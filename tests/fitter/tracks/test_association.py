"""Which hands of a video are one: crossings, gaps, wrong sides, phantoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from fitter.tracks import Association, associate
from fitter.tracks.association import FrameHands

RATE = 25.0
SHAPE = np.random.default_rng(0).normal(0, 20, (21, 2))
"""(21, 2) pixels of keypoints about their middle: a hand of some 80 pixels."""

Path = Callable[[float], tuple[float, float, float] | None]
"""x and y in pixels and depth in metres of a hand at a time; None where it is not found."""


def video(
    paths: Sequence[Path],
    right: Sequence[float],
    frames: int,
    name: str = "clip.mp4",
    first: int = 0,
    shuffled: bool = True,
    rate: float = RATE,
) -> list[FrameHands]:
    """Frames of hands that move along paths; they change slots at random."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(frames):
        time = number / rate
        places = [(h, path(time)) for h, path in enumerate(paths)]
        there = [(h, place) for h, place in places if place is not None]
        if shuffled:
            there = [there[k] for k in rng.permutation(len(there))]
        points = [SHAPE + place[:2] + rng.normal(0, 0.5, (21, 2)) for _, place in there]
        found.append(
            FrameHands(
                first + number,
                name,
                number,
                time,
                np.arange(len(there)),
                np.array(points).reshape(-1, 21, 2),
                np.array([place[2] for _, place in there]),
                np.array([right[h] for h, _ in there]),
            )
        )
    return found


def who(
    found: Association, frames: Sequence[FrameHands], paths: Sequence[Path]
) -> dict[int, set[int]]:
    """The tracks of each hand, by which path is nearest."""
    tracks: dict[int, set[int]] = {h: set() for h in range(len(paths))}
    by_image = {frame.image: frame for frame in frames}
    for image, slot, track in zip(found.image, found.slot, found.track, strict=True):
        frame = by_image[image]
        middle = frame.keypoints[slot].mean(0)
        far = [
            np.inf if (place := path(frame.time)) is None
            else np.linalg.norm(SHAPE.mean(0) + place[:2] - middle)
            for path in paths
        ]  # fmt: skip
        tracks[int(np.argmin(far))].add(int(track))
    return tracks


def crossing(start: float, speed: float, depth: float) -> Path:
    return lambda t: (start + speed * t, 200.0, depth)


def test_two_hands_that_cross_keep_who_they_are() -> None:
    paths = [crossing(50, 100, 0.5), crossing(350, -100, 0.62)]
    frames = video(paths, [0.95, 0.05], 75)
    found = associate(frames)
    tracks = who(found, frames, paths)
    assert [len(each) for each in tracks.values()] == [1, 1]
    assert {track.side for track in found.tracks} == {"right", "left"}
    assert [track.frames for track in found.tracks] == [75, 75]


def test_two_right_hands_that_cross_are_told_apart_by_how_they_move() -> None:
    paths = [crossing(50, 120, 0.5), crossing(350, -120, 0.7)]
    frames = video(paths, [0.9, 0.9], 63)
    tracks = who(associate(frames), frames, paths)
    assert len(tracks[0]) == len(tracks[1]) == 1
    assert tracks[0] != tracks[1]


def test_a_hand_that_leaves_and_comes_back_is_the_same() -> None:
    def leaving(t: float) -> tuple[float, float, float] | None:
        return None if 1.0 < t < 4.0 else (60.0 if t < 2 else 90.0, 100.0, 0.5)

    paths: list[Path] = [leaving, crossing(200, 10, 0.6)]
    frames = video(paths, [0.1, 0.9], 150)
    found = associate(frames)
    assert [len(each) for each in who(found, frames, paths).values()] == [1, 1]
    assert sorted(track.side for track in found.tracks) == ["left", "right"]
    # Longer than it may be gone, it is another one.
    again = associate(frames, max_gap=2.0)
    assert len(again.tracks) == 3


def test_a_hand_of_the_other_side_is_not_the_one_that_left() -> None:
    paths: list[Path] = [
        lambda t: (100.0, 100.0, 0.5) if t < 1 else None,
        lambda t: (100.0, 100.0, 0.5) if t > 2 else None,
    ]
    found = associate(video(paths, [0.1, 0.9], 75))
    assert [track.side for track in found.tracks] == ["left", "right"]


def test_the_side_is_that_of_the_whole_track() -> None:
    frames = video([crossing(50, 30, 0.5)], [0.9], 40)
    for k in (3, 4, 20):
        frames[k].right[:] = 0.1
    found = associate(frames)
    assert [track.side for track in found.tracks] == ["right"]
    np.testing.assert_allclose(found.tracks[0].side_score, (37 * 0.9 + 3 * 0.1) / 40)
    assert len(found.image) == 40


def test_a_hand_that_was_found_twice_stays_with_its_track() -> None:
    """Both finds are as good; one that began later does not take turns with it."""
    paths: list[Path] = [
        crossing(50, 30, 0.5),
        lambda t: (54 + 30 * t, 203.0, 0.5) if 0.4 < t < 0.5 else None,
    ]
    found = associate(video(paths, [0.9, 0.9], 60))
    assert [track.frames for track in found.tracks] == [60]


def misread(frame: FrameHands, h: int, is_beside: bool) -> FrameHands:
    """A frame whose hand is read as the other one, with its keypoints in another order: in its
    place, or beside the right reading."""
    other = np.random.default_rng(frame.number).permutation(21)
    points, rest = frame.keypoints[h][other], 1 - frame.right[h]
    if is_beside:
        return replace(
            frame,
            slots=np.append(frame.slots, len(frame.slots)),
            keypoints=np.concatenate([frame.keypoints, points[None]]),
            depth=np.append(frame.depth, frame.depth[h]),
            right=np.append(frame.right, rest),
        )
    keypoints, right = frame.keypoints.copy(), frame.right.copy()
    keypoints[h], right[h] = points, rest
    return replace(frame, keypoints=keypoints, right=right)


def test_a_hand_that_is_read_as_the_other_one_stays_with_its_track() -> None:
    """It is the only find of the hand in some frames, and beside the right one in others."""
    frames = video([crossing(50, 30, 0.5)], [0.9], 60)
    for number in (20, 27, 28, 33, 34):
        frames[number] = misread(frames[number], 0, is_beside=number == 20)
    found = associate(frames)
    assert [track.side for track in found.tracks] == ["right"]
    assert found.image.tolist() == list(range(60)) and (found.slot == 0).all()


def test_a_hand_beside_one_that_waits_is_not_it() -> None:
    """Its keypoints are in other places, however near."""
    paths: list[Path] = [
        lambda t: None if 1.0 < t < 1.3 else (100 + 30 * t, 200.0, 0.5),
        lambda t: (190 + 30 * t, 200.0, 0.5) if t > 1.04 else None,
    ]
    frames = video(paths, [0.9, 0.1], 75)
    assert [len(each) for each in who(associate(frames), frames, paths).values()] == [1, 1]


def test_hands_of_a_few_frames_are_in_no_track() -> None:
    paths: list[Path] = [
        crossing(50, 30, 0.5),
        lambda t: (350.0, 350.0, 0.5) if 0.5 < t < 0.56 else None,
    ]
    found = associate(video(paths, [0.9, 0.9], 40), least_frames=3)
    assert len(found.tracks) == 1
    assert found.tracks[0].frames == len(found.image) == 40


def test_each_video_has_tracks_of_its_own() -> None:
    paths = [crossing(50, 30, 0.5)]
    one = video(paths, [0.9], 20, "a.mp4")
    other = video(paths, [0.9], 20, "b.mp4", first=20)
    found = associate([*one, *other])
    assert [(t.video, t.first, t.last) for t in found.tracks] == [
        ("a.mp4", 0, 19),
        ("b.mp4", 0, 19),
    ]
    np.testing.assert_array_equal(found.track, np.repeat([1, 2], 20))


def test_slots_do_not_matter() -> None:
    paths = [crossing(50, 100, 0.5), crossing(350, -100, 0.62)]
    kept = associate(video(paths, [0.95, 0.05], 60, shuffled=False))
    mixed = associate(video(paths, [0.95, 0.05], 60))
    assert len(kept.tracks) == len(mixed.tracks) == 2


def test_a_video_without_hands_has_no_tracks() -> None:
    found = associate(video([lambda t: None], [0.9], 10))
    assert found.tracks == []
    assert len(found.image) == 0


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0, 2.0, 2.5, 5.0, 25.0])
def test_frames_that_are_far_apart_have_tracks(rate) -> None:
    """Of two hands that wave, one frame of one of which is lost."""
    paths: list[Path] = [
        lambda t: (150 + 70 * np.sin(1.3 * t), 200.0, 0.5),
        lambda t: None if round(t * rate) == 20 else (500 + 70 * np.cos(1.7 * t), 220.0, 0.5),
    ]
    found = associate(video(paths, [0.9, 0.2], 40, rate=rate))
    tracks = sorted((t.side, t.first, t.last, t.frames) for t in found.tracks)
    assert tracks == [("left", 0, 39, 39), ("right", 0, 39, 40)]


def test_frames_farther_apart_than_a_hand_may_be_gone_have_none() -> None:
    frames = video([lambda t: (150.0, 200.0, 0.5)], [0.9], 20, rate=0.1)
    assert associate(frames, max_gap=9.0).tracks == []
    assert [track.frames for track in associate(frames, max_gap=11.0).tracks] == [20]


def test_one_step_that_is_long_is_not_the_usual_one() -> None:
    """A pause in a video of 25 frames a second is a gap, whatever frames are beside it."""
    frames = video([lambda t: (150.0, 200.0, 0.5)], [0.9], 60)
    late = [replace(f, time=f.time + (3.0 if f.number >= 30 else 0.0)) for f in frames]
    assert len(associate(late, max_gap=2.0).tracks) == 2
    assert len(associate(late, max_gap=4.0).tracks) == 1


@pytest.mark.parametrize(
    ("lost", "time"), [(0, np.nan), (20, np.nan), (39, np.nan), (20, 0.1), (20, 19 / RATE)]
)
def test_a_frame_without_a_time_of_its_own_parts_no_track(lost, time) -> None:
    frames = video([crossing(50, 30, 0.5)], [0.9], 40)
    frames[lost] = replace(frames[lost], time=time)
    found = associate(frames)
    without = [k for k in range(40) if k != lost]
    assert [track.frames for track in found.tracks] == [len(without)]
    np.testing.assert_array_equal(found.image, without)


def seen(*spans: tuple[float, float, tuple[float, float, float]]) -> Path:
    """A hand that is still, somewhere else in each span of seconds."""
    return lambda t: next((place for start, stop, place in spans if start <= t < stop), None)


HERE = (100.0, 100.0, 0.5)
LENGTH = float(np.ptp(SHAPE, axis=0).max())


@pytest.mark.parametrize(
    ("there", "tracks"),
    [
        ((100 + 2 * LENGTH, 100.0, 0.5), 1),
        ((100 + 5 * LENGTH, 100.0, 0.7), 1),
        ((100 + 7 * LENGTH, 100.0, 0.5), 2),
        ((100.0, 100 + 29 * LENGTH, 0.5), 2),
        ((100.0, 100.0, 0.17), 2),
        ((100.0, 100.0, 1.5), 2),
    ],
)
def test_a_hand_that_comes_back_out_of_reach_is_another_person_s(there, tracks) -> None:
    frames = video([seen((0, 2, HERE), (8, 11, there))], [0.9], 275)
    assert len(associate(frames).tracks) == tracks


def test_the_size_in_the_picture_tells_persons_apart_where_no_fit_tells_the_distance() -> None:
    frames = video([seen((0, 2, HERE), (8, 11, HERE))], [0.9], 275)
    for k, frame in enumerate(frames):
        scale = 1.0 if frame.time < 4 else 0.3
        points = scale * (frame.keypoints - 100) + 100
        frames[k] = replace(frame, keypoints=points, depth=np.full(len(points), np.nan))
    assert len(associate(frames).tracks) == 2
    same = [replace(f, depth=np.full(len(f.slots), np.nan)) for f in frames if f.time < 2]
    later = [replace(f, time=f.time + 6, image=f.image + 150) for f in same]
    assert len(associate([*same, *later]).tracks) == 1


def test_a_cut_ends_the_tracks_of_what_was_shown_before() -> None:
    """From one frame to the next the right hand is another person's; the left one is where it
    was."""
    there = (100 + 3 * LENGTH, 100.0, 0.5)
    paths = [seen((0, 2, HERE), (2, 4, there)), lambda t: (400.0, 400.0, 0.6)]
    found = associate(video(paths, [0.9, 0.1], 100))
    tracks = sorted((t.side, t.first, t.last) for t in found.tracks)
    assert tracks == [("left", 0, 99), ("right", 0, 49), ("right", 50, 99)]


def test_two_persons_keep_their_right_hands_when_both_come_back() -> None:
    other = (100 + 4 * LENGTH, 100.0, 0.5)
    paths = [seen((0, 2, HERE), (4, 6, HERE)), seen((0, 2, other), (4, 6, other))]
    frames = video(paths, [0.9, 0.9], 150)
    found = associate(frames)
    assert [len(each) for each in who(found, frames, paths).values()] == [1, 1]
    assert [track.frames for track in found.tracks] == [100, 100]


@pytest.mark.parametrize("lengths", [1.5, 29.0])
def test_a_chance_find_in_a_gap_is_not_the_hand(lengths) -> None:
    """It is found in no fewer frames than a track has, where the hand might have come to."""
    phantom = (100 + lengths * LENGTH, 100.0, 0.5)
    path = seen((0, 2, HERE), (2.6, 2.72, phantom), (3.4, 6, HERE))
    found = associate(video([path], [0.9], 150), least_frames=3)
    assert [(t.first, t.last, t.frames) for t in found.tracks] == [(0, 149, 115), (65, 67, 3)]
    # Where the hand was it may well be the hand.
    near = seen((0, 2, HERE), (2.6, 2.72, (110.0, 100.0, 0.5)), (3.4, 6, HERE))
    found = associate(video([near], [0.9], 150), least_frames=3)
    assert [track.frames for track in found.tracks] == [118]
