"""A hand in itself: fingers in each other and in the palm."""

from __future__ import annotations

from torch import Tensor

from fitter.contact.contact_points import Contacts, contacts
from fitter.contact.found import Found
from fitter.contact.parts import HandParts
from fitter.contact.records import Surface
from fitter.contact.self_found import find_in_itself


def self_penetration(hands: Surface, parts: HandParts) -> Tensor:
    """How far hands are in themselves; ours, not published.

    ``depth^2`` summed over the vertices that are inside another part of the hand, over the number
    of all: as `penetration`'s form `squared`, with the parts of `HandParts` for the other mesh.

    Args:
        hands: B of one model, closed.
        parts: of that model and that side: a mirrored hand's faces are wound the other way.

    Returns:
        (B,) metres squared, 0 for a hand that is not in itself, such as one at rest; NaN for one
        that is not finite. Differentiable.

    Raises:
        ValueError: a shape is another one.
    """
    inside = self_contacts(hands, parts)
    total = inside.sum(inside.gap.square()) / inside.vertices_count
    return total.to(hands.vertices.dtype)


def self_contacts(hands: Surface, parts: HandParts) -> Contacts:
    """The vertices of B hands that are inside another part of the hand, each with the nearest point
    of that part's skin: vertex and corners are of the same hand."""

    def search(points: Tensor, surface: Surface, reach: float) -> Found:
        return find_in_itself(surface, parts)

    return contacts(hands, hands, 0.0, search)
