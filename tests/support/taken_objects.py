"""What reaches the fit of the objects that a run is given."""

from __future__ import annotations

import pytest

import fitter.engine
from fitter.contact import PosedObject


class TakenObjects:
    """Of every image that an engine fitted, the objects, in the order of the images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.objects: list[tuple[PosedObject, ...]] = []
        real = fitter.engine.Engine.fit

        def fit(engine, images):
            images = list(images)
            self.objects += [image.objects for image in images]
            return real(engine, images)

        monkeypatch.setattr(fitter.engine.Engine, "fit", fit)
