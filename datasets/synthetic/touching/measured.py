"""What is measured of bodies that touch: how deep one is in the other, and where they touch."""

from __future__ import annotations

from datasets.synthetic.touching.records import Touch
from datasets.synthetic.touching.solids import CONTACT, Solid

DEEPEST = 0.0005
"""Metres by which flesh may be pressed in, between the points at which it was tested."""


def touch_of(first: Solid, second: Solid) -> Touch:
    """Between each of two bodies, its vertices and the middles of its faces, and the other."""
    of_first, of_second = second.inside(first.probes), first.inside(second.probes)
    least = float(min(of_first.min(), of_second.min()))
    return Touch(
        penetration=max(0.0, -least),
        gap=max(0.0, least),
        vertices=(
            int((of_first[: len(first.vertices)] < CONTACT).sum()),
            int((of_second[: len(second.vertices)] < CONTACT).sum()),
        ),
    )
