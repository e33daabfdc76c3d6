"""What a run tells of cameras that are in doubt, and of hands that are where no hand can be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from fitter.inputs.exif_focal import FILM_DIAGONAL_MM, ORDINARY_MM
from fitter.store.schema import ImageRow
from fitter.system.messages import count

FAR = 10.0
"""Metres from the camera beyond which a hand is told of. There it covers one degree, 60 pixels of
4,000 at a usual field of view; what is found further away mostly has a wrong focal length."""

NEAR = 0.1
"""Metres from the camera up to which a hand is told of. Few cameras are sharp there, and a hand is
wider than what most of them see; what is found nearer mostly has a wrong focal length."""

Doubt = Literal["exif", "wide", "near", "far"]
"""Kinds of doubts, in the order in which they are told."""

_SENTENCES: dict[Doubt, str] = {
    "exif": "with EXIF that was not believed, a field of view was assumed: intrinsics_note says "
    "why",
    "wide": f"with K that sees more than a lens of {ORDINARY_MM[0]:.0f} mm (35 mm equivalent): is "
    "the focal length right, and is it no fisheye?",
    "near": f"with a hand less than {NEAR:g} m away, where hardly one is photographed: is the "
    "focal length right?",
    "far": f"with a hand more than {FAR:.0f} m away, where hardly one is recognised: is the focal "
    "length right?",
}


@dataclass
class CameraNotes:
    """Counts images with a doubtful camera, and keeps the first of each kind.

    Attributes:
        counts: images of each kind.
        firsts: name and reason of the first of each.
    """

    counts: dict[Doubt, int] = field(default_factory=dict)
    firsts: dict[Doubt, str] = field(default_factory=dict)

    def add(self, name: str, row: ImageRow) -> None:
        """Count one image."""
        for kind, reason in camera_doubts(row):
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.firsts.setdefault(kind, f"{name}: {reason}")

    def sentences(self) -> list[str]:
        """For whoever started the run."""
        return [
            f"{count(self.counts[kind], 'image')} {said} ({self.firsts[kind]})"
            for kind, said in _SENTENCES.items()
            if kind in self.counts
        ]


def camera_doubts(row: ImageRow) -> list[tuple[Doubt, str]]:
    """What is doubtful about an image's camera, and the reason of each."""
    doubts: list[tuple[Doubt, str]] = []
    if row.intrinsics_source == "default" and row.intrinsics_note:
        doubts.append(("exif", row.intrinsics_note))
    if (degrees := _too_wide(row)) is not None:
        doubts.append(("wide", f"{degrees:.0f} degrees"))
    wrists = [hand.keypoints_3d[0] for hand in row.hands if hand.keypoints_3d is not None]
    distances = [float(wrist[2]) for wrist in wrists]
    if distances and min(distances) < NEAR:
        doubts.append(("near", f"{min(distances):.2g} m"))
    if distances and max(distances) > FAR:
        doubts.append(("far", f"{max(distances):.0f} m"))
    return doubts


def _too_wide(row: ImageRow) -> float | None:
    """Degrees along the longer side that a given K sees, where no ordinary lens sees as much.

    A lens that distorts is exempt: the camera without distortion, whose K it then is, shows all of
    a fisheye.
    """
    if row.intrinsics_source != "given" or row.lens_model is not None or row.intrinsics is None:
        return None
    if row.image_width is None or row.image_height is None:
        return None
    focal = float(min(row.intrinsics[0, 0], row.intrinsics[1, 1]))
    size = (row.image_width, row.image_height)
    if focal * FILM_DIAGONAL_MM / math.hypot(*size) >= ORDINARY_MM[0]:
        return None
    return math.degrees(2 * math.atan(0.5 * max(size) / focal))
