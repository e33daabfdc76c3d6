"""Where surfaces are to each other: signed distances, penetration, contact.

    records      closed meshes of hands and objects, and what is measured between them
    topology     open meshes closed
    distance     exact signed distances
    grid         depths on a grid, as Yu et al. have them
    pair_energies  two meshes in each other, or nearly touching: energies
    contact_points  the correspondences behind them, for least squares
    self_contact, parts  a hand in itself
    object_gap   a hand and the nearest of the things beside it

Lengths are metres, any common frame; meshes are triangles, counter-clockwise seen from outside. On
a CPU kernels search for what touches, elsewhere their readable twin in plain PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.contact.contact_points import Contacts, ContactTable, contacts
    from fitter.contact.distance import signed_distance, signed_distance_reference
    from fitter.contact.grid import DistanceGrid
    from fitter.contact.object_gap import object_gap
    from fitter.contact.pair_energies import PenetrationForm, attraction, biweight, penetration
    from fitter.contact.parts import HandParts
    from fitter.contact.records import ObjectMesh, PosedObject, SignedDistance, Surface
    from fitter.contact.self_contact import self_contacts, self_penetration
    from fitter.contact.topology import closed

__all__ = [
    "ContactTable",
    "Contacts",
    "DistanceGrid",
    "HandParts",
    "ObjectMesh",
    "PenetrationForm",
    "PosedObject",
    "SignedDistance",
    "Surface",
    "attraction",
    "biweight",
    "closed",
    "contacts",
    "object_gap",
    "penetration",
    "self_contacts",
    "self_penetration",
    "signed_distance",
    "signed_distance_reference",
]

_HOMES = {
    "contact_points": ("ContactTable", "Contacts", "contacts"),
    "distance": ("signed_distance", "signed_distance_reference"),
    "grid": ("DistanceGrid",),
    "object_gap": ("object_gap",),
    "pair_energies": ("PenetrationForm", "attraction", "biweight", "penetration"),
    "records": ("ObjectMesh", "PosedObject", "SignedDistance", "Surface"),
    "parts": ("HandParts",),
    "self_contact": ("self_contacts", "self_penetration"),
    "topology": ("closed",),
}

__getattr__, __dir__ = lazy_face(
    __name__, {name: f"fitter.contact.{home}" for home, names in _HOMES.items() for name in names}
)
