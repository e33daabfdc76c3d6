"""What the detector sees in samples, as they are and varied: made once and kept on disk.

    shards of samples -> `look_at_shards` -> shards of sightings -> `Sightings`

Sighting v of sample i depends on (the data set, i, v) and the detector alone. The first is of the
picture as it was rendered; what the others see is carried back to that picture, where the truth is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from fitter.detection.backend import Backend, load_backend
from fitter.detection.looks import merge_looks
from fitter.detection.networks.shapes import FEATURES
from fitter.detection.networks.weights import detector_digest
from fitter.detection.same_hand import ordered_distance
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.records import HandObservation
from fitter.system.lock import WriterLock
from init_net.samples.manifest import refused
from init_net.samples.processes import make_shards
from init_net.samples.shards import SHARD, ShardedSamples, load_array, shard_name, write_arrays
from init_net.samples.variations import identity, sample_look, sample_placement

LEAST_SCORE = 0.5
"""Least palm score, and least probability of each look that there is a hand. No option of the
search decides it: sightings of the same samples stay the same, and a look that is less sure has
often seen something else."""

WRONG_HAND = 0.25
"""Mean distance of detected and true keypoints, over the larger side of the true ones' box, from
which on the detector saw something else."""

SIGHTING_FIELDS: Mapping[str, tuple[str, str]] = {
    "found": ("uint8", "0: not seen; 1: by the detector; 2: when it was told where to look"),
    "score": ("float32", "the palm detector's, NaN where it was told"),
    "presence": ("float32", "least probability of the looks that there is a hand"),
    "keypoints": ("float32", "(21, 2) pixels of the rendered picture"),
    "confidence": ("float32", "(21,)"),
    "depth": ("float32", "(21,) pixels relative to the wrist"),
    "xyz": ("float32", "(21, 3) weak metres"),
    "features": ("float16", "(2, F) of the looks that saw a right and a left hand, NaN without"),
}
"""Name -> dtype and meaning of what is stored of a sighting, each (samples, variants, ...)."""

FOUND, TOLD = 1, 2
"""How a hand was seen: by the detector itself, or when it was told where to look."""

_STREAM = 7
"""Apart from what else a seed decides about a sample."""


def sightings_folder(samples: Path) -> Path:
    """Where the sightings of this detector lie, inside the folder of the samples."""
    return samples / f"sightings-{detector_digest()[:12]}"


def look_at_shards(
    samples: ShardedSamples,
    variants: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Look at the samples whose sightings are missing. Work that was stopped or killed continues
    with the shards that are missing.

    Args:
        samples: rendered.
        variants: sightings a sample; a shard of fewer is looked at again.
        workers: processes.
        progress: told how many further samples are done.

    Raises:
        InputError: the folder is in use or cannot be written, sightings in it are damaged, or the
            detector's weights cannot be read.
        LostError: a process was lost.
    """
    folder, count = sightings_folder(samples.folder), len(samples)
    missing = [
        start
        for start in range(0, count, SHARD)
        if not _is_whole(folder / shard_name(start), min(SHARD, count - start), variants)
    ]
    progress(count - sum(min(SHARD, count - start) for start in missing))
    if not missing:
        # What is whole is only read: by several at once, or where nobody may write.
        return
    try:
        folder.mkdir(exist_ok=True)
        lock = WriterLock(folder)
    except OSError as error:
        raise refused(folder, error) from error
    try:
        make = partial(_look_at_shard, samples.folder, count, variants)
        make_shards(folder, make, missing, workers, progress)
    finally:
        lock.release()


def _is_whole(path: Path, count: int, variants: int) -> bool:
    if not path.is_dir():
        return False
    found = load_array(path / "found.npy", SIGHTING_FIELDS["found"][0])
    return found.ndim == 2 and found.shape[0] >= count and found.shape[1] >= variants


@lru_cache(maxsize=1)
def _opened(folder: Path, count: int) -> tuple[ShardedSamples, Backend]:
    """Kept, since a process looks at many shards."""
    return ShardedSamples(folder, count), load_backend("builtin", LEAST_SCORE)


