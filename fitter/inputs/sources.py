"""What a run reads: its images and all that the user gave beside them, as one task an image.

`Sources` holds what was given for the whole listing; `Sources.tasks` resolves it, once, to an
`ImageTask` for each image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_files import said_of
from fitter.inputs.dataset_request import DatasetPart
from fitter.inputs.escaped_names import path_of
from fitter.inputs.frame_names import frame_name, frames_numbered_in, video_of
from fitter.inputs.hand_sizes import HandSizes
from fitter.inputs.image_files import ImageFiles, LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.object_files import ObjectFolder
from fitter.inputs.people import SIDES, ImagePeople, People
from fitter.kept_hands import KeptHands
from fitter.records import HandKey, SharedHand
from fitter.tracked_hands import ImageTracks


class Names(Protocol):
    """Names of images that can be gone through any number of times, and may lie on disk."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


class Tracks(Protocol):
    """What frames of videos are given of the tracks of their hands, see `fitter.tracks`."""

    def of(self, start: int, names: Sequence[str]) -> list[ImageTracks | None]:
        """What each of the images from place `start` on is given; None for photographs.

        Raises:
            InputError: it is damaged.
        """
        ...


class Kept(Protocol):
    """What the detector found in the pass before, see `fitter.store.kept_detections`."""

    def of(self, start: int, stop: int) -> Sequence[KeptHands | None]:
        """What it found in the images from place `start` to `stop` (exclusive); None of images in
        which it is to look.

        Raises:
            InputError: it is damaged.
        """
        ...


