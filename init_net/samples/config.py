"""Where training samples come from: the part of a training configuration that says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from datasets.synthetic import SyntheticSettings
from fitter.config.section import Section

Folder = Annotated[
    str,
    Field(
        min_length=1,
        description="where they lie, relative to the current folder; rendered where missing",
    ),
]

Seed = Annotated[int, Field(ge=0, description="of the synthetic engine, which data set")]

Count = Annotated[int, Field(ge=1, description="samples")]

Backgrounds = Annotated[
    str,
    Field(
        min_length=1,
        description="procedural, packages (images with free licences in installed packages), "
        "mixed (both, and more painted ones), or a folder of images",
    ),
]

Share = Annotated[float, Field(ge=0, le=1)]


class SamplesConfig(Section):
    """Rendered samples to learn from; see `init_net.samples.shards`."""

    folder: Folder = "data/train"
    seed: Seed = 1000
    count: Count = 60_000
    size: int = Field(224, ge=16, le=2048, description="side of a image, pixels")
    supersampling: int = Field(1, ge=1, le=4, description="rendered pixels along one of a image")
    backgrounds: Backgrounds = "procedural"
    glove_share: Share = Field(0.0, description="of hands in a glove")
    child_share: Share = Field(0.0, description="of hands that are a child's")
    grey_share: Share = Field(0.0, description="of images without colours, half of them infrared")
    varied_object_share: Share = Field(
        0.0, description="of things in the grasp that are of more shapes"
    )
    sightings: int = Field(
        2,
        ge=1,
        le=100,
        description="variants of each picture that the detector looks at for the lifter, the first "
        "as it was rendered",
    )
    workers: int = Field(
        1, ge=1, description="processes that render what is missing and look at it"
    )

    @property
    def settings(self) -> SyntheticSettings:
        """Of the engine."""
        return SyntheticSettings(
            backgrounds=self.backgrounds,
            glove_share=self.glove_share,
            child_share=self.child_share,
            grey_share=self.grey_share,
            varied_object_share=self.varied_object_share,
        )


class HeldOutConfig(SamplesConfig):
    """Rendered samples to validate on: of another seed, in another folder, on other backgrounds."""

    folder: Folder = "data/validation"
    seed: Seed = 2000
    count: Count = 2_000
    backgrounds: Backgrounds = "packages"
    sightings: Literal[1] = Field(
        1, description="only pictures as they were rendered: figures are those of the samples"
    )


class AugmentationConfig(Section):
    """How samples are varied, each step anew; image, K, keypoints and mask move together."""

    rotation_degrees: float = Field(
        30.0, ge=0, le=180, description="largest turn about the line of sight, either way, degrees"
    )
    scale: float = Field(
        0.15, ge=0, lt=1, description="largest share by which a crop grows or shrinks"
    )
    shift: float = Field(
        0.08, ge=0, lt=1, description="largest move of a crop in x and in y, share of its side"
    )
    colour: float = Field(
        0.25, ge=0, lt=1, description="largest change of brightness, contrast and of each channel"
    )
    blur: float = Field(
        1.0, ge=0, description="largest standard deviation of blur, pixels of the crop"
    )
    noise: float = Field(
        0.03, ge=0, le=1, description="largest standard deviation of noise, sRGB in [0, 1]"
    )
