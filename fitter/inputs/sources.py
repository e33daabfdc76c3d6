"""What a run reads: its pictures and all that the user gave beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.mask_files import MaskFolder


@dataclass(frozen=True)
class Sources:
    """Where the pictures of a run, or consecutive ones of them, and what is known about them, come
    from.

    Attributes:
        root: the pictures' names are relative to it.
        names: of the pictures, in the order of the store; they may lie on disk.
        first: place of the first of them in the whole listing.
        intrinsics: how to come by each picture's K.
        keypoints: keypoints given by the user in place of the detector's, or None.
        masks: the pictures' masks given by the user, or None.
    """

    root: Path
    names: Sequence[str]
    intrinsics: Intrinsics
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None
    first: int = 0

    def entry(self, index: int) -> ImageEntry:
        """The picture at place `index` of the whole listing."""
        name = self.names[index - self.first]
        return ImageEntry(name, self.root / name)

    def absolute(self) -> Sources:
        """The same for a process in another working directory."""
        keypoints, masks = self.keypoints, self.masks
        return replace(
            self,
            root=self.root.absolute(),
            keypoints=keypoints and replace(keypoints, path=keypoints.path.absolute()),
            masks=masks and replace(masks, folder=masks.folder.absolute()),
        )

    def part(self, start: int, names: Sequence[str]) -> Sources:
        """What is needed for the pictures from place `start` on, and nothing more, so that it can
        travel to another process. Of a part only pictures of that part can be asked for.

        Args:
            start: place of the first picture in the whole listing.
            names: of the pictures.

        Raises:
            InputError: a folder of masks cannot be listed.
        """
        return Sources(
            self.root,
            names,
            self.intrinsics.part(start, names),
            None if self.keypoints is None else self.keypoints.part(start, names),
            None if self.masks is None else self.masks.part(names),
            start,
        )

    def digest(self, index: int) -> int:
        """A number that tells whether other K, keypoints or mask are given for a picture.

        Of a mask the content counts, because masks that were corrected often keep their size; of
        an OpenPose file its size.

        Returns:
            A signed 64-bit integer; 0 where nothing is given.
        """
        entry = self.entry(index)
        mask = None if self.masks is None else self.masks.path_of(entry.name)
        given = [
            self.intrinsics.raw(entry, index),
            None if self.keypoints is None else self.keypoints.raw(entry, index),
            None if mask is None else file_digest(mask),
        ]
        if given == [None, None, None]:
            return 0
        text = json.dumps(given, default=repr).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)

    def check(self) -> None:
        """Refuse what belongs to other pictures than those of the whole listing.

        Raises:
            InputError: see `require_for` of each part.
        """
        self.intrinsics.require_for(self.names, len(self.names))
        if self.keypoints is not None:
            self.keypoints.require_for(self.names, len(self.names))
        if self.masks is not None:
            self.masks.require_for(_Entries(self.root, self.names))

    @property
    def kinds(self) -> dict[str, object]:
        """What was given, without what it says of single pictures, which `Sources.digest` tells."""
        everywhere = self.intrinsics.everywhere
        by_image = self.intrinsics.by_name is not None or self.intrinsics.by_index is not None
        one = None if everywhere is None else everywhere.tolist()
        return {
            "intrinsics": "given for each picture" if by_image else one,
            "keypoints": None if self.keypoints is None else "given",
            "masks": None if self.masks is None else "given",
        }

    @property
    def ordered(self) -> str | None:
        """What is a list in the order of the names, which no picture can join later, or None."""
        if self.intrinsics.by_index is not None:
            return str(self.intrinsics.origin)
        if self.keypoints is not None and self.keypoints.by_index is not None:
            return str(self.keypoints.path)
        return None


@dataclass(frozen=True)
class _Entries:
    """Names as entries, as often as they are gone through."""

    root: Path
    names: Sequence[str]

    def __iter__(self) -> Iterator[ImageEntry]:
        return (ImageEntry(name, self.root / name) for name in self.names)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content; an empty text for one that cannot be read."""
    try:
        if not path.is_file():  # nor would a pipe ever end
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # the picture that it belongs to will say so itself
        return ""


def stamps(sources: Sources, index: int) -> dict[str, object]:
    """The fields of `DetectedImage` that tell changed images and inputs from others."""
    entry = sources.entry(index)
    try:
        found = entry.path.stat()
        file = (found.st_size, found.st_mtime_ns / 1e9)
    except OSError:
        file = None
    has_mask = sources.masks is not None and sources.masks.path_of(entry.name) is not None
    return {"file": file, "inputs_digest": sources.digest(index), "has_mask": has_mask}
