"""What a run is given, checked before anything heavy is loaded: a refusal takes no second."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from fitter.config.options import Config
from fitter.config.rigs import require_rig
from fitter.errors import InputError
from fitter.inputs.addresses import is_address, require_shared
from fitter.inputs.escaped_names import escaped
from fitter.inputs.frame_names import video_of
from fitter.inputs.frame_sources import FrameSources, RunSources
from fitter.inputs.frames import FrameSource
from fitter.inputs.hand_sizes import HandSizes
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.listing import ImageSource
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.names import NameList
from fitter.inputs.object_files import ObjectFolder
from fitter.inputs.people import People
from fitter.inputs.rig_files import RigFile
from fitter.inputs.sources import Sources
from fitter.inputs.videos import LocalFiles, VideoOptions, no_video
from fitter.run.request import RunRequest
from fitter.store.files import check_name, check_target, is_empty_folder, require_resumable
from fitter.system.lock import WHOLE
from fitter.system.messages import count

log = logging.getLogger(__name__)


class _Beside(TypedDict):
    """What is given beside images or frames alike."""

    keypoints: KeypointFiles | None
    masks: MaskFolder | None
    hand_sizes: HandSizes | None


@dataclass(frozen=True)
class RunInputs:
    """What a run reads.

    Attributes:
        source: where its images or frames are.
        listing: names of all images that there are now, or texts of `FrameNames`; long ones lie on
            disk until it is closed.
        given: what is known about the images, as yet without their names.
        warnings: what the user should know before the run.
    """

    source: ImageSource | FrameSource
    listing: NameList
    given: RunSources
    warnings: Sequence[str] = ()

    @property
    def folder(self) -> Path | None:
        """The folder of the images, where they are in one on this machine."""
        files = self.given.files
        is_plain = self.source.is_folder and (files is None or isinstance(files, LocalFiles))
        return self.source.root if is_plain else None

    @property
    def unit(self) -> str:
        """What the rows of its results are called."""
        return "frame" if isinstance(self.given, FrameSources) else "image"


@contextmanager
def opened_inputs(request: RunRequest, config: Config) -> Iterator[RunInputs]:
    """Check what was asked for, list the images, and check what was given beside them.

    Raises:
        InputError: something the user gave cannot be used, or the results may not be written.
    """
    continues = check_request(request, config)
    with _no_leftovers(request), _checked_inputs(request, config, continues) as inputs:
        yield inputs


@contextmanager
def _no_leftovers(request: RunRequest) -> Iterator[None]:
    """A refusal before there are results leaves no folder of indices behind."""
    folders = [_beside_store(request, ending) for ending in ("videos", "shards")]
    new = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except InputError:
        if not request.out.exists():
            for folder in new:
                shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _checked_inputs(request: RunRequest, config: Config, continues: bool) -> Iterator[RunInputs]:
    """The inputs of a request that may be, see `opened_inputs`."""
    source: ImageSource | FrameSource
    given: RunSources
    if request.views is None:
        source = _source(request)
        given = _given(request, config, source)
    else:
        source, given = _frames(request, request.views, config)
    _check_files(request, config, source)
    with NameList(source.names()) as listing:
        inputs = RunInputs(source, listing, given)
        log.info("%s: %s", source.title, count(len(listing), inputs.unit))
        if request.overlays_are_a_video:
            _require_one_video(request, source, listing)
        if not continues:  # else once it is known which images the store has
            given.check(listing)
            inputs = replace(inputs, warnings=_warnings(given, listing))
        yield inputs


def check_before_recording(request: RunRequest, config: Config, recording: Path) -> Sources:
    """Refuse, before a camera is recorded, what can be refused without its frames.

    Args:
        request: of the run, with the camera; `check_request` has let it pass.
        config: of the run.
        recording: the video that will be made.

    Returns:
        What is given beside the frames, as yet without their names.

    Raises:
        InputError: see `opened_inputs`; what is said of single frames is judged when they are
            there.
    """
    source = ImageSource(recording.parent, str(recording), lambda _: iter(()), "list.empty")
    given = _given(request, config, source)
    _check_files(request, config, source)
    given.check_for_video(escaped(recording.name), has_first=not request.frames.start)
    return given


def _check_files(request: RunRequest, config: Config, source: ImageSource | FrameSource) -> None:
    """Refuse a place of overlays, and a file of the hand model that is not there."""
    if request.overlays is not None:
        _check_overlays(request.overlays, request.out, source)
        request.require_overlay_style()
    if config.model.path is not None and not Path(config.model.path).exists():
        raise InputError("model.unknown", file=config.model.path)


def check_request(request: RunRequest, config: Config) -> bool:
    """Refuse options that contradict each other, and results that may not be written; whether
    results are continued.

    Raises:
        InputError: something the user asked for cannot be done.
    """
    _check_options(request, config)
    if request.views is None:
        require_rig(config, 1)
    check_name(request.out)
    return _check_results(request)


def _warnings(given: RunSources, listing: NameList) -> list[str]:
    """What the user should know before the run."""
    if given.keypoints is None or isinstance(given, FrameSources):
        return []
    missing, first = given.keypoints.missing(listing)
    if not missing:
        return []
    return [
        f"{missing} of {count(len(listing), 'image')} will fail, such as {first}: "
        f"{given.keypoints.path} has no file for them"
    ]


def _check_options(request: RunRequest, config: Config) -> None:
    """Refuse options that contradict each other."""
    execution = request.execution
    if (request.camera is None) == (not request.images):
        raise InputError("usage.images_or_camera", file="IMAGES and --camera")
    if request.camera is not None and (request.views or request.dataset):
        raise InputError("usage.camera_alone", file="--camera")
    if execution.share != WHOLE and request.overwrite:
        raise InputError("usage.shard_and_overwrite", file="--shard and --overwrite")
    if request.wait and execution.share == WHOLE:
        raise InputError("usage.wait_without_shard", file="--wait")
    if request.same_hand and request.people is not None:
        raise InputError("usage.two_people", file="--same-hand and --people")
    if config.people.textures and not request.same_hand and request.people is None:
        raise InputError("usage.textures_without_people", file="people.textures")
    if request.views is not None:
        _check_beside_views(request)
    if execution.gpus_per_worker is not None and execution.ray is None:
        raise InputError("usage.gpus_without_ray", file="--gpus-per-worker")


def _check_beside_views(request: RunRequest) -> None:
    """Refuse options that mean nothing where calibrated cameras see frames."""
    calibrated = "whose rig file gives K"
    alone = "since frames share no shapes of people yet"
    given = {
        "--intrinsics": (request.intrinsics is not None, calibrated),
        "--dataset": (request.dataset is not None, "since data sets are of single images"),
        "--same-hand": (request.same_hand, alone),
        "--people": (request.people is not None, alone),
        "--objects": (request.objects is not None, "since objects are placed in one camera"),
    }
    for option, (is_given, why) in given.items():
        if is_given:
            raise InputError("views.option", file=option, why=why)


def _frames(request: RunRequest, views: Path, config: Config) -> tuple[FrameSource, FrameSources]:
    """Where the frames are, and what is known about their images."""
    if len(request.images) != 1:
        raise InputError("views.folder", file="--views", found=len(request.images))
    file = RigFile.open(views)
    require_rig(config, len(file.rig))
    source = FrameSource.of(request.images[0], file)
    given = FrameSources(source.root, file.rig, file.path, **_beside(request, config))
    _check_masks(config, given)
    return source, given


def _beside(request: RunRequest, config: Config) -> _Beside:
    """What is given beside images or frames alike."""
    sizes = None
    if request.hand_sizes is not None:
        sizes = HandSizes.open(request.hand_sizes, config.fit.hand_size)
    return {
        "keypoints": None if request.keypoints is None else KeypointFiles.open(request.keypoints),
        "masks": None if request.masks is None else MaskFolder.open(request.masks),
        "hand_sizes": sizes,
    }


def _source(request: RunRequest) -> ImageSource:
    """Where the images are."""
    require_shared(request.images)
    if request.dataset is None:
        videos = VideoOptions(_beside_store(request, "videos"), request.frames)
        return ImageSource.of(request.images, _beside_store(request, "shards"), videos)
    if request.frames.as_json:
        raise no_video(request.frames, "a data set")
    if len(request.images) != 1:
        raise InputError("usage.dataset_folder", file="--dataset", found=len(request.images))
    from fitter.inputs.annotated import DatasetFiles, DatasetHandle

    folder = request.images[0]
    files = DatasetFiles.of(DatasetHandle.of(request.dataset, folder))
    images = files.dataset.images
    return ImageSource(
        Path(),
        folder,
        lambda _: iter(images.names),
        "list.empty",
        files=files,
        broken=list(images.broken),
    )


def _beside_store(request: RunRequest, ending: str) -> Path:
    """A folder beside the store that all shares of it have in common."""
    return request.out.with_name(f"{request.out.name}.{ending}")


def _check_results(request: RunRequest) -> bool:
    """Refuse a store that may not be made or continued; whether it is continued."""
    out = request.out
    if request.resume and out.exists() and not is_empty_folder(out):
        require_resumable(out)
        return True
    if not out.parent.exists() and _brings(request.overlays, out.parent):
        return False
    check_target(out, request.overwrite)
    return False


def _brings(overlays: Path | None, folder: Path) -> bool:
    """Whether a folder that is not there comes with that of the overlays, which is made first."""
    return overlays is not None and overlays.resolve().is_relative_to(folder.resolve())


def _given(request: RunRequest, config: Config, source: ImageSource) -> Sources:
    """What is known about the images, which are not listed yet."""
    field_of_view = math.radians(config.camera.default_fov_degrees)
    intrinsics = Intrinsics.from_option(request.intrinsics, field_of_view)
    beside = _beside(request, config)
    people = None if request.people is None else People.open(request.people)
    if request.same_hand:
        people = People.one_person()
    objects = None if request.objects is None else ObjectFolder.open(request.objects)
    given = Sources(
        source.root, (), intrinsics, people=people, files=source.files, objects=objects, **beside
    )
    _check_masks(config, given)
    return given


def _check_masks(config: Config, given: RunSources) -> None:
    """Refuse masks and objects that no stage uses, and stages that lack masks."""
    stages = config.refine.stages
    if given.has_objects and not config.refine.uses_objects:
        option = "--use objects" if given.objects is None else "--objects"
        raise InputError("run.objects_unused", file=option, found=", ".join(stages) or "none")
    if given.has_masks and not config.refine.uses_masks:
        found = ", ".join(stages) + " that compare with none" if stages else "refine.stages empty"
        option = "--masks" if given.masks is not None else "--use masks"
        raise InputError("run.masks_unused", file=option, found=found)
    if not given.has_masks and not config.finds_masks:
        for name, stage in config.refine.stages.items():
            if stage.masked:
                raise InputError(
                    "run.masks_needed", file=f"refine.stages.{name}", energy=stage.masked[0]
                )


def _check_beside_dataset(overlays: Path, folder: str | None) -> None:
    """Refuse overlays in the folder of a data set, some of which read every image in it."""
    if folder is None or is_address(folder):
        return
    if overlays.resolve().is_relative_to(Path(folder).resolve()):
        raise InputError("overlay.inside_images", file=f"--overlays {overlays}", root=folder)


def _require_one_video(
    request: RunRequest, source: ImageSource | FrameSource, listing: NameList
) -> None:
    """Refuse one video of overlays for images that are not all frames of one other video.

    Raises:
        InputError: `overlay.one_video` or `overlay.is_the_video`.
    """
    overlays = request.overlays
    assert overlays is not None  # it is a video
    found = {frame and frame[0] for frame in map(video_of, listing)}
    if len(found) > 1 or None in found:
        raise InputError("overlay.one_video", file=f"--overlays {overlays}")
    if overlays.resolve() == (source.root / str(found.pop())).resolve():
        raise InputError("overlay.is_the_video", file=f"--overlays {overlays}")


def _check_overlays(folder: Path, out: Path, source: ImageSource | FrameSource) -> None:
    option, root = f"--overlays {folder}", source.root
    if folder.suffix.lower() == ".mp4" and not folder.is_dir():
        if source.is_folder and folder.parent.resolve().is_relative_to(root.resolve()):
            raise InputError("overlay.inside_images", file=option, root=root)
        return
    if folder.exists() and not folder.is_dir():
        raise InputError("output.is_file", file=option)
    if folder.resolve().is_relative_to(out.resolve()):
        raise InputError("overlay.inside_results", file=option, out=out)
    if source.files is not None and not isinstance(source.files, LocalFiles):
        _check_beside_dataset(folder, source.files.dataset_place.get("folder"))
        return
    if source.is_folder and folder.resolve().is_relative_to(root.resolve()):
        raise InputError("overlay.inside_images", file=option, root=root)
    if folder.resolve() == root.resolve():
        raise InputError("overlay.among_images", file=option, title=source.title)
