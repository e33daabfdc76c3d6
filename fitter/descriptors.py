"""Where what a process writes goes, for libraries that write to descriptors and offer no switch."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fitter.records import InputError


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
        raise InputError(f"cannot write {path}: {error.strerror}") from error
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
