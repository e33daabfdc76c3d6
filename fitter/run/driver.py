"""One run of `fit-hands`: its inputs, its workers, its store, block after block, and the summary.

`opened_inputs` -> `_workers` -> `open_store` -> `fitter.run.work` -> `report`
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitter.config.options import Config
from fitter.errors import InputError
from fitter.inputs.frame_sources import RunSources
from fitter.inputs.listing import ImageSource
from fitter.run.inputs import RunInputs, check_before_recording, check_request, opened_inputs
from fitter.run.request import RunRequest
from fitter.run.summary import Summary
from fitter.run.telling import report, report_errors

if TYPE_CHECKING:
    from fitter.groups.sharing import Sharing
    from fitter.run.work import Workers
    from fitter.store.result_store import ResultStore

log = logging.getLogger(__name__)


def run(request: RunRequest, config: Config) -> Summary:
    """Process every image, or frame of several views, that the store does not hold yet.

    Ctrl-C ends it after the blocks in flight, a second one at once. What may refuse the request is
    asked first; what is heavy is imported when the first processes are at work.

    Raises:
        InputError: something the user gave cannot be used; nothing was processed, or what was is
            committed.
        KeyboardInterrupt: it was stopped; what was processed is committed.
    """
    with ExitStack() as stack:
        workers, gone = None, ""
        if request.camera is not None:
            request, workers, gone = _of_camera(request, config, stack)
        inputs = stack.enter_context(opened_inputs(request, config))
        if workers is None:
            workers = stack.enter_context(_workers(request, config, inputs.given))

        from fitter.run import work
        from fitter.run.overlay_videos import write_overlay_videos
        from fitter.run.passes import passes_of
        from fitter.run.progress import RunLog, console_for, say
        from fitter.run.resuming import take_up
        from fitter.run.store_setup import open_store

        console = console_for(request.quiet)
        for warning in inputs.warnings:
            say(console, warning)
        log.info("hand model %s on %s", workers.engine.meshes.data.name, workers.device)
        if request.overlay_folder is not None:
            request.overlay_folder.prepare()
        sharing = _sharing(config, inputs, workers)
        store = stack.enter_context(open_store(request, config, inputs, workers, sharing))
        passes = passes_of(store, sharing)
        summary = _empty_summary(request, inputs, store, gone)
        if store.was_there:
            is_fixed = any(each.given is not None for each in passes[:1])
            take_up(store, passes[0].rows, inputs, summary, is_fixed)
        else:
            workers.begin_anew()
        store.settle()
        inputs.listing.close()
        images = () if store.rig is None else store.frame_images
        sources = inputs.given.of_store(store.names, images)
        events = stack.enter_context(RunLog(request.beside("log.jsonl")))
        state = work.RunState(request, config, store, store, sources, workers, summary, events)
        state = work.process_passes(state, passes, sharing, console)
        write_overlay_videos(state, console)
        summary = state.summary
        table = work.finish(state)
        report(summary, request.out, table, lambda text: say(console, text))
        if request.quiet:
            errors = console_for(quiet=False)
            report_errors(summary, table, lambda text: say(errors, text))
    if summary.was_stopped:
        raise KeyboardInterrupt
    return summary


def _of_camera(
    request: RunRequest, config: Config, stack: ExitStack
) -> tuple[RunRequest, Workers | None, str]:
    """A request of the video that a camera's frames are recorded to, and what `recorded` returns.

    All that may refuse the run without the frames is asked before the first one is recorded. So the
    workers, who read the model, are there before: in `stack`, and not where the camera was recorded
    by an earlier run.
    """
    from fitter.run.camera import of_recording, recorded, recording_of, records
    from fitter.run.progress import console_for, say

    check_request(request, config)
    if not records(request):
        say(console_for(request.quiet), f"the camera was recorded before: {recording_of(request)}")
        return of_recording(request), None, ""
    given = check_before_recording(request, config, recording_of(request))
    workers = stack.enter_context(_workers(request, config, given))
    _require_uv(config, workers)
    if request.overlay_folder is not None:
        request.overlay_folder.prepare()
    return of_recording(request), workers, recorded(request, config)


def _empty_summary(
    request: RunRequest, inputs: RunInputs, store: ResultStore, gone: str
) -> Summary:
    """Of a run that has not begun; `gone` says that its camera went away, or is empty."""
    return Summary(
        skipped=inputs.source.skipped,
        broken=[*([gone] if gone else []), *inputs.source.broken],
        trusts_intrinsics=request.dataset is not None and request.intrinsics is None,
        gives_keypoints=not inputs.given.detects,
        folder=_folder_of_images(request, inputs),
        unit=inputs.unit,
        cameras=() if store.rig is None else store.rig.names,
    )


def _folder_of_images(request: RunRequest, inputs: RunInputs) -> Path | None:
    """Where the images lie by their names: their folder, or that of the data set."""
    if request.dataset is None:
        return inputs.folder
    folder, name = Path(request.images[0]), next(iter(inputs.listing), None)
    return folder if name is not None and (folder / name).is_file() else None


def _workers(
    request: RunRequest, config: Config, given: RunSources
) -> AbstractContextManager[Workers]:
    from fitter.workers.detection_pool import DetectionOptions

    execution = request.execution
    files, timeout = given.files, execution.timeout
    prepare = None if files is None else files.prepare
    options = DetectionOptions(given.detects, execution.workers, timeout, prepare)
    if execution.ray is not None:
        from fitter.cluster.ray_workers import RayPlaces, RayWorkers

        places = RayPlaces(request.overlay_folder, request.beside("ray.log"))
        return RayWorkers(config, execution, options, places)
    from fitter.workers.local_executor import ExecutorFiles, LocalExecutor

    in_hand = request.out.with_name(f".{request.beside('in-hand').name}")
    return LocalExecutor(config, options, ExecutorFiles(request.overlay_folder, in_hand))


def _sharing(config: Config, inputs: RunInputs, workers: Workers) -> Sharing[Any] | None:
    """What the images share, or None.

    Raises:
        InputError: textures are asked for of a model without texture coordinates.
    """
    engine = workers.engine
    people, has_videos = None, config.tracks.enabled and _has_videos(inputs)
    if inputs.given.people is not None:
        from fitter.groups.people import PeopleSharing

        _require_uv(config, workers)
        people = PeopleSharing(config, engine.fit_model, engine.meshes.right)
    if not has_videos:
        return people
    from fitter.tracks.sharing import TrackSharing

    return TrackSharing(config, engine.fit_model, people)


def _require_uv(config: Config, workers: Workers) -> None:
    """Refuse textures of people of a model without texture coordinates."""
    data = workers.engine.meshes.data
    if config.people.textures and data.uv is None:
        raise InputError("texture.no_uv", model=data.name)


def _has_videos(inputs: RunInputs) -> bool:
    """Whether any of the images is a frame of a video."""
    # Frames of rigs have no tracks. Whoever lists has counted: there may be millions of names.
    return isinstance(inputs.source, ImageSource) and inputs.source.frames["frames"] > 0
