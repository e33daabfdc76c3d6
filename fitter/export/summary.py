"""What an export did, counted while it runs and told at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fitter.run.summary import Told
from fitter.system.messages import count

if TYPE_CHECKING:
    from fitter.formats.mano_fit import ManoHand
    from fitter.formats.motion import HandMotion


@dataclass
class ManoErrors:
    """How far MANO is from the hands that were converted to it.

    Attributes:
        hands: that were converted.
        vertex_mm: sum of `ManoHand.vertex_error_mm`.
        worst_mm: the largest of them.
        keypoint_mm: sum of `ManoHand.keypoint_error_mm`.
    """

    hands: int = 0
    vertex_mm: float = 0.0
    worst_mm: float = 0.0
    keypoint_mm: float = 0.0

    def add(self, found: ManoHand) -> None:
        """Count a hand that was converted."""
        self.hands += 1
        self.vertex_mm += found.vertex_error_mm
        self.worst_mm = max(self.worst_mm, found.vertex_error_mm)
        self.keypoint_mm += found.keypoint_error_mm

    def __str__(self) -> str:
        vertices, keypoints = self.vertex_mm / self.hands, self.keypoint_mm / self.hands
        return (
            f"{count(self.hands, 'hand')} converted to MANO: vertices {vertices:.2f} mm from the "
            f"fitted surface on average, {self.worst_mm:.2f} mm in the worst hand; keypoints "
            f"{keypoints:.2f} mm"
        )


@dataclass
class MotionCounts:
    """What was written of hands in motion.

    Attributes:
        motions: of more than one frame.
        frames: of these.
        gaps: frames of these in which the hand was not found.
        untimed: of these motions, those whose frames have no time.
        shape_mm: how far a joint is at most from where its frame's own shape has it.
    """

    motions: int = 0
    frames: int = 0
    gaps: int = 0
    untimed: int = 0
    shape_mm: float = 0.0

    def add(self, motion: HandMotion) -> None:
        """Count one that is written; a single frame is none."""
        if len(motion.frames) > 1:
            self.motions += 1
            self.frames += len(motion.frames)
            self.gaps += motion.gaps
            self.untimed += not motion.has_times
            self.shape_mm = max(self.shape_mm, 1000 * motion.shape_error)

    def sentences(self) -> list[str]:
        """What to tell of them."""
        if not self.motions:
            return []
        found = [f"{count(self.motions, 'track')} of {count(self.frames, 'frame')}"]
        if self.gaps:
            found.append(f"{count(self.gaps, 'frame')} in gaps of tracks, where nothing was found")
        if self.untimed:
            found.append(
                f"{count(self.untimed, 'track')} without times, written at 30 frames a second"
            )
        if self.shape_mm >= _SEEN_MM:
            found.append(
                f"frames of a track differ in shape: with the mean shape joints lie up to "
                f"{self.shape_mm:.1f} mm from where they were fitted"
            )
        return found


_SEEN_MM = 0.05
"""Millimetres below which frames are said to have one shape: the rounding of stored numbers is far
below."""


@dataclass
class ExportSummary:
    """Counts of an export.

    Attributes:
        unit: what the store's rows are called, "image" or "frame".
        hands: that were written.
        images: that they are in.
        files: written.
        left_out: hands of these images that were not asked for, or are not valid.
        without_mesh: hands asked for whose fit failed, so that the format has nothing of them.
        further: hands of images of which the format takes one alone.
        less_sure: hands that are not the surest of their person's side, or nobody's.
        empty: images without a hand to export.
        pending: images that `fit-hands` has not reached.
        untextured: hands without a texture of their own, because their image could not be used.
        unseen: images whose pictures could not be read, or have another size.
        mano: of hands that were converted.
        motions: of hands that were written in motion.
    """

    unit: str = "image"
    hands: int = 0
    images: int = 0
    files: int = 0
    left_out: int = 0
    without_mesh: int = 0
    further: int = 0
    less_sure: int = 0
    empty: int = 0
    pending: int = 0
    untextured: Told = field(default_factory=Told)
    unseen: int = 0
    mano: ManoErrors | None = None
    motions: MotionCounts = field(default_factory=MotionCounts)

    @property
    def has_failures(self) -> bool:
        """Whether something that was asked for is missing."""
        return bool(self.without_mesh or self.untextured.count or self.unseen)

    def report(self, out: Path, say: Callable[[str], None]) -> None:
        """Tell the user.

        Args:
            out: what was written.
            say: prints one line.
        """
        for sentence in self.untextured.first:
            say(sentence)
        if self.untextured.count > len(self.untextured.first):
            say(f"and {self.untextured.count - len(self.untextured.first)} more")
        files = f", {count(self.files, 'file')}" if self.files > 1 else ""
        say(f"{count(self.hands, 'hand')} of {count(self.images, self.unit)}{files}")
        if self.left_out:
            say(f"{count(self.left_out, 'hand')} not valid or not asked for")
        if self.without_mesh:
            say(f"{count(self.without_mesh, 'hand')} left out whose fit failed")
        if self.further:
            say(
                f"{count(self.further, 'further hand')} left out: of an image the one with the "
                "best score is written"
            )
        if self.less_sure:
            say(
                f"{count(self.less_sure, 'further hand')} left out: of a person the surest hand of "
                "each side is written, and none that is nobody's"
            )
        if self.empty:
            say(f"{count(self.empty, self.unit)} without a hand to export")
        if self.pending:
            say(f"{count(self.pending, self.unit)} that fit-hands has not reached yet")
        if self.unseen:
            say(f"{count(self.unseen, 'picture')} gone, unreadable or of another size")
        if self.mano is not None and self.mano.hands:
            say(str(self.mano))
        for sentence in self.motions.sentences():
            say(sentence)
        say(f"exported: {out}")
