"""One size of images for each camera of a rig: K is of that size and of no other.

Where the rig does not say it, it is that of the camera's first image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from fitter.errors import InputError
from fitter.inputs.escaped_names import path_of
from fitter.inputs.images import read_size
from fitter.inputs.rig_files import require_lens
from fitter.rig import Rig, RigCamera
from fitter.system.messages import count

Size = tuple[int, int]

_ASKED = 8
"""Images of another size than the rig says before it is the rig that is wrong. # not published"""

_TRIED = 100
"""Frames whose images are asked: where the first ones cannot be read, one of the next can."""


def first_sizes(rig: Rig, root: Path, frames: Iterable[Sequence[str]]) -> tuple[Size | None, ...]:
    """Size (width, height) in pixels of each camera's images: the rig's, else its first image's.

    Args:
        rig: the cameras.
        root: folder that the images' names are relative to.
        frames: of each frame, in the order of the results, the name of each camera's image, empty
            where there is none.

    Returns:
        None for a camera without an image that can be read among the first frames.
    """
    sizes = [camera.size for camera in rig.cameras]
    if None not in sizes:
        return tuple(sizes)
    for _, images in zip(range(_TRIED), frames, strict=False):
        for view, image in enumerate(images):
            if sizes[view] is None and image:
                sizes[view] = _size_of(path_of(root, image))
        if None not in sizes:
            break
    return tuple(sizes)


def require_stated(rig: Rig, root: Path, frames: Iterable[Sequence[str]], where: str) -> None:
    """Refuse a rig of which a camera's images all have another size than it says. One image of
    another size fails by itself; of a camera whose first ones all have it, the rest has it too.

    Args:
        rig: the cameras; of those without a size nothing is asked.
        root: folder that the images' names are relative to.
        frames: see `first_sizes`; gone through for each camera.
        where: what to name in the message, before the camera.

    Raises:
        InputError: `rig.other_size`.
    """
    for view, camera in enumerate(rig.cameras):
        if camera.size is None:
            continue
        names = (images[view] for images in islice(frames, _TRIED) if images[view])
        sizes = ((_size_of(path_of(root, name)), name) for name in names)
        first = list(islice(((size, name) for size, name in sizes if size is not None), _ASKED))
        if first and all(size != camera.size for size, _ in first):
            size, image = first[0]
            raise InputError(
                "rig.other_size",
                file=f"{where}, camera {camera.name!r}",
                expected=camera.size,
                found=size,
                count=count(len(first), "image"),
                image=image,
            )


def require_own(camera: RigCamera, size: Size | None, where: str) -> None:
    """Refuse a K or a lens that can hardly be of images of this size, of which the rig says none.

    Args:
        camera: of a rig.
        size: (width, height) of its images; None where it is not known.
        where: what to name in messages.

    Raises:
        InputError: the principal point lies outside (`rig.centre`), or see `require_lens`.
    """
    if size is None or camera.size is not None:
        return
    x, y = camera.intrinsics[:2, 2]
    if not (0 <= x <= size[0] and 0 <= y <= size[1]):
        raise InputError("rig.centre", file=where, expected=size, found=(float(x), float(y)))
    require_lens(camera, size, where)


def _size_of(path: Path) -> Size | None:
    try:
        return read_size(path)
    except InputError:
        return None  # it is said when the image is read
