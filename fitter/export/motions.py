"""Where the hands of an export go that are written as motions: a file for each track of a video.

A hand of no track, such as that of a photograph, has a file of its own with one frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from fitter.export.selection import ImageHands
from fitter.export.sinks import Sink, Source, score_of
from fitter.formats.animated_glb import animated_glb
from fitter.formats.bvh import bvh, frame_table
from fitter.formats.files import write_files
from fitter.formats.hand_asset import HandAsset
from fitter.formats.hand_record import HandRecord
from fitter.formats.motion import HandMotion, MotionFrame
from fitter.inputs.frame_names import video_of
from fitter.store.files import refused_as
from fitter.store.schema import HandRow, ImageRow
from fitter.system.file_names import name_below

_LONGEST_ENDING = "_track99999999_right.frames.csv.partial"
"""What a file may have behind its video's or image's name, as long as it is not whole."""


@dataclass
class _Track:
    """What is kept of a track while its video is gone through.

    Attributes:
        first: place of its first frame among those of the video.
        best: the hand with the best score.
        rows: what motions need of the hand in each frame, by the frame's place.
    """

    first: int
    best: HandRecord
    rows: dict[int, HandRow] = field(default_factory=dict)


class MotionSink(Sink):
    """BVH, and GLB with an animation."""

    def __init__(self, source: Source) -> None:
        """Take what hands are exported from."""
        super().__init__(source)
        self._video: str | None = None
        self._clock: list[tuple[int, float | None]] = []
        self._tracks: dict[int, _Track] = {}

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        found = video_of(image.name)
        video, number = (None, 0) if found is None else found
        if video != self._video:
            self._write_tracks()
            self._video = video
        time = image.image.time if isinstance(image.image, ImageRow) else None
        if video is not None:
            self._clock.append((number, time))
        fitted = [record for record in image.hands if not record.hand.has_failed]
        self.source.summary.without_mesh += len(image.hands) - len(fitted)
        for record in fitted:
            track = record.track
            if video is not None and track is not None:
                self._add_to(track, record)
            else:
                self._write_alone(image.name, MotionFrame.of(number, time, record.hand), record)
        self.count(len(fitted))

    def finish(self) -> None:
        """See `Sink.finish`."""
        self._write_tracks()

    def _add_to(self, number: int, record: HandRecord) -> None:
        place = len(self._clock) - 1
        track = self._tracks.setdefault(number, _Track(place, record))
        if score_of(record) > score_of(track.best):
            track.best = record
        kept = MotionFrame.of(0, None, record.hand).row
        assert kept is not None
        track.rows[place] = kept

    def _write_tracks(self) -> None:
        for number, track in sorted(self._tracks.items()):
            frames = [
                MotionFrame(*self._clock[place], track.rows.get(place))
                for place in range(track.first, max(track.rows) + 1)
            ]
            stem = f"{self._stem(str(self._video))}_track{number}_{track.best.hand.side}"
            self._write(stem, frames, track.best)
        self._tracks, self._clock = {}, []

    def _write_alone(self, name: str, frame: MotionFrame, record: HandRecord) -> None:
        self._write(f"{self._stem(name)}_{record.slot}_{record.hand.side}", [frame], record)

    def _stem(self, name: str) -> str:
        return name_below(name, _LONGEST_ENDING).removesuffix(_LONGEST_ENDING)

    def _write(self, stem: str, frames: list[MotionFrame], best: HandRecord) -> None:
        path = self.source.request.out / stem
        motion = HandMotion.of(path.name, frames, self.source.results.meshes)
        summary = self.source.summary
        summary.motions.add(motion)
        files = self._contents(path.name, motion, best)
        with refused_as("output.cannot_write", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_files(path.parent, files)
        summary.files += len(files)

    def _contents(self, stem: str, motion: HandMotion, best: HandRecord) -> Mapping[str, bytes]:
        if self.source.request.format == "bvh":
            files = {f"{stem}.bvh": bvh(motion).encode()}
            return {f"{stem}.frames.csv": frame_table(motion).encode(), **files}
        meshes, hand = self.source.results.meshes, best.hand
        shared = replace(hand, betas=motion.betas, vertices=None)
        facts = {**best.facts, "frames": len(motion.frames), "track": best.track}
        asset = HandAsset.of(shared, meshes, str(hand.side), facts=facts)
        return {f"{stem}.glb": animated_glb(asset, motion)}


@contextmanager
def motion_sink(source: Source) -> Iterator[Sink]:
    """The sink of motions; each file is whole when it is seen.

    Raises:
        InputError: a file cannot be written (`output.cannot_write`); those before it stay.
    """
    sink = MotionSink(source)
    yield sink
    sink.finish()
    source.require_hands()
