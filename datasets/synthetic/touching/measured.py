"""What is measured of bodies that touch: how deep one is in the other, and where they touch."""

from __future__ import annotations

from datasets.synthetic.touching.records import Touch
from datasets.synthetic.touching.solids import CONTACT, Solid

DEEPEST = 0.0005
"""Metres by which flesh may be pressed in, between the points at which it was tested."""


def touch_of(first: Solid, second: Solid) -> Touch:
    """Between vertices of each of two bodies and the other."""
    of_first, of_second = second.inside(first.vertices), first.inside(second.vertices)
    least = float(min(of_first.min(), of_second.min()))
    return Touch(
        penetration=max(0.0, -least),
        gap=max(0.0, least),
        vertices=(int((of_first < CONTACT).sum()), int((of_second < CONTACT).sum())),
    )
