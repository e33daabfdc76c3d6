"""Where a run's samples come from: rendered sets, annotated data sets, stores of pseudo-labels.

    TrainConfig -> `prepare` each source, `look_at` it -> `learned_from` -> the batches of a task

All of them are shards of one layout once they are prepared (`init_net.samples`); what differs is
what is known of a sample, and how far it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from datasets.synthetic.background_files import background_files
from fitter.detection.networks.weights import detector_digest
from fitter.errors import InputError
from fitter.hand_models import load_appearance, load_hand_model
from init_net.networks.config import LifterConfig
from init_net.samples.annotated import OWN_MODEL
from init_net.samples.config import DatasetConfig, SamplesConfig, StereoSamplesConfig
from init_net.samples.conversion import AnnotatedSource, convert_images
from init_net.samples.joined import JoinedSamples
from init_net.samples.selection import LabelRules, LabelWeights, in_portion, labelled
from init_net.samples.shards import ShardedSamples, is_done, render_shards
from init_net.samples.sightings import FOUND, Sightings, look_at_shards
from init_net.samples.stereo_shards import StereoShards, look_at_pairs, render_stereo_shards
from init_net.training.config import StoredConfig, TrainConfig

if TYPE_CHECKING:
    from datasets.readers.found_hands import FoundSummary
    from datasets.readers.images import FoundImages


@dataclass(frozen=True)
class LearnedFrom:
    """The samples of all sources, one source after the other.

    Attributes:
        samples: N.
        weights: how far each counts.
        owner: (N,) int64, the place of each one's source among `TrainConfig.learned_from`.
        fitted: (N,) bool, see `DatasetConfig.parameters`.
    """

    samples: ShardedSamples
    weights: LabelWeights
    owner: np.ndarray
    fitted: np.ndarray

    @classmethod
    def rendered(cls, samples: ShardedSamples) -> LearnedFrom:
        """Of one rendered set."""
        owner = np.zeros(len(samples), np.int64)
        return cls(samples, LabelWeights.of(samples), owner, np.zeros(len(samples), bool))


def learned_from(sources: Sequence[StoredConfig], as_seen: bool = False) -> LearnedFrom:
    """The samples of sources that were prepared and looked at.

    Args:
        sources: which.
        as_seen: those alone that the detector saw by itself, for who compares hands with what it
            saw: where it was told where to look, the truth told it. In pictures that nobody has
            annotated it is the detector itself that tells.

    Raises:
        InputError: samples are missing or damaged, or a source's rules leave none.
    """
    parts = [_chosen(source) for source in sources]
    if as_seen:
        parts = [_seen(part, source) for part, source in zip(parts, sources, strict=True)]
    weights = [
        LabelWeights.of(part, not isinstance(source, DatasetConfig) or source.confidence)
        for part, source in zip(parts, sources, strict=True)
    ]
    fitted = [isinstance(each, DatasetConfig) and each.parameters == "fitted" for each in sources]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return LearnedFrom(
        samples=parts[0] if len(parts) == 1 else JoinedSamples(parts),
        weights=LabelWeights(
            np.concatenate([each.hands for each in weights]),
            np.concatenate([each.keypoints for each in weights]),
        ),
        owner=owner,
        fitted=np.array(fitted)[owner],
    )


def require_renderable(config: TrainConfig) -> None:
    """Refuse samples that are still to be rendered before images that are not there, or of a hand
    model that cannot be read.

    Raises:
        InputError: there are none where an option says; a file of the model is missing or
            inconsistent; or a folder holds other samples.
    """
    named = config.stored
    if "validation" in config.held_out_sets:
        named = {**named, "validation": config.validation}
    for name, source in named.items():
        if isinstance(source, DatasetConfig) or is_done(folder_of(source), source.source):
            continue
        background_files(source.backgrounds, f"{name}.backgrounds")
        if isinstance(source, SamplesConfig) and source.hand_model != OWN_MODEL:
            model = load_hand_model(source.hand_model, children=source.child_share > 0)
            load_appearance(model.data)


def prepare(
    source: StoredConfig, progress: Callable[[int], None] = lambda count: None
) -> list[str]:
    """Make the samples of a source that are missing; see `render_shards` and `convert_images`.

    Args:
        source: which.
        progress: told how many further samples are on disk.

    Returns:
        Why annotated hands cannot be used, a sentence each.
    """
    if isinstance(source, DatasetConfig):
        find_hands(source)
        return convert_images(annotated_source(source), source.workers, progress)
    if isinstance(source, StereoSamplesConfig):
        render_stereo_shards(Path(source.folder), source.source, source.workers, progress)
        return []
    render_shards(Path(source.folder), source.source, source.workers, progress)
    return []


def find_hands(
    source: StoredConfig, progress: Callable[[int], None] = lambda count: None
) -> FoundSummary | None:
    """Have the detector find the hands in pictures that nobody has annotated, where a source is
    such (`datasets.readers.images`); before their number is asked for.

    Args:
        source: which.
        progress: told how many further pictures are done.

    Returns:
        What was found; None of a source whose hands are known.

    Raises:
        InputError, LostError: see `FoundImages.find`.
    """
    if not _is_found(source):
        return None
    assert isinstance(source, DatasetConfig)
    images = cast("FoundImages", annotated_source(source).images)
    try:
        return images.find(source.count, source.workers, progress)
    except InputError as error:
        if error.code != "found.other_pictures":
            raise
        # Samples were made of what is kept: the one is not to be removed without the other.
        raise InputError(
            "training.other_pictures", samples=source.samples_folder, **error.facts
        ) from error


def pictures_to_search(source: StoredConfig) -> int | None:
    """Pictures in which `find_hands` has hands found, whole parts; None of a source whose hands are
    known."""
    if not _is_found(source):
        return None
    from datasets.readers.found_hands import PART  # not loaded for other sources

    assert isinstance(source, DatasetConfig)
    total = len(annotated_source(source).images)
    return total if source.count is None else min(-(-source.count // PART) * PART, total)


def require_full_batches(config: TrainConfig) -> None:
    """Refuse to learn from fewer hands than a batch has, where all are of pictures that nobody has
    annotated: each step would see the same ones again.

    Raises:
        InputError: `training.few_hands`; or see `learned_from`.
    """
    sources = [*config.stored.values()]
    if not sources or not all(map(_is_found, sources)):
        return
    samples = learned_from(sources, config.compares_sightings).samples
    found, batch = len(samples), config.optimiser.batch_size
    if found < batch:
        where = ", ".join(source.folder for source in sources)
        raise InputError("training.few_hands", file=where, expected=batch, found=found)


def _is_found(source: StoredConfig) -> bool:
    return isinstance(source, DatasetConfig) and annotated_source(source).images.is_detected


def look_at(
    source: StoredConfig, variants: int, progress: Callable[[int], None] = lambda count: None
) -> None:
    """Have the detector look at what nobody has looked at of a source; see `look_at_shards`."""
    if isinstance(source, StereoSamplesConfig):
        look_at_pairs(StereoShards(Path(source.folder), source.count), source.workers, progress)
        return
    look_at_shards(_whole(source), variants, source.workers, progress)


def looks_at(config: TrainConfig, source: StoredConfig) -> int:
    """How often the detector looks at each sample of one of a configuration's sources: networks
    that see images vary crops of the picture themselves."""
    return source.sightings if isinstance(config.network, LifterConfig) else 1


def sample_count(source: StoredConfig) -> int:
    """Samples that a source has, usable or not."""
    return annotated_source(source).count if isinstance(source, DatasetConfig) else source.count


def folder_of(source: StoredConfig) -> Path:
    """Where the samples of a source lie."""
    return source.samples_folder if isinstance(source, DatasetConfig) else Path(source.folder)


@lru_cache(maxsize=16)
def annotated_source(config: DatasetConfig) -> AnnotatedSource:
    """The pictures of a configuration; opened once, since that reads all lists."""
    return AnnotatedSource(
        dataset=config.dataset,
        folder=Path(config.folder),
        split=_found_folder(config) if config.dataset == "images" else config.split,
        size=config.size,
        pictures=config.count,
        samples=config.samples_folder,
    )


def _found_folder(config: DatasetConfig) -> str:
    """Where the hands that this detector finds in a folder of pictures are kept: beside the cropped
    hands, and the same for all sizes of them."""
    if config.split is not None:
        return config.split
    said = sha256(str(Path(config.folder).resolve()).encode()).hexdigest()[:8]
    return str(config.samples_folder.parent / f"found-{said}-{detector_digest()[:12]}")


def _whole(source: StoredConfig) -> ShardedSamples:
    return ShardedSamples(folder_of(source), sample_count(source))


def _chosen(source: StoredConfig) -> ShardedSamples:
    whole = _whole(source)
    if not isinstance(source, DatasetConfig):
        if not isinstance(source, SamplesConfig) or source.portion is None:
            return whole
        # A rendered sample is a scene of its own.
        return whole.subset(np.flatnonzero(in_portion(np.arange(len(whole)), source.portion)))
    among = None
    if source.portion is not None:
        among = in_portion(annotated_source(source).scenes, source.portion)
    return labelled(whole, LabelRules(source.least_score, source.near_duplicates), among)


def _seen(samples: ShardedSamples, source: StoredConfig) -> ShardedSamples:
    """Those samples of a source in which the detector saw the hand by itself."""
    found = Sightings(samples, [1]).found[:, 0]
    chosen = np.flatnonzero(found > 0 if _is_found(source) else found == FOUND)
    if len(chosen) == 0:
        raise InputError("samples.none_detected", file=samples.folder, count=len(samples))
    return samples.subset(chosen)
