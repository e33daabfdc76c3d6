"""Touching hands as training samples: rows 2k and 2k + 1 are the two hands of scene k.

    data set = (seed, settings) -> `render_interaction_shards` -> folder -> `InteractionSamples`

Each row is a sample as all others are (`init_net.samples.shards`): a right hand in a picture. The
second of two rows is the left hand, so its picture is mirrored, with K and all that is true of it.
Beside the usual arrays are those of `BETWEEN_FIELDS`, which lead from one hand to the other. Scene
k depends on (seed, k) and the settings alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from datasets.synthetic import SampleSpecs, SyntheticBatch, SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from fitter.device import one_thread
from fitter.errors import InputError
from fitter.rotations import roma
from init_net.samples.manifest import refused
from init_net.samples.rendered import stored
from init_net.samples.selection import SCENES, in_portion
from init_net.samples.shards import (
    SAMPLE_FIELDS,
    SHARD,
    ShardedSamples,
    engine_of,
    fill_shards,
    load_array,
    shard_name,
    write_arrays,
)

BETWEEN_FIELDS: Mapping[str, tuple[str, str]] = {
    "relative": ("float64", "(3,) metres from this row's wrist keypoint to the other hand's"),
    "relative_rotation": ("float64", "(3, 3) turn from this hand's root to the other's"),
}
"""Name -> dtype and meaning of what is stored of a row besides `SAMPLE_FIELDS`, in the frame of its
picture's camera: of a mirrored picture, both hands are mirrored, too."""


@dataclass(frozen=True)
class InteractionSource:
    """What defines a data set of touching hands.

    Attributes:
        seed: of the scenes; no two data sets that are to be independent may share it.
        count: rows, two for each scene.
        size, supersampling: as of `SampleSource`.
        settings: of the engine, without gloves; other hands and things are not left to chance.

    Raises:
        ValueError: an odd number of rows.
    """

    seed: int
    count: int
    size: int = 224
    supersampling: int = 1
    settings: SyntheticSettings = field(default_factory=SyntheticSettings.unoccluded)

    def __post_init__(self) -> None:
        if self.count % 2:
            raise ValueError(f"expected two rows for each scene, found {self.count}")

    def description(self) -> dict[str, Any]:
        """See `init_net.samples.manifest.Source`."""
        said = {**asdict(self), "settings": self.settings.description()}
        del said["count"]
        return {**said, "interaction": "hands"}


