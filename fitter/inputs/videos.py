"""Frames of videos as images of a run, and files of this machine that mix videos and pictures.

A video is listed as its frames (`fitter.inputs.frame_names`). Each process that reads frames keeps
the video open that it read last, so that frames in order cost one decoding each.

What decodes is imported when the first video is: most runs have none.
"""

from __future__ import annotations

import atexit
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.errors import InputError
from fitter.inputs.escaped_names import path_of
from fitter.inputs.exif_focal import CameraExif
from fitter.inputs.frame_choice import FrameChoice
from fitter.inputs.frame_names import VIDEO_SUFFIXES, frame_name, video_of
from fitter.inputs.image_files import ImageFile, ImagesAlone, LocalFile
from fitter.inputs.images import ReadPicture
from fitter.inputs.listing import ImageSource, count_skipped, ending_of
from fitter.inputs.pixels import Pixels

_ANIMATED = (".apng", ".gif", ".png", ".webp")
"""Endings of pictures that may be animated."""

_SYNC = 0x47
"""First byte of each packet of an MPEG transport stream; other files end in .ts, too."""


class FrameIndex(Protocol):
    """What a listing needs of a video; see `fitter.inputs.video_index.VideoIndex`."""

    @property
    def broken(self) -> str:
        """Why not all of the video is there, or an empty text."""

    @property
    def times(self) -> np.ndarray:
        """(N,) float64 seconds since the first frame."""

    def __len__(self) -> int: ...


class FrameReader(Protocol):
    """Reads frames; see `fitter.inputs.video_reader.VideoReader`."""

    @property
    def index(self) -> FrameIndex:
        """Of the video."""

    def pixels(self, number: int) -> Pixels:
        """What a frame shows, upright."""

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True)
class VideoOptions:
    """How a run takes videos.

    Attributes:
        index: folder in which to keep where the frames of videos are, or None.
        choice: which frames are taken.
    """

    index: Path | None = None
    choice: FrameChoice = field(default_factory=FrameChoice)


