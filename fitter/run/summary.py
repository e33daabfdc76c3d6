"""What a run did, counted while it runs and told at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fitter.inputs.frame_names import video_of
from fitter.inputs.given_hands import beyond_edges
from fitter.run.camera_notes import CameraNotes
from fitter.store.frame_schema import FrameRow
from fitter.store.row_kinds import Row
from fitter.store.schema import HandRow, ImageRow
from fitter.workers.batches import FittedBatch

FAR_OUTSIDE = 0.25
"""Of an image's longer side: a keypoint farther outside is said, though the hand may be there."""

DEEP = 0.005
"""Metres: deeper than skin gives way."""

FAR_OBJECT = 0.06
"""Metres from every hand: farther than the stages of our presets draw hands to objects."""

LISTED_FAILURES = 20
"""Failures that the summary spells out; the table of failures has all."""


@dataclass
class Told:
    """Things to tell of which the first are kept and all are counted.

    Attributes:
        first: at most `LISTED_FAILURES`, as sentences.
        count: of all.
    """

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, sentence: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < LISTED_FAILURES:
            self.first.append(sentence)


@dataclass
class FarOutside:
    """Images whose given keypoints lie far outside them.

    Attributes:
        count: of the images.
        pixels: how far the farthest keypoint lies outside.
        name: of its image.
    """

    count: int = 0
    pixels: float = 0.0
    name: str = ""

    def add(self, name: str, row: ImageRow) -> None:
        """Look at one image."""
        if not row.image_width or not row.image_height:
            return
        size = (row.image_width, row.image_height)
        farthest = 0.0
        for hand in row.hands:
            if hand.keypoints_2d_detected is not None and hand.keypoint_confidence is not None:
                seen = hand.keypoints_2d_detected[hand.keypoint_confidence > 0]
                farthest = max(farthest, float(beyond_edges(seen, size).max(initial=0.0)))
        if farthest > FAR_OUTSIDE * max(size):
            self.count += 1
            if farthest > self.pixels:
                self.pixels, self.name = farthest, name


