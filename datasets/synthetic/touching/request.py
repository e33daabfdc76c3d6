"""What is to be rendered of hands that touch; light, so that a command can refuse it at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from datasets.synthetic.folder import SyntheticRequest
from datasets.synthetic_layout import HELD, SECOND_MASK, SPLIT
from fitter.errors import InputError

InteractionKind = Literal["hands", "objects", "both"]
INTERACTION_KINDS: tuple[InteractionKind, ...] = ("hands", "objects", "both")
VERSION = 2
"""Of what touches: scenes of the same number are other ones when it changes."""


@dataclass(frozen=True, kw_only=True)
class InteractionRequest(SyntheticRequest):
    """What is to be written of hands that touch.

    Attributes:
        what: pairs of hands, hands that hold something, or both in turn.
    """

    what: InteractionKind

    @classmethod
    def of(cls, given: SyntheticRequest, what: InteractionKind) -> Self:
        """The same people, touching.

        Raises:
            InputError: with gloves, which would swell into what is touched.
        """
        if given.settings.glove_share > 0:
            raise InputError("synthetic.touching_gloves", file="--gloves")
        own = {field.name: getattr(given, field.name) for field in fields(SyntheticRequest)}
        settings = replace(
            given.settings,
            object_share=0.0,
            occluder_share=0.0,
            second_hand_share=0.0,
            varied_object_share=0.0,
        )
        return cls(**{**own, "settings": settings}, what=what)

    def description(self) -> dict[str, Any]:
        """See `SyntheticRequest`."""
        return {**super().description(), "interaction": self.what, "touching": VERSION}

    @property
    def folders(self) -> tuple[str, ...]:
        """See `SyntheticRequest`."""
        more = [SECOND_MASK] if self.what != "objects" else []
        more += [HELD] if self.what != "hands" else []
        return (*super().folders, *(f"{SPLIT}/{folder}" for folder in more))
