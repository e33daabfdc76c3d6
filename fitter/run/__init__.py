"""One run from its request to its summary.

`run` checks what is given (`fitter.run.inputs`), starts the workers, makes or continues the store
and writes it block after block.

RunRequest, Config -> `run` -> Summary, and a store on disk
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.run.driver import run
    from fitter.run.request import RunRequest
    from fitter.run.summary import Summary

__all__ = ["RunRequest", "Summary", "run"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "RunRequest": "fitter.run.request",
        "Summary": "fitter.run.summary",
        "run": "fitter.run.driver",
    },
)