def _look_at_shard(folder: Path, count: int, variants: int, start: int) -> int:
    """Look at one shard of a folder of samples and return its number of samples."""
    samples, backend = _opened(folder, count)
    indices = range(start, min(start + SHARD, count))
    rows = samples.read(indices, ["image", "keypoints_2d", "usable"])
    seen = [
        [
            _sighting(
                backend, image, truth, np.random.default_rng([samples.seed, i, v, _STREAM]), v
            )
            if usable
            else _row(None, 0)
            for v in range(variants)
        ]
        for i, image, truth, usable in zip(
            indices, rows["image"], rows["keypoints_2d"], rows["usable"], strict=True
        )
    ]
    arrays = {
        name: np.array([[each[name] for each in row] for row in seen]).astype(dtype)
        for name, (dtype, _) in SIGHTING_FIELDS.items()
    }
    path = sightings_folder(folder) / shard_name(start)
    try:
        write_arrays(path, arrays)
    except OSError as error:
        raise refused(path.parent, error) from error
    return len(indices)


def _sighting(
    backend: Backend,
    image: np.ndarray,
    truth: np.ndarray,
    rng: np.random.Generator,
    variant: int,
) -> dict[str, np.ndarray]:
    """One sighting; `truth` (21, 2) says which hand is meant, NaN where it is not known."""
    size = len(image)
    placement = identity(size) if variant == 0 else sample_placement(rng, size)
    pixels = image if variant == 0 else sample_look(rng, placement.pixels(image))
    side = "left" if placement.mirrored else "right"
    picture, known = Picture(pixels), placement.points(truth.astype(np.float64))
    hand, found = _detected(backend, picture, known, side), FOUND
    if hand is None:
        hand, found = _told(backend, picture, _roughly(known, rng), known, side), TOLD
    return _row(None if hand is None else placement.back(hand), found)


def _detected(
    backend: Backend, picture: Picture, known: np.ndarray, side: str
) -> HandObservation | None:
    """The hand that the whole picture shows at keypoints (21, 2), after a second look."""
    (hands,) = backend.find(picture, [Window.whole(picture.pixels)])
    return _confirmed(backend, picture, hands, known, side)


