"""Random skins: pigment, blood and structure of a person, and the reflectance they give.

Colour is additive in the logarithm of the reflectance, with one direction for melanin and one for
haemoglobin (the idea of Tsumura et al., "Image-based skin color and texture analysis/synthesis by
extracting hemoglobin and melanin information in the skin", SIGGRAPH 2003). The directions and
amounts are this project's own: they lead through the tones of the example images and some way
beyond them. They are a model of people, not a measured sample of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from example_skin import to_linear
from open_hand_skin import SkinLayers

MELANIN = np.array([0.76, 0.92, 1.0])
"""Density (-log reflectance) of linear RGB for each unit of melanin."""
HAEMOGLOBIN = np.array([0.10, 0.90, 1.0])
CAROTENE = np.array([0.02, 0.14, 0.60])
BARE = np.log(to_linear((228, 186, 161)))
"""Log reflectance of the back of a hand with melanin 0."""
BARE_PALM = np.log(to_linear((235, 190, 170)))
DARKEST = 3.0
"""Melanin of the darkest backs; the example images' "fair" is about 0.1, their "dark" 2.45."""
PALM_SHARE = 0.43
"""Melanin of the palm as a share of the back's."""
VEIN = np.array([0.17, 0.075, 0.05])
"""Density of a vein: it takes red first, which makes it look blue-green."""
CREASE = np.array([0.42, 0.62, 0.70])
"""Density of a deep crease: light that enters it is tinted by the flesh around."""
NAIL_BED = to_linear((236, 178, 164))
FREE_EDGE = to_linear((232, 218, 200))


@dataclass(frozen=True)
class Person:
    """What varies from skin to skin; every number is a scalar.

    Attributes:
        melanin: of the back, 0 to `DARKEST`; palm_melanin: of the palm.
        redness: haemoglobin everywhere, 0 on average; carotene: yellow, 0 on average.
        palm_redness, knuckle_redness, tip_redness, blotches: haemoglobin of these places.
        knuckle_pigment: melanin on the backs of the joints.
        palm_lines, back_lines, veins, mottling, grain, freckles: strength of these layers.
        nail_pink: share of the nail bed's own colour; edge: strength of the free edge;
            nail_light: log brightness of the nails.
    """

    melanin: float
    palm_melanin: float
    redness: float
    carotene: float
    palm_redness: float
    knuckle_redness: float
    tip_redness: float
    blotches: float
    knuckle_pigment: float
    palm_lines: float
    back_lines: float
    veins: float
    mottling: float
    grain: float
    freckles: float
    nail_pink: float
    edge: float
    nail_light: float

    def without_speckle(self) -> Person:
        """The same person without the random patterns that no other person has."""
        return replace(self, mottling=0.0, grain=0.0, freckles=0.0, blotches=0.0)


def sample_person(generator: np.random.Generator) -> Person:
    """A random person, from very light to very dark with about the same share of each."""

    def about(mean: float, std: float) -> float:
        return float(np.clip(generator.normal(mean, std), mean - 2.5 * std, None))

    def strength(mean: float, std: float) -> float:
        return float(mean * np.exp(generator.normal(0, std)))

    melanin = float(generator.uniform(0, DARKEST))
    return Person(
        melanin=melanin,
        palm_melanin=melanin * PALM_SHARE * strength(1.0, 0.2),
        redness=about(0.0, 0.12),
        carotene=about(0.0, 0.16),
        palm_redness=about(0.08, 0.10),
        knuckle_redness=strength(0.16, 0.45),
        tip_redness=strength(0.15, 0.5),
        blotches=strength(0.06, 0.5),
        knuckle_pigment=strength(0.05 + 0.06 * melanin, 0.6),
        palm_lines=strength(0.75 + 0.1 * melanin, 0.35),
        back_lines=strength(1.0, 0.4),
        veins=strength(0.9, 0.6) * (1 - 0.2 * melanin),
        mottling=strength(0.035, 0.4),
        grain=strength(0.03, 0.4),
        freckles=float(generator.exponential(0.08)) * (melanin < 1.5),
        nail_pink=float(generator.uniform(0.25, 0.6)),
        edge=float(generator.uniform(0.3, 0.85)),
        nail_light=about(0.05, 0.10),
    )


def paint(person: Person, layers: SkinLayers) -> np.ndarray:
    """Reflectance (M, 3), linear RGB, of a person's skin."""

    def column(values: np.ndarray) -> np.ndarray:
        return values[:, None]

    palm = layers.palm
    melanin = person.melanin * (1 - palm) + person.palm_melanin * palm
    melanin = melanin + person.knuckle_pigment * layers.knuckles * (1 - palm)
    melanin = melanin + person.freckles * layers.freckles
    melanin = melanin * (1 + person.mottling * layers.coarse) + person.grain * layers.fine
    blood = person.redness + person.palm_redness * palm * (1 - layers.arm)
    blood = blood + person.knuckle_redness * layers.knuckles + person.tip_redness * layers.tips
    blood = blood + person.blotches * layers.blood + 0.8 * person.mottling * layers.coarse
    lines = person.palm_lines * layers.palm_lines + person.back_lines * layers.back_lines
    density = column(melanin) * MELANIN + column(blood) * HAEMOGLOBIN
    density = density + column(person.veins * layers.veins) * VEIN + column(lines) * CREASE
    density = density + person.carotene * CAROTENE
    bare = BARE * column(1 - palm) + BARE_PALM * column(palm)
    return _with_nails(np.exp(bare - density), person, layers)


def _with_nails(skin: np.ndarray, person: Person, layers: SkinLayers) -> np.ndarray:
    """Nails show the flesh below them, with less pigment than the skin around."""
    shade = 0.5 * (person.melanin + person.palm_melanin)
    flesh = np.exp(
        BARE_PALM
        - shade * MELANIN
        - (person.redness + 0.5 * person.tip_redness + 0.1) * HAEMOGLOBIN
        - person.carotene * CAROTENE
    )
    light = np.exp(person.nail_light)
    pink = NAIL_BED * np.exp(-0.75 * shade * MELANIN)
    nail = light * ((1 - person.nail_pink) * flesh + person.nail_pink * pink)
    nail = nail * (1 + 0.25 * layers.lunula[:, None])
    edge = 0.3 * nail + 0.7 * FREE_EDGE * np.exp(-0.35 * shade)
    share = layers.nail[:, None]
    mixed = skin * (1 - share) + nail * share
    share = person.edge * layers.edge[:, None]
    return np.clip(mixed * (1 - share) + edge * share, 0.002, 0.95)
