"""A whole store to files of another format, some images after others.

`ExportRequest` -> `Selection.images` -> a `Sink` -> `ExportSummary`
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from fitter.errors import InputError
from fitter.export.request import ExportRequest
from fitter.export.summary import ExportSummary
from fitter.run.progress import ProgressLine, console_for, say
from fitter.system.messages import count

if TYPE_CHECKING:
    from rich.console import Console

    from fitter.export.selection import Selection
    from fitter.export.sinks import Sink, Source
    from fitter.results import FrameResults, Results


def export_results(request: ExportRequest) -> ExportSummary:
    """Write the hands of a store as files that other programs read; what `export-hands` does.

    Memory does not grow with the store, but with the persons where `ExportRequest.per` is "person".

    Args:
        request: which store, hands and format, and where to.

    Returns:
        What was written.

    Raises:
        InputError: something that was asked for cannot be done, there is no hand to export, or
            nothing more can be written; a file that is seen is whole.

    ```python
    from pathlib import Path

    import fitter

    fit = fitter.RunRequest(["photos"], Path("results.zarr"), overwrite=True, quiet=True)
    fitter.fit_to_store(fit)  # as `fit-hands photos/ --out results.zarr --overwrite` does
    request = fitter.ExportRequest(
        Path("results.zarr"), Path("meshes"), "glb", overwrite=True, quiet=True
    )
    print(fitter.export_results(request).hands)
    ```
    """
    from fitter.export.selection import Selection
    from fitter.results import FrameResults, open_either

    request.check_out()
    results = open_either(request.store, request.model)
    selection = Selection(request)
    selection.require_images(results.store.names)
    if isinstance(results, FrameResults):
        _check_frames(request)
    if request.unit == "person" and "person" not in results.store.variable_names:
        raise InputError("export.no_person", file=request.store)
    console = console_for(request.quiet)
    summary = _exported(request, results, selection, console)
    summary.report(request.out, lambda text: say(console, text))
    return summary


def _check_frames(request: ExportRequest) -> None:
    """Refuse what means nothing of hands in a rig's frame."""
    if request.format in ("coco", "freihand", "rrd"):
        raise InputError("views.export", file=request.store, format=request.format)
    if request.textures is not None:
        raise InputError("views.textures", file=request.store)


def _exported(
    request: ExportRequest, results: Results | FrameResults, selection: Selection, console: Console
) -> ExportSummary:
    from fitter.export.sinks import Source

    summary = ExportSummary(unit=results.store.kind.item)
    source = Source(request, results, summary)
    opened = _sink_of(request)
    line = ProgressLine(console, "exporting", len(results), unit=f"{summary.unit}s")
    with line as progress, opened(source) as sink:
        for image in selection.images(results.store):
            sink.add(image)
            summary.left_out += image.others
            summary.empty += image.image is not None and not image.hands
            summary.pending += image.image is None
            progress.show(image.place + 1, count(summary.hands, "hand"))
    return summary


def _sink_of(request: ExportRequest) -> Callable[[Source], AbstractContextManager[Sink]]:
    """Where the hands go."""
    if request.format == "rrd":
        from fitter.export.recording import recording_sink

        return recording_sink
    if request.unit == "track":
        from fitter.export.motions import motion_sink

        return motion_sink
    if request.is_folder:
        from fitter.export.folders import folder_sink

        return folder_sink
    from fitter.export.sinks import file_sink

    return file_sink
