"""Overlays as files: their names, and one drawn over its photograph, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitter.inputs.images import read_image
from fitter.overlay import OverlayHand, write_overlay
from fitter.records import InputError

_LONGEST_NAME = 255
"""Bytes that file systems allow in one file name."""


def overlay_name(name: str) -> str:
    """Path of an image's overlay in the folder of overlays: the image's own, with .jpg behind it,
    so that no two images share one.

    What is too long for a file system is cut and numbered; what would lead out of the folder
    (``/a.jpg``, ``../a.jpg``) leads to a folder ``_root`` or ``_up`` in it.
    """
    folders, slash, last = name.rpartition("/")
    if len(last.encode()) > _LONGEST_NAME - len(".jpg"):
        digest = hashlib.sha256(last.encode()).hexdigest()[:16]
        last = last.encode()[: _LONGEST_NAME - 40].decode(errors="ignore") + "-" + digest
    if name.startswith("/"):
        folders = "_root" + folders
    folders = "/".join("_up" if part == ".." else part for part in folders.split("/"))
    return folders + slash + last + ".jpg"


def write_picture_overlay(
    path: Path, picture: Path, hands: Sequence[OverlayHand], intrinsics: np.ndarray
) -> None:
    """Draw hands over their photograph.

    The overlay appears whole or not at all, so that one that is there need not be drawn again.

    Args:
        path: the file to make, and the folders on the way to it.
        picture: the photograph.
        hands: fitted to it.
        intrinsics: (3, 3) K of the photograph.

    Raises:
        InputError: the picture or the folder is gone, or cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    # Its own name, whoever else draws into the folder, from this machine or another.
    unfinished = path.with_name(f".unfinished-{uuid.uuid4().hex}.jpg")
    try:
        write_overlay(unfinished, read_image(picture), hands, intrinsics)
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"cannot write the overlay {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
