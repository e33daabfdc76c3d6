"""The options of the stage that fits hands of one picture together where they touch."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from fitter.config.section import Section


class InteractionConfig(Section):
    """Hands of one picture whose boxes touch, fitted together after their own stages.

    Weights are beside those of the last of `refine.stages` that is solved by lm; without such a
    stage this one is left out. Stages after it are gone through once more. No value
    is published; they were chosen on rendered pairs.
    """

    enabled: bool = Field(
        True, description="fit hands that touch together; --alone switches it off"
    )
    iterations: int = Field(10, ge=1, description="most steps of a group of hands in each round")
    rounds: int = Field(
        3,
        ge=1,
        le=5,
        description="times that it is looked anew who hides whom, in masks and in depth; "
        "penetration counts from the second on, and fully in the last",
    )
    box_margin: float = Field(
        0.05,
        ge=0,
        description="by what share of its longer side the box around a fitted mesh is widened "
        "before boxes are compared",
    )
    penetration_weight: float = Field(
        3000.0, ge=0, description="weight of hands in each other: a sum over shares of the surface"
    )
    penetration_scale: float = Field(
        0.003, gt=0, description="depth in metres at which penetration counts linearly"
    )
    attraction_weight: float = Field(
        0.3, ge=0, description="weight of surfaces that nearly touch and are drawn together"
    )
    attraction_reach: float = Field(
        0.004, gt=0, description="gap in metres beyond which nothing is drawn together"
    )
    ordinal_weight: float = Field(
        5.0, ge=0, description="weight of who hides whom where two hands overlap in the picture"
    )
    ordinal_scale: float = Field(
        0.05, gt=0, description="depth in metres at which a wrong order is let alone"
    )
    closeness_weight: float = Field(
        4.0, ge=0, description="weight of hands near each other in depth that touch in the picture"
    )
    closeness_free: float = Field(
        0.02, ge=0, description="metres, about a hand's thickness, that count as near"
    )
    closeness_scale: float = Field(
        0.05, gt=0, description="metres beyond these at which hands are let alone"
    )
    alike_weight: float = Field(
        5.0,
        ge=0,
        description="weight of the difference in shape of a left and a right hand of one person in "
        "`relative_place_std`; while they are fitted both have the mean of their shapes, with 0 "
        "each its own",
    )
    max_rise: float = Field(
        0.03,
        gt=0,
        description="the hands keep their own fits if fitting them together raises the distance of "
        "any hand's keypoints by more than this share of the longer side of their box",
    )

    def of_rounds(self) -> list[Self]:
        """What each round weighs. Hands deep in each other have surfaces that push to all sides:
        first they come apart by what the picture says of their depths."""
        if self.rounds == 1:
            return [self]
        shares = [0.0, *(10.0**-k for k in range(self.rounds - 2, -1, -1))]
        weights = [share * self.penetration_weight for share in shares]
        return [self.model_copy(update={"penetration_weight": weight}) for weight in weights]
