"""What a run did, told at its end."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from fitter.run.failure_kinds import by_kind
from fitter.run.summary import DEEP, FAR_OBJECT, Summary, Told
from fitter.system.messages import count

_NAMED_IMAGES = 5
"""Images that a line names."""

_FEWEST_FOR_RATE = 10
"""Images from which on the summary says how many are done in a second: of fewer the start counts
for as much as the rate."""


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
    _say_keypoints(summary, say)
    if summary.cameras:
        _say_views(summary, say)
    _say_left(summary, say)
    _say_given(summary, say)
    if summary.skipped:
        kinds = ", ".join(sorted(summary.skipped))
        say(f"{count(sum(summary.skipped.values()), 'file')} of other kinds left out ({kinds})")
    if summary.off_centre and not summary.trusts_intrinsics:
        say(
            f"the given principal point lies outside {count(summary.off_centre, 'image')}: right "
            "for a crop, wrong where K belongs to another resolution"
        )
    _say_contact(summary, say)
    if summary.lenses_scaled:
        images = count(summary.lenses_scaled, "image")
        say(f"the lens was calibrated at another resolution and scaled to that of {images}")
    for note in (*summary.camera_notes.sentences(), *summary.notes):
        say(note)
    if not summary.has_results:
        say(f"no results to read yet, they are those of the last pass; --resume continues {out}")
        return
    _say_next(summary, out, say)


def _say_contact(summary: Summary, say: Callable[[str], None]) -> None:
    """Hands in what they touch, and objects that no hand touches."""
    if summary.deep:
        hands = count(summary.deep, "hand")
        say(f"{hands} more than {1000 * DEEP:g} mm deep in another: penetration_depth says where")
    if summary.deep_in_objects:
        say(
            f"{count(summary.deep_in_objects, 'hand')} more than {1000 * DEEP:g} mm deep in a "
            "known object: is every object that of its image? object_gap says where"
        )
    apart = summary.objects_apart
    if apart.count:
        say(
            f"known objects are more than {100 * FAR_OBJECT:g} cm from every hand in "
            f"{count(apart.count, 'image')} ({_named(apart)}): are they objects of these images, "
            "in metres and in their cameras?"
        )


def _say_given(summary: Summary, say: Callable[[str], None]) -> None:
    """What masks and objects were there."""
    for what, found in (
        ("masks found", summary.masks_found),
        ("objects known", summary.objects_found),
    ):
        if found is not None and summary.images:
            images = count(found, "image")
            if not summary.cameras:
                images = f"{found} of {count(summary.images, 'image')}"
            say(f"{what} for {images}")
    if summary.masks_rejected:
        hands = count(summary.masks_rejected, "hand")
        say(f"{hands} fitted without a mask, because it contradicted the keypoints")


def _say_next(summary: Summary, out: Path, say: Callable[[str], None]) -> None:
    """Where the results are, and what can be done with them."""
    if summary.overlays is not None:
        say(f"overlays: {summary.overlays}")
    say(f"results: {out}")
    if not summary.hands:
        return
    place = shlex.quote(str(out))
    if not summary.cameras:
        page = shlex.quote(str(out.with_suffix(".html")))
        folder = "" if summary.folder is None else f" --images {shlex.quote(str(summary.folder))}"
        say(f"to look at them: report-hands {place} --out {page}{folder}")
        say(f"or, in 3D: view-hands {place}{folder}")
    meshes = shlex.quote(str(out.with_name(f"{out.stem}-meshes")))
    say(f"to use them elsewhere: export-hands {place} --format glb --out {meshes}")


def _say_keypoints(summary: Summary, say: Callable[[str], None]) -> None:
    """What is to be said of keypoints that were given."""
    if summary.left_out:
        say(
            f"{count(summary.left_out, 'given hand')} left out, too unsure (detector.min_score) or "
            "outside the image: hands_left_out says where"
        )
    far = summary.far_outside
    if far.count:
        say(
            f"given keypoints lie far outside {count(far.count, 'image')}, by {far.pixels:.0f} "
            f"pixels in {far.name}: right for a hand at the edge, wrong where they belong to "
            "another resolution"
        )
    given = summary.hands + summary.refused + summary.fit_failures.count
    if summary.gives_keypoints and summary.images > summary.failures.count and not given:
        say("no hand is given for any image: was OpenPose run with --hand?")


def _say_views(summary: Summary, say: Callable[[str], None]) -> None:
    """What became of the views of frames."""
    missing = summary.views_missing
    if missing.count:
        say(
            f"{count(missing.count, 'missing image')} ({_named(missing)}): their frames were "
            "fitted to the other views"
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


def _named(images: Told) -> str:
    """The first of some images by their names."""
    more = ", …" if images.count > _NAMED_IMAGES else ""
    return ", ".join(images.first[:_NAMED_IMAGES]) + more


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


def report_errors(summary: Summary, table: Path | None, say: Callable[[str], None]) -> None:
    """Tell the user who wants to hear of errors alone how many there are, by kind."""
    for sentence in summary.broken:
        say(sentence)
    where = "the store says why" if table is None else f"see {table}"
    for sentence in by_kind(summary.codes, summary.unit, table):
        say(sentence)
    if summary.view_failures.count:
        say(f"{count(summary.view_failures.count, 'view')} failed: {where}")
    if summary.fit_failures.count:
        say(f"{count(summary.fit_failures.count, 'hand')} could not be fitted: {where}")


def _say_failures(summary: Summary, table: Path | None, say: Callable[[str], None]) -> None:
    failures = Told()
    every = (summary.failures, summary.view_failures, summary.fit_failures)
    for told in every:
        for sentence in told.first:
            failures.add(sentence)
    failures.count = sum(told.count for told in every)
    _say_told(failures, f"; {table} has all" if table else "; the store says why", say)
    for sentence in by_kind(summary.codes, summary.unit, table):
        say(sentence)
    if summary.broken:
        files, where = count(len(summary.broken), "file"), table or "above"
        say(f"{files} of images or frames could not be read to the end: see {where}")
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


def _processed(summary: Summary) -> str:
    """What was processed, frames of videos told from other images."""
    if not summary.frames:
        return count(summary.images, summary.unit)
    of_videos = f"{count(summary.frames, 'frame')} of {count(len(summary.videos), 'video')}"
    others = summary.images - summary.frames
    if not others:
        return of_videos
    return f"{count(summary.images, summary.unit)} ({of_videos}, {count(others, 'picture')})"


def _pace(summary: Summary, unit: str) -> str:
    """The time that it took, and of more than a few images how many that makes a second."""
    seconds = summary.seconds + summary.seconds_before
    passes = " with the passes before" if summary.seconds_before else ""
    took = f"{seconds:.1f} s{passes}"
    if summary.images < _FEWEST_FOR_RATE:
        return took
    return f"{took}, {summary.images / seconds:.1f} {unit}s a second"


def _say_work(summary: Summary, say: Callable[[str], None]) -> None:
    if summary.images:
        where = f"{summary.stopped_in}: " if summary.stopped_in else ""
        unit = "frame" if summary.frames == summary.images else summary.unit
        failed = count(summary.view_failures.count, "view")
        views = f"{failed} failed, " if summary.cameras else ""
        say(
            f"{where}{_processed(summary)}: {count(summary.hands, 'valid hand')} in "
            f"{summary.with_hands} of them, {count(summary.failures.count, unit)} failed, {views}"
            f"{count(summary.fit_failures.count, 'fit')} failed; {_pace(summary, unit)}"
        )
    elif not (
        summary.unread
        or summary.left
        or summary.waits
        or summary.stopped_in
        or summary.all_rendered
    ):
        say("nothing left to do")
    if summary.unread:
        images = count(summary.unread, "image")
        say(f"{images} that this pass has no use for, left to the last one")
    if summary.rendered:
        say(f"{count(summary.rendered, 'overlay')} rendered of images done before")
    if summary.rendered_videos:
        say(f"{count(summary.rendered_videos, 'overlay')} of videos written")