def _roughly(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keypoints (21, 2) about where a palm would place them."""
    points = np.where(np.isfinite(points), points, np.nanmean(points, axis=0))
    middle = points.mean(axis=0)
    size = np.ptp(points, axis=0).max()
    angle = 0.15 * rng.standard_normal()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = middle + 0.05 * size * rng.standard_normal(2)
    return (points - middle) @ turn.T * np.exp(0.12 * rng.standard_normal()) + moved


def _told(
    backend: Backend, picture: Picture, rough: np.ndarray, known: np.ndarray, side: str
) -> HandObservation | None:
    """The same where the detector is told roughly where to look, as after a search."""
    start = HandObservation(rough, np.ones(21), "right", 0.5, np.nan)
    hands = [hand for hand in backend.follow(picture, [start], mirrored=False) if hand is not None]
    return _confirmed(backend, picture, hands, known, side)


def _confirmed(
    backend: Backend, picture: Picture, hands: list[HandObservation], known: np.ndarray, side: str
) -> HandObservation | None:
    # Of annotated hands not every keypoint may be known.
    extent = (np.nanmax(known, axis=0) - np.nanmin(known, axis=0)).max()

    def distance(hand: HandObservation) -> float:
        return float(np.nanmean(np.linalg.norm(hand.keypoints - known, axis=1)) / extent)

    near = [hand for hand in hands if distance(hand) < WRONG_HAND]
    if not near:
        return None
    first = min(near, key=distance)
    (second,) = backend.follow(picture, [first], mirrored=True)
    if second is None or ordered_distance(first, second) >= WRONG_HAND:
        return None
    merged = merge_looks(first, second, (1.0, 1.0))
    return merged if merged.side == side else None


def _row(hand: HandObservation | None, found: int) -> dict[str, np.ndarray]:
    if hand is None:
        empty = {"keypoints": (21, 2), "confidence": (21,), "depth": (21,), "xyz": (21, 3)}
        row = {name: np.full(shape, np.nan) for name, shape in empty.items()}
        nothing = {"found": np.array(0), "score": np.array(np.nan), "presence": np.array(np.nan)}
        return {**nothing, **row, "features": np.full((2, FEATURES), np.nan, np.float16)}
    assert hand.features is not None
    return {
        "found": np.array(found),
        "score": np.array(hand.score),
        "presence": np.array(hand.presence),
        "keypoints": hand.keypoints,
        "confidence": hand.confidence,
        "depth": np.asarray(hand.relative_depth),
        "xyz": np.asarray(hand.relative_xyz),
        "features": hand.features.astype(np.float16),
    }


class Sightings:
    """The sightings of a folder of samples, read as they are asked for."""

    def __init__(self, samples: ShardedSamples, variants: Sequence[int] | None = None) -> None:
        """Open those of this detector.

        Args:
            samples: that it has looked at.
            variants: for each of `samples.sets`, leading sightings of a sample; None for all that
                its first shard has. Where one set has fewer than another, the rest was not seen.

        Raises:
            InputError: some are missing, too few or damaged.
        """
        wanted = [None] * len(samples.sets) if variants is None else variants
        self._parts = [
            (_shards_of(part, count), part.chosen)
            for part, count in zip(samples.sets, wanted, strict=True)
        ]
        self._columns: dict[str, np.ndarray] = {}

    @property
    def found(self) -> np.ndarray:
        """(samples, variants) uint8, see `SIGHTING_FIELDS`."""
        return self._column("found")

    def read(
        self, sample: np.ndarray, variant: np.ndarray, names: Iterable[str] = SIGHTING_FIELDS
    ) -> dict[str, np.ndarray]:
        """Fields of sightings, each (B, ...).

        Args:
            sample: (B,) numbers of samples.
            variant: (B,) which sighting of each.
            names: of `SIGHTING_FIELDS`.
        """
        return {name: self._column(name)[sample, variant] for name in names}

    def _column(self, name: str) -> np.ndarray:
        """One field of all sightings. In memory from the first time on: to find each one's shard
        costs more."""
        if name not in self._columns:
            widest = max(shards[0]["found"].shape[1] for shards, _ in self._parts)
            columns = []
            for shards, chosen in self._parts:
                whole = np.concatenate([_padded(shard[name], widest) for shard in shards])
                columns.append(whole if chosen is None else whole[chosen])
            self._columns[name] = np.concatenate(columns)
        return self._columns[name]


def _shards_of(samples: ShardedSamples, variants: int | None) -> list[dict[str, np.ndarray]]:
    """The shards of one set of samples, see `Sightings`."""
    folder = sightings_folder(samples.folder)
    total = len(samples) if samples.chosen is None else int(samples.chosen.max()) + 1
    parts = []
    for start in range(0, total, SHARD):
        shard = _open_shard(folder / shard_name(start))
        count = min(SHARD, total - start)
        found = shard["found"].shape
        variants = found[1] if variants is None else variants
        if found[0] < count or found[1] < variants:
            raise InputError(
                "samples.too_few_sightings",
                file=folder / shard_name(start),
                expected=_in_words((count, variants)),
                found=_in_words(found),
            )
        parts.append({name: array[:count, :variants] for name, array in shard.items()})
    return parts


def _padded(array: np.ndarray, variants: int) -> np.ndarray:
    """Sightings with further ones in which nothing was seen."""
    lacking = variants - array.shape[1]
    if lacking == 0:
        return array
    nothing = np.nan if np.issubdtype(array.dtype, np.floating) else 0
    rest = np.full((len(array), lacking, *array.shape[2:]), nothing, array.dtype)
    return np.concatenate([array, rest], axis=1)


def _open_shard(path: Path) -> dict[str, np.ndarray]:
    if not path.is_dir():
        raise InputError("samples.no_sightings", file=path)
    arrays = {
        name: load_array(path / f"{name}.npy", dtype)
        for name, (dtype, _) in SIGHTING_FIELDS.items()
    }
    shape = arrays["found"].shape[:2]
    for name, array in arrays.items():
        if len(array.shape) < 2 or array.shape[:2] != shape:
            raise InputError(
                "samples.too_few_sightings",
                file=path / f"{name}.npy",
                expected=_in_words(shape),
                found=_in_words(array.shape[:2]),
            )
    return arrays


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
