"""Where a run's samples come from: rendered sets, annotated data sets, stores of pseudo-labels.

    TrainConfig -> `prepare` each source, `look_at` it -> `learned_from` -> the batches of a task

All of them are shards of one layout once they are prepared (`init_net.samples`); what differs is
what is known of a sample, and how far it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedHand, AnnotatedImages
from fitter.errors import InputError
from init_net.networks.config import HandNetConfig, LifterConfig, SegmentationConfig
from init_net.samples.annotated import OWN_MODEL
from init_net.samples.config import DatasetConfig, SamplesConfig
from init_net.samples.conversion import AnnotatedSource, convert_images
from init_net.samples.joined import JoinedSamples
from init_net.samples.selection import LabelRules, LabelWeights, labelled
from init_net.samples.shards import SampleSource, ShardedSamples, render_shards
from init_net.samples.sightings import look_at_shards
from init_net.training.config import TrainConfig

SourceConfig = SamplesConfig | DatasetConfig
"""What a run may learn from."""

_SHOWN = 64
"""Pictures of a data set that are asked what it has."""

_IN_THE_IMAGE = ("mano_joints_2d", "mano_camera", "geometric_joints_2d", "geometric_bone")
"""Losses of a HandNet that compare positions in the image: keypoints in 2D are enough."""


@dataclass(frozen=True)
class LearnedFrom:
    """The samples of all sources, one source after the other.

    Attributes:
        samples: N.
        weights: how far each counts.
        owner: (N,) int64, the source of each.
        shares: of the sources in a batch, see `init_net.samples.mixing.Mixture`.
    """

    samples: ShardedSamples
    weights: LabelWeights
    owner: np.ndarray
    shares: tuple[float | None, ...]

    @classmethod
    def rendered(cls, samples: ShardedSamples) -> LearnedFrom:
        """Of one rendered set."""
        owner = np.zeros(len(samples), np.int64)
        return cls(samples, LabelWeights.of(samples), owner, (None,))


def learned_from(sources: Sequence[SourceConfig]) -> LearnedFrom:
    """The samples of sources that were prepared and looked at.

    Raises:
        InputError: samples are missing or damaged, or a source's rules leave none.
    """
    parts = [_chosen(source) for source in sources]
    weights = [
        LabelWeights.of(part, not isinstance(source, DatasetConfig) or source.confidence)
        for part, source in zip(parts, sources, strict=True)
    ]
    return LearnedFrom(
        samples=parts[0] if len(parts) == 1 else JoinedSamples(parts),
        weights=LabelWeights(
            np.concatenate([each.hands for each in weights]),
            np.concatenate([each.keypoints for each in weights]),
        ),
        owner=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        shares=tuple(source.share for source in sources),
    )


def prepare(
    source: SourceConfig, progress: Callable[[int], None] = lambda count: None
) -> list[str]:
    """Make the samples of a source that are missing; see `render_shards` and `convert_images`.

    Args:
        source: which.
        progress: told how many further samples are on disk.

    Returns:
        Why annotated hands cannot be used, a sentence each.
    """
    if isinstance(source, DatasetConfig):
        return convert_images(annotated_source(source), source.workers, progress)
    wanted = SampleSource(
        seed=source.seed,
        count=source.count,
        size=source.size,
        supersampling=source.supersampling,
        settings=source.settings,
    )
    render_shards(Path(source.folder), wanted, source.workers, progress)
    return []


def look_at(
    source: SourceConfig, variants: int, progress: Callable[[int], None] = lambda count: None
) -> None:
    """Have the detector look at what nobody has looked at of a source; see `look_at_shards`."""
    look_at_shards(_whole(source), variants, source.workers, progress)


def looks_at(config: TrainConfig, source: SourceConfig) -> int:
    """How often the detector looks at each sample of one of a configuration's sources: networks
    that see images vary crops of the picture themselves."""
    return source.sightings if isinstance(config.network, LifterConfig) else 1


def sample_count(source: SourceConfig) -> int:
    """Samples that a source has, usable or not."""
    return annotated_source(source).count if isinstance(source, DatasetConfig) else source.count


def folder_of(source: SourceConfig) -> Path:
    """Where the samples of a source lie."""
    return source.samples_folder if isinstance(source, DatasetConfig) else Path(source.folder)


@lru_cache(maxsize=16)
def annotated_source(config: DatasetConfig) -> AnnotatedSource:
    """The pictures of a configuration; opened once, since that reads all lists."""
    return AnnotatedSource(
        dataset=config.dataset,
        folder=Path(config.folder),
        split=config.split,
        size=config.size,
        pictures=config.count,
        samples=config.samples_folder,
    )


def _whole(source: SourceConfig) -> ShardedSamples:
    return ShardedSamples(folder_of(source), sample_count(source))


def _chosen(source: SourceConfig) -> ShardedSamples:
    whole = _whole(source)
    if not isinstance(source, DatasetConfig):
        return whole
    return labelled(whole, LabelRules(source.least_score, source.near_duplicates))


@dataclass(frozen=True)
class Contents:
    """What a data set says of its hands, as far as its first pictures tell.

    Attributes:
        keypoints_2d, keypoints_3d: of some hand.
        camera: K of some picture.
        placed: keypoints in 3D have a place in the camera, not relative to the wrist alone.
        parameters: rotations and shape of the open hand.
        masks: of some hand.
        marks: keypoints are those that the detector marks, or can be posed so.
    """

    keypoints_2d: bool
    keypoints_3d: bool
    camera: bool
    placed: bool
    parameters: bool
    masks: bool
    marks: bool

    @classmethod
    def of(cls, images: AnnotatedImages) -> Contents:
        """What a data set has."""
        hands: list[AnnotatedHand] = []
        camera = masks = False
        for place in range(min(_SHOWN, len(images))):
            try:
                annotation = images.annotation(place)
                if annotation.hands and not masks:
                    masks = images.masks(place) is not None
            except InputError:
                continue  # said when it is converted; others are used
            hands += annotation.hands
            camera |= annotation.intrinsics is not None
        deep = [hand for hand in hands if np.isfinite(hand.keypoints_3d).any()]
        parameters = any(
            hand.parameters is not None and hand.parameters.model == OWN_MODEL for hand in hands
        )
        return cls(
            keypoints_2d=any(np.isfinite(hand.keypoints_2d).any() for hand in hands),
            keypoints_3d=bool(deep),
            camera=camera,
            placed=bool(deep) and not any(hand.is_root_relative for hand in deep),
            parameters=parameters,
            masks=masks,
            marks=parameters or images.definition == "mediapipe",
        )


def require_learnable(config: TrainConfig, weights: Mapping[str, float]) -> dict[str, str]:
    """Refuse data sets that a network cannot learn from, before anything is made of them.

    Args:
        config: of the run.
        weights: of its losses, see `loss_weights`.

    Returns:
        Of each data set that lacks something: what is not learned from it, in words.

    Raises:
        InputError: `training.lacks`: a data set has not what the network's losses compare.
    """
    said = {}
    is_masks = isinstance(config.network, SegmentationConfig)
    named = [
        (f"{option}.{name}", source)
        for option in ("datasets", "validation_datasets")
        for name, source in getattr(config, option).items()
    ]
    for name, source in named:
        contents = Contents.of(annotated_source(source).images)
        lacking = _lacking(config, weights, contents)
        measures_space = name.startswith("validation") and not is_masks
        if lacking is None and measures_space and not _has_space(contents):
            lacking = "keypoints in 3D and K, which its figures are of"
        if lacking is not None:
            raise InputError(
                "training.lacks",
                file=f"{name} ({source.dataset})",
                network=config.network.kind,
                expected=lacking,
            )
        if is_masks or contents.parameters:
            continue
        lost = ["rotations and shape"]
        if isinstance(config.network, HandNetConfig) and not _has_space(contents):
            lost.insert(0, "keypoints in 3D")
        said[name] = " nor ".join(lost)
    return said


def _has_space(contents: Contents) -> bool:
    return contents.keypoints_3d and contents.camera


def _lacking(config: TrainConfig, weights: Mapping[str, float], contents: Contents) -> str | None:
    """What a data set would have to have besides, in words; None for nothing."""
    if not contents.keypoints_2d:
        return "keypoints in 2D, which say where a hand is"
    match config.network:
        case SegmentationConfig():
            return None if contents.masks else "masks"
        case LifterConfig():
            if not (_has_space(contents) and contents.placed):
                return "keypoints in 3D in the camera, and K"
            if not contents.marks:
                return "keypoints as the detector marks them"
        case HandNetConfig():
            if not (_has_space(contents) or any(weights[name] for name in _IN_THE_IMAGE)):
                return "keypoints in 3D and K: no loss compares positions in the image"
    return None
