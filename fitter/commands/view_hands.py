"""The command `view-hands`: a store of results to walk through in a browser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fitter.commands.parser import (
    EXIT_OK,
    CommandParser,
    add_verbosity,
    path,
    run_command,
    text,
    whole_number,
)

_DESCRIPTION = """\
Walk through the hands of a result store in a browser: pictures with their cameras, meshes with
skin or texture, tracks along the time of a video, and the parameters of a hand that is clicked.

A page is served from this machine until Ctrl-C; it needs no network, and of a large store only
what is looked at is read. Needs the package viser: pip install 'fit-hands[viewer]'.
"""

_EPILOG = """\
examples:
  view-hands results.zarr --images photos/
  view-hands results.zarr                                 # hands without their pictures
  view-hands results.zarr --images photos/ --open         # in this machine's browser
  view-hands results.zarr --images photos/ --port 9000    # over ssh: the line that is printed

exit status:
  0    Ctrl-C ended it
  2    wrong usage or bad input, and one line says what
  70   a fault of the program, with a traceback to report
"""


def view_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `view-hands`."""
    parser = CommandParser("view-hands", _DESCRIPTION, _EPILOG)
    parser.add_argument("store", type=path, metavar="STORE.zarr", help="written by fit-hands")
    parser.add_argument(
        "--images",
        type=path,
        metavar="DIR",
        help="the folder of pictures and videos that fit-hands was given; without it, and where "
        "one is gone, hands are shown without their picture",
    )
    parser.add_argument(
        "--model",
        type=path,
        metavar="FILE",
        help="where the hand model of the results is now, if it is not where it was",
    )
    parser.add_argument(
        "--host",
        type=text,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="of this machine, to listen at (default 127.0.0.1, for this machine and ssh alone; "
        "0.0.0.0 lets everybody look who reaches it)",
    )
    parser.add_argument(
        "--port",
        type=whole_number,
        default=8080,
        metavar="PORT",
        help="to listen at (default 8080); the next free one where it is taken, any with 0",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser here")
    add_verbosity(parser)
    run_command(parser, arguments, _view_hands)


def _view_hands(options: argparse.Namespace) -> int:
    from fitter.errors import InputError
    from fitter.viewer.options import ViewerOptions

    try:
        where = ViewerOptions(options.host, options.port)
    except InputError as error:
        raise error.about(file="--port") from error
    from fitter.viewer.opening import open_viewer

    with open_viewer(options.store, options.images, options=where, model=options.model) as viewer:
        if not options.quiet:
            for line in viewer.addresses():
                print(line)
            print("Ctrl-C ends it", flush=True)
        if options.open:
            import webbrowser

            webbrowser.open(viewer.url)
        try:
            viewer.wait()
        except KeyboardInterrupt:
            return EXIT_OK
    return EXIT_OK