def render_interaction_shards(
    folder: Path,
    source: InteractionSource,
    workers: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Render what is missing of a data set of touching hands; see `render_shards`.

    Args:
        folder: of the data set; made where it is missing.
        source: what to render. A folder that holds the same with fewer rows grows.
        workers: processes.
        progress: told how many further rows are on disk.

    Raises:
        InputError, LostError: see `render_shards`.
    """
    fill_shards(folder, source, partial(_render_shard, folder, source), workers, progress)


def _render_shard(folder: Path, source: InteractionSource, start: int) -> int:
    """Render one shard and return its number of rows."""
    stop = min(start + SHARD, source.count)
    with one_thread():
        engine = _interaction_engine(source)
        rows = [
            row for scene in range(start // 2, stop // 2) for row in _rows(engine, source, scene)
        ]
    kinds = {name: kind for name, (kind, _) in {**SAMPLE_FIELDS, **BETWEEN_FIELDS}.items()}
    arrays = {
        name: np.concatenate([row[name] for row in rows]).astype(kind, copy=False)
        for name, kind in kinds.items()
    }
    try:
        write_arrays(folder / shard_name(start), arrays)
    except OSError as error:
        raise refused(folder, error) from error
    return stop - start


@lru_cache(maxsize=1)
def _interaction_engine(source: InteractionSource) -> InteractionEngine:
    """Kept, see `engine_of`."""
    engine = engine_of(source.size, source.supersampling, source.settings)
    return InteractionEngine(engine, "hands")


def _rows(
    engine: InteractionEngine, source: InteractionSource, scene: int
) -> list[dict[str, np.ndarray]]:
    """Both rows of a scene."""
    right, left = engine.render(engine.sample(source.seed, scene))
    rows = []
    for own, other in ((right, left), (_mirrored(left), _mirrored(right))):
        root, other_root = _roots(own.specs)
        between = {
            "relative": (other.keypoints_3d[:, 0] - own.keypoints_3d[:, 0]).numpy(),
            "relative_rotation": (other_root @ root.mT).numpy(),
        }
        rows.append({**stored(own), **between})
    return rows


def _mirrored(hand: SyntheticBatch) -> SyntheticBatch:
    """A batch of a pair as it is in a mirror: the left hand is the right one of its specs."""
    flip = hand.keypoints_3d.new_tensor([-1.0, 1.0, 1.0])
    width = hand.image.shape[2]
    pixels = hand.keypoints_2d.clone()
    pixels[..., 0] = width - pixels[..., 0]
    K = hand.intrinsics.clone()
    K[:, 0, 2] = width - K[:, 0, 2]
    specs = hand.specs
    other = replace(specs.second, hand=specs.hand)
    return replace(
        hand,
        image=hand.image.flip(2),
        mask=hand.mask.flip(2),
        parts=hand.parts.flip(2),
        depth=hand.depth.flip(2),
        keypoints_3d=hand.keypoints_3d * flip,
        keypoints_2d=pixels,
        intrinsics=K,
        vertices=hand.vertices * flip,
        specs=replace(specs, hand=specs.second.hand, second=other),
    )


def _roots(specs: SampleSpecs) -> tuple[Tensor, Tensor]:
    """(B, 3, 3) of the right hand's root and of the left model's, of specs whose second hand is
    left."""
    hands = (specs.hand, specs.second.hand.mirrored())
    right, left = (roma.rotvec_to_rotmat(hand.global_orient) for hand in hands)
    return right, left


class InteractionSamples:
    """The scenes of a folder, in order.

    Attributes:
        folder: theirs.
        samples: 2 N rows, see the module.
        relative: (2 N, 3) float64 metres; rotation: (2 N, 3, 3) float64; see `BETWEEN_FIELDS`.
    """

    def __init__(self, folder: Path, count: int | None = None) -> None:
        """Open a folder.

        Args:
            folder: that `render_interaction_shards` wrote.
            count: leading rows to use; None for all that are on disk.

        Raises:
            InputError: there is no data set, one without `BETWEEN_FIELDS`, a damaged one, or one of
                fewer rows.
        """
        self.folder = folder
        self.samples = ShardedSamples(folder, count)
        self.relative, self.rotation = (self._between(name) for name in BETWEEN_FIELDS)

    def _between(self, name: str) -> np.ndarray:
        kind = BETWEEN_FIELDS[name][0]
        parts, total = [], 0
        while total < len(self.samples):
            file = self.folder / shard_name(total) / f"{name}.npy"
            parts.append(np.array(load_array(file, kind)))
            if not len(parts[-1]):
                raise InputError("samples.too_few", file=file, expected=1, found=0)
            total += len(parts[-1])
        return np.concatenate(parts)[: len(self.samples)]

    def __len__(self) -> int:
        return len(self.samples) // 2

    def parted(self, portion: tuple[float, float]) -> tuple[Self, Self]:
        """The scenes in a portion (`in_portion`) and all others."""
        inside = in_portion(np.arange(len(self)), portion, SCENES)
        return self.subset(np.flatnonzero(inside)), self.subset(np.flatnonzero(~inside))

    def subset(self, scenes: np.ndarray) -> Self:
        """The scenes at places `scenes` (M,), in that order."""
        rows = (2 * scenes[:, None] + np.arange(2)).reshape(-1)
        part = copy.copy(self)
        part.samples = self.samples.subset(rows)
        part.relative, part.rotation = self.relative[rows], self.rotation[rows]
        return part
