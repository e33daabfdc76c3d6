"""2D keypoints from files instead of a detector.

`KeypointFiles` finds out which picture each part belongs to:

A folder
    A file for each picture, with the picture's folder before it when it lies in one:
    ``<stem>_keypoints.json`` (OpenPose), ``<stem>.json`` (mmpose's inferencer), ``<name>.json`` or
    ``results_<stem>.json`` (mmpose's demos). Frames of a video have
    ``<stem of the video>_<number, 12 digits>_keypoints.json`` (OpenPose), a file in a folder of the
    video's name, ``clip.mp4/00000012_keypoints.json`` or ``clip.mp4/00000012.json``, or one file
    for all of them, which is called like that of a picture. Two pictures that differ in nothing but
    their ending would share a file, and are refused.
A JSON list
    An entry for each picture in the order of the sorted names (FreiHAND's layout), or entries that
    say which picture they are of (COCO's results, mmpose's of a video).
A JSON object
    ``{picture name: what is said of it}``, or COCO's annotations. A picture that is not named has
    no hands. An object about one picture is read where there is one picture.

What is said of one picture is in any of the layouts of `fitter.inputs.keypoint_layouts`. All
positions are pixels of the upright picture in canonical keypoint order, but for MediaPipe's. What
is wrong with one picture's entry is said when that picture is asked for and leaves the others
alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from fitter.errors import InputError
from fitter.inputs.escaped_names import unescaped
from fitter.inputs.frame_names import frame_name, frames_numbered_in, video_of
from fitter.inputs.given_hands import Size
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import require_a_name
from fitter.inputs.json_files import load_json
from fitter.inputs.keypoint_containers import contained, loose_names
from fitter.inputs.keypoint_layouts import hands_in
from fitter.inputs.names import first_shared_stem
from fitter.records import HandObservation

_OPENPOSE_ENDING = "_keypoints.json"
_OPENPOSE_DIGITS = 12
"""Of the number of a frame in the names of OpenPose's files."""


