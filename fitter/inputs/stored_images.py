"""Images that a store names, read again from the folder they were in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.escaped_names import path_of, unescaped
from fitter.inputs.videos import local_image
from fitter.system.file_names import is_below


def read_stored_image(folder: Path, name: str) -> np.ndarray:
    """An image by the name that a store has for it.

    A store may be somebody else's: its names choose nothing outside the folder that was given.

    Args:
        folder: of the images, or of the videos whose frames they are.
        name: of an image or frame, relative to it, with forward slashes.

    Returns:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        InputError: the name leads out of the folder (`image.outside`), or there is no such image.
    """
    if not is_below(unescaped(name)):
        raise InputError("image.outside", file=folder / name, folder=folder)
    return local_image(path_of(folder, name)).read()[0]
