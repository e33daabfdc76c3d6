"""Where training samples come from: the part of a training configuration that says it."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from datasets.synthetic import SyntheticSettings
from datasets.synthetic.rig_shapes import LARGEST_BASELINE, LEAST_BASELINE
from fitter.config.section import Section, mistake
from init_net.samples.manifest import SampleSource, StereoSource

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

HandModelName = Annotated[
    str,
    Field(
        min_length=1,
        description="whose hands and skin are rendered: open_hand, or the folder of a NIMBLE "
        "model; keypoints are learned from the latter's, not rotations and shape",
    ),
]

Share = Annotated[float, Field(ge=0, le=1)]

BatchShare = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="of every batch; those without one share the rest by their numbers of samples",
    ),
]

ImageSize = Annotated[int, Field(ge=16, le=2048, description="side of an image, pixels")]

Workers = Annotated[
    int, Field(ge=1, description="processes that make what is missing, and look at it")
]

Sightings = Annotated[
    int,
    Field(
        ge=1,
        le=100,
        description="variants of each picture that the detector looks at for the lifter, the first "
        "as it is",
    ),
]


class PortionConfig(Section):
    """Samples of which a portion is learned from, or validated on."""

    portion: tuple[Share, Share] | None = Field(
        None,
        strict=False,  # YAML knows lists alone
        description="which of the scenes that the pictures show, in a random order that is always "
        "the same, as shares from and to: [0, 0.7] are 70 %; pictures of one scene, such as "
        "FreiHAND's four backgrounds, and all looks at one, stay together; null for all",
    )

    @model_validator(mode="after")
    def _portion_is_some(self) -> Self:
        if self.portion is not None and self.portion[0] >= self.portion[1]:
            first, last = self.portion
            raise ValueError(f"a portion from one share to a larger one, found [{first}, {last}]")
        return self

    def overlaps(self, other: PortionConfig) -> bool:
        """Whether two portions of the same pictures may have scenes in common."""
        (first, last), (start, end) = (each.portion or (0.0, 1.0) for each in (self, other))
        return max(first, start) < min(last, end)


class SamplesConfig(PortionConfig):
    """Rendered samples to learn from; see `init_net.samples.shards`."""

    folder: Folder = "data/train"
    seed: Seed = 1000
    count: Count = 60_000
    share: BatchShare = None
    size: ImageSize = 224
    supersampling: int = Field(1, ge=1, le=4, description="rendered pixels along one of an image")
    backgrounds: Backgrounds = "procedural"
    hand_model: HandModelName = "open_hand"
    glove_share: Share = Field(0.0, description="of hands in a glove")
    child_share: Share = Field(0.0, description="of hands that are a child's")
    grey_share: Share = Field(0.0, description="of images without colours, half of them infrared")
    varied_object_share: Share = Field(
        0.0, description="of things in the grasp that are of more shapes"
    )
    view: Literal["mixed", "egocentric", "third_person"] = Field(
        "mixed", description="who holds the camera: the hands' owner, others, or both in turn"
    )
    sightings: Sightings = 2
    workers: Workers = 1

    @property
    def settings(self) -> SyntheticSettings:
        """Of the engine."""
        return SyntheticSettings(
            backgrounds=self.backgrounds,
            glove_share=self.glove_share,
            child_share=self.child_share,
            grey_share=self.grey_share,
            varied_object_share=self.varied_object_share,
            view=self.view,
            model=None if self.hand_model == "open_hand" else Path(self.hand_model),
        )

    @property
    def source(self) -> SampleSource:
        """What is rendered."""
        return SampleSource(
            seed=self.seed,
            count=self.count,
            size=self.size,
            supersampling=self.supersampling,
            settings=self.settings,
        )


class HeldOutConfig(SamplesConfig):
    """Rendered samples to validate on: of another seed, in another folder, on other backgrounds."""

    folder: Folder = "data/validation"
    seed: Seed = 2000
    count: Count = 2_000
    backgrounds: Backgrounds = "packages"
    share: Literal[None] = Field(None, description="all are validated on")
    beside: bool = Field(
        False,
        description="validated on beside validation_datasets, whose figures then are told apart "
        "from theirs; false: instead, where there are none",
    )
    sightings: Literal[1] = Field(
        1, description="only pictures as they were rendered: figures are those of the samples"
    )


Baseline = Annotated[float, Field(ge=LEAST_BASELINE, le=LARGEST_BASELINE)]


class StereoSamplesConfig(PortionConfig):
    """Rendered pairs to learn from, as the cameras of a headset see its owner's hands; see
    `init_net.samples.stereo_shards`."""

    folder: Folder = "data/stereo"
    seed: Seed = 3000
    count: Count = Field(15_082, description="pairs, as many as Seeber et al. (3.4) have")
    share: BatchShare = None
    size: ImageSize = 224
    supersampling: int = Field(1, ge=1, le=4, description="rendered pixels along one of an image")
    backgrounds: Backgrounds = "procedural"
    least_baseline: Baseline = Field(
        0.08, description="metres between the cameras of a pair; not published"
    )
    most_baseline: Baseline = Field(0.12, description="likewise")
    portion: tuple[Share, Share] = Field(
        (0.0, 0.7),
        strict=False,  # YAML knows lists alone
        description="which of the pairs are learned from, in a random order that is always the "
        "same, as shares from and to; all others are held out (Seeber 4.4: 70 and 30 %)",
    )
    sightings: Literal[1] = Field(1, description="only pictures as they were rendered")
    workers: Workers = 1

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.least_baseline > self.most_baseline:
            raise mistake("samples.baselines", least=self.least_baseline, most=self.most_baseline)
        return self

    @model_validator(mode="after")
    def _has_both_parts(self) -> Self:
        # As `in_portion` has them.
        first, last = (math.ceil(share * self.count - 0.5) for share in self.portion)
        learned = last - first
        if not 0 < learned < self.count:
            raise mistake(
                "training.few_pairs",
                learned=learned,
                held_out=self.count - learned,
                count=self.count,
            )
        return self

    @property
    def source(self) -> StereoSource:
        """What is rendered."""
        return StereoSource(
            seed=self.seed,
            count=self.count,
            baselines=(self.least_baseline, self.most_baseline),
            size=self.size,
            supersampling=self.supersampling,
            settings=SyntheticSettings(view="egocentric", backgrounds=self.backgrounds),
        )


class DatasetConfig(PortionConfig):
    """Annotated pictures to learn from: a data set as it lies on disk, or a store of `fit-hands`
    whose hands are pseudo-labels; see `init_net.samples.conversion`."""

    dataset: str = Field(
        min_length=1,
        description="name of an installed reader, such as freihand; store, a result store; images, "
        "a folder of pictures that nobody has annotated",
    )
    folder: str = Field(min_length=1, description="of the data set, or the store")
    split: str | None = Field(
        None,
        description="which part of it; null for the reader's first. Of a store: the folder of its "
        "images. Of images: the folder where found hands are kept, null for one beside the samples",
    )
    count: Count | None = Field(None, description="leading pictures; null for all")
    share: BatchShare = None
    size: ImageSize = 224
    parameters: Literal["annotated", "fitted"] = Field(
        "annotated",
        description="rotations and shape that HandNet is compared with where a hand has none of "
        "the open hand's: none, or those that inverse kinematics makes of its keypoints in 3D",
    )
    least_score: float = Field(
        0.0, ge=0, le=1, description="of a pseudo-label; others are not learned from"
    )
    confidence: bool = Field(
        True,
        description="weight hands by their scores and keypoints by their confidence, each over its "
        "mean; false: all alike",
    )
    near_duplicates: int | None = Field(
        None,
        ge=0,
        le=32,
        description="of hands whose perceptual hashes (64 bits) differ in so many bits or fewer "
        "the best scored is learned from alone; null: all are",
    )
    sightings: Sightings = 2
    samples: str | None = Field(
        None,
        min_length=1,
        description="folder where the cropped hands are kept; null for one in data/ that is named "
        "after the data set",
    )
    workers: Workers = 1

    @property
    def samples_folder(self) -> Path:
        """Where the cropped hands are kept."""
        if self.samples is not None:
            return Path(self.samples)
        said = f"{Path(self.folder).resolve()}\n{self.split}\n{self.size}"
        return Path("data") / f"{self.dataset}-{sha256(said.encode()).hexdigest()[:8]}"


class PosedHandsConfig(Section):
    """Hands that are posed at random, without images; see `init_net.samples.posed_joints`."""

    count: Count = Field(25_600, description="hands of an epoch; none is seen twice")
    held_out: Count = Field(2_000, description="others, which are measured")
    noise: float = Field(
        0.0,
        ge=0,
        description="metres, largest standard deviation of the joints of a decoder's mesh about "
        "those of the hand model's",
    )
    share: BatchShare = None


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
    grey_share: Share = Field(0.1, description="of crops that lose their colours")
    blur: float = Field(
        1.0, ge=0, description="largest standard deviation of blur, pixels of the crop"
    )
    noise: float = Field(
        0.03, ge=0, le=1, description="largest standard deviation of noise, sRGB in [0, 1]"
    )
