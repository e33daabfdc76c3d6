"""Everything random about samples, drawn from generators seeded by (seed, index) alone."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.objects import GRASPS, no_object, sample_grasp, sample_occluder
from datasets.synthetic.poses import (
    MODE_ATTEMPTS,
    Candidate,
    PosedHands,
    PoseModel,
    crop_boxes,
    first_good,
    flesh,
    full_intrinsics,
    is_good,
    pose_candidates,
    sample_candidate,
    sample_mode,
    sample_shape,
)
from datasets.synthetic.records import (
    FOLDS,
    LIGHTS,
    ArmSpec,
    BackgroundSpec,
    LensSpec,
    LightSpec,
    ObjectSpec,
    SampleSpecs,
    SecondHandSpec,
    SkinSpec,
    SyntheticSettings,
    ViewpointSpec,
)
from fitter.records import HandParams, TensorBatch

Rng = np.random.Generator
POSE, SECOND, LOOK = 0, 1, 2
"""Third number of a generator's seed: what it draws."""
NEAREST = 0.1
"""Metres from the camera that another hand keeps."""
SHIFTS = np.arange(0.0, 0.4, 0.02)
"""Metres by which another hand is moved away until it is clear of the first."""


def sample_specs(
    model: PoseModel,
    appearance_count: int,
    settings: SyntheticSettings,
    seed: int,
    indices: Sequence[int],
) -> SampleSpecs:
    """Specs of the samples `indices` of the data set `seed`.

    Args:
        model: of a right hand.
        appearance_count: coefficients of its skin.
        settings: of the data set.
        seed, indices: non-negative; nothing else decides what a sample is.

    Raises:
        RuntimeError: no natural pose in sight was found in `ATTEMPTS` draws.
    """
    looks = [np.random.default_rng([seed, index, LOOK]) for index in indices]
    hands = _first_hands(model, settings, (seed, indices), looks)
    appearance = [_skin(look, appearance_count) for look in looks]
    arms = [_arm(look, settings) for look in looks]
    wants_second = np.array([look.random() < settings.second_hand_share for look in looks])
    second = _second_hands(model, hands, wants_second, settings, (seed, indices))
    pairs = list(zip(looks, appearance, strict=True))
    other_skins = [_other(look, skin) for look, skin in pairs]
    other_arms = [_other_arm(look, arm, settings) for look, arm in zip(looks, arms, strict=True)]
    second = replace(
        second, skin=_stacked(SkinSpec, other_skins), arm=_stacked(ArmSpec, other_arms)
    )
    objects = [
        _objects(look, hands, row, settings, bool(second.present[row]))
        for row, look in enumerate(looks)
    ]
    specs = SampleSpecs(
        index=torch.tensor(list(indices), dtype=torch.int64),
        mode=torch.tensor([c.mode for c in hands.candidates]),
        hand=hands.params,
        view=_view(model, hands, looks),
        arm=_stacked(ArmSpec, arms),
        skin=_stacked(SkinSpec, appearance),
        light=_stacked(LightSpec, [_light(look) for look in looks]),
        objects=_stacked(ObjectSpec, objects),
        second=second,
        background=_stacked(BackgroundSpec, [_background(look) for look in looks]),
        lens=_stacked(LensSpec, [_lens(look, skin["appearance"][0]) for look, skin in pairs]),
    )
    return _rounded(specs)


def _first_hands(
    model: PoseModel,
    settings: SyntheticSettings,
    source: tuple[int, Sequence[int]],
    looks: list[Rng],
) -> PosedHands:
    """The hands that the samples are about; `source` is the seed and the indices."""
    seed, indices = source
    betas = np.stack([sample_shape(look, model.shapes) for look in looks])
    modes = [sample_mode(look) for look in looks]

    def draw(row: int, attempt: int) -> Candidate:
        generator = np.random.default_rng([seed, indices[row], POSE, attempt])
        # One shape in a thousand or two has no room for the fingers of its mode: it gets another.
        mode = modes[row] if attempt < MODE_ATTEMPTS else sample_mode(generator)
        return sample_candidate(model, mode, settings.view, generator)

    chosen, found = first_good(
        model,
        betas,
        draw,
        lambda hands, rows: is_good(model, hands),
    )
    if not found.all():
        missing = [indices[row] for row in np.flatnonzero(~found)]
        raise RuntimeError(f"seed {seed}: no pose in sight found for samples {missing}")
    return pose_candidates(model, [c for c in chosen if c is not None], betas)


def _rounded(record: TensorBatch) -> TensorBatch:
    """The same with float64 fields rounded to 9 decimals: a sum over a batch may be taken in
    another order than over a single sample, and its last bits are nobody's business."""

    def rounded(part: Tensor | TensorBatch) -> Tensor | TensorBatch:
        if isinstance(part, TensorBatch):
            return _rounded(part)
        return part.round(decimals=9) if part.dtype == torch.float64 else part

    return record.map(rounded)