@dataclass(frozen=True)
class KeypointFiles:
    """Keypoints of the pictures of a listing.

    Build it with `KeypointFiles.open`.

    Attributes:
        path: the folder or file.
        by_name: entries by picture name, not yet checked, or None.
        by_index: entries by place in the listing, not yet checked, or None; with neither,
            `path` is a folder of files.
        is_loose, is_single: see `fitter.inputs.keypoint_containers.Contained`.
    """

    path: Path
    by_name: Mapping[str, object] | None = None
    by_index: Mapping[int, object] | None = None
    is_loose: bool = False
    is_single: bool = False

    @staticmethod
    def open(path: Path) -> KeypointFiles:
        """Find out what there is.

        Args:
            path: folder or JSON file.

        Raises:
            InputError: there is nothing at `path`, it is no JSON, or in no known layout.
        """
        path = Path(path)
        if path.is_dir():
            if next(_json_files(path), None) is None:
                raise InputError("keypoints.no_files", file=path)
            return KeypointFiles(path)
        found = contained(load_json(path, "keypoints"), path)
        return KeypointFiles(path, found.by_name, found.by_index, found.is_loose, found.is_single)

    def require_for(self, names: Iterable[str], count: int) -> None:
        """Refuse keypoints that belong to other pictures.

        Args:
            names: of the pictures; can be gone through any number of times.
            count: of the pictures.

        Raises:
            InputError: a file names none of the pictures, or is a list of another length, or speaks
                of one picture where there are several; a folder has no file for any of them; or two
                pictures would share what is said of one, as they differ in their ending or folder
                alone.
        """
        if self.by_index is not None:
            if len(self.by_index) != count:
                code = "keypoints.one_picture" if self.is_single else "keypoints.count"
                raise InputError(code, file=self.path, count=count, found=len(self.by_index))
        elif self.by_name is not None:
            if self.is_loose:
                self._require_loose(self.by_name, names)
            elif self.by_name:
                require_a_name(self.path, self.by_name, names)
        else:
            self._require_files(names)

    def require_for_video(self, video: str) -> None:
        """`require_for` of the frames of a video of which nobody knows how many there will be; a
        list, which has to be as long, is let pass.

        Args:
            video: its name.

        Raises:
            InputError: a file names no frame of it, or a folder has no file for any.
        """
        if self.by_index is not None:
            return
        files = _json_files(self.path) if self.by_name is None else ()
        texts = self.by_name or (str(file.relative_to(self.path)) for file in files)
        names = sorted({frame_name(video, 0), *frames_numbered_in(texts, video)})
        self.require_for(names, len(names))

    def missing(self, names: Iterable[str]) -> tuple[int, str]:
        """How many pictures have no file in a folder, and the first of them; of a file none."""
        if self.by_name is not None or self.by_index is not None:
            return 0, ""
        count, first = 0, ""
        for name in names:
            if not self._file_of(name).exists():
                count, first = count + 1, first or name
        return count, first

    def part(self, start: int, names: Sequence[str]) -> KeypointFiles:
        """What is needed for the pictures from place `start` on, whose names these are."""
        by_name, by_index = self.by_name, self.by_index
        if by_name is not None:
            keys = [key for name in names if (key := self._key(name)) is not None]
            by_name = {key: by_name[key] for key in keys}
        if by_index is not None:
            places = range(start, start + len(names))
            by_index = {place: by_index[place] for place in places if place in by_index}
        return replace(self, by_name=by_name, by_index=by_index)

    def raw(self, entry: ImageEntry, index: int) -> object:
        """What was given for one picture, not checked; of a file in a folder its size in bytes."""
        if self.by_index is not None:
            return self.by_index.get(index)
        if self.by_name is not None:
            key = self._key(entry.name)
            return None if key is None else self.by_name[key]
        try:
            return self._file_of(entry.name).stat().st_size
        except OSError:  # reading it will say so
            return None

    def hands_for(
        self, entry: ImageEntry, index: int, size: Size | None = None, least: float = 0.0
    ) -> list[HandObservation]:
        """Hands of one picture, the surest first; an empty list when it has none.

        Args:
            entry: the picture.
            index: its place in the sorted listing.
            size: (width, height) of the upright picture; without it MediaPipe's landmarks, which
                are shares of its sides, cannot be read.
            least: `sureness` below which a hand will be left out: its positions are not judged.

        Raises:
            InputError: the picture's entry or file is missing or malformed.
        """
        if self.by_index is not None:
            where = f"{self.path}, entry {index} ({entry.name})"
            content = self.by_index[index]
        elif self.by_name is not None:
            key = self._key(entry.name)
            where = f"{self.path}, entry {entry.name if key is None else key!r}"
            content = [] if key is None else self.by_name[key]
        else:
            file = self._file_of(entry.name)
            where, content = str(file), _file_content(file, entry.name)
        return sorted(hands_in(content, where, size, least), key=_score, reverse=True)

    def _key(self, name: str) -> str | None:
        """What `by_name` calls a picture, or None where it does not speak of it."""
        assert self.by_name is not None
        names = loose_names(name) if self.is_loose else [name]
        return next((key for key in names if key in self.by_name), None)

    def _require_loose(self, by_name: Mapping[str, object], names: Iterable[str]) -> None:
        taken: dict[str, str] = {}
        first = ""
        for name in names:
            first = first or name
            key = self._key(name)
            if key is None:
                continue
            if key in taken:
                raise InputError(
                    "keypoints.shared_entry",
                    file=self.path,
                    one=taken[key],
                    other=name,
                    shared=key,
                )
            taken[key] = name
        if not taken and by_name:
            raise InputError(
                "list.other_names", file=self.path, image=first, found=next(iter(by_name))
            )

    def _require_files(self, names: Iterable[str]) -> None:
        if (shared := first_shared_stem(names)) is not None:
            one, other = shared
            raise InputError(
                "keypoints.shared_file",
                file=self.path,
                one=one,
                other=other,
                shared=self._file_of(one).name,
            )
        self._require_own_frames(names)
        first = ""
        for name in names:
            first = first or name
            if self._file_of(name).exists():
                return
        example = next(_json_files(self.path), self.path)
        raise InputError(
            "keypoints.other_files",
            file=self.path,
            image=first,
            expected=self._file_of(first).relative_to(self.path),
            found=example.relative_to(self.path),
        )

    def _require_own_frames(self, names: Iterable[str]) -> None:
        """Refuse a frame that has its file in common with one of another video, or with a picture,
        whose name differs in its ending alone."""
        videos: dict[str, str] = {}
        for name in names:
            frame = video_of(name)
            if frame is not None:
                first = videos.setdefault(_stem(frame[0]), frame[0])
                if first != frame[0]:
                    self._require_two_files(frame_name(first, frame[1]), name)
        if not videos:
            return
        own = (name for name in names if video_of(name) is None)
        pictures = {stem: name for name in own if (stem := _stem(name)) in videos}
        for name in names if pictures else ():
            frame = video_of(name)
            if frame is not None and (picture := pictures.get(_stem(frame[0]))) is not None:
                self._require_two_files(picture, name)

    def _require_two_files(self, one: str, other: str) -> None:
        file = self._file_of(other)
        if file.exists() and file == self._file_of(one):
            facts = {"one": one, "other": other, "shared": file.name}
            raise InputError("keypoints.shared_file", file=self.path, **facts)

    def _file_of(self, picture: str) -> Path:
        """The file of a picture; where there is none, what OpenPose would call it."""
        frame = video_of(picture)
        name = PurePosixPath(unescaped(picture if frame is None else frame[0]))
        folder = self.path / name.parent
        names = [f"{name.stem}.json", f"{name.name}.json", f"results_{name.stem}.json"]
        if frame is None:
            names.insert(0, name.stem + _OPENPOSE_ENDING)
        else:
            number = f"{frame[1]:0{_OPENPOSE_DIGITS}d}"
            own = PurePosixPath(picture).name
            names[:0] = [
                f"{name.stem}_{number}{_OPENPOSE_ENDING}",
                f"{name.name}/{own}{_OPENPOSE_ENDING}",
                f"{name.name}/{own}.json",
            ]
        files = [folder / name for name in names]
        return next((file for file in files if file.exists()), files[0])


