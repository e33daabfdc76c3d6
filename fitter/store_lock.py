"""One writer at a time: a lock file beside the result store, held for as long as a run lasts."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fitter.records import InputError

log = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What file systems answer that know no locks."""


@contextmanager
def sole_writer(store: Path) -> Iterator[None]:
    """Be the only one who writes to `store` until the context is left.

    The lock lies beside the store and not in it, so that it also covers a store that is not there
    yet, or is being replaced. The system frees it when the process ends, however it ends; a file
    that a killed process leaves behind locks nothing.

    Args:
        store: the folder, which need not exist; its parent must.

    Raises:
        InputError: another process, or another object of this one, writes to the store.
        OSError: the lock file cannot be made.
    """
    place = store.resolve()
    path = place.with_name(f".{place.name}.lock")
    handle = _locked(path, store)
    try:
        yield
    finally:
        # Removed while it is still held: a file that can be locked is one that nobody removes.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _locked(path: Path, store: Path) -> int:
    """A descriptor of the lock file that is at `path`, locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its owner may have removed the file between the two lines above.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise InputError(f"{store} is being written by another fit-hands run") from error
        except FileNotFoundError:  # removed between the two questions
            pass
        except OSError as error:
            if error.errno in _NO_LOCKS:
                log.warning("%s: its file system knows no locks; keep other runs away", store)
                return handle
            os.close(handle)
            raise
        os.close(handle)
