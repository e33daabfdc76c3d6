"""The command `report-hands`: a store of results as one page to look at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fitter.commands.parser import (
    EXIT_OK,
    CommandParser,
    add_overlay_style,
    add_verbosity,
    overlay_style,
    path,
    run_command,
    whole_number,
)
from fitter.report.options import ORDERS

_DESCRIPTION = """\
Show the hands of a result store on one HTML page.

The page is one file that needs no network: thumbnails sorted by score, filters by status, side and
person, a search by name, failures with their reasons, the numbers of each hand, and the run's
summary and configuration. A store that is not finished is shown as far as it is.
"""

_EPILOG = """\
examples:
  report-hands results.zarr --out report.html --images photos/
  report-hands results.zarr --out report.html               # hands drawn alone
  report-hands results.zarr --out report.html --images photos/ --overlay-style side-by-side
  report-hands results.zarr --out report.html --images photos/ --overlay-views side --overwrite

exit status:
  0    the page was written
  2    wrong usage or bad input, and one line says what; a page that was there is kept
  70   a fault of the program, with a traceback to report
  130  interrupted; a page that was there is kept
"""


def report_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `report-hands`."""
    parser = CommandParser("report-hands", _DESCRIPTION, _EPILOG)
    parser.add_argument("store", type=path, metavar="STORE.zarr", help="written by fit-hands")
    parser.add_argument(
        "--out", type=path, required=True, metavar="FILE.html", help="the page to make"
    )
    parser.add_argument(
        "--images",
        type=path,
        metavar="DIR",
        help="the folder of photographs that fit-hands was given, to be shown behind the hands; "
        "without it, and where one is gone, hands are drawn alone",
    )
    parser.add_argument(
        "--model",
        type=path,
        metavar="FILE",
        help="where the hand model of the results is now, if it is not where it was",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--sort",
        choices=ORDERS,
        default="worst",
        help="which score comes first when the page is opened (default worst)",
    )
    parser.add_argument(
        "--thumbnail-size",
        type=whole_number,
        default=128,
        metavar="PIXELS",
        help="height of the thumbnails (default 128); they are most of the file",
    )
    add_overlay_style(parser)
    add_verbosity(parser)
    run_command(parser, arguments, _report_hands)


def _report_hands(options: argparse.Namespace) -> int:
    from fitter.errors import InputError
    from fitter.report.options import ReportOptions
    from fitter.report.target import check_target

    style = overlay_style(options)
    try:
        wanted = ReportOptions(options.thumbnail_size, style, options.sort)
    except InputError as error:
        raise error.about(file="--thumbnail-size") from error
    check_target(options.out, options.store, options.overwrite)
    from fitter.report import write_report
    from fitter.run.progress import ProgressLine, console_for

    with ProgressLine(console_for(options.quiet), "showing", 0) as line:
        written = write_report(
            options.store,
            options.out,
            options.images,
            options=wanted,
            model=options.model,
            overwrite=options.overwrite,
            told=line.show_of,
        )
    if not options.quiet:
        for note in written.notes:
            print(note)
        print(written.said())
    return EXIT_OK
