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
        mano: of hands that were converted.
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
    mano: ManoErrors | None = None

    @property
    def has_failures(self) -> bool:
        """Whether something that was asked for is missing."""
        return bool(self.without_mesh or self.untextured.count)

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
        if self.mano is not None and self.mano.hands:
            say(str(self.mano))
        say(f"exported: {out}")