_EXACT = {"centre", "axes"}
"""Fields that stay float64: places of objects."""


def _stacked(kind: type[TensorBatch], rows: list[dict]) -> TensorBatch:
    """A record of one dictionary a sample."""
    together: dict[str, Tensor] = {}
    for field in fields(kind):
        array = np.stack([np.asarray(row[field.name]) for row in rows])
        if array.dtype == np.float64 and field.name not in _EXACT:
            array = array.astype(np.float32)
        together[field.name] = torch.from_numpy(array)
    return kind(**together)


# ---- Camera and the other hand


def _view(model: PoseModel, hands: PosedHands, looks: list[Rng]) -> ViewpointSpec:
    jitter = np.stack(
        [[np.exp(look.uniform(np.log(1.3), np.log(2.2))), *look.uniform(-0.8, 0.8, 2)]
         for look in looks]
    )  # fmt: skip
    K = full_intrinsics(hands.candidates)
    centre, side = crop_boxes(model, hands, K, jitter)
    egocentric = torch.tensor([c.egocentric for c in hands.candidates])
    return ViewpointSpec(K, centre, side, egocentric)


def _second_hands(
    model: PoseModel,
    first: PosedHands,
    wanted: np.ndarray,
    settings: SyntheticSettings,
    source: tuple[int, Sequence[int]],
) -> SecondHandSpec:
    """Another hand beside, before or behind each first one where it is `wanted` (B,) bool; `skin`
    and `arm` are still to be filled in."""
    rows = np.flatnonzero(wanted)
    seed, indices = source
    draws = {row: np.random.default_rng([seed, indices[row], SECOND]) for row in rows}
    left = {row: bool(draw.random() < 0.8) for row, draw in draws.items()}
    same = {row: draw.random() < 0.75 for row, draw in draws.items()}
    shapes = {row: sample_shape(draw, model.shapes) for row, draw in draws.items()}
    betas = np.stack(
        [first.params.betas[row].numpy() if same[row] else shapes[row] for row in rows]
    ) if len(rows) else np.zeros((0, model.shapes))  # fmt: skip
    whole_first = flesh(model, first, np.zeros(len(wanted), bool))
    placed: dict[int, HandParams] = {}

    def draw(number: int, attempt: int) -> Candidate:
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
            if ok[k] and shift[k] is not None and row not in placed:
                moved = hands.params[k : k + 1]
                placed[row] = replace(moved, transl=moved.transl + shift[k])
        return np.array([row in placed for row in own], bool)

    first_good(model, betas, draw, good, attempts=12)
    empty = first.params.map(torch.clone)
    for row, params in placed.items():
        for field in fields(params):
            getattr(empty, field.name)[row] = getattr(params, field.name)[0]
    batch = len(wanted)
    present = torch.tensor([row in placed for row in range(batch)])
    is_left = torch.tensor([left.get(row, False) for row in range(batch)])
    nothing = HandParams(*(torch.zeros(batch, 1) for _ in range(4)))
    return SecondHandSpec(present, is_left, empty, nothing, nothing)


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


# ---- Skin, cloth, things


def _skin(rng: Rng, count: int) -> dict:
    appearance = rng.normal(0, 0.8, count).clip(-1.8, 1.8)
    # The first component is from dark to light: as many of the one as of the other.
    appearance[0] = rng.uniform(-1.6, 1.8)
    gloss = [rng.uniform(0.1, 0.7), rng.uniform(0.0, 0.35) ** 1.5]
    return {"appearance": appearance, "gloss": gloss, "scatter": rng.uniform(0.05, 0.35)}


def _other(rng: Rng, skin: dict) -> dict:
    """Skin of the other hand: mostly of the same person."""
    other = _skin(rng, len(skin["appearance"]))
    return skin if rng.random() < 0.75 else other


def _colour(rng: Rng) -> tuple[float, ...]:
    grey = rng.random() < 0.25
    return colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0, 0.08) if grey else rng.uniform(0.1, 0.85), rng.uniform(0.1, 1)
    )


def _arm(rng: Rng, settings: SyntheticSettings) -> dict:
    bare = rng.random() < settings.bare_share
    cuff = rng.uniform(0.0, 0.1)
    folds = np.stack(
        [rng.uniform(40, 130, FOLDS), rng.integers(1, 4, FOLDS).astype(float),
         *rng.uniform(0, 2 * np.pi, (2, FOLDS))],
        axis=1,
    )  # fmt: skip
    share = rng.uniform(0.3, 1.0) * (rng.random() < 0.45)
    return {
        "bend": rng.normal(0, 0.22),
        "deviation": rng.normal(0, 0.12),
        "girth": rng.normal(1, 0.08),
        "cuff": 1.0 if bare else cuff,
        "slack": rng.uniform(0.002, 0.008),
        "folds": folds,
        "colours": [_colour(rng), _colour(rng)],
        "pattern": [
            share,
            rng.uniform(15, 90) * (rng.random() < 0.8),
            rng.integers(4, 16) * (rng.random() < 0.4),
        ],
    }


