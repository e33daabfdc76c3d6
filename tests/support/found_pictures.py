"""Pictures whose hands a detector of the tests finds: as many as their file's name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from fitter.records import HandObservation, ImageRecord
from fitter.workers.image_detector import ImageDetector
from tests.support.annotated_pictures import rendered
from tests.support.same_process import SameProcess

CONFIDENCE = np.linspace(0.2, 1.0, 21)


class FindsByName:
    """In ``2-a.png`` two hands, the second a left one and less sure.

    Attributes:
        looked: names of the pictures, as often as they were looked at.
        stops: name of the picture before which it is interrupted, or None.
    """

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.stops: str | None = None

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """See `Detector.detect`."""
        if image.name == self.stops:
            raise KeyboardInterrupt
        self.looked.append(image.name)
        return [found_hand(number) for number in range(int(Path(image.name).name[0]))]

    def close(self) -> None:
        """See `HandDetector.close`."""


def found_hand(number: int) -> HandObservation:
    """A hand where the first rendered picture has it, pixels; each a little further on."""
    points = rendered().keypoints_2d[0].numpy().astype(np.float64) + number
    side = "left" if number % 2 else "right"
    return HandObservation(points, CONFIDENCE, side, 0.9, 0.8 - 0.3 * number)


def finding(monkeypatch: pytest.MonkeyPatch) -> FindsByName:
    """Such a detector in place of ours, in this process."""
    from datasets.readers import found_hands, images

    detector = FindsByName()
    monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
    monkeypatch.setattr(ImageDetector, "_load", lambda self: detector)
    for cached in (found_hands._read, found_hands._detector, images._found_now):
        cached.cache_clear()
    return detector


def write_pictures(folder: Path, *names: str, focal_in_35mm: int | None = None) -> Path:
    """Rendered pictures of these names, in folders below where a name has them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if focal_in_35mm is not None:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = focal_in_35mm
        Image.fromarray(rendered().image[0].numpy()).save(path, exif=exif)
    return folder
