"""Everything random about samples, sampled from generators seeded by (seed, index) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.gloves import fitted, sample_glove, sample_other_glove
from datasets.synthetic.imaging import sample_imaging
from datasets.synthetic.poses import (
    MODE_ATTEMPTS,
    Candidate,
    Placement,
    PosedHands,
    PoseModel,
    crop_boxes,
    first_good,
    flesh,
    full_intrinsics,
    is_good,
    pose_candidates,
    sample_adult,
    sample_candidate,
    sample_child,
    sample_mode,
)
from datasets.synthetic.records import (
    ArmSpec,
    BackgroundSpec,
    Batch,
    GloveSpec,
    ImagingSpec,
    LensSpec,
    LightSpec,
    ObjectSpec,
    SampleSpecs,
    SecondHandSpec,
    SkinSpec,
    ViewpointSpec,
)
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.surroundings import (
    sample_arm,
    sample_backdrop,
    sample_lens,
    sample_light,
    sample_objects,
    sample_other_arm,
    sample_other_skin,
    sample_skin,
)
from fitter.hand_models.open_hand import ChildShapes
from fitter.records import HandParams, TensorBatch

Rng = np.random.Generator
POSE, SECOND, APPEARANCE, GLOVE, CHILD, IMAGING, VARIED, RIG, VIEW = range(9)
"""Third number of a generator's seed: what it decides. What is new gets one of its own, so that
what was there before stays as it is."""
NEAREST = 0.1
"""Metres from the camera that another hand keeps."""
SHIFTS = np.arange(0.0, 0.4, 0.02)
"""Metres by which another hand is moved away until it is clear of the first."""


@dataclass(frozen=True)
class People:
    """Who there is.

    Attributes:
        model: of a right hand.
        appearances: coefficients of its skin.
        children: how children are shaped; None where there are none.
    """

    model: PoseModel
    appearances: int
    children: ChildShapes | None


def sample_specs(
    people: People,
    settings: SyntheticSettings,
    seed: int,
    indices: Sequence[int],
    placement: Placement | None = None,
) -> SampleSpecs:
    """Specs of the samples `indices` of the data set `seed`.

    Args:
        people: whose hands they are.
        settings: of the data set.
        seed, indices: non-negative; nothing else decides what a sample is.
        placement: where hands are, instead of where the samples' own cameras have them.

    Raises:
        RuntimeError: no natural pose in view was found in `ATTEMPTS` attempts.
    """
    model = people.model

    def streams(what: int) -> list[Rng]:
        return [np.random.default_rng([seed, index, what]) for index in indices]

    rngs = streams(APPEARANCE)
    hands = _first_hands(people, settings, (seed, indices), (rngs, streams(CHILD)), placement)
    appearance = [sample_skin(rng, people.appearances) for rng in rngs]
    arms = [sample_arm(rng, settings) for rng in rngs]
    wants_second = np.array([rng.random() < settings.second_hand_share for rng in rngs])
    second = _second_hands(model, hands, wants_second, settings, (seed, indices))
    pairs = list(zip(rngs, appearance, strict=True))
    other_skins = [sample_other_skin(rng, skin) for rng, skin in pairs]
    other_arms = [sample_other_arm(rng, arm, settings) for rng, arm in zip(rngs, arms, strict=True)]
    objects = [
        sample_objects(rng, hands, row, settings, bool(second.present[row]), varied)
        for row, (rng, varied) in enumerate(zip(rngs, streams(VARIED), strict=True))
    ]
    arms = _sized(arms, model.size(hands.params.betas))
    other_arms = _sized(other_arms, model.size(second.params.betas))
    gloves, other_gloves = _gloves(streams(GLOVE), settings, arms, other_arms)
    view = _view(model, hands, rngs)
    images = [
        {"light": sample_light(rng), "background": sample_backdrop(rng),
         "lens": sample_lens(rng, skin["appearance"][0])} for rng, skin in pairs
    ]  # fmt: skip
    distances = hands.points[..., 2].mean(dim=1).tolist()
    images = [
        image | sample_imaging(rng, settings.grey_share, distance, image)
        for rng, distance, image in zip(streams(IMAGING), distances, images, strict=True)
    ]

    def part(kind: type[Batch], name: str) -> Batch:
        return _stacked(kind, [image[name] for image in images])

    specs = SampleSpecs(
        index=torch.tensor(list(indices), dtype=torch.int64),
        mode=torch.tensor([c.mode for c in hands.candidates]),
        hand=hands.params,
        view=view,
        arm=_stacked(ArmSpec, arms),
        skin=_stacked(SkinSpec, appearance),
        glove=_stacked(GloveSpec, gloves),
        light=part(LightSpec, "light"),
        objects=_stacked(ObjectSpec, objects),
        second=SecondHandSpec(
            second.present,
            second.left,
            second.params,
            arm=_stacked(ArmSpec, other_arms),
            skin=_stacked(SkinSpec, other_skins),
            glove=_stacked(GloveSpec, other_gloves),
        ),
        background=part(BackgroundSpec, "background"),
        lens=part(LensSpec, "lens"),
        imaging=part(ImagingSpec, "imaging"),
    )
    return _rounded(specs)


def _sized(arms: list[dict], sizes: Tensor) -> list[dict]:
    """Arms as thick as hands of sizes (B,) want them."""
    return [arm | {"size": size} for arm, size in zip(arms, sizes.tolist(), strict=True)]


def _gloves(
    streams: list[Rng], settings: SyntheticSettings, arms: list[dict], other_arms: list[dict]
) -> tuple[list[dict], list[dict]]:
    """Gloves of the first hands and of the others."""
    share = settings.glove_share
    worn = [sample_glove(rng, share) for rng in streams]
    other = [sample_other_glove(rng, own, share) for rng, own in zip(streams, worn, strict=True)]
    return (
        [fitted(glove, arm) for glove, arm in zip(worn, arms, strict=True)],
        [fitted(glove, arm) for glove, arm in zip(other, other_arms, strict=True)],
    )


def _first_hands(
    people: People,
    settings: SyntheticSettings,
    source: tuple[int, Sequence[int]],
    streams: tuple[list[Rng], list[Rng]],
    placement: Placement | None,
) -> PosedHands:
    """The hands that the samples are about; `source` is the seed and the indices, `streams` are
    those of adults and of children."""
    seed, indices = source
    model, (rngs, child_rngs) = people.model, streams
    betas = np.stack([sample_adult(rng, model) for rng in rngs])
    for row, rng in enumerate(child_rngs):
        if people.children is not None and rng.random() < settings.child_share:
            betas[row] = sample_child(rng, people.children)
    modes = [sample_mode(rng) for rng in rngs]

    def sample(row: int, attempt: int) -> Candidate:
        generator = np.random.default_rng([seed, indices[row], POSE, attempt])
        # One shape in a thousand or two has no room for the fingers of its mode: it gets another.
        mode = modes[row] if attempt < MODE_ATTEMPTS else sample_mode(generator)
        candidate = sample_candidate(model, mode, settings.view, generator)
        if placement is not None:
            candidate = placement.placed(candidate, row, attempt, generator)
        return candidate

    def good(hands: PosedHands, rows: np.ndarray) -> np.ndarray:
        ok = is_good(model, hands)
        return ok if placement is None else ok & placement.sees(hands, rows)

    chosen, found = first_good(model, betas, sample, good)
    if not found.all():
        missing = [indices[row] for row in np.flatnonzero(~found).tolist()]
        raise RuntimeError(f"seed {seed}: no pose in view found for samples {missing}")
    return pose_candidates(model, [c for c in chosen if c is not None], betas)


def _rounded(record: Batch) -> Batch:
    """The same with float64 fields rounded to 9 decimals: a sum over a batch may be taken in
    another order than over a single sample, and its last bits are nobody's business."""

    def rounded(part: Any) -> Any:
        if isinstance(part, TensorBatch):
            return _rounded(part)
        return part.round(decimals=9) if part.dtype == torch.float64 else part

    return record.map(rounded)


