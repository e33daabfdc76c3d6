"""Public data sets, rendered hands, and what a detector makes of hands.

    poses         random hand poses
    detector      a detector's keypoint definition and noise
    synthetic     rendered hands; the command `synth-hands`
    readers       the field's data sets, each as it lies on disk
    evaluation    hands compared with a data set's annotations; the command `eval-hands`
    freihand      FreiHAND's annotations, whole

The name is shared with a package on the public index; `OWNER` lets the commands notice at start
when the other one is imported instead.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.freihand import FreiHandSplit, load_freihand

OWNER = "fit-hands"
__all__ = ["OWNER", "FreiHandSplit", "load_freihand"]
_MODULES = {
    "FreiHandSplit": "freihand",
    "load_freihand": "freihand",
}


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when it is asked for: reading needs NumPy."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
