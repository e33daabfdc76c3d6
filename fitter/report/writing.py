"""A report written as a stream, some images at a time, to a file that appears when it is whole."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from fitter.errors import InputError
from fitter.inputs.photographs import Photographs
from fitter.report.options import ReportOptions
from fitter.report.parts import PartMaker
from fitter.report.summary import About, ReportSummary
from fitter.report.target import check_target
from fitter.report.thumbnails import Thumbnails
from fitter.results import Results
from fitter.store.files import refused_as
from fitter.store.reader import StoreReader
from fitter.system.files import whole_file

_FOLDER = "page"

_UNFINISHED = ".fit-hands-report.unfinished"
"""What a page is called until it is whole; short, whatever the page is called."""


def write_report(
    store: str | Path,
    out: str | Path,
    images: str | Path | None = None,
    *,
    options: ReportOptions | None = None,
    model: str | Path | None = None,
    overwrite: bool = False,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> ReportSummary:
    """Write one page that shows the hands of a store; what `report-hands` does.

    The page needs nothing beside itself: no network, no other file. A store that is not finished
    is shown as far as it is.

    Args:
        store: that `fit-hands` wrote.
        out: the HTML file to make; it appears whole or not at all.
        images: the folder that `fit-hands` was given, for photographs behind the hands. Without it,
            and where a photograph is gone or has another size, hands are drawn alone.
        options: of thumbnails and order; None is `ReportOptions()`.
        model: where the hand model's file is now, if it is no longer where the store says.
        overwrite: replace what is at `out`.
        told: how many images are shown, and of how many, again and again.

    Returns:
        What the page holds.

    Raises:
        InputError: there is no such store, or it or the hand model is damaged or gone; none of its
            photographs is in `images`; `out` exists or cannot be written. `out` is left as it was.
    """
    options, out = options or ReportOptions(), Path(out)
    check_target(out, Path(store), overwrite)
    results = Results(StoreReader.open(Path(store)), model)  # which refuses frames
    photographs = None if images is None else _photographs(Path(images))
    thumbnails = Thumbnails(options.thumbnail, options.style)
    summary = ReportSummary(out, len(results), photographs=photographs)
    maker = PartMaker(results, photographs, thumbnails)
    setup = {"sort": options.order, "ratio": thumbnails.ratio}
    with (
        refused_as("output.cannot_write", out),
        # One name for all that write there, so that a killed one's is taken over.
        whole_file(out, partial=out.with_name(_UNFINISHED)) as partial,
    ):
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            for text in _page(results, maker, summary, setup):
                file.write(text)
                told(summary.done, len(results))
        _check_photographs(results, photographs)
        summary.size = partial.stat().st_size
    return summary


def _page(
    results: Results, maker: PartMaker, summary: ReportSummary, setup: dict[str, Any]
) -> Iterator[str]:
    """The page's text, piece by piece; rows are read when their piece is asked for."""
    environment = Environment(
        loader=PackageLoader("fitter.report", _FOLDER), autoescape=True, keep_trailing_newline=True
    )
    # Our own, which are no templates; nothing of the store is in them.
    css, js = (_source(environment, f"report.{ending}") for ending in ("css", "js"))
    store = results.store.path
    return environment.get_template("report.html").generate(
        title=store.resolve().name,
        store=str(store),
        policy=_policy(css, js),
        css=Markup(css),
        js=Markup(js),
        setup=setup,
        parts=maker.parts(summary),
        # Asked for when all rows are written, and counted.
        about=lambda: About.of(summary, results.store),
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(css: str, js: str) -> str:
    """What the browser lets the page do: run this script and this style, show pictures that are in
    it, and nothing else. No name of an image can load or run anything, however it is written."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")

    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest(css)}'; "
        f"script-src 'sha256-{digest(js)}'; base-uri 'none'; form-action 'none'"
    )


def _photographs(folder: Path) -> Photographs:
    if not folder.is_dir():
        raise InputError("report.images", file=folder)
    return Photographs(folder)


def _check_photographs(results: Results, photographs: Photographs | None) -> None:
    """Refuse a folder that holds none of the photographs: another one was meant."""
    if photographs is None or photographs.read or not photographs.unread:
        return
    raise InputError(
        "report.no_photograph",
        file=photographs.folder,
        name=next(iter(results)),
        reason=photographs.first_reason,
    )
