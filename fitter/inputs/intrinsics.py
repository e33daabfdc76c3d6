"""The camera of every picture: from the user, else from EXIF, else a usual lens.

A camera that the user gives is a K (`fitter.inputs.camera_matrices` says in which convention) or
has a lens that distorts; K is then that of the camera without distortion which takes its place
(`fitter.inputs.through_lens`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.camera_files import camera_of, read_cameras, said_of
from fitter.inputs.camera_matrices import Belongs, check_intrinsics, require_size
from fitter.inputs.exif_focal import focal_from_exif
from fitter.inputs.frame_names import entry_of
from fitter.inputs.images import ImageEntry
from fitter.inputs.json_files import some_entries
from fitter.inputs.lens_sizes import of_size
from fitter.inputs.through_lens import ThroughLens
from fitter.lens import Lens
from fitter.records import IntrinsicsSource

DEFAULT_FIELD_OF_VIEW = math.radians(60.0)
"""Field of view along the picture's longer side, radians, of a camera nothing is known about.
Main cameras of phones (24 to 28 mm equivalent on a 4:3 sensor) see 63 to 72 degrees, their
stabilised video and webcams 55 to 70, a 50 mm lens 40, and whatever was cropped less than it had:
60 degrees lies between."""


@dataclass(frozen=True)
class Intrinsics:
    """Gives K for each picture of a listing.

    Build it with `Intrinsics.from_option`.

    Attributes:
        origin: what to name in messages: the option's text or its file.
        everywhere: (3, 3) float64 K of all pictures, or their camera with its lens, or None.
        by_name: entry of a picture by its name, not yet checked, or None.
        by_index: entries by place in the listing, not yet checked, or None.
        belongs: what these are given for, see `fitter.inputs.camera_matrices.Belongs`.
        default_field_of_view: radians along the longer side, used without K and EXIF.
        use_exif: whether EXIF may be consulted.
    """

    origin: str = "default"
    everywhere: np.ndarray | Lens | None = None
    by_name: Mapping[str, object] | None = None
    by_index: Mapping[int, object] | None = None
    belongs: Belongs = "camera"
    default_field_of_view: float = DEFAULT_FIELD_OF_VIEW
    use_exif: bool = True

    @property
    def is_given(self) -> bool:
        """Whether the user gave any K."""
        return any(k is not None for k in (self.everywhere, self.by_name, self.by_index))

    @property
    def has_lenses(self) -> bool:
        """Whether a lens that distorts may be among what was given."""
        by_image = ((self.by_name or {}).values(), (self.by_index or {}).values())
        every = chain([self.everywhere], *by_image)
        return any(
            not each.is_straight if isinstance(each, Lens) else isinstance(each, Mapping)
            for each in every
        )

    @staticmethod
    def from_option(
        option: str | None,
        default_field_of_view: float = DEFAULT_FIELD_OF_VIEW,
        use_exif: bool = True,
    ) -> Intrinsics:
        """Interpret the option ``--intrinsics``.

        Args:
            option: None; or "fx,fy,cx,cy" in pixels, for all pictures; or the path of a file with
                cameras, see `fitter.inputs.camera_files`: one of all pictures, one by each name,
                or, as FreiHAND's ``*_K.json``, a list in the order of the sorted picture names.
            default_field_of_view: radians along the longer side.
            use_exif: whether EXIF may be consulted when there is no option.

        Raises:
            InputError: the option is neither, or its file cannot be read as one of the two
                layouts.
        """
        if not 0 < default_field_of_view < math.pi:
            raise InputError(
                "intrinsics.field_of_view",
                file="default field of view",
                degrees=math.degrees(default_field_of_view),
            )
        without = Intrinsics(default_field_of_view=default_field_of_view, use_exif=use_exif)
        if option is None:
            return without
        if not Path(option).exists() and (numbers := _four_numbers(option)) is not None:
            fx, fy, cx, cy = numbers
            matrix = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
            everywhere = check_intrinsics(matrix, f"intrinsics {option!r}")
            return replace(without, origin=f"intrinsics {option!r}", everywhere=everywhere)
        found = read_cameras(Path(option))
        return replace(
            without,
            origin=option,
            everywhere=found.one,
            by_name=found.by_name,
            by_index=found.by_index,
            belongs=found.belongs,
        )

    def require_for(self, names: Iterable[str], count: int) -> None:
        """Refuse a file that belongs to other pictures.

        Args:
            names: of the pictures; not gone through further than needed.
            count: of the pictures.

        Raises:
            InputError: the file names none of the pictures, or is a list of another length.
        """
        if self.by_index is not None and len(self.by_index) != count:
            raise InputError(
                "intrinsics.count", file=self.origin, count=count, found=len(self.by_index)
            )
        if self.by_name is not None:
            require_a_name(self.origin, self.by_name, names)

    def part(self, start: int, names: Sequence[str]) -> Intrinsics:
        """What is needed for the pictures from place `start` on, whose names these are."""
        _, by_index = some_entries(None, self.by_index, start, names)
        by_name, belongs = self.by_name, self.belongs
        if by_name is not None:  # what is said of a video is said of its frames
            own = {name: entry_of(by_name, name) for name in names}
            by_name = {name: by_name[entry] for name, entry in own.items() if entry is not None}
            if belongs == "crops" and all(entry not in (None, name) for name, entry in own.items()):
                belongs = "image"  # a video's frames are no crops of their own
        return replace(self, by_name=by_name, by_index=by_index, belongs=belongs)

    def raw(self, entry: ImageEntry, index: int) -> object:
        """What was given for one picture, not checked; None where nothing was."""
        if isinstance(self.everywhere, np.ndarray):
            return self.everywhere.tolist()
        if self.by_index is not None:
            return said_of(self.by_index.get(index))
        return said_of(self.everywhere if self.by_name is None else self.by_name.get(entry.name))

    def through(self, entry: ImageEntry, index: int, size: tuple[int, int]) -> ThroughLens | None:
        """How a picture was taken by a camera whose lens distorts; None where it does not, or
        nothing is known of it. Arguments and errors are those of `intrinsics_for`."""
        given = self._given(entry, index, size)
        if not isinstance(given, Lens) or given.is_straight:
            return None
        return ThroughLens.of(given)

    def intrinsics_for(
        self, entry: ImageEntry, index: int, size: tuple[int, int], exif: CameraExif
    ) -> tuple[np.ndarray, IntrinsicsSource]:
        """K of one picture.

        Args:
            entry: the picture.
            index: its place in the sorted listing.
            size: (width, height) of the upright picture, pixels.
            exif: what the picture says about its camera.

        Returns:
            K, (3, 3) float64 in pixels of the upright picture, and where it came from.

        Raises:
            InputError: the file has no entry for the picture, or the entry is no such matrix.
        """
        given = self._given(entry, index, size)
        if isinstance(given, Lens):
            through = None if given.is_straight else ThroughLens.of(given)
            return (given if through is None else through.straight).intrinsics.copy(), "given"
        if given is not None:
            return given, "given"
        focal = focal_from_exif(exif, size) if self.use_exif else None
        if focal is not None:
            return centred_intrinsics(focal, size), "exif"
        focal_length = 0.5 * max(size) / math.tan(0.5 * self.default_field_of_view)
        return centred_intrinsics((focal_length, focal_length), size), "default"

    def _given(
        self, entry: ImageEntry, index: int, size: tuple[int, int]
    ) -> np.ndarray | Lens | None:
        """What was given for a picture, checked: K, or a lens of this size."""
        origin, found = self.origin, self.everywhere
        if self.by_index is not None:
            origin = f"{self.origin}, entry {index} ({entry.name})"
            found = camera_of(self.by_index[index], origin)
        elif self.by_name is not None:
            if entry.name not in self.by_name:
                raise InputError("intrinsics.no_entry", file=self.origin, image=entry.name)
            origin = f"{self.origin}, entry {entry.name!r}"
            found = camera_of(self.by_name[entry.name], origin)
        if found is None:
            return None
        if isinstance(found, Lens):
            return of_size(found, size, origin, entry.name, self.belongs)
        require_size(found, size, self.origin, entry.name, self.belongs)
        return found.copy()


def require_a_name(origin: object, given: Mapping[str, object], names: Iterable[str]) -> None:
    """Refuse a file that names pictures, but none of these: it belongs to others.

    Args:
        origin: the file, for the message.
        given: what it gives, by name.
        names: of the pictures, at least one; not gone through further than to the first match.

    Raises:
        InputError: the file names none of the pictures.
    """
    first = None
    for name in names:
        first = name if first is None else first
        if entry_of(given, name) is not None:
            return
    if not given:
        raise InputError("list.no_names", file=origin, image=first)
    raise InputError("list.other_names", file=origin, image=first, found=next(iter(given)))


def centred_intrinsics(focal: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """K with its principal point in the middle of the picture.

    Args:
        focal: (fx, fy) in pixels.
        size: (width, height) in pixels.

    Returns:
        (3, 3) float64.
    """
    width, height = size
    return np.array([[focal[0], 0.0, width / 2], [0.0, focal[1], height / 2], [0.0, 0.0, 1.0]])


def _four_numbers(text: str) -> tuple[float, ...] | None:
    """The four numbers of "fx,fy,cx,cy"; None when the text is not made of numbers at all."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    if len(numbers) != 4:
        raise InputError("intrinsics.four_numbers", file=f"intrinsics {text!r}", found=len(numbers))
    return numbers
