"""Where what a process writes goes, for libraries that write to descriptors and offer no switch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from fitter.errors import InputError


@contextlib.contextmanager
def said_to(path: Path) -> Iterator[None]:
    """Send what this process writes to a file, all but what Python says on standard error.

    Args:
        path: the file, made where it is missing.

    Raises:
        InputError: the file cannot be written.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise InputError("output.cannot_write", file=path, reason=error.strerror) from error
    saved, before = [os.dup(1), os.dup(2)], sys.stderr
    terminal = os.fdopen(
        os.dup(saved[1]), "w", buffering=1, encoding="utf-8", errors="backslashreplace"
    )
    sys.stderr = terminal
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr = before
        terminal.close()
        for number, descriptor in enumerate(saved, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)


_LOG_NOISE = re.compile(rb"^([IW]\d{4} |INFO: |WARNING: )")
"""Lines of MediaPipe's C++ log, and of TensorFlow Lite's, that are information or warnings, not
errors."""


class HeldStderr:
    """Holds the process's standard error back while MediaPipe's libraries write to it.

    They write to file descriptor 2 and offer Python no switch. What they write meanwhile goes to a
    file, which takes any amount without anybody reading. Should they abort the process, nobody is
    left in it to pass their last words on, so a small process waits beside for that: it prints what
    is still held when this one has ended.
    """

    def __init__(self) -> None:
        """Start holding nothing; where there is no standard error, nothing is ever held."""
        self._file: int | None = None
        self._witness: subprocess.Popen[bytes] | None = None
        try:
            os.fstat(2)
        except OSError:
            return
        self._file, path = tempfile.mkstemp(prefix="fit-hands-")
        reader = os.open(path, os.O_RDONLY)
        Path(path).unlink()
        # Written by appending, so that emptying it is all it takes to begin again.
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)
        try:
            # Its standard input ends when this process does. Its standard output is in truth the
            # file, opened apart for its own position; a session of its own keeps Ctrl-C away.
            self._witness = subprocess.Popen(
                ["/bin/sh", "-c", "read -r _; cat <&1 >&2"],
                stdin=subprocess.PIPE,
                stdout=reader,
                start_new_session=True,
            )
        finally:
            os.close(reader)

    @contextlib.contextmanager
    def quiet(self, errors: bool = True) -> Iterator[None]:
        """Hold standard error back, drop `_LOG_NOISE` from it and pass the rest on, in order.

        Args:
            errors: whether to pass anything on; not where an exception tells all of it.
        """
        with contextlib.suppress(ValueError, OSError, AttributeError):
            sys.stderr.flush()
        if self._file is None:
            yield
            return
        saved = os.dup(2)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype")
            os.dup2(self._file, 2)
            try:
                yield
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                self._pass_on(self._file, errors)

    def close(self) -> None:
        """End the process that waits; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._witness is not None:
            self._witness.communicate()
            self._witness = None

    def _pass_on(self, held: int, errors: bool) -> None:
        length = os.fstat(held).st_size
        if length:
            for line in os.pread(held, length, 0).splitlines(keepends=True):
                if errors and not _LOG_NOISE.match(line):
                    os.write(2, line)
            os.ftruncate(held, 0)
