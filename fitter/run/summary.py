"""What a run did, counted while it runs and told at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fitter.run.camera_notes import CameraNotes
from fitter.store.frame_schema import FrameRow
from fitter.store.row_kinds import Row
from fitter.store.schema import ImageRow
from fitter.system.messages import count
from fitter.workers.batches import FittedBatch

LISTED_FAILURES = 20
"""Failures that the summary spells out; the table of failures has all."""

_NAMED_IMAGES = 5
"""Missing images that the summary names."""


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
class Summary:
    """Counts over the images this run processed; with several views what is said of images here is
    said of frames.

    Attributes:
        unit: what its rows are called, "image" or "frame".
        cameras: their names, where rows are frames.
        images: processed, in blocks that were written.
        with_hands: images with at least one valid hand.
        hands: that are valid.
        failures: images that failed.
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
        broken: a sentence for each tar file that breaks off, so that images are missing.
        masks_rejected: hands whose mask, given or found, contradicted their keypoints.
        masks_found: images that have a given mask, or None where no masks were given.
        lost: times that a process that detects or renders was lost.
        seconds: wall time of the work, the start of the run not included; of a run in passes that
            of the last one it came to.
        seconds_before: wall time of the passes before, and of making what their images share.
        was_stopped: whether the user stopped it before its end.
        waits: images of a pass that other shares have to do before the next one can begin.
        notes: further things to tell.
        left_to_others: those of `left` that are in blocks of other shares.
        overlays: the folder with overlays, or None.
        rendered: overlays of images that were done before.
        stopped_in: what to call the pass in which the run ended; empty where it came to its end, or
            there is one pass.
        has_results: whether rows of the last pass can be read.
    """

    unit: str = "image"
    cameras: Sequence[str] = ()
    images: int = 0
    with_hands: int = 0
    hands: int = 0
    failures: Told = field(default_factory=Told)
    view_failures: Told = field(default_factory=Told)
    views_missing: Told = field(default_factory=Told)
    hands_together: int = 0
    hands_of_one: int = 0
    to_match: int = 0
    view_hands_beyond: int = 0
    fit_failures: Told = field(default_factory=Told)
    refused: int = 0
    beyond: int = 0
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
    lost: int = 0
    seconds: float = 0.0
    seconds_before: float = 0.0
    was_stopped: bool = False
    waits: int = 0
    notes: list[str] = field(default_factory=list)
    left_to_others: int = 0
    overlays: Path | None = None
    rendered: int = 0
    stopped_in: str = ""
    has_results: bool = True

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
            if self.masks_found is not None:
                self.masks_found += batch.masks
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

    def _add_row(self, name: str, row: Row) -> None:
        self.images += 1
        if isinstance(row, FrameRow):
            self._add_views(name, row)
        else:
            self.off_centre += _is_off_centre(row)
            self.lenses_scaled += row.lens_scale not in (None, 1.0)
            self.camera_notes.add(name, row)
        self.with_hands += any(hand.valid for hand in row.hands)
        self.hands += sum(hand.valid for hand in row.hands)
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
            "with_hands": self.with_hands,
            "hands": self.hands,
            f"failed_{self.unit}s": self.failures.count,
            **(of_views if self.cameras else {}),
            "failed_fits": self.fit_failures.count,
            "refused": self.refused,
            "beyond": self.beyond,
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


def report(summary: Summary, out: Path, table: Path | None, say: Callable[[str], None]) -> None:
    """Tell the user what a run did.

    Args:
        summary: of the run.
        out: the store.
        table: of all failures, or None where it was not written.
        say: prints one line.
    """
    for sentence in summary.broken:
        say(sentence)
    _say_failures(summary, table, say)
    if summary.changed.count:
        _say_told(summary.changed, "", say)
        say(
            f"{count(summary.changed.count, 'image')} changed or gone on disk after having been "
            "fitted; the results are those of the files before"
        )
    if summary.done_before:
        failed = f", {summary.failed_before} of them failed" if summary.failed_before else ""
        say(f"{count(summary.done_before, summary.unit)} done before{failed}")
    if summary.added:
        say(f"{count(summary.added, summary.unit)} added to the store")
    _say_work(summary, say)
    if summary.refused:
        hands = count(summary.refused, "hand")
        say(f"{hands} stored as not valid: fit_error says why")
    if summary.beyond:
        hands = count(summary.beyond, "hand")
        say(f"{hands} more than there are slots for, hands_beyond says where: --max-hands N")
    if summary.cameras:
        _say_views(summary, say)
    _say_left(summary, say)
    if summary.masks_found is not None:
        found = f"masks found for {count(summary.masks_found, 'image')}"
        if not summary.cameras:
            found = f"masks found for {summary.masks_found} of {count(summary.images, 'image')}"
        say(found)
    if summary.masks_rejected:
        hands = count(summary.masks_rejected, "hand")
        say(f"{hands} fitted without a mask, because it contradicted the keypoints")
    if summary.skipped:
        kinds = ", ".join(sorted(summary.skipped))
        say(f"{count(sum(summary.skipped.values()), 'file')} of other kinds left out ({kinds})")
    if summary.off_centre and not summary.trusts_intrinsics:
        say(
            f"the given principal point lies outside {count(summary.off_centre, 'image')}: right "
            "for a crop, wrong where K belongs to another resolution"
        )
    if summary.lenses_scaled:
        images = count(summary.lenses_scaled, "image")
        say(f"the lens was calibrated at another resolution and scaled to that of {images}")
    for note in (*summary.camera_notes.sentences(), *summary.notes):
        say(note)
    if not summary.has_results:
        say(f"no results to read yet, they are those of the last pass; --resume continues {out}")
        return
    if summary.overlays is not None:
        say(f"overlays: {summary.overlays}")
    say(f"results: {out}")


def _say_views(summary: Summary, say: Callable[[str], None]) -> None:
    """What became of the views of frames."""
    missing = summary.views_missing
    if missing.count:
        names = missing.first[:_NAMED_IMAGES]
        more = ", …" if missing.count > len(names) else ""
        say(
            f"{count(missing.count, 'missing image')} ({', '.join(names)}{more}): their "
            "frames were fitted to the other views"
        )
    if summary.hands_together or summary.hands_of_one:
        say(
            f"{count(summary.hands_together, 'hand')} of several views, {summary.hands_of_one} of "
            "one view alone"
        )
    if len(summary.cameras) == 1:
        say(f"the rig has one camera, {summary.cameras[0]}: no hand is seen from two sides")
    if summary.to_match and not summary.hands_together:
        say(
            f"{count(summary.to_match, 'frame')} with hands in several views, none of which are "
            "one hand by the rig: is t in metres, x_cam = R x_rig + t, and each camera's folder "
            "its own?"
        )
    if summary.view_hands_beyond:
        times = count(summary.view_hands_beyond, "time")
        say(f"{times} a view shows a hand that is not stored, view_hands_beyond says where")


def _say_left(summary: Summary, say: Callable[[str], None]) -> None:
    where = f" in {summary.stopped_in}" if summary.stopped_in else ""
    if summary.waits:
        say(
            f"{count(summary.waits, summary.unit)} left to other shares{where}: run this one again "
            "when they are done, or with --wait"
        )
        return
    own = summary.left - summary.left_to_others
    if own or summary.stopped_in:
        say(f"{count(own, summary.unit)} left to do{where}")
    if summary.left_to_others:
        say(
            f"{count(summary.left_to_others, summary.unit)} left to other shares{where}: run those "
            "that are not at work again"
        )


def _say_failures(summary: Summary, table: Path | None, say: Callable[[str], None]) -> None:
    failures = Told()
    every = (summary.failures, summary.view_failures, summary.fit_failures)
    for told in every:
        for sentence in told.first:
            failures.add(sentence)
    failures.count = sum(told.count for told in every)
    _say_told(failures, f"; {table} has all" if table else "; the store says why", say)
    _say_told(summary.unrendered, " not rendered", say)
    if summary.lost:
        say(
            f"{count(summary.lost, 'time')} an image ended the process that looked at it, or took "
            "too long"
        )


def _say_told(told: Told, where: str, say: Callable[[str], None]) -> None:
    for sentence in told.first:
        say(sentence)
    if told.count > len(told.first):
        say(f"and {told.count - len(told.first)} more{where}")


def _say_work(summary: Summary, say: Callable[[str], None]) -> None:
    if summary.images:
        where = f"{summary.stopped_in}: " if summary.stopped_in else ""
        unit = summary.unit
        seconds = summary.seconds + summary.seconds_before
        passes = " with the passes before" if summary.seconds_before else ""
        failed = count(summary.view_failures.count, "view")
        views = f"{failed} failed, " if summary.cameras else ""
        say(
            f"{where}{count(summary.images, unit)}: {count(summary.hands, 'valid hand')} in "
            f"{summary.with_hands} of them, {count(summary.failures.count, unit)} failed, {views}"
            f"{count(summary.fit_failures.count, 'fit')} failed; {seconds:.1f} s{passes}, "
            f"{summary.images / seconds:.1f} {summary.unit}s a second"
        )
    elif not (summary.left or summary.waits or summary.stopped_in or summary.rendered):
        say("nothing left to do")
    if summary.rendered:
        say(f"{count(summary.rendered, 'overlay')} rendered of images done before")