@dataclass(frozen=True)
class Sources:
    """Where the images of a run, and what is known about them, come from.

    Attributes:
        root: the images' names are relative to it.
        names: of all images, in the order of the store; they may lie on disk. Empty before the
            store is there.
        intrinsics: how to come by each image's K.
        keypoints: keypoints given by the user in place of the detector's, or None.
        masks: the images' masks given by the user, or None.
        objects: the images' objects given by the user, or None.
        hand_sizes: sizes of the images' hands given by the user, or None.
        people: whose hands the images show, or None.
        shared: what is known of people's hands from the passes before, see `fitter.run.passes`.
        is_final: whether the results are those of the last pass.
        files: where the images are by their names; None for files below `root`.
        tracks: what frames of videos are given; None where nothing is tracked.
        kept: what the detector found in the pass before; None in the first pass.
    """

    root: Path
    names: Sequence[str]
    intrinsics: Intrinsics
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None
    objects: ObjectFolder | None = None
    hand_sizes: HandSizes | None = None
    people: People | None = None
    shared: Mapping[HandKey, SharedHand] = field(default_factory=dict)
    is_final: bool = True
    files: ImageFiles | None = None
    tracks: Tracks | None = None
    kept: Kept | None = None

    @property
    def detects(self) -> bool:
        """Whether hands are to be found, and not given."""
        return self.keypoints is None and not (self.files and self.files.gives_keypoints)

    @property
    def has_masks(self) -> bool:
        """Whether masks are given."""
        return self.masks is not None or (self.files is not None and self.files.gives_masks)

    @property
    def has_objects(self) -> bool:
        """Whether objects are given."""
        return self.objects is not None or (self.files is not None and self.files.gives_objects)

    def of_store(self, names: Sequence[str], _: object = ()) -> Sources:
        """The same for the images that a store has; `FrameSources` needs more than their names."""
        return replace(self, names=names)

    def tasks(self, start: int, stop: int) -> list[ImageTask]:
        """The images from place `start` to `stop` (exclusive), each with what is given for it.

        Raises:
            InputError: a folder of masks cannot be listed, or the names on disk are damaged.
        """
        names = self.names[start:stop]
        tasks = [self._task(start + k, name) for k, name in enumerate(names)]
        if self.kept is not None:
            found = zip(tasks, self.kept.of(start, start + len(names)), strict=True)
            tasks = [replace(task, kept=kept) for task, kept in found]
        if self.tracks is None:
            return tasks
        pairs = zip(tasks, self.tracks.of(start, names), strict=True)
        return [replace(task, tracks=tracks) for task, tracks in pairs]

    def _task(self, place: int, name: str) -> ImageTask:
        people = None if self.people is None else self.people.of(name)
        return ImageTask(
            place,
            name,
            LocalFile(path_of(self.root, name)) if self.files is None else self.files.file_of(name),
            self.intrinsics.part(place, [name]),
            None if self.keypoints is None else self.keypoints.part(place, [name]),
            None if self.masks is None else self.masks.part([name]),
            None if self.objects is None else self.objects.part([name]),
            None if self.hand_sizes is None else self.hand_sizes.size_of(name),
            people,
            self._shared_by(people),
            self.is_final,
        )

    def _shared_by(self, people: ImagePeople | None) -> dict[HandKey, SharedHand]:
        """What is known of the hands of an image's people."""
        persons = [] if people is None or not self.shared else people.persons
        keys: list[HandKey] = [(person, side) for person in persons for side in SIDES]
        return {key: self.shared[key] for key in keys if key in self.shared}

    def absolute(self) -> Sources:
        """The same for a process in another working directory."""
        keypoints, masks, objects = self.keypoints, self.masks, self.objects
        return replace(
            self,
            root=self.root.absolute(),
            keypoints=keypoints and replace(keypoints, path=keypoints.path.absolute()),
            masks=masks and masks.absolute(),
            objects=objects and objects.absolute(),
            files=self.files and self.files.absolute(),
        )

    def check(self, names: Names) -> None:
        """Refuse what belongs to other images.

        Args:
            names: of all images.

        Raises:
            InputError: see `require_for` of each part.
        """
        self.intrinsics.require_for(names, len(names))
        if self.keypoints is not None:
            self.keypoints.require_for(names, len(names))
        if self.masks is not None:
            self.masks.require_for(_Entries(self.root, names))
        if self.objects is not None:
            self.objects.require_for(_Entries(self.root, names))
        if self.hand_sizes is not None:
            self.hand_sizes.require_for(names)
        if self.people is not None:
            self.people.require_for(names)
        self._require_one_size(names)
        if self.files is not None:
            others: dict[DatasetPart, object] = {
                "keypoints": self.keypoints,
                "masks": self.masks,
                "objects": self.objects,
            }
            own = [part for part, other in others.items() if other is None]
            self.files.require_for(names, own)

    def check_for_video(self, video: str, has_first: bool) -> None:
        """What `check` refuses of the frames of a video that is not there yet, as far as it can be
        told; what is given for them is not of a data set, and lists are let pass.

        Args:
            video: its name.
            has_first: whether its first frame is among those that are taken.

        Raises:
            InputError: see `require_for_video` of each part, and `check`.
        """
        first = frame_name(video, 0)
        by_name = self.intrinsics.by_name
        if by_name is not None:
            names = sorted({first, *frames_numbered_in(by_name, video)})
            self.intrinsics.require_for(names, len(names))
        if self.keypoints is not None:
            self.keypoints.require_for_video(video)
        certain = {first} if has_first else set()
        for beside in (self.hand_sizes, self.people):
            if beside is not None and beside.said is not None:
                beside.said.require_for_video(video)
                certain |= {entry for entry in beside.said.entries if video_of(entry) is not None}
        for name in sorted(certain):
            if self.hand_sizes is not None:
                self.hand_sizes.size_of(name)
            if self.people is not None:
                self.people.of(name)
        self._require_one_size(sorted(certain))

    def _require_one_size(self, names: Iterable[str]) -> None:
        """Refuse two sizes for one person's hand.

        Raises:
            InputError: images of one person have different sizes.
        """
        if self.hand_sizes is None or self.people is None:
            return
        sizes: dict[str, float] = {}
        for name in names:
            size, those = self.hand_sizes.size_of(name), self.people.of(name)
            size = self.hand_sizes.everywhere if size is None else size
            if size is None or those is None:
                continue
            for person in those.persons:
                one = sizes.setdefault(person, size)
                if one != size:
                    raise InputError(
                        "people.two_sizes",
                        file=self.hand_sizes.path,
                        person=person,
                        one=one,
                        image=name,
                        other=size,
                    )

    @property
    def kinds(self) -> dict[str, object]:
        """What was given, without what it says of single images, which
        `ImageTask.inputs_digest` tells."""
        everywhere = self.intrinsics.everywhere
        by_image = self.intrinsics.by_name is not None or self.intrinsics.by_index is not None
        one = everywhere.tolist() if isinstance(everywhere, np.ndarray) else said_of(everywhere)
        return {
            "intrinsics": "given for each picture" if by_image else one,
            "keypoints": None if self.detects else "given",
            "masks": "given" if self.has_masks else None,
            "hand_sizes": None if self.hand_sizes is None else "given",
            # Stores from before there were objects have no such word.
            **({"objects": "given"} if self.has_objects else {}),
            **({} if self.people is None else {"people": self.people.kind}),
            **({} if self.files is None else self.files.kinds),
        }

    @property
    def options(self) -> list[str]:
        """What says something of single images, as the user gave it."""
        place = {} if self.files is None else self.files.dataset_place
        given = {
            f"--dataset {place.get('name')} {place.get('folder')}": place,
            "--intrinsics": self.intrinsics.is_given,
            "--keypoints": self.keypoints is not None,
            "--masks": self.masks is not None,
            "--objects": self.objects is not None,
            "--person-size": self.hand_sizes is not None,
            "--people": self.people is not None and self.people.said is not None,
            "--same-hand": self.people is not None and self.people.said is None,
        }
        # Without any it is what stands beside the images in tar files.
        return [option for option, value in given.items() if value] or ["K beside it"]

    @property
    def ordered(self) -> str | None:
        """What is a list in the order of the names, which no image can join later, or None."""
        if self.intrinsics.by_index is not None:
            return str(self.intrinsics.origin)
        if self.keypoints is not None and self.keypoints.by_index is not None:
            return str(self.keypoints.path)
        return None


@dataclass(frozen=True)
class _Entries:
    """Names as entries, as often as they are gone through."""

    root: Path
    names: Names

    def __iter__(self) -> Iterator[ImageEntry]:
        return (ImageEntry(name, path_of(self.root, name)) for name in self.names)
