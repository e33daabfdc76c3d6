"""Gloves: what kind, of what colour, how thick; drawn from a generator of their own."""

from __future__ import annotations

import colorsys

import numpy as np

from datasets.synthetic.records import KNIT

Rng = np.random.Generator
SAME_GLOVE = 0.9
"""Probability that the other hand wears what the first one does, if that wears a glove."""
LATEX_COLOURS = (
    (0.20, 0.38, 0.78), (0.33, 0.55, 0.86), (0.08, 0.08, 0.09), (0.93, 0.92, 0.88),
    (0.90, 0.86, 0.74), (0.42, 0.30, 0.68), (0.25, 0.62, 0.45), (0.95, 0.80, 0.20),
    (0.90, 0.45, 0.62), (0.85, 0.35, 0.12),
)  # fmt: skip
"""sRGB: nitrile's blues and black, latex white and natural, household gloves."""
LEATHER_COLOURS = (
    (0.10, 0.09, 0.09), (0.28, 0.17, 0.10), (0.45, 0.28, 0.15), (0.72, 0.55, 0.34),
    (0.82, 0.72, 0.55), (0.55, 0.12, 0.10), (0.36, 0.36, 0.38),
)  # fmt: skip


def no_glove() -> dict:
    """Fields of a `GloveSpec` row of a bare hand."""
    return {
        "present": False,
        "kind": KNIT,
        "thickness": 0.0,
        "wrinkles": 0.0,
        "cuff": 0.0,
        "flare": 0.0,
        "fingerless": False,
        "colours": np.zeros((2, 3)),
        "sheer": 0.0,
        "texture": np.ones(3),
        "bands": np.zeros(2),
        "coat": np.array([-2.0, 0.0]),
        "phase": np.zeros((3, 3)),
        "gloss": np.zeros(2),
    }


def sample_glove(rng: Rng, share: float) -> dict:
    """A row of `GloveSpec`: in `share` of the cases a glove, of any kind equally often."""
    if rng.random() >= share:
        return no_glove()
    kind = int(rng.integers(4))
    row = no_glove() | {
        "present": True,
        "kind": kind,
        "phase": np.concatenate([rng.normal(0, 1, (2, 3)), rng.uniform(0, 6.3, (1, 3))]),
    }
    return row | (_knit, _latex, _leather, _work)[kind](rng)


def _dyed(rng: Rng) -> tuple[float, ...]:
    """sRGB of wool, cotton or rubber."""
    if rng.random() < 0.45:
        grey = rng.choice([0.07, 0.12, 0.3, 0.5, 0.75, 0.93]) * rng.uniform(0.9, 1.07)
        return (min(grey, 1.0),) * 3
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.9))


def _knit(rng: Rng) -> dict:
    coarse = rng.uniform(0.0015, 0.0045)
    striped = rng.random() < 0.35
    return {
        "thickness": rng.uniform(0.0007, 0.0022),
        "cuff": rng.uniform(0.0, 0.07),
        "fingerless": rng.random() < 0.15,
        "colours": [_dyed(rng), _dyed(rng)],
        "texture": [coarse, coarse * rng.uniform(0.8, 1.4), rng.uniform(0.15, 0.5)],
        "bands": [rng.uniform(0.008, 0.03) if striped else 0.0, rng.uniform(0.003, 0.012)],
        "gloss": [0.05, 0.0],
    }


def _latex(rng: Rng) -> dict:
    colour = np.array(LATEX_COLOURS[rng.integers(len(LATEX_COLOURS))]) * rng.uniform(0.85, 1.07, 3)
    pale = colour.min() > 0.6
    return {
        "thickness": rng.uniform(0.0001, 0.0006),
        "wrinkles": rng.uniform(0.0, 0.0005),
        "cuff": rng.uniform(0.0, 0.09),
        "colours": [colour.clip(0, 1)] * 2,
        "sheer": rng.uniform(0.0, 0.4) if pale else rng.uniform(0.0, 0.08),
        "texture": [rng.uniform(0.01, 0.03), rng.uniform(0.01, 0.03), rng.uniform(0.02, 0.1)],
        "bands": [0.0, rng.uniform(0.001, 0.003)],
        "gloss": [rng.uniform(0.5, 1.3), rng.uniform(0.1, 0.8)],
    }


def _leather(rng: Rng) -> dict:
    colour = np.array(LEATHER_COLOURS[rng.integers(len(LEATHER_COLOURS))]) * rng.uniform(
        0.8, 1.15, 3
    )
    return {
        "thickness": rng.uniform(0.0006, 0.002),
        "wrinkles": rng.uniform(0.0002, 0.0009),
        "cuff": rng.uniform(-0.01, 0.06),
        "fingerless": rng.random() < 0.12,
        "colours": [colour.clip(0, 1), (colour * rng.uniform(0.5, 1.3)).clip(0, 1)],
        "texture": [rng.uniform(0.006, 0.02), rng.uniform(0.006, 0.02), rng.uniform(0.1, 0.35)],
        "bands": [0.0, rng.uniform(0.003, 0.012)],
        "gloss": [rng.uniform(0.2, 0.9), rng.uniform(0.0, 0.3)],
    }


def _work(rng: Rng) -> dict:
    """A gardener's or builder's: knitted or canvas, mostly with a coat on palm and fingertips."""
    coated = rng.random() < 0.75
    coarse = rng.uniform(0.0012, 0.003)
    return {
        "thickness": rng.uniform(0.0012, 0.003),
        "wrinkles": rng.uniform(0.0003, 0.0014),
        "cuff": rng.uniform(0.0, 0.11),
        "flare": rng.uniform(0.003, 0.02) * (rng.random() < 0.4),
        "colours": [_dyed(rng), _dyed(rng)],
        "texture": [coarse, coarse, rng.uniform(0.05, 0.3)],
        "bands": [0.0, rng.uniform(0.004, 0.02)],
        "coat": [rng.uniform(-0.35, 0.35) if coated else -2.0, rng.uniform(0.0, 0.25)],
        "gloss": [rng.uniform(0.05, 0.5), 0.0],
    }


def sample_other_glove(rng: Rng, glove: dict, share: float) -> dict:
    """The other hand's: mostly the same as the first one's."""
    own = sample_glove(rng, share)
    return glove if rng.random() < SAME_GLOVE else own


def fitted(glove: dict, arm: dict) -> dict:
    """A glove under or over the sleeve of an arm: only a bare arm lets a cuff flare."""
    return glove if arm["cuff"] > 0.5 else glove | {"flare": 0.0}
