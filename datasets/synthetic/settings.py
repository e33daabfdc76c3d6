"""What a caller may choose about a rendered data set; light, so that a command can check it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

from fitter.errors import InputError


@dataclass(frozen=True)
class SyntheticSettings:
    """What a caller may choose about a data set; all of it changes the samples.

    Attributes:
        object_share: of samples whose grasp holds an object, among poses that can hold one.
        occluder_share: of samples with an object in front of the hand.
        second_hand_share: of samples with another hand.
        bare_share: of arms without a sleeve.
        view: "mixed", or one of its parts alone.
        backgrounds: "procedural", "packages" (images with free licences in installed packages)
            or a folder of images.

    Raises:
        InputError: a share outside [0, 1], or another view.
    """

    object_share: float = 0.45
    occluder_share: float = 0.12
    second_hand_share: float = 0.15
    bare_share: float = 0.4
    view: Literal["mixed", "egocentric", "third_person"] = "mixed"
    backgrounds: str = "procedural"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("share") and not 0 <= value <= 1:
                raise InputError("synthetic.share", file=field.name, found=value)
        if self.view not in ("mixed", "egocentric", "third_person"):
            raise InputError("synthetic.view", file="view", found=self.view)

    @classmethod
    def unoccluded(cls) -> Self:
        """Nothing but one hand with its own arm."""
        return cls(object_share=0.0, occluder_share=0.0, second_hand_share=0.0)
