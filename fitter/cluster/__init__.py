"""The work of a run spread over a Ray cluster, or over the cores of one machine by Ray.

Only this room imports Ray, inside functions: it is an optional package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.cluster.ray_workers import RayWorkers

__all__ = ["RayWorkers"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "RayWorkers": "fitter.cluster.ray_workers",
    },
)
