"""Skin, cloth, things, light, background and lens of one sample: rows of their specs.

Every function takes the generator that decides, and returns the fields of a spec of
`datasets.synthetic.records` without the batch.
"""

from __future__ import annotations

import colorsys

import numpy as np

from datasets.synthetic.objects import (
    GRASPS,
    more_varied,
    no_object,
    sample_grasp,
    sample_occluder,
)
from datasets.synthetic.poses import PosedHands
from datasets.synthetic.records import FOLDS, LIGHTS
from datasets.synthetic.settings import SyntheticSettings

Rng = np.random.Generator


def sample_skin(rng: Rng, count: int) -> dict:
    """Skin of somebody: `count` coefficients of appearance, gloss, scatter."""
    appearance = rng.normal(0, 0.8, count).clip(-1.8, 1.8)
    # The first component is from dark to light: as many of the one as of the other.
    appearance[0] = rng.uniform(-1.6, 1.8)
    gloss = [rng.uniform(0.1, 0.7), rng.uniform(0.0, 0.35) ** 1.5]
    return {"appearance": appearance, "gloss": gloss, "scatter": rng.uniform(0.05, 0.35)}


def sample_other_skin(rng: Rng, skin: dict) -> dict:
    """Skin of the other hand: mostly of the same person."""
    other = sample_skin(rng, len(skin["appearance"]))
    return skin if rng.random() < 0.75 else other


def _colour(rng: Rng) -> tuple[float, ...]:
    grey = rng.random() < 0.25
    return colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0, 0.08) if grey else rng.uniform(0.1, 0.85), rng.uniform(0.1, 1)
    )


def sample_arm(rng: Rng, settings: SyntheticSettings) -> dict:
    """A forearm, bare or in a sleeve."""
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
        "size": 1.0,
    }


def sample_other_arm(rng: Rng, arm: dict, settings: SyntheticSettings) -> dict:
    """The other hand's arm: its sleeve as long, mostly of the same cloth."""
    own = sample_arm(rng, settings)
    return {
        **own,
        "cuff": arm["cuff"],
        **({key: arm[key] for key in ("colours", "pattern")} if rng.random() < 0.75 else {}),
    }


def sample_objects(
    rng: Rng, hands: PosedHands, row: int, settings: SyntheticSettings, second: bool, varied: Rng
) -> dict:
    """The object in the grasp, where the pose holds one, and the one in front.

    `varied` decides which things in the grasp are of more shapes, and of which.
    """
    points, mode = hands.points[row].numpy(), hands.candidates[row].mode
    holds, floats = rng.random(2) < [settings.object_share, settings.occluder_share]
    grasp = sample_grasp(rng, points, mode) if mode in GRASPS else no_object(points)
    if varied.random() < settings.varied_object_share:
        grasp = more_varied(varied, grasp, mode)
    front = sample_occluder(rng, points)
    colours = [[_colour(rng), _colour(rng)] for _ in range(2)]
    # Where two hands meet there is no room for a third thing.
    grasp["present"] = bool(grasp["present"] and holds and not second)
    front["present"] = bool(front["present"] and floats)
    joined = {key: np.stack([grasp[key], front[key]]) for key in grasp}
    return {**joined, "colours": colours}


def sample_light(rng: Rng) -> dict:
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


def sample_backdrop(rng: Rng) -> dict:
    """Two windows into the bank, and the border between them."""
    half = np.exp(rng.uniform(np.log(0.12), np.log(0.5), 2))
    centre = half[:, None] + (1 - 2 * half[:, None]) * rng.random((2, 2))
    rotation = rng.normal(0, 0.25, 2) + np.pi / 2 * rng.integers(0, 4, 2) * (rng.random(2) < 0.3)
    angle = rng.uniform(0, 2 * np.pi)
    two = rng.random() < 0.35
    reach = rng.uniform(-0.3, 0.4) if two else 2.0
    gain = rng.uniform(0.5, 1.3, (2, 1)) * rng.uniform(0.85, 1.15, (2, 3))
    return {
        "picture": rng.random(2),
        "window": np.concatenate([centre, half[:, None], rotation[:, None]], axis=1),
        "gain": gain,
        "edge": [np.cos(angle), np.sin(angle), reach],
        "noise": rng.uniform(0.0, 0.25),
        "noise_shift": rng.integers(0, 512, 2),
    }


def sample_lens(rng: Rng, lightness: float) -> dict:
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
