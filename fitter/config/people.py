"""What images of one person's hand share."""

from __future__ import annotations

from pydantic import Field

from fitter.config.section import Section


class PeopleConfig(Section):
    """What is made of images that show the same person's hand, `--same-hand` and `--people`."""

    rounds: int = Field(
        1,
        ge=1,
        le=5,
        description="times that the shape of each person's hand is made of the fits to all images "
        "before the fits that are kept: one pass over the images each, and one for the last fits",
    )
    textures: bool = Field(
        False,
        description="after the last pass make one texture of each person's hand of all its images",
    )
    texture_size: int = Field(
        512, ge=16, le=4096, description="texels along a side of the textures of people"
    )
