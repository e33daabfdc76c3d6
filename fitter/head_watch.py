"""Notices that processes this one depends on are gone, when nothing else would say so in time."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Self

Address = tuple[str, int] | str
"""A TCP address, or the path of a Unix socket."""

_PAUSE = 1.0
_MISSES = 3
"""Seconds between two attempts to connect, and failed ones in a row that count as gone."""

_TIMEOUT = 5.0


class HeadWatch:
    """A thread that connects to some addresses again and again, and ends the process without them.

    Ray's driver, for one, is left in C++ code that waits, and later ends without a word.
    """

    def __init__(self, addresses: Sequence[Address], farewell: Callable[[], int]) -> None:
        """Start watching.

        Args:
            addresses: all of them have to accept connections.
            farewell: called when one does not; the process then ends with the status it returns.
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
                status = 1
                with contextlib.suppress(Exception):
                    status = self._farewell()
                os._exit(status)


def _answers(address: Address) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True
