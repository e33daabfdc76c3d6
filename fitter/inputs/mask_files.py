"""Masks that the user gives beside the pictures: which pixels show a hand.

`MaskFolder` reads a folder that mirrors the pictures': the mask of ``a/b.jpg`` is ``a/b.png`` in
it, or the same with another ending of `MASK_SUFFIXES`, of which the first that is there counts. A
picture without such a file has no mask. A mask holds all the hands of its picture and stands
upright like the picture as it is seen (its own EXIF orientation, if it has one, is applied); it has
exactly the picture's size.

What counts as hand
    grey   above half of the range, and the range is the smallest of 1, 255 and 65,535 that holds
           the largest value: masks of 0 and 1, 0 and 255 in 8 or 16 bits, and probabilities alike.
           A mask with values, but none above half of the range, is refused: it numbers objects
           (0, 1, 2), and which of them are hands it does not say.
    colour the largest of the three channels, as above: any bright colour on black.
    labels pictures with a palette: in a grey palette the grey, as above; in a coloured one (as
           PASCAL VOC's) everything that is not black.
    cut-out pictures whose transparency varies: the opacity, as above, whatever the colours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.arrays import hand_pixels
from fitter.inputs.images import DEFAULT_LIMITS, ImageEntry, ReadLimits, opened, turn_upright
from fitter.inputs.names import first_shared_stem

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
"""Endings of masks in the order in which they are looked for, lossless ones first; each also in
capitals."""

MOST_LISTED = 8
"""Subfolders whose names are remembered; the one not asked for longest is forgotten first."""


@dataclass(frozen=True)
class MaskFolder:
    """The masks of the pictures of a listing.

    Build it with `MaskFolder.open`. It remembers the names in the `MOST_LISTED` subfolders that it
    was asked about last. Pictures in the order of their names need the one they are in and those
    around it, since pictures beside a subfolder stand before and after the ones in it.

    Attributes:
        folder: where the masks lie.
        listed: subfolder -> names of all files in it that may be masks, both relative to `folder`;
            the subfolder asked for last is the last one.
        is_part: whether `listed` is all that there is to know, see `part`.
    """

    folder: Path
    listed: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)
    is_part: bool = False

    @staticmethod
    def open(folder: Path) -> MaskFolder:
        """Raises:
        InputError: there is no such folder.
        """
        folder = Path(folder)
        if not folder.is_dir():
            code = "mask.not_a_folder" if folder.exists() else "mask.no_folder"
            raise InputError(code, file=folder)
        return MaskFolder(folder)

    def require_for(self, entries: Iterable[ImageEntry]) -> None:
        """Make sure that these are the masks of these pictures.

        Args:
            entries: all pictures listed, at least one; can be gone through several times.

        Raises:
            InputError: a part of the folder cannot be listed, it has a mask for none of the
                pictures, it holds the pictures themselves under the masks' names, or one mask
                would belong to two pictures that differ in their ending alone.
        """
        first, found_any = "", False
        for entry in entries:
            first = first or entry.name
            path = self.path_of(entry.name)
            if path and _is_same_file(path, entry.path):
                raise InputError("mask.is_the_image", file=self.folder, image=entry.name)
            found_any = found_any or path is not None
        if not found_any:
            wanted = _stem(first) + MASK_SUFFIXES[0]
            raise InputError("mask.none", file=self.folder, wanted=wanted, image=first)
        shared = first_shared_stem(entry.name for entry in entries if self.path_of(entry.name))
        if shared is not None:
            one, other = shared
            path = self.path_of(one)
            name = "" if path is None else path.name
            raise InputError("mask.shared", file=self.folder, one=one, other=other, shared=name)

    def path_of(self, name: str) -> Path | None:
        """The mask's file of the picture `name`, None where there was none when its subfolder was
        listed.

        Raises:
            InputError: the subfolder cannot be listed.
        """
        parent = _parent(name)
        names = self.listed.get(parent, frozenset()) if self.is_part else self._names(parent)
        found = next((mask for mask in _candidates(_stem(name)) if mask in names), None)
        return None if found is None else self.folder / found

    def part(self, names: Sequence[str]) -> MaskFolder:
        """What is needed for these pictures; it lists nothing any more.

        Raises:
            InputError: a subfolder cannot be listed.
        """
        listed: dict[str, set[str]] = {}
        for name in names:
            path = self.path_of(name)
            if path is not None:
                mask = path.relative_to(self.folder).as_posix()
                listed.setdefault(_parent(name), set()).add(mask)
        return MaskFolder(self.folder, {p: frozenset(n) for p, n in listed.items()}, True)

    def mask_for(
        self, entry: ImageEntry, size: tuple[int, int], limits: ReadLimits = DEFAULT_LIMITS
    ) -> np.ndarray | None:
        """The mask of one picture.

        Args:
            entry: the picture.
            size: (width, height) of the upright picture in pixels.
            limits: sizes of masks to accept.

        Returns:
            (H, W) bool, all the hands of the picture; None for a picture that has no mask.

        Raises:
            InputError: the mask cannot be read (as `fitter.inputs.images.read_image`) or has
            another size than the picture.
        """
        path = self.path_of(entry.name)
        if path is None:
            return None
        mask = read_mask(path, limits)
        height, width = mask.shape
        if (width, height) != tuple(size):
            raise InputError(
                "mask.size",
                file=path,
                image=entry.name,
                expected=f"{size[0]} x {size[1]}",
                found=f"{width} x {height}",
            )
        return mask

    def _names(self, parent: str) -> frozenset[str]:
        names = self.listed.pop(parent, None)
        if names is None:
            names = _names_in(self.folder, parent)
        if len(self.listed) >= MOST_LISTED:
            self.listed.pop(next(iter(self.listed)))
        self.listed[parent] = names
        return names


def read_mask(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Read one mask, see the top of this module for what counts as hand.

    Returns:
        (H, W) bool.

    Raises:
        InputError: as `fitter.inputs.images.read_image`; or its values leave open what is hand:
        they are no whole numbers, exceed 16 bits, or none lies above half of its range and some do
            above 0.
    """
    with opened(path, limits) as image:
        image.load()
        turn_upright(image)
        if image.mode == "F":
            raise InputError("image.float", file=path)
        values = _opacity(image) if _is_cut_out(image) else _values(image)
    return hand_pixels(values, path)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _names_in(folder: Path, parent: str) -> frozenset[str]:
    """Names below `folder` of all that lies in one of its subfolders, not further down.

    One listing a folder, where asking for the endings of every picture would be fourteen questions
    a picture. A link to nothing is listed: a mask that is missing is not the same as no mask.
    """
    try:
        with os.scandir(folder / parent) as listing:
            return frozenset(
                str(PurePosixPath(parent, item.name))
                for item in listing
                if item.name.lower().endswith(MASK_SUFFIXES)
            )
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()  # pictures without masks
    except OSError as error:
        raise InputError("mask.unlistable", file=folder / parent, reason=error.strerror) from error


def _candidates(stem: str) -> Iterator[str]:
    for suffix in MASK_SUFFIXES:
        yield stem + suffix
        yield stem + suffix.upper()


def _is_same_file(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False  # one of them is gone or locked, which reading it will say


def _is_cut_out(image: Image.Image) -> bool:
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return False
    opacity = _opacity(image)
    return bool(opacity.min() != opacity.max())


def _opacity(image: Image.Image) -> np.ndarray:
    # The premultiplied modes convert to their straight twins only.
    straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
    return np.asarray(image.convert(straight).convert("RGBA"))[..., 3]


def _values(image: Image.Image) -> np.ndarray:
    """(H, W) brightness in the file's own range."""
    if image.mode in ("1", "L", "I") or image.mode.startswith("I;16"):
        return np.asarray(image)
    colours = np.asarray(image.convert("RGB"))
    brightest = colours.max(axis=-1)
    is_grey = (colours == colours[..., :1]).all()
    if image.mode in ("P", "PA") and not is_grey:
        return brightest > 0
    return brightest
