"""What the operating system is asked for: processes that may be lost, locks, signals, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.system.isolation import Isolated, Lost
    from fitter.system.lock import Share, WriterLock
    from fitter.system.messages import count, one_line
    from fitter.system.stopping import StopRequest

__all__ = ["Isolated", "Lost", "Share", "StopRequest", "WriterLock", "count", "one_line"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Isolated": "fitter.system.isolation",
        "Lost": "fitter.system.isolation",
        "Share": "fitter.system.lock",
        "StopRequest": "fitter.system.stopping",
        "WriterLock": "fitter.system.lock",
        "count": "fitter.system.messages",
        "one_line": "fitter.system.messages",
    },
)