_EXACT = {"centre", "axes"}
"""Fields that stay float64: places of objects."""


def _stacked(kind: type[Batch], rows: list[dict]) -> Batch:
    """A record of one dictionary a sample."""
    together: dict[str, Tensor] = {}
    for field in fields(kind):
        array = np.stack([np.asarray(row[field.name]) for row in rows])
        if array.dtype == np.float64 and field.name not in _EXACT:
            array = array.astype(np.float32)
        together[field.name] = torch.from_numpy(array)
    return kind(**together)


# ---- Camera and the other hand


def _view(model: PoseModel, hands: PosedHands, rngs: list[Rng]) -> ViewpointSpec:
    jitter = np.stack(
        [[np.exp(rng.uniform(np.log(1.3), np.log(2.2))), *rng.uniform(-0.8, 0.8, 2)]
         for rng in rngs]
    )  # fmt: skip
    K = full_intrinsics(hands.candidates)
    centre, side = crop_boxes(model, hands, K, jitter)
    egocentric = torch.tensor([c.egocentric for c in hands.candidates])
    return ViewpointSpec(K, centre, side, egocentric)


@dataclass(frozen=True)
class _SecondHands:
    """`present`, `left` and `hand` of a `SecondHandSpec`."""

    present: Tensor
    left: Tensor
    params: HandParams


