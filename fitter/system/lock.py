"""Who may write to a store: one run alone, or several that share its blocks out.

A lock file beside the result store says so, held for as long as a run lasts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from fitter.errors import InputError

log = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What file systems answer that know no locks."""

_PATIENCE, _PAUSE = 3, 0.1
"""Times, and seconds between them, that a lock file has to say that the whole is being written."""


@dataclass(frozen=True)
class Share:
    """The part of a store's blocks that one of several runs computes.

    Attributes:
        number: which part, from 1 to `of`.
        of: the number of parts.
    """

    number: int = 1
    of: int = 1

    def has(self, block: int) -> bool:
        """Whether the block at place `block` is in this part."""
        return block % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


WHOLE = Share()


class WriterLock:
    """The right to write to a store, or to one share of its blocks, until `release`.

    The lock lies beside the store and not in it, so that it also covers a store that is not there
    yet, or is being replaced. The system frees it when the process ends, however it ends; a file
    that a killed process leaves behind locks nothing.

    Attributes:
        share: what may be written.
        alone: whether nobody else writes, so that the store may be made or changed as a whole. Of
            a share this ends with `settle`.
    """

    def __init__(self, store: Path, share: Share = WHOLE) -> None:
        """Take the lock; a share waits while another run makes the store.

        Args:
            store: the folder, which need not exist; its parent must.
            share: what will be written. Shares of one division are written side by side.

        Raises:
            InputError: another process, or another object of this one, writes to the same share or
                to the whole, or divides the store otherwise.
            OSError: the lock file cannot be made.
        """
        place = store.resolve()
        self.share, self._store = share, store
        self._held: list[tuple[Path, int]] = []
        self._is_lockless = False
        try:
            if share != WHOLE:
                own = place.with_name(f".{place.name}.lock-{share.number}-of-{share.of}")
                if not self._try(own, fcntl.LOCK_EX):
                    raise InputError("run.busy_share", file=store, share=share)
            self.alone = self._take_whole(place.with_name(f".{place.name}.lock"))
            # Where there are no locks, another share may be at work.
            self.alone &= share == WHOLE or not self._is_lockless
        except BaseException:
            self.release()
            raise

    def settle(self) -> None:
        """Let other shares in: the store is made."""
        if self.share != WHOLE and self.alone:
            self.alone = False
            # Not in one step: whoever came in between is waited for.
            fcntl.flock(self._held[-1][1], fcntl.LOCK_SH)

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        while self._held:
            path, handle = self._held.pop()
            # Removed while it is held alone: a file that can be locked is one that nobody removes.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            os.close(handle)

    def _take_whole(self, path: Path) -> bool:
        """Lock the whole store alone, or beside other shares; whether alone."""
        refusals = 0
        while True:
            if self._try(path, fcntl.LOCK_EX):
                os.ftruncate(self._held[-1][1], 0)
                os.pwrite(self._held[-1][1], str(self.share.of).encode(), 0)
                return True
            if self.share != WHOLE and self._try(path, fcntl.LOCK_SH):
                of = _written(self._held[-1][1])
                if of != self.share.of:
                    raise InputError("run.busy_shares", file=self._store, of=of)
                return False
            # Held by a run that writes all of it, or by a share that makes the store. What the
            # file says may be a moment old.
            refusals += _says_whole(path)
            if self.share == WHOLE or refusals > _PATIENCE:
                raise InputError("run.busy", file=self._store)
            time.sleep(_PAUSE)

    def _try(self, path: Path, kind: int) -> bool:
        """Lock the file that is at `path`, unless another holds it; see `fcntl.flock`."""
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                # Its owner may have removed the file between the two lines above.
                if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                    self._held.append((path, handle))
                    return True
            except BlockingIOError:
                os.close(handle)
                return False
            except FileNotFoundError:  # removed between the two questions
                pass
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    self._is_lockless = True
                    log.warning(
                        "%s: its file system knows no locks; keep other runs away", self._store
                    )
                    self._held.append((path, handle))
                    return True
                os.close(handle)
                raise
            os.close(handle)


def _says_whole(path: Path) -> bool:
    try:
        return path.read_text(encoding="ascii") == str(WHOLE.of)
    except (OSError, ValueError):  # removed meanwhile
        return False


def _written(handle: int) -> int:
    """The number of shares that a lock file says; 0 for none yet."""
    text = os.pread(handle, 20, 0)
    return int(text) if text.isdigit() else 0
