"""What a run tells of cameras that are in doubt, and of hands that are where no hand can be."""

from __future__ import annotations

from dataclasses import dataclass

from fitter.store.schema import ImageRow
from fitter.system.messages import count

FAR = 10.0
"""Metres from the camera beyond which a hand is told of. There it covers one degree, 60 pixels of
4,000 at a usual field of view; what is found further away mostly has a wrong focal length."""


@dataclass
class CameraNotes:
    """Counts images with a doubtful camera, and keeps the first of each kind.

    Attributes:
        doubted: images whose EXIF block was not believed, so that a field of view was assumed.
        first_doubted: name and reason of the first of them.
        far: images with a hand further away than `FAR`.
        first_far: name and distance of the first of them.
    """

    doubted: int = 0
    first_doubted: str = ""
    far: int = 0
    first_far: str = ""

    def add(self, name: str, row: ImageRow) -> None:
        """Count one image."""
        for kind, reason in camera_doubts(row):
            if kind == "exif":
                self.doubted += 1
                self.first_doubted = self.first_doubted or f"{name}: {reason}"
            else:
                self.far += 1
                self.first_far = self.first_far or f"{name}: {reason}"

    def sentences(self) -> list[str]:
        """For whoever started the run."""
        found = []
        if self.doubted:
            found.append(
                f"{count(self.doubted, 'image')} with EXIF that was not believed, a field of view "
                f"was assumed: intrinsics_note says why ({self.first_doubted})"
            )
        if self.far:
            found.append(
                f"{count(self.far, 'image')} with a hand more than {FAR:.0f} m away, where hardly "
                f"one is recognised: is the focal length right? ({self.first_far})"
            )
        return found


def camera_doubts(row: ImageRow) -> list[tuple[str, str]]:
    """What is doubtful about an image's camera: kind ("exif" or "far") and reason of each."""
    doubts = []
    if row.intrinsics_source == "default" and row.intrinsics_note:
        doubts.append(("exif", row.intrinsics_note))
    wrists = [hand.keypoints_3d[0] for hand in row.hands if hand.keypoints_3d is not None]
    distance = max((float(wrist[2]) for wrist in wrists), default=0.0)
    if distance > FAR:
        doubts.append(("far", f"{distance:.0f} m"))
    return doubts
