"""Lazy package faces: a package names what it offers and imports it when it is first asked for.

    if TYPE_CHECKING:
        from fitter.raster.api import rasterize

    __all__ = ["rasterize"]
    __getattr__, __dir__ = lazy_face(__name__, {"rasterize": "fitter.raster.api"})

Type checkers read the imports under `TYPE_CHECKING`; at run time nothing heavy is imported before
`rasterize` is used. The machinery is that of PEP 562.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_face(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package that imports its names on first use.

    Args:
        package: the package's `__name__`.
        homes: offered name -> the module that defines it. A name must not be that of a module
            inside the package: importing that module would hide it.

    Returns:
        the two functions; assign them in the package's `__init__.py`.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, found)  # the next use does not come here
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, names
