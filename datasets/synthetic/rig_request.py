"""What is to be rendered with several cameras; light, so that a command can refuse it at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from datasets.synthetic.folder import LARGEST, SMALLEST, SyntheticRequest, is_folder_name
from datasets.synthetic_layout import FOLDERS, FRAMES, SPLIT, VERTICES
from fitter.errors import InputError
from fitter.lens import is_straight
from fitter.rig import Rig, RigCamera


@dataclass(frozen=True, kw_only=True)
class RigRequest(SyntheticRequest):
    """What is to be written of a rig.

    Samples are rendered as squares, `size` pixels wide, and cut to the images of the rig.

    Attributes:
        size: the longer side of the rig's images.
        rig: the cameras, see `check_rig_to_render`.
        vertices: write the vertices of the hands, too.
    """

    rig: Rig
    vertices: bool = False

    @classmethod
    def of(cls, given: SyntheticRequest, rig: Rig, vertices: bool = False) -> Self:
        """The same samples, seen by a rig.

        Raises:
            InputError: see `check_rig_to_render`.
        """
        check_rig_to_render(rig, "rig")
        size = rig.cameras[0].size
        assert size is not None
        own = {field.name: getattr(given, field.name) for field in fields(SyntheticRequest)}
        return cls(**{**own, "size": max(size)}, rig=rig, vertices=vertices)

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) in pixels of all images."""
        size = self.rig.cameras[0].size
        assert size is not None
        return size

    def description(self) -> dict[str, Any]:
        """See `SyntheticRequest`."""
        return {**self.view_description(), "rig": rig_description(self.rig)}

    def view_description(self) -> dict[str, Any]:
        """Of one camera's folder: that of an ordinary data set, with width and height."""
        width, height = self.image_size
        size = {} if width == height else {"size": [width, height]}
        return {**super().description(), **size}

    @property
    def folders(self) -> tuple[str, ...]:
        """See `SyntheticRequest`."""
        own = [f"{name}/{SPLIT}/{folder}" for name in self.rig.names for folder in FOLDERS]
        return (*own, FRAMES, *([VERTICES] if self.vertices else []))


def rig_description(rig: Rig, images: bool = False) -> list[dict[str, Any]]:
    """The cameras of a rig file; `images`: with the folders that a data set has them in."""
    said = []
    for camera in rig.cameras:
        own = {
            "name": camera.name,
            "K": camera.intrinsics.tolist(),
            "R": camera.rotation.tolist(),
            "t": camera.translation.tolist(),
            "size": None if camera.size is None else list(camera.size),
        }
        said.append(own | ({"images": f"{camera.name}/{SPLIT}/rgb"} if images else {}))
    return said


def rig_json(rig: Rig) -> bytes:
    """The rig file of a data set, as ``fit-hands --views`` reads it."""
    return json.dumps({"cameras": rig_description(rig, images=True)}, indent=1).encode()


def check_rig_to_render(rig: Rig, source: Path | str) -> None:
    """Refuse a rig that cannot be rendered; `source` is where it came from.

    Raises:
        InputError: a camera says no size, one beyond `SMALLEST` and `LARGEST`, has another one than
            the first, a lens with distortion, or a name that no folder can have.
    """
    first = rig.cameras[0]
    for camera in rig.cameras:
        where = f"{source}, camera {camera.name!r}"
        if not is_folder_name(camera.name):
            raise InputError("synthetic.rig_name", file=where, found=camera.name)
        if camera.size is None:
            raise InputError("synthetic.rig_size", file=where)
        if camera.size != first.size:
            raise InputError(
                "synthetic.rig_sizes", file=where, expected=_said(first), found=_said(camera)
            )
        if not (min(camera.size) >= SMALLEST and max(camera.size) <= LARGEST):
            raise InputError(
                "synthetic.rig_size_limits",
                file=where,
                least=SMALLEST,
                most=LARGEST,
                found=_said(camera),
            )
        if not is_straight(camera):
            raise InputError("synthetic.rig_distortion", file=where)


def _said(camera: RigCamera) -> str:
    assert camera.size is not None
    return "{} x {}".format(*camera.size)
