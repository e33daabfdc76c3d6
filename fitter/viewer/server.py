"""A viewer that is open: its server, its address, and how it is reached from elsewhere."""

from __future__ import annotations

import contextlib
import getpass
import io
import socket
import threading
from types import TracebackType
from typing import Self

import viser

from fitter.errors import InputError
from fitter.viewer.options import ViewerOptions
from fitter.viewer.page import ViewerPage
from fitter.viewer.scene import SceneMaker

_EVERYWHERE = ("0.0.0.0", "::")


class _LocalServer(viser.ViserServer):
    """viser's server, which never asks for a public address: pages can ask it to."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """None: pictures of people's hands stay on this machine."""
        return None


class Viewer:
    """A page that is being served; a context manager that ends it."""

    def __init__(self, server: viser.ViserServer, page: ViewerPage) -> None:
        """Take what is running."""
        self.server, self.page = server, page
        self._ended = threading.Event()

    @property
    def port(self) -> int:
        """That it listens at."""
        return self.server.get_port()

    @property
    def url(self) -> str:
        """Its address, for a browser on this machine."""
        host = self.server.get_host()
        shown = "127.0.0.1" if host in _EVERYWHERE else host
        return f"http://[{shown}]:{self.port}" if ":" in shown else f"http://{shown}:{self.port}"

    def addresses(self) -> list[str]:
        """Lines that tell a user how to open the page, here and from another machine."""
        host, name, user = self.server.get_host(), socket.gethostname(), _user()
        lines = [self.url]
        if host in _EVERYWHERE:
            lines.append(f"from other machines: http://{name}:{self.port}, for all who reach it")
        else:
            lines.append(
                f"from another machine: ssh -L {self.port}:{host}:{self.port} {user}@{name} there, "
                f"then http://localhost:{self.port}"
            )
        return lines

    def wait(self) -> None:
        """Wait until `close` is called elsewhere, or Ctrl-C."""
        while not self._ended.wait(1.0):  # a wait without an end does not hear Ctrl-C everywhere
            pass

    def close(self) -> None:
        """End the page."""
        self._ended.set()
        self.page.close()
        self.server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(maker: SceneMaker, options: ViewerOptions) -> Viewer:
    """Serve the page of scenes.

    Args:
        maker: of the scenes, of at least one image or frame.
        options: where it listens.

    Raises:
        InputError: the store or its hand model is damaged or gone, or the page cannot listen there
            (`viewer.listen`).
    """
    server = _listening(options)
    try:
        return Viewer(server, ViewerPage(server, maker))
    except BaseException:
        server.stop()
        raise


def _listening(options: ViewerOptions) -> viser.ViserServer:
    # viser says where it listens in a table of its own, and whether it can listen not at all: the
    # thread that would ends with a traceback.
    try:
        with socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET) as probe:
            probe.bind((options.host, 0))
    except OSError as error:
        raise InputError("viewer.listen", file=options.host, reason=error.strerror) from error
    with contextlib.redirect_stdout(io.StringIO()):
        return _LocalServer(host=options.host, port=options.port, verbose=False)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user that the machine has no name for
        return "USER"