@dataclass(frozen=True)
class VideoFrame(ImageFile):
    """A frame of a video of this machine.

    Attributes:
        path: of the video.
        number: of the frame in the order in which they are shown.
        index: see `VideoOptions`.
    """

    path: Path
    number: int
    index: Path | None = None

    @property
    def label(self) -> str:
        """The video's path, with the frame's number as in its name."""
        return frame_name(str(self.path), self.number)

    @property
    def time(self) -> float | None:
        """See `ImageFile`; None where the video has no such frame any more."""
        try:
            times = frame_reader(self.path, self.index).index.times
        except InputError:
            return None
        return float(times[self.number]) if self.number < len(times) else None

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`."""
        read = self.picture()
        return read.pixels, read.exif

    def picture(self) -> ReadPicture:
        """See `ImageFile`.

        Raises:
            InputError: see `fitter.inputs.video_reader.VideoReader.pixels`.
        """
        try:
            found = frame_reader(self.path, self.index).pixels(self.number)
        except InputError as error:
            raise error.about(file=self.label) from error
        return ReadPicture(found.rgb, CameraExif(), found.inside)

    def stamp(self) -> tuple[int, float] | None:
        """See `ImageFile`: those of the video."""
        return LocalFile(self.path).stamp()

    def absolute(self) -> VideoFrame:
        """See `ImageFile`."""
        index = None if self.index is None else self.index.absolute()
        return replace(self, path=self.path.absolute(), index=index)


def local_image(path: Path, index: Path | None = None) -> ImageFile:
    """A picture of this machine, or a frame of a video where its path has a frame's name.

    Args:
        path: such as ``photos/a.jpg`` or ``clips/clip.mp4/00000012``.
        index: see `VideoOptions`.
    """
    frame = video_of(path.as_posix())
    if frame is None:
        return LocalFile(path)
    return VideoFrame(Path(frame[0]), frame[1], index)


def video_frames(
    path: str | Path, choice: FrameChoice | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of a video or an animated picture, one after the other, one in memory at a time.

    Frames that do not decode are left out.

    Args:
        path: of the video.
        choice: which frames; None for all.

    Yields:
        Seconds since the video's first frame, and (H, W, 3) uint8 RGB, upright.

    Raises:
        InputError: there is no such video, or nothing of it can be read.

    ```python
    import fitter

    on_cpu = fitter.HandFitter(device="cpu", max_hands=1)
    for seconds, pixels in fitter.video_frames("clip.mp4", fitter.FrameChoice(fps=2)):
        print(seconds, [hand.side for hand in on_cpu(pixels)])
    ```
    """
    path = Path(path)
    index = frame_reader(path).index
    if not len(index):
        raise InputError("video.none_whole", reason=index.broken)
    times = index.times
    for number in (choice or FrameChoice()).of(times).tolist():
        try:
            pixels = frame_reader(path).pixels(number).rgb
        except InputError as error:
            if error.code != "video.damaged_frame":
                raise
            continue
        yield float(times[number]), pixels


_held: dict[Path, tuple[tuple[int, float], FrameReader]] = {}
"""The video that this process read last: what told it from others, and its reader."""


def frame_reader(path: Path, index: Path | None = None) -> FrameReader:
    """The reader of a video, which stays open until another video is read.

    Args:
        path: of the video.
        index: see `VideoOptions`.

    Raises:
        InputError: there is no such file.
    """
    stamp = LocalFile(path).stamp()
    if stamp is None:
        raise InputError("video.missing", file=path)
    found = _held.get(path)
    if found is not None and found[0] == stamp:
        return found[1]
    close_readers()
    reader = _opened(path, index)
    _held[path] = (stamp, reader)
    return reader


@atexit.register
def close_readers() -> None:
    """Close the video that is open."""
    for _, reader in _held.values():
        reader.close()
    _held.clear()


def _opened(path: Path, folder: Path | None) -> FrameReader:
    from fitter.inputs.video_index import video_index
    from fitter.inputs.video_reader import VideoReader

    if _is_animated(path):
        from fitter.inputs.animations import AnimationReader, animation_index

        return AnimationReader(path, video_index(path, folder, animation_index))
    return VideoReader(path, video_index(path, folder))


def _is_animated(path: Path) -> bool:
    """Whether a file is an animated picture."""
    if path.suffix.lower() not in _ANIMATED:
        return False
    from fitter.inputs.animations import is_animation

    return is_animation(path)


def is_video(path: Path) -> bool:
    """Whether the frames of a file are taken one by one: a video, or an animated picture. What is
    no video but ends as one is told when it is opened."""
    ending = path.suffix.lower()
    return _is_animated(path) if ending in _ANIMATED else ending in VIDEO_SUFFIXES


@dataclass(frozen=True)
class LocalFiles(ImagesAlone):
    """Pictures and frames of videos below a folder of this machine.

    Attributes:
        root: the folder.
        videos: how videos are taken.
    """

    root: Path
    videos: VideoOptions

    def file_of(self, name: str) -> ImageFile:
        """The picture or frame of this name."""
        return local_image(path_of(self.root, name), self.videos.index)

    def absolute(self) -> LocalFiles:
        """See `ImageFiles`."""
        index = None if self.videos.index is None else self.videos.index.absolute()
        return LocalFiles(self.root.absolute(), replace(self.videos, index=index))

    @property
    def kinds(self) -> dict[str, object]:
        """Which frames are taken, where not all are."""
        chosen = self.videos.choice.as_json
        return {"frames": chosen} if chosen else {}


def with_frames(source: ImageSource, videos: VideoOptions) -> ImageSource:
    """A source whose videos are listed as their frames.

    Args:
        source: of files of this machine, videos among them by their own names.
        videos: how they are taken.
    """
    broken: list[str] = []
    counted: Counter[str] = Counter()
    listed = _Listed(source.root, source.unsorted, videos, broken, counted)
    files = LocalFiles(source.root, videos)
    return replace(source, unsorted=listed, files=files, broken=broken, frames=counted)


@dataclass(frozen=True)
class _Listed:
    """Lists names as `unsorted` does, with those of the frames in place of each video's."""

    root: Path
    unsorted: Callable[[Counter[str]], Iterator[str]]
    videos: VideoOptions
    broken: list[str]
    counted: Counter[str]

    def __call__(self, skipped: Counter[str]) -> Iterator[str]:
        self.broken.clear()
        self.counted.clear()
        names = 0
        longest = _Longest()
        for name in self.unsorted(skipped):
            path = path_of(self.root, name)
            if ending_of(name) == ".ts" and not _is_transport_stream(path):
                count_skipped(skipped, ".ts")
            elif is_video(path):
                for frame in self._frames(name, path, longest):
                    self.counted["frames"] += 1
                    yield frame
            else:
                names += 1
                yield name
        frames = self.counted["frames"]
        if self.broken and not names + frames:
            raise InputError("video.none_whole", reason=self.broken[0])
        if self.videos.choice.as_json and not frames:
            if self.broken:
                raise InputError("video.none_whole", reason=self.broken[0])
            raise _none_chosen(self.videos.choice, longest)

    def _frames(self, name: str, path: Path, longest: _Longest) -> Iterator[str]:
        """Names of the frames that are taken of a video, which may be the longest so far."""
        try:
            index = frame_reader(path, self.videos.index).index
        except InputError as error:
            self.broken.append(str(error))
            return
        if index.broken:
            self.broken.append(index.broken)
        if len(index) and index.times[-1] >= longest.seconds:
            longest.path, longest.seconds = path, float(index.times[-1])
        for number in self.videos.choice.of(index.times).tolist():
            yield frame_name(name, number)


@dataclass
class _Longest:
    """The longest video of a listing; seconds at which its last frame is shown."""

    path: Path | None = None
    seconds: float = 0.0


def _none_chosen(choice: FrameChoice, longest: _Longest) -> InputError:
    """Why a choice takes no frame at all."""
    if longest.path is None:
        return no_video(choice, "pictures alone")
    if choice.start is not None and choice.start > longest.seconds:
        return InputError(
            "video.start_after_end",
            file="--start",
            last=longest.seconds,
            video=longest.path,
            found=choice.start,
        )
    return InputError("video.none_between", file="--start, --end", video=longest.path)


def no_video(choice: FrameChoice, found: str) -> InputError:
    """Frames are chosen where there is no video.

    Args:
        choice: of some frames.
        found: what there is.
    """
    options = ", ".join(f"--{option}" for option in choice.as_json)
    return InputError("video.no_video", file="IMAGES", found=found, options=options)


def _is_transport_stream(path: Path) -> bool:
    """Whether a file that ends in .ts may be a video; one that cannot be read is told later."""
    try:
        with path.open("rb") as file:
            return file.read(1) == bytes([_SYNC])
    except OSError:
        return True
