"""What a run with several views reads: frames, and what is given for their images, a task each.

The counterpart of `fitter.inputs.sources` for frames: `FrameSources.tasks` gives `FrameTask`s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fitter.errors import InputError
from fitter.inputs.escaped_names import path_of
from fitter.inputs.hand_sizes import HandSizes
from fitter.inputs.image_files import LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.sources import Names, Sources
from fitter.inputs.view_files import ViewFile
from fitter.inputs.view_sizes import Size, first_sizes, require_own, require_stated
from fitter.rig import FrameNames, Rig


@dataclass(frozen=True)
class FrameTask:
    """One frame and what is given for its images, small like an `ImageTask`.

    Attributes:
        place: of the frame in the whole listing.
        name: of the frame.
        rig: the cameras.
        views: the image of each camera, None where it has none of the frame.
    """

    place: int
    name: str
    rig: Rig
    views: tuple[ImageTask | None, ...]

    is_final = True

    @property
    def images(self) -> list[ImageTask]:
        """The images that there are, in the order of the cameras."""
        return [view for view in self.views if view is not None]


@dataclass(frozen=True)
class FrameSources:
    """Where the frames of a run, and what is known about their images, come from.

    Attributes:
        root: the images' names are relative to it.
        rig: the cameras.
        rig_path: the file that says so, for messages.
        names: of all frames, in the order of the store; they may lie on disk.
        image_names: of each frame its images' names, likewise, see `FrameNames.images`.
        keypoints: keypoints given by the user in place of the detector's, or None.
        masks: the images' masks given by the user, or None.
        hand_sizes: sizes of the hands by the frames' names, given by the user, or None.
        sizes: (width, height) of each camera's images, see `first_sizes`; empty before there are
            frames.
    """

    root: Path
    rig: Rig
    rig_path: Path
    names: Sequence[str] = ()
    image_names: Sequence[tuple[str, ...]] = ()
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None
    hand_sizes: HandSizes | None = None
    sizes: tuple[Size | None, ...] = ()

    files = None
    people = None
    objects = None
    has_objects = False
    ordered = None

    @property
    def detects(self) -> bool:
        """Whether hands are to be found, and not given."""
        return self.keypoints is None

    @property
    def has_masks(self) -> bool:
        """Whether masks are given."""
        return self.masks is not None

    def of_store(
        self, names: Sequence[str], image_names: Sequence[tuple[str, ...]]
    ) -> FrameSources:
        """The same for the frames that a store has."""
        sizes = first_sizes(self.rig, self.root, image_names)
        return replace(self, names=names, image_names=image_names, sizes=sizes)

    def tasks(self, start: int, stop: int) -> list[FrameTask]:
        """The frames from place `start` to `stop` (exclusive), each with what is given for it.

        Raises:
            InputError: a folder of masks cannot be listed, or the names on disk are damaged.
        """
        pairs = zip(self.names[start:stop], self.image_names[start:stop], strict=True)
        return [self._task(start + k, name, images) for k, (name, images) in enumerate(pairs)]

    def _task(self, place: int, name: str, images: Sequence[str]) -> FrameTask:
        size = None if self.hand_sizes is None else self.hand_sizes.size_of(name)
        views: list[ImageTask | None] = []
        sized = self.sizes or [camera.size for camera in self.rig.cameras]
        for camera, image, pixels in zip(self.rig.cameras, images, sized, strict=True):
            if not image:
                views.append(None)
                continue
            entry = ImageEntry(image, path_of(self.root, image))
            file = ViewFile(
                LocalFile(entry.path),
                entry,
                replace(camera, size=pixels),
                None if self.keypoints is None else self.keypoints.part(0, [image]),
                None if self.masks is None else self.masks.part([image]),
            )
            views.append(ImageTask(place, image, file, Intrinsics(), hand_size=size))
        return FrameTask(place, name, self.rig, tuple(views))

    def absolute(self) -> FrameSources:
        """The same for a process in another working directory."""
        keypoints, masks = self.keypoints, self.masks
        return replace(
            self,
            root=self.root.absolute(),
            keypoints=keypoints and replace(keypoints, path=keypoints.path.absolute()),
            masks=masks and masks.absolute(),
        )

    def check(self, names: Names) -> None:
        """Refuse what belongs to other frames or images.

        Args:
            names: texts of `FrameNames` of all frames.

        Raises:
            InputError: see `require_for` of each part; keypoints are a list in an order that frames
                have not; the first images of a camera all have another size than the rig
                says; or K or the lens of a camera without size is none of its first image.
        """
        frames = _Frames(names)
        require_stated(self.rig, self.root, frames, str(self.rig_path))
        sizes = first_sizes(self.rig, self.root, frames)
        for camera, size in zip(self.rig.cameras, sizes, strict=True):
            require_own(camera, size, f"{self.rig_path}, camera {camera.name!r}")
        if self.keypoints is not None:
            if self.keypoints.by_index is not None:
                raise InputError("views.keypoint_list", file=self.keypoints.path)
            self.keypoints.require_for(_Images(names), 0)
        if self.masks is not None:
            self.masks.require_for(_Entries(self.root, names))
        if self.hand_sizes is not None:
            self.hand_sizes.require_for(FrameNames.of_text(text).name for text in names)

    @property
    def kinds(self) -> dict[str, object]:
        """What was given, without what it says of single images, see `Sources.kinds`."""
        cameras = self.rig.as_json()["cameras"]
        return {
            "keypoints": None if self.detects else "given",
            "masks": "given" if self.has_masks else None,
            "hand_sizes": None if self.hand_sizes is None else "given",
            "views": {camera.pop("name"): camera for camera in cameras},
        }

    @property
    def options(self) -> list[str]:
        """What says something of single images, as the user gave it."""
        given = {
            f"--views {self.rig_path}": True,
            "--keypoints": self.keypoints is not None,
            "--masks": self.masks is not None,
            "--person-size": self.hand_sizes is not None,
        }
        return [option for option, value in given.items() if value]


@dataclass(frozen=True)
class _Frames:
    """Names of the images of each frame, as often as they are gone through."""

    frames: Names

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (FrameNames.of_text(text).images for text in self.frames)


@dataclass(frozen=True)
class _Images:
    """Names of all images of frames, as often as they are gone through."""

    frames: Names

    def __iter__(self) -> Iterator[str]:
        for text in self.frames:
            yield from filter(None, FrameNames.of_text(text).images)


@dataclass(frozen=True)
class _Entries:
    """The same as entries."""

    root: Path
    frames: Names

    def __iter__(self) -> Iterator[ImageEntry]:
        return (ImageEntry(name, path_of(self.root, name)) for name in _Images(self.frames))


RunSources = Sources | FrameSources
"""What a run reads: images or frames."""

Task = ImageTask | FrameTask