def _other_arm(rng: Rng, arm: dict, settings: SyntheticSettings) -> dict:
    own = _arm(rng, settings)
    return {
        **own,
        "cuff": arm["cuff"],
        **({key: arm[key] for key in ("colours", "pattern")} if rng.random() < 0.75 else {}),
    }


def _objects(
    rng: Rng, hands: PosedHands, row: int, settings: SyntheticSettings, second: bool
) -> dict:
    """The object in the grasp, where the pose holds one, and the one in front."""
    points, mode = hands.points[row].numpy(), hands.candidates[row].mode
    holds, floats = rng.random(2) < [settings.object_share, settings.occluder_share]
    grasp = sample_grasp(rng, points, mode) if mode in GRASPS else no_object(points)
    front = sample_occluder(rng, points)
    colours = [[_colour(rng), _colour(rng)] for _ in range(2)]
    # Where two hands meet there is no room for a third thing.
    grasp["present"] = bool(grasp["present"] and holds and not second)
    front["present"] = bool(front["present"] and floats)
    joined = {key: np.stack([grasp[key], front[key]]) for key in grasp}
    return {**joined, "colours": colours}


# ---- Light, background, lens


def _light(rng: Rng) -> dict:
    """A key light from above or the side, perhaps others, a sky and a ground (camera axes)."""
    directions, colours = np.zeros((LIGHTS, 3)), np.zeros((LIGHTS, 3))
    warmth = rng.uniform(-0.5, 1.0)
    tint = np.array([1 + 0.12 * warmth, 1.0, 1 - 0.2 * warmth])
    azimuth, height = rng.uniform(-2.4, 2.4), rng.uniform(-0.98, 0.25)
    for light in range(LIGHTS):
        ring = np.sqrt(1 - height**2)
        directions[light] = ring * np.sin(azimuth), height, -ring * np.cos(azimuth)
        strength = rng.uniform(0.45, 1.35) if light == 0 else rng.uniform(0.05, 0.5)
        present = light == 0 or rng.random() < 0.5
        colours[light] = present * strength * tint * rng.uniform(0.92, 1.08, 3)
        azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(-0.95, 0.4)
    sky = rng.uniform(0.2, 0.55) * np.array([1, 1.03, 1.1]) * (2 - tint)
    ground = rng.uniform(0.1, 0.32) * np.array([1.08, 1.0, 0.92]) * rng.uniform(0.9, 1.1, 3)
    up = np.array([0, -1.0, 0]) + rng.normal(0, 0.3, 3)
    casts = rng.random() < 0.4
    shift = -directions[0, :2] * rng.uniform(0.02, 0.2) + rng.normal(0, 0.02, 2)
    return {
        "toward": directions,
        "colour": colours,
        "softness": rng.uniform(0.002, 0.012),
        "sky": sky,
        "ground": ground,
        "up": up / np.linalg.norm(up),
        "cast": [*shift, casts * rng.uniform(0.15, 0.6)],
    }


def _background(rng: Rng) -> dict:
    half = np.exp(rng.uniform(np.log(0.12), np.log(0.5), 2))
    centre = half[:, None] + (1 - 2 * half[:, None]) * rng.random((2, 2))
    turn = rng.normal(0, 0.25, 2) + np.pi / 2 * rng.integers(0, 4, 2) * (rng.random(2) < 0.3)
    angle = rng.uniform(0, 2 * np.pi)
    two = rng.random() < 0.35
    reach = rng.uniform(-0.3, 0.4) if two else 2.0
    gain = rng.uniform(0.5, 1.3, (2, 1)) * rng.uniform(0.85, 1.15, (2, 3))
    return {
        "picture": rng.random(2),
        "window": np.concatenate([centre, half[:, None], turn[:, None]], axis=1),
        "gain": gain,
        "edge": [np.cos(angle), np.sin(angle), reach],
        "noise": rng.uniform(0.0, 0.25),
        "noise_shift": rng.integers(0, 512, 2),
    }


def _lens(rng: Rng, lightness: float) -> dict:
    """`lightness` is the skin's first coefficient: a camera exposes dark hands longer."""
    angle = rng.uniform(0, np.pi)
    moved = rng.uniform(0.0, 0.02) * (rng.random() < 0.3)
    return {
        "exposure": np.exp(rng.normal(0.2, 0.2) - 0.2 * min(lightness, 0.5)),
        "balance": np.exp(rng.normal(0, 0.03, 3)),
        "vignette": rng.uniform(0, 0.25),
        "blur": rng.uniform(0.0015, 0.0045) + rng.exponential(0.0012),
        "motion": [moved * np.cos(angle), moved * np.sin(angle)],
        "noise": [rng.uniform(0.2, 2.5), rng.uniform(0.0, 3.5)],
        "noise_shift": rng.integers(0, 512, 2),
        "quality": rng.uniform(55, 98),
        "contrast": np.exp(rng.normal(0.03, 0.08)),
    }
