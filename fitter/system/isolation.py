"""A process of its own for work that may crash or hang, such as decoding a stranger's image.

`Isolated` starts a Python process that holds one object and answers calls of its methods. What
kills that process (a fault in a decoder, the system short of memory, a call that takes too long)
is an exception here, `Lost`, and nothing else is harmed.

Plain `multiprocessing` would import the main module again, whatever it does, and does not tell
a dead child from a slow one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fitter.errors import UserError

START_SECONDS = 300.0
"""Within this time a process has to be ready; loading everything from a cold disk takes long."""

_GRACE = 5
"""Seconds after which a call that nobody waits for any more ends its process by itself."""

_LAST_SECONDS = 5.0
"""Within this time a process that was killed is gone, or will not be waited for."""

_BOOT = "import sys; sys.path[:] = sys.argv[2:]; from fitter.system.isolation import serve; serve()"

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Lost(Exception):  # noqa: N818 (it says what became of the process, not of a call)
    """The process ended, or was ended, before it had answered; the text says how."""


class Isolated:
    """One object in a process of its own, on one thread.

    Its process is not reached by Ctrl-C, ends when this one does, and is the first that Linux ends
    when memory runs out. To be used from one thread at a time.
    """

    def __init__(self, factory: Callable[..., object], *arguments: object) -> None:
        """Start making the object; `ready` waits for it.

        Args:
            factory: a class, or another callable at the top of a module.
            arguments: what it is called with.
        """
        self._what = (factory, arguments)
        # Closing comes from another thread, and must not meet a process that is being started.
        self._change = threading.Lock()
        self._is_closed = False
        self._is_ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def ready(self) -> None:
        """Wait until the object is made; a process that is lost over that is replaced once.

        Raises:
            UserError: making it raised this.
            Lost: the process ended, or took more than `START_SECONDS`.
        """
        try:
            self._make()
        except Lost:
            if self._is_closed:
                raise
            self._make()

    def call(self, method: str, *arguments: object, timeout: float) -> Any:
        """What a method of the object returns.

        Args:
            method: its name.
            arguments: what it is called with.
            timeout: seconds after which the process is ended.

        Raises:
            UserError: the method, or making the object, raised this.
            RuntimeError: it raised something else; the text is its traceback.
            Lost: the process ended before it had answered, or was ended. The next call has a new
                process.
        """
        self.ready()
        with contextlib.suppress(OSError):  # a dead process is told of below
            self._connection.send((method, arguments, timeout))
        return self._answer(timeout)

    def close(self) -> None:
        """End the process, whatever it does, for good; a second call does nothing."""
        with self._change:
            self._is_closed = True
            self._end()

    def _end(self) -> int:
        """End the process if there is one; its exit status, 0 where that is not known."""
        process, self._process = self._process, None
        if process is None:
            return 0
        # What a process had said before is still read; only then is it asked how it ended.
        process.kill()
        try:
            return process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:  # it waits for a disk or a network that is gone
            return 0

    @property
    def pid(self) -> int | None:
        """Of the process, or None while there is none."""
        return None if self._process is None else self._process.pid

    def _make(self) -> None:
        if self._process is None:
            self._start()
        if not self._is_ready:
            self._answer(START_SECONDS)
            self._is_ready = True

    def _start(self) -> None:
        with self._change:
            if self._is_closed:
                raise Lost("was closed")
            self._launch()

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        self._is_ready = False
        self._connection = Connection(ours.detach())
        with theirs:
            handle = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(handle), *(path for path in sys.path if path)],
                pass_fds=[handle],
                start_new_session=True,  # Ctrl-C is for the process that is in charge
                stdin=subprocess.DEVNULL,
                env=os.environ | _ONE_THREAD,
            )
        with contextlib.suppress(OSError):
            self._connection.send(self._what)

    def _answer(self, timeout: float) -> Any:
        connection = self._connection
        try:
            if not connection.poll(timeout):
                self._lose()
                raise Lost(f"took more than {timeout:g} s")
            kind, value = connection.recv()
        except (EOFError, OSError):
            raise Lost(_how(self._lose())) from None
        if kind == "user error":
            raise value
        if kind == "error":
            raise RuntimeError(value)
        return value

    def _lose(self) -> int:
        """The process is lost; its exit status."""
        process = self._process
        status = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                # It has closed its end, so it is ending, unless it is only we who give up.
                status = process.wait(0.2)
        with self._change:
            ended = self._end()
        self._connection.close()
        return ended if status is None else status


def _how(code: int) -> str:
    """How a process ended, from its exit status."""
    if code >= 0:
        return f"ended its process with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as happens when memory runs out" if name == "SIGKILL" else ""
    return f"ended its process by {name}{memory}"


def serve() -> None:
    """What the process does: make the object, then answer calls until nobody asks any more."""
    connection = Connection(int(sys.argv[1]))
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("900", encoding="ascii")
    held: list[Any] = []

    def make(factory: Callable[..., object], arguments: tuple[object, ...]) -> None:
        held.append(factory(*arguments))

    try:
        _reply(connection, make, connection.recv())
        while held:
            method, arguments, timeout = connection.recv()
            # Whoever asked may be gone, and a hanging decoder may not let Python run: this signal
            # ends the process all the same.
            signal.alarm(int(timeout) + _GRACE)
            _reply(connection, getattr(held[0], method), arguments)
            signal.alarm(0)
    except (EOFError, OSError):  # nobody asks any more
        os._exit(0)


def _reply(connection: Connection, function: Any, arguments: tuple) -> None:
    try:
        answer = ("value", function(*arguments))
    except UserError as error:  # itself, with its code and facts
        answer = ("user error", error)
    except Exception:  # for the caller, who may go on with other calls
        answer = ("error", traceback.format_exc())
    connection.send(answer)