@dataclass
class Summary:
    """Counts over the images this run processed; with several views what is said of images here is
    said of frames.

    Attributes:
        unit: what its rows are called, "image" or "frame".
        cameras: their names, where rows are frames.
        images: processed, in blocks that were written.
        frames: those of them that are frames of videos.
        videos: names of these videos.
        unread: images that the pass had no use for and left to the last one, none of which count
            for anything else.
        with_hands: images with at least one valid hand.
        hands: that are valid.
        failures: images that failed.
        codes: of the errors of those, and how often each was; of frames none.
        view_failures: images of frames that failed.
        views_missing: images that frames lack, each by frame and camera.
        hands_together: hands of frames that several views show.
        hands_of_one: hands of frames that one view alone shows.
        to_match: frames with hands in several views.
        view_hands_beyond: detections in views that belong to no stored hand of their frames.
        fit_failures: hands whose fit failed.
        refused: hands that were fitted and are not valid, because they look like none, or because
            their score is too low.
        beyond: hands for which their images had no slots.
        left_out: given hands that cannot be hands of their images, see
            `fitter.store.schema.ImageRow.hands_left_out`.
        gives_keypoints: hands are given, and not detected.
        far_outside: images with given keypoints far outside them.
        unrendered: overlays that could not be rendered.
        done_before: images that the store held already when this run continued it.
        failed_before: how many of those failed; of frames also how many of their views.
        fits_failed_before: hands in them whose fit failed.
        added: images that this run added to the store.
        changed: images whose files are others than those that were fitted before.
        left: images of the store that are not done, and new ones that are not in it yet.
        off_centre: images whose given K has its principal point outside them.
        lenses_scaled: images of a lens that was calibrated at another resolution of their aspect.
        camera_notes: of images whose camera is in doubt.
        trusts_intrinsics: K is a data set's own, so that such a one is no mistake to be told.
        skipped: ending -> number of files in the images' folder that are no images to us.
        broken: a sentence for each tar file or video that breaks off and a camera that went away,
            so that images are missing.
        masks_rejected: hands whose mask, given or found, contradicted their keypoints.
        masks_found: images that have a given mask, or None where no masks were given.
        objects_found: images that have known objects, or None where none were given.
        lost: times that a process that detects or renders was lost.
        seconds: wall time of the work, the start of the run not included; of a run in passes that
            of the last one it came to.
        seconds_before: wall time of the passes before, and of making what their images share.
        was_stopped: whether the user stopped it before its end.
        waits: images of a pass that other shares have to do before the next one can begin.
        notes: further things to tell.
        left_to_others: those of `left` that are in blocks of other shares.
        deep: hands that are still deep in another hand, see `DEEP`.
        deep_in_objects: hands that are still deep in a known object.
        objects_apart: names of images with known objects none of which is near a hand, see
            `FAR_OBJECT`.
        folder: of the images, where they are in one, or None.
        overlays: the folder with overlays, or None.
        rendered: overlays of images that were done before.
        rendered_videos: overlays of videos.
        stopped_in: what to call the pass in which the run ended; empty where it came to its end, or
            there is one pass.
        has_results: whether rows of the last pass can be read.
    """

    unit: str = "image"
    cameras: Sequence[str] = ()
    images: int = 0
    frames: int = 0
    videos: set[str] = field(default_factory=set)
    unread: int = 0
    with_hands: int = 0
    hands: int = 0
    failures: Told = field(default_factory=Told)
    codes: Counter[str] = field(default_factory=Counter)
    view_failures: Told = field(default_factory=Told)
    views_missing: Told = field(default_factory=Told)
    hands_together: int = 0
    hands_of_one: int = 0
    to_match: int = 0
    view_hands_beyond: int = 0
    fit_failures: Told = field(default_factory=Told)
    refused: int = 0
    beyond: int = 0
    left_out: int = 0
    gives_keypoints: bool = False
    far_outside: FarOutside = field(default_factory=FarOutside)
    unrendered: Told = field(default_factory=Told)
    done_before: int = 0
    failed_before: int = 0
    fits_failed_before: int = 0
    added: int = 0
    changed: Told = field(default_factory=Told)
    left: int = 0
    off_centre: int = 0
    lenses_scaled: int = 0
    camera_notes: CameraNotes = field(default_factory=CameraNotes)
    trusts_intrinsics: bool = False
    skipped: Mapping[str, int] = field(default_factory=dict)
    broken: Sequence[str] = ()
    masks_rejected: int = 0
    masks_found: int | None = None
    objects_found: int | None = None
    lost: int = 0
    seconds: float = 0.0
    seconds_before: float = 0.0
    was_stopped: bool = False
    waits: int = 0
    notes: list[str] = field(default_factory=list)
    left_to_others: int = 0
    deep: int = 0
    deep_in_objects: int = 0
    objects_apart: Told = field(default_factory=Told)
    folder: Path | None = None
    overlays: Path | None = None
    rendered: int = 0
    rendered_videos: int = 0
    stopped_in: str = ""
    has_results: bool = True

    @property
    def all_rendered(self) -> int:
        """Overlays that were made of what was fitted before or is fitted by now."""
        return self.rendered + self.rendered_videos

    @property
    def has_failures(self) -> bool:
        """Whether an image or a fit failed, in this run or in those that it continued, or images
        are missing."""
        now = self.failures.count + self.view_failures.count + self.fit_failures.count
        return bool(now or len(self.broken) or self.failed_before or self.fits_failed_before)

    def add(self, batches: Sequence[FittedBatch]) -> None:
        """Count a block that was written."""
        for batch in batches:
            self.lost += batch.lost
            self.codes.update(batch.codes.values())
            if self.masks_found is not None:
                self.masks_found += batch.masks
            if self.objects_found is not None:
                self.objects_found += batch.objects
            for name, reason in batch.unrendered:
                self.unrendered.add(f"no overlay of {name}: {reason}")
            for name, row in zip(batch.names, batch.rows, strict=True):
                self._add_row(name, row)

    def failed_views(self, row: Row) -> Iterator[tuple[str, str]]:
        """Name of the camera and reason, of each view of a frame that failed."""
        views = row.views if isinstance(row, FrameRow) else ()
        for camera, view in zip(self.cameras, views, strict=bool(views)):
            if view.view_status == "failed":
                yield camera, view.view_error or "unknown"

    def _add_views(self, name: str, row: FrameRow) -> None:
        """Count what belongs to single views."""
        for camera, reason in self.failed_views(row):
            self.view_failures.add(f"failed {name}, camera {camera}: {reason}")
        for camera, view in zip(self.cameras, row.views, strict=bool(row.views)):
            if view.view_status == "missing":
                self.views_missing.add(f"{name} {camera}")
            self.view_hands_beyond += view.view_hands_beyond or 0
            self.masks_rejected += sum(hand.mask_source == "rejected" for hand in view.hands)
        shown = [[(hand.view_weight or 0) > 0 for hand in view.hands] for view in row.views]
        views = [sum(of_hand) for of_hand in zip(*shown, strict=True)]
        self.hands_together += sum(count > 1 for count in views)
        self.hands_of_one += sum(count == 1 for count in views)
        self.to_match += sum(view.view_status == "ok" for view in row.views) > 1

    def _add_contact(self, name: str, hands: Sequence[HandRow]) -> None:
        """Count what is said of the hands of an image and what they touch; refused ones, too, of
        their objects, which may be why."""
        self.deep += sum(hand.valid and (hand.penetration_depth or 0) > DEEP for hand in hands)
        gaps = [hand.object_gap for hand in hands if hand.object_gap is not None]
        self.deep_in_objects += sum(gap < -DEEP for gap in gaps)
        if gaps and min(gaps) > FAR_OBJECT:
            self.objects_apart.add(name)

    def _add_row(self, name: str, row: Row) -> None:
        if isinstance(row, ImageRow) and row.is_left_out:
            self.unread += 1
            return
        self.images += 1
        if (frame := video_of(name)) is not None:
            self.frames += 1
            self.videos.add(frame[0])
        if isinstance(row, FrameRow):
            self._add_views(name, row)
        else:
            self.off_centre += _is_off_centre(row)
            self.left_out += row.hands_left_out or 0
            if self.gives_keypoints:
                self.far_outside.add(name, row)
            self.lenses_scaled += row.lens_scale not in (None, 1.0)
            self.camera_notes.add(name, row)
        self.with_hands += any(hand.valid for hand in row.hands)
        self.hands += sum(hand.valid for hand in row.hands)
        self._add_contact(name, row.hands)
        self.masks_rejected += sum(hand.mask_source == "rejected" for hand in row.hands)
        self.refused += sum(hand.is_refused for hand in row.hands)
        self.beyond += row.hands_beyond or 0
        for hand in row.hands:
            if hand.has_failed:
                self.fit_failures.add(f"no fit in {name}: {hand.fit_error or 'unknown'}")
        if row.status == "failed":
            self.failures.add(f"failed {name}: {row.error or 'unknown'}")

    def counts(self) -> dict[str, object]:
        """All numbers, for the log."""
        of_views = {
            "failed_views": self.view_failures.count,
            "missing_views": self.views_missing.count,
            "hands_together": self.hands_together,
            "hands_of_one": self.hands_of_one,
            "view_hands_beyond": self.view_hands_beyond,
        }
        return {
            f"{self.unit}s": self.images,
            **({"unread": self.unread} if self.unread else {}),
            "with_hands": self.with_hands,
            "hands": self.hands,
            f"failed_{self.unit}s": self.failures.count,
            **(of_views if self.cameras else {}),
            "failed_fits": self.fit_failures.count,
            "refused": self.refused,
            "beyond": self.beyond,
            "left_out": self.left_out,
            "unrendered": self.unrendered.count,
            "done_before": self.done_before,
            "added": self.added,
            "changed": self.changed.count,
            "lost": self.lost,
            "seconds": round(self.seconds + self.seconds_before, 3),
            "was_stopped": self.was_stopped,
        }


def _is_off_centre(row: ImageRow) -> bool:
    if row.intrinsics_source != "given":
        return False
    assert row.intrinsics is not None and row.image_width and row.image_height  # it was given
    x, y = row.intrinsics[:2, 2]
    return not (0 <= x <= row.image_width and 0 <= y <= row.image_height)
