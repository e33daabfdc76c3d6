"""Tracks of hands of videos as what several images share; see `fitter.groups.sharing`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fitter.config.options import Config
from fitter.fitting.fit_model import FitModel
from fitter.fitting.motion_information import motion_entries
from fitter.fitting.shape_information import entries
from fitter.groups.joint_shape import Images, ShapePriors, joint_shapes
from fitter.groups.people import PART, PeopleShared, PeopleSharing, parts_of, shape_priors
from fitter.hand_models.motion import RIGID
from fitter.inputs.frame_names import video_of
from fitter.inputs.sources import Sources
from fitter.records import HandKey, SharedHand
from fitter.store.files import put_in_place, refused_as, unfinished_beside
from fitter.store.people import PEOPLE
from fitter.store.reader import StoreReader
from fitter.store.schema import HAND_SIZE_SOURCES, IMAGE_STATUS, SIDES
from fitter.store.tracks import (
    HANDS,
    TRACKS,
    HandTrack,
    TrackedFile,
    hands_of_tracks,
    read_tracks,
    sweep_tracks,
    write_tracks,
)
from fitter.system.messages import count
from fitter.tracked_hands import ExpectedMotion, ImageTracks, TrackedHand
from fitter.tracks.association import Association, FrameHands, Track, associate
from fitter.tracks.calibration import by_coordinate
from fitter.tracks.messages import Messages, Motion, Places

_FAILED = IMAGE_STATUS.index("failed")

NOTED = 5
"""Videos that a note spells out."""


@dataclass(frozen=True)
class TracksShared:
    """What the frames of videos share.

    Attributes:
        tracks: number k + 1 in the store is the k-th.
        people: what people's hands share; empty where nothing is said of people.
        hands: what each frame is given; None before it is written.
        rows, places: what that is made of, before it is written.
    """

    tracks: list[HandTrack]
    people: PeopleShared = field(default_factory=dict)
    hands: TrackedFile | None = None
    rows: StoreReader | None = None
    places: Places | None = None


class TrackSharing:
    """A `fitter.groups.sharing.Sharing`: a group is a hand of a video.

    Where people are known, they and not the track have the shape; the track has side and motion.
    """

    name = TRACKS

    def __init__(self, config: Config, model: FitModel, people: PeopleSharing | None) -> None:
        """For fits with the options of a run.

        Args:
            config: of the run.
            model: what the keypoint fit uses of the hand model.
            people: what people's hands share, where the images' people are known.
        """
        self._config, self._model, self._people = config, model, people
        self._num_betas = model.keypoints.joint_shapedirs.shape[-1]
        parameters = 3 * model.keypoints.skeleton.rotations
        self._components = min(config.tracks.pose_components, parameters)

    @property
    def passes(self) -> int:
        """One more than tracks are made."""
        rounds = self._config.tracks.rounds
        return max(rounds + 1, 0 if self._people is None else self._people.passes)

    @property
    def reads(self) -> frozenset[str]:
        """What the shapes of people are made of."""
        return frozenset() if self._people is None else self._people.reads

    @property
    def pass_sizes(self) -> dict[str, int]:
        """What each image says of shape and place."""
        return {
            "shape_information_entry": entries(self._num_betas),
            "motion_information_entry": motion_entries(self._components, self._num_betas),
        }

    def asked(self, sources: Sources) -> Sources:
        """Frames that are to say what tracks are made of."""
        return replace(sources, tracks=_Given(None, [], asks=True))

    def share(self, rows: StoreReader) -> TracksShared:
        """Tracks and their shapes; the messages of frames are made when it is written."""
        config = self._config.tracks
        found = associate(_frames(rows), config.max_gap, config.least_frames)
        people = {} if self._people is None else self._people.share(rows)
        of_track, whose = self._shapes(rows, found)
        for number, key in whose.items():
            if key in people:
                of_track[number] = people[key].shared.betas
        # One of which no fit is valid has no shape, and nobody knows where it would be.
        places = _places(rows, found, config.fill_gaps, of_track.keys())
        tracks = [self._track(k + 1, track, of_track) for k, track in enumerate(found.tracks)]
        return TracksShared(tracks, people, None, rows, places)

    def _track(self, number: int, track: Track, shapes: Mapping[int, np.ndarray]) -> HandTrack:
        betas = shapes.get(number)
        size = float("nan")
        if betas is None:
            betas = np.full(self._num_betas, np.nan)
        else:
            like = self._model.keypoints.joint_template
            size = float(self._model.size(like.new_tensor(betas)[None])[0])
        return HandTrack(
            track.video, track.side, track.side_score, track.first, track.last, track.frames,
            betas, size,
        )  # fmt: skip

    def _priors(self) -> ShapePriors:
        return shape_priors(self._config, self._model)

    def _shapes(
        self, rows: StoreReader, found: Association
    ) -> tuple[dict[int, np.ndarray], dict[int, HandKey]]:
        """The shapes of tracks, by number, and whose hand they are where that is known."""
        whose: dict[int, HandKey] = {}

        def images() -> Iterator[Images[int]]:
            given = HAND_SIZE_SOURCES.index("given")
            for part in parts_of(rows, PART):
                start, stop = np.searchsorted(found.image, [part.start, part.stop])
                track, slot = found.track[start:stop], found.slot[start:stop]
                at = found.image[start:stop] - part.start, slot
                wanted = np.array([SIDES.index(found.tracks[t - 1].side) for t in track], int)
                own = rows.read("valid", part)[at] & (rows.read("side", part)[at] == wanted)
                if self._people is not None:
                    persons = rows.read("person", part)[at]
                    for t, person in zip(track[own], persons[own], strict=True):
                        if person:
                            whose.setdefault(int(t), (str(person), found.tracks[t - 1].side))
                    own &= persons == ""
                if own.any():
                    sizes = rows.read("hand_size", part)[at][own].astype(np.float64)
                    is_given = rows.read("hand_size_source", part)[at][own] == given
                    yield Images(
                        track[own].tolist(),
                        rows.read("shape_information", part)[at][own],
                        np.where(is_given, sizes, np.nan),
                    )

        shapes = joint_shapes(images, self._num_betas, self._priors())
        return {key: shape.betas for key, shape in shapes.items()}, whose

    def write(self, path: Path, shared: TracksShared) -> None:
        """Write people, what each frame is given, and the tracks, which say that all is there."""
        if self._people is not None:
            self._people.write(path.with_name(PEOPLE), shared.people)
        assert shared.rows is not None and shared.places is not None  # it comes from `share`
        folder = shared.rows.path / HANDS
        if not folder.exists():
            with refused_as("output.cannot_write", folder):
                self._write_hands(folder, shared.rows, shared.places, shared.tracks)
        write_tracks(path, shared.tracks, self._num_betas, TrackedFile(folder))

    def _write_hands(
        self, folder: Path, rows: StoreReader, places: Places, tracks: Sequence[HandTrack]
    ) -> None:
        unfinished = unfinished_beside(folder)
        columns = (places.image, places.slot, places.track, places.filled)
        file = TrackedFile.make(unfinished, columns, RIGID + self._components)
        known = {k: t for k, t in enumerate(tracks, 1) if np.isfinite(t.betas).all()}
        config = self._config.tracks
        noises = np.array([config.turn_noise, config.place_noise, config.pose_noise])
        density = by_coordinate(np.square(noises), RIGID + self._components)
        motion = Motion(
            self._components,
            density,
            {k: track.side for k, track in enumerate(tracks, 1)},
            {k: track.betas for k, track in known.items()},
        )
        with tempfile.TemporaryDirectory(dir=unfinished) as scratch:
            Messages(rows, places, motion, Path(scratch)).write(file)
        put_in_place(unfinished, folder)

    def sweep(self, path: Path) -> None:
        """See `sweep_tracks`; also what is left of people."""
        sweep_tracks(path)
        if self._people is not None:
            self._people.sweep(path.with_name(PEOPLE))

    def read(self, path: Path) -> TracksShared:
        """What `write` has written."""
        people = {} if self._people is None else self._people.read(path.with_name(PEOPLE))
        return TracksShared(read_tracks(path), people, hands_of_tracks(path))

    def given(self, sources: Sources, shared: TracksShared) -> Sources:
        """Each frame with what is known of its hands, and each image's people with their shapes."""
        if self._people is not None:
            sources = self._people.given(sources, shared.people)
        tracks = _Given(shared.hands, shared.tracks, asks=not sources.is_final)
        return replace(sources, tracks=tracks)

    def people_of(self, path: Path) -> list[HandKey]:
        """Whose hands share something."""
        return [] if self._people is None else self._people.people_of(path.with_name(PEOPLE))

    def notes(self, rows: StoreReader, sources: Sources, path: Path) -> list[str]:
        """How many tracks there are, and what is to be said of people."""
        tracks = read_tracks(path)
        videos = Counter(track.video for track in tracks)
        named = [f"{video}: {number}" for video, number in videos.most_common(NOTED)]
        if len(videos) > NOTED:
            named.append(f"and {len(videos) - NOTED} more")
        made = f"{count(len(tracks), 'track')} of hands in {count(len(videos), 'video')}"
        notes = [f"{made} ({'; '.join(named)})" if named else made]
        if self._people is not None:
            notes += self._people.notes(rows, sources, path.with_name(PEOPLE))
        return notes


