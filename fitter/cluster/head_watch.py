"""Whether a Ray cluster is there, and whether it still is: what Ray would not say in time.

Ray itself is used in a process of its own alone, see `fitter.cluster.ray_workers`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Self

from fitter.errors import InputError
from fitter.system.messages import EXIT_LOST

Address = tuple[str, int] | str
"""A TCP address, or the path of a Unix socket."""

_PAUSE = 0.5
_MISSES = 3
"""Seconds between two attempts to connect, and failed ones in a row that count as gone."""

_TIMEOUT = 5.0

_JOIN_SECONDS = 60.0
"""Within this time a cluster has to answer."""


class HeadWatch:
    """A thread that connects to some addresses again and again, and ends the process without them.

    Ray's driver, for one, is left in C++ code that waits, and later ends without a word.
    """

    def __init__(self, addresses: Sequence[Address], farewell: Callable[[], None]) -> None:
        """Start watching.

        Args:
            addresses: all of them have to accept connections.
            farewell: called when one does not; the process then ends with `EXIT_LOST`.
        """
        self._addresses, self._farewell = addresses, farewell
        self._done = threading.Event()
        threading.Thread(target=self._watch, name="head-watch", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _watch(self) -> None:
        missed = 0
        while not self._done.wait(_PAUSE):
            missed = 0 if all(map(_answers, self._addresses)) else missed + 1
            if missed == _MISSES and not self._done.is_set():
                with contextlib.suppress(Exception):
                    self._farewell()
                os._exit(EXIT_LOST)


def _answers(address: Address) -> bool:
    try:
        if not isinstance(address, str):
            socket.create_connection(address, _TIMEOUT).close()
            return True
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(address)
    except OSError:
        return False
    return True


def require_cluster(address: str) -> None:
    """Join a cluster in another process first: Ray ends one that finds none, without a word.

    Raises:
        InputError: there is none at the address.
    """
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "://" not in address:  # quicker to tell than Ray is
        try:
            socket.create_connection((host, int(port)), timeout=_JOIN_SECONDS).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError("ray.no_cluster", file=f"--ray {address}", found=reason) from error
    program = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_JOIN_SECONDS,
        )
        found = "none" if done.returncode else None
    except subprocess.TimeoutExpired:
        found = f"none within {_JOIN_SECONDS:g} s"
    if found is not None:
        raise InputError("ray.no_cluster", file=f"--ray {address}", found=found)
