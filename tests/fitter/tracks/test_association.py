"""Which hands of a video are one: crossings, gaps, wrong sides, phantoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

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
) -> list[FrameHands]:
    """Frames of hands that move along paths; they change slots at random."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(frames):
        time = number / RATE
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