def _stem(name: str) -> str:
    """A name, with its folders, without its ending."""
    return str(PurePosixPath(name).with_suffix(""))


def _score(hand: HandObservation) -> float:
    return hand.score


def _file_content(file: Path, picture: str) -> object:
    """What a file in a folder says of a picture, or of a frame of a video."""
    own = (_OPENPOSE_ENDING, f"/{PurePosixPath(picture).name}.json")
    if video_of(picture) is None or file.as_posix().endswith(own):
        return load_json(file, "keypoints")
    try:
        changed = file.stat().st_mtime_ns
    except OSError:  # reading it will say so
        changed = 0
    frames = _frames(file, changed)
    keys = [key for key in loose_names(picture) if key in frames]
    return frames[keys[0]] if keys else []


@lru_cache(maxsize=2)
def _frames(file: Path, changed: int) -> Mapping[str, object]:
    """What a file says of the frames of a video; it is read once for all frames that follow."""
    found = contained(load_json(file, "keypoints"), file)
    if found.by_name is not None:
        return found.by_name
    return {frame_name("", number)[1:]: entry for number, entry in (found.by_index or {}).items()}


def _json_files(folder: os.PathLike[str]) -> Iterator[Path]:
    """JSON files in a folder and those below it; links to folders are left out.

    Millions of files may lie in one folder: entries are looked at one by one, and none is kept.
    What cannot be listed counts as empty, and so does what is nested deeper than folders can be
    open.
    """
    with contextlib.suppress(OSError, RecursionError), os.scandir(folder) as listing:
        for entry in listing:
            if entry.name.lower().endswith(".json"):
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _json_files(entry)