@dataclass(frozen=True)
class _Given:
    """What frames are given: a `fitter.inputs.sources.Tracks`."""

    hands: TrackedFile | None
    tracks: list[HandTrack]
    asks: bool

    def of(self, start: int, names: Sequence[str]) -> list[ImageTracks | None]:
        """What each of some images from place `start` on is given; None for photographs."""
        known: list[tuple[dict[int, TrackedHand], list[TrackedHand]]] = [({}, []) for _ in names]
        if self.hands is not None:
            said = self.hands.of_images(start, start + len(names))
            for k, image in enumerate(said.image - start):
                track = self.tracks[said.track[k] - 1]
                expected = None
                if np.isfinite(said.mean[k]).all():
                    expected = ExpectedMotion(said.mean[k], said.information[k])
                shape = SharedHand(track.betas) if np.isfinite(track.betas).all() else None
                hand = TrackedHand(
                    int(said.track[k]), track.side, max(track.side_score, 0.5), shape, expected
                )
                if said.filled[k]:
                    known[image][1].append(hand)
                else:
                    known[image][0][int(said.slot[k])] = hand
        return [
            None if video_of(name) is None else ImageTracks(hands, tuple(filled), self.asks)
            for name, (hands, filled) in zip(names, known, strict=True)
        ]


