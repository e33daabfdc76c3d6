"""RoMa, the library of rotations: ``from fitter.rotations import roma``."""

from __future__ import annotations

from fitter.light_imports import without_compiler

with without_compiler():
    import roma

__all__ = ["roma"]