def _second_hands(
    model: PoseModel,
    first: PosedHands,
    wanted: np.ndarray,
    settings: SyntheticSettings,
    source: tuple[int, Sequence[int]],
) -> _SecondHands:
    """Another hand beside, before or behind each first one where it is `wanted` (B,) bool."""
    rows = np.flatnonzero(wanted)
    seed, indices = source
    streams = {row: np.random.default_rng([seed, indices[row], SECOND]) for row in rows.tolist()}
    left = {row: bool(stream.random() < 0.8) for row, stream in streams.items()}
    same = {row: stream.random() < 0.75 for row, stream in streams.items()}
    shapes = {row: sample_adult(stream, model) for row, stream in streams.items()}
    betas = np.stack(
        [first.params.betas[row].numpy() if same[row] else shapes[row] for row in rows.tolist()]
    ) if len(rows) else np.zeros((0, model.shapes))  # fmt: skip
    whole_first = flesh(model, first, np.zeros(len(wanted), bool))
    placed: dict[int, HandParams] = {}

    def sample(number: int, attempt: int) -> Candidate:
        row = rows[number]
        generator = np.random.default_rng([seed, indices[row], SECOND, attempt])
        view = "egocentric" if first.candidates[row].egocentric else "third_person"
        candidate = sample_candidate(model, sample_mode(generator), view, generator)
        return replace(candidate, place=_beside(first, row, left[row], generator))

    def good(hands: PosedHands, numbers: np.ndarray) -> np.ndarray:
        own = rows[numbers]
        mirrored = np.array([left[row] for row in own], bool)
        ok = is_good(model, hands)
        shift = _clear_of(whole_first[0][own], flesh(model, hands, mirrored), hands, mirrored)
        for k, row in enumerate(own):
            step = shift[k]
            if ok[k] and step is not None and row not in placed:
                moved = hands.params[k : k + 1]
                placed[row] = replace(moved, transl=moved.transl + step)
        return np.array([row in placed for row in own], bool)

    first_good(model, betas, sample, good, attempts=12)
    empty = first.params.map(torch.clone)
    for row, params in placed.items():
        for field in fields(params):
            getattr(empty, field.name)[row] = getattr(params, field.name)[0]
    batch = len(wanted)
    present = torch.tensor([row in placed for row in range(batch)])
    is_left = torch.tensor([left.get(row, False) for row in range(batch)])
    return _SecondHands(present, is_left, empty)


def _beside(first: PosedHands, row: int, left: bool, generator: Rng) -> np.ndarray:
    """(3,) where another hand's middle starts from, mirrored for a left one."""
    points = first.points[row].numpy()
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    side = -1.0 if left else 1.0
    if generator.random() < 0.2:
        side = -side
    offset = np.array([side * generator.uniform(0.3, 1.0), *generator.normal(0, [0.4, 0.45])])
    place = middle + generator.uniform(0.05, 0.12) * offset / np.linalg.norm(offset)
    return place * [-1.0, 1.0, 1.0] if left else place


def _clear_of(
    first: Tensor, second: tuple[Tensor, Tensor], hands: PosedHands, mirrored: np.ndarray
) -> list[Tensor | None]:
    """The least of `SHIFTS` away from the first hands' spheres (N, S, 3) that leaves a gap."""
    centres, radii = second
    middle = 0.5 * (first.amin(dim=1) + first.amax(dim=1))
    own = 0.5 * (centres.amin(dim=1) + centres.amax(dim=1))
    direction = torch.nn.functional.normalize(own - middle, dim=1)
    result: list[Tensor | None] = [None] * len(first)
    for k in range(len(first)):
        for shift in SHIFTS:
            moved = centres[k] + shift * direction[k]
            gap = torch.cdist(moved, first[k]) - radii[:, None] - radii
            if float(gap.min()) > 0.0:
                if float(moved[:79, 2].min()) > NEAREST:
                    sign = torch.tensor([-1.0 if mirrored[k] else 1.0, 1, 1], dtype=torch.float64)
                    result[k] = shift * direction[k] * sign
                break
    return result
