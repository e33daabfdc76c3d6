"""Where an image's overlay lies in the folder of overlays."""

from __future__ import annotations

from fitter.system.file_names import name_below


def overlay_name(name: str) -> str:
    """Path of an image's overlay in the folder of overlays, see
    `fitter.system.file_names.name_below`."""
    return name_below(name, ".jpg")
