"""Where surfaces are to each other: signed distances, penetration, contact.

    records      closed meshes of hands and objects, and what is measured between them

Lengths are metres, any common frame; meshes are triangles, counter-clockwise seen from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.contact.records import ObjectMesh, PosedObject, SignedDistance, Surface

__all__ = ["ObjectMesh", "PosedObject", "SignedDistance", "Surface"]

_HOMES = {"records": ("ObjectMesh", "PosedObject", "SignedDistance", "Surface")}

__getattr__, __dir__ = lazy_face(
    __name__, {name: f"fitter.contact.{home}" for home, names in _HOMES.items() for name in names}
)
