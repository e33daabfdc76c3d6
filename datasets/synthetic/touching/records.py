"""Scenes in which hands touch: what a sample is, beyond what `SampleSpecs` says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datasets.synthetic.records import SampleSpecs
from datasets.synthetic.touching.things import Thing
from fitter.contact import PosedObject


@dataclass(frozen=True)
class Touch:
    """What is measured between two bodies, metres.

    Attributes:
        penetration: how deep a vertex, or the middle of a face, of either is inside the other at
            most; 0 for none.
        gap: from one of these to the other at least, 0 where one is inside.
        vertices: how many of the first hand are within `CONTACT` of the other body, and how many of
            the other body within that of the hand.
    """

    penetration: float
    gap: float
    vertices: tuple[int, int]


@dataclass(frozen=True)
class Interaction:
    """One scene.

    Attributes:
        specs: a batch of one; its `second` hand is there in a pair, its `objects` never are.
        kind: of the pair, or of what is held.
        touch: between the two hands, or the hand and what it holds.
        own_depths: how deep each hand is in itself, metres, the right one's first; 0 for none.
        held: where and what, or None.
        thing: how it is drawn, or None.
    """

    specs: SampleSpecs
    kind: str
    touch: Touch
    own_depths: tuple[float, ...]
    held: PosedObject | None = None
    thing: Thing | None = None

    def truth(self) -> dict[str, Any]:
        """What the truth's file says of the touch."""
        return {
            "kind": self.kind,
            "penetration": round(self.touch.penetration, 6),
            "gap": round(self.touch.gap, 6),
            "contact_vertices": list(self.touch.vertices),
            "self_penetration": [round(depth, 6) for depth in self.own_depths],
        }