def _frames(rows: StoreReader) -> Iterator[FrameHands]:
    """The hands of all frames of videos."""
    right = SIDES.index("right")
    for part in parts_of(rows, PART):
        names = rows.names[part.start : part.stop]
        if all(video_of(name) is None for name in names):
            continue
        time, sides = rows.read("time", part), rows.read("side", part)
        keypoints = rows.read("keypoints_2d_detected", part)
        depth = rows.read("transl", part)[..., 2]
        score = rows.read("side_score", part)
        # Those that were fitted and then refused are none, or nobody can say of what.
        there = rows.read("valid", part) | np.isnan(rows.read("score", part))
        there &= (sides > 0) & np.isfinite(keypoints).all((2, 3))
        for k, name in enumerate(names):
            frame = video_of(name)
            if frame is None:
                continue
            slots = np.flatnonzero(there[k])
            probability = score[k, slots].astype(np.float64)
            yield FrameHands(
                part.start + k, *frame, float(time[k]), slots,
                keypoints[k, slots].astype(np.float64), depth[k, slots].astype(np.float64),
                np.where(sides[k, slots] == right, probability, 1 - probability),
            )  # fmt: skip


def _places(rows: StoreReader, found: Association, fill: int, shaped: Container[int]) -> Places:
    """The hands of tracks, and those that are to be filled in, of tracks that have a shape."""
    there = np.stack([found.image, found.slot, found.track], 1)
    missing = _missing(found, fill, shaped)
    rest: list[tuple[int, int, int]] = []
    times: dict[int, float] = {}
    for part in parts_of(rows, PART):
        time, status = rows.read("time", part), rows.read("image_status", part)
        hands = (rows.read("side", part) > 0).sum(1)
        for image in range(part.start, part.stop):
            free = int(hands[image - part.start])
            if status[image - part.start] != _FAILED and np.isfinite(time[image - part.start]):
                for track in missing.get(image, [])[: rows.sizes["hand"] - free]:
                    rest.append((image, free, track))
                    free += 1
        first, last = np.searchsorted(found.image, [part.start, part.stop])
        wanted = {*found.image[first:last].tolist(), *(r[0] for r in rest if r[0] >= part.start)}
        times |= {image: float(time[image - part.start]) for image in wanted}
    table = np.concatenate([there, np.array(rest, np.int64).reshape(-1, 3)])
    filled = np.repeat([False, True], [len(there), len(rest)])
    order = np.lexsort((table[:, 1], table[:, 0]))
    image, slot, track = table[order].T
    return Places(image, slot, track, filled[order], np.array([times[i] for i in image.tolist()]))


def _missing(found: Association, fill: int, shaped: Container[int]) -> dict[int, list[int]]:
    """The tracks that are to be filled in, by image: those that have a shape, in gaps of at most
    `fill` images."""
    last: dict[int, int] = {}
    missing: dict[int, list[int]] = {}
    for image, track in zip(found.image.tolist(), found.track.tolist(), strict=True):
        gap = range(last.get(track, image) + 1, image)
        if len(gap) <= fill and track in shaped:
            for between in gap:
                missing.setdefault(between, []).append(track)
        last[track] = image
    return missing
