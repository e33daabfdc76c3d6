"""What is asked of one run of `fit-hands`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fitter.errors import InputError
from fitter.inputs.addresses import is_address, was_address
from fitter.inputs.dataset_request import DatasetRequest
from fitter.inputs.frame_choice import FrameChoice
from fitter.rendering.overlay_folder import OverlayFolder
from fitter.rendering.overlay_style import OverlayStyle
from fitter.system.lock import WHOLE
from fitter.workers.execution_options import ExecutionOptions


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for, besides the configuration.

    Attributes:
        images: a folder of images, an image or several, a pattern, a list file, or "-"; one text
            or a sequence of them. They may be addresses, and tar files in place of images. With
            `dataset` the data set's folder.
        out: path of the store, such as "results.zarr".
        overlays: folder for overlays, made where it is missing; of frames of one video also the
            .mp4 file to write; or None.
        overlay_style: how overlays look; of use beside `overlays` alone.
        intrinsics: the option ``--intrinsics`` as given, or None.
        keypoints: folder or file of keypoints that replace the detector's, or None.
        masks: folder of masks of the images, or None.
        objects: folder of known objects of the images, see `fitter.inputs.object_files`, or None.
        hand_sizes: file of sizes of the images' hands, see `fitter.inputs.hand_sizes`, or None.
        same_hand: all hands of a side are one person's and share a shape.
        people: file that says whose hands the images show, see `fitter.inputs.people`, or None.
        views: the rig file of cameras that have seen frames, see `fitter.inputs.rig_files`;
            `images` is then the folder of the images of all of them. None for single images.
        camera: a camera's number, device or address, whose frames are recorded and fitted in the
            place of `images`, see `fitter.run.camera`; or None.
        frames: which frames of videos are taken.
        dataset: the data set that the images, their K and what else is asked for come from, or
            None.
        resume: continue the store.
        overwrite: replace the store.
        quiet: no progress and no summary.
        wait: where images share something and other shares have not done their part of a pass,
            wait for them.
        execution: over what the work is spread.
    """

    images: Sequence[str]
    out: Path
    overlays: Path | None = None
    overlay_style: OverlayStyle = field(default_factory=OverlayStyle)
    intrinsics: str | None = None
    keypoints: Path | None = None
    masks: Path | None = None
    objects: Path | None = None
    hand_sizes: Path | None = None
    same_hand: bool = False
    people: Path | None = None
    views: Path | None = None
    camera: str | None = None
    frames: FrameChoice = field(default_factory=FrameChoice)
    dataset: DatasetRequest | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    wait: bool = False
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)

    def __post_init__(self) -> None:
        """Take one text for a list of one, and texts for paths.

        Raises:
            InputError: `images` or `dataset` is something else, such as a data set that is open;
                `out` is an address, where results cannot be written safely; or there is a style of
                overlays and no folder for them.
        """
        if isinstance(self.images, str | Path):
            object.__setattr__(self, "images", [self.images])
        self._check_images()
        if self.overlays is None and self.overlay_style != OverlayStyle():
            raise InputError("usage.overlays_missing", file="overlay_style")
        object.__setattr__(self, "images", [str(image) for image in self.images])
        self._check_out()
        places = ("keypoints", "masks", "objects", "hand_sizes", "people", "views")
        for name in ("out", "overlays", *places):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else Path(given))
        if self.intrinsics is not None:
            object.__setattr__(self, "intrinsics", str(self.intrinsics))

    def _check_images(self) -> None:
        """Refuse values of other types; images are looked at no further than to the first."""
        kind, images = type(self.images).__name__, self.images
        if not isinstance(images, Sequence) or hasattr(images, "annotation"):
            raise InputError("door.run_images", file="images", found=kind)
        for image in images:
            if not isinstance(image, str | Path):
                raise InputError("door.run_images", file="images", found=type(image).__name__)
        if self.dataset is not None and not isinstance(self.dataset, DatasetRequest):
            found = type(self.dataset).__name__
            raise InputError("door.run_dataset", file="dataset", found=found)

    def _check_out(self) -> None:
        """Refuse results at an address, also one from which `Path` took a slash: a run locks its
        store, and what is made or replaced appears in one step, which no such place promises."""
        out = str(self.out)
        if out.startswith("file://"):
            object.__setattr__(self, "out", out.removeprefix("file://"))
        elif is_address(out) or was_address(out):
            raise InputError("output.address", file=out)

    @property
    def overlays_are_a_video(self) -> bool:
        """Whether `overlays` is the file of the overlay of the only video, and no folder."""
        folder = self.overlays
        return folder is not None and folder.suffix.lower() == ".mp4" and not folder.is_dir()

    @property
    def overlay_folder(self) -> OverlayFolder | None:
        """The folder for overlays, with their style, or None."""
        if self.overlays is None:
            return None
        return OverlayFolder(self.overlays, self.overlay_style, self.overlays_are_a_video)

    def require_overlay_style(self) -> None:
        """Refuse a folder of overlays whose overlays look otherwise; see `OverlayFolder.check`."""
        if self.overlay_folder is not None:
            self.overlay_folder.check()

    def beside(self, ending: str) -> Path:
        """A file beside the store, of this run's share of it."""
        share = self.execution.share
        part = "" if share == WHOLE else f".{share.number}-of-{share.of}"
        return self.out.with_name(f"{self.out.name}{part}.{ending}")
