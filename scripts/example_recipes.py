"""What each example image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from example_geometry import ArmStyle
from example_light import LightStyle
from example_skin import ClothStyle, SkinTone

from fitter.hand_models.anatomy import THUMB_PRONATION, finger_joints
from fitter.records import Side

TONES = {
    "fair": SkinTone((224, 180, 154), (233, 188, 168), (0.97, 0.76, 0.74)),
    "light": SkinTone((210, 162, 130), (224, 176, 150), (0.95, 0.75, 0.72)),
    "tan": SkinTone((186, 134, 98), (214, 160, 130), (0.93, 0.75, 0.70)),
    "brown": SkinTone((142, 94, 66), (192, 138, 112), (0.90, 0.74, 0.70)),
    "dark": SkinTone((98, 64, 48), (172, 120, 98), (0.86, 0.76, 0.74)),
}

LIGHTS = {
    "day": LightStyle(
        (-0.7, -0.75, -0.65), (1.0, 0.94, 0.85), 0.36, (0.44, 0.48, 0.55), (0.22, 0.19, 0.16),
        (0.22, 0.24, 0.28),
    ),
    "window": LightStyle(
        (0.85, -0.55, -0.5), (1.15, 1.12, 1.08), 0.4, (0.38, 0.41, 0.46), (0.2, 0.18, 0.16),
        (0.15, 0.15, 0.16),
    ),
    "garden": LightStyle(
        (-0.5, -0.9, -0.35), (1.05, 0.98, 0.82), 0.25, (0.52, 0.60, 0.66), (0.22, 0.26, 0.16),
        (0.3, 0.32, 0.24),
    ),
    "evening": LightStyle(
        (0.6, -0.5, -0.8), (1.15, 0.94, 0.68), 0.36, (0.30, 0.30, 0.36), (0.2, 0.16, 0.14),
        (0.2, 0.26, 0.4),
    ),
    "above": LightStyle(
        (-0.35, -0.6, -0.9), (0.95, 0.92, 0.88), 0.42, (0.44, 0.46, 0.49), (0.22, 0.19, 0.17),
        (0.1, 0.1, 0.1),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class HandRecipe:
    """One hand. Angles in degrees; what is said of a left hand is said of its mirror image.

    Attributes:
        side: which hand.
        fingers: flexion of MCP and PIP and abduction of index, middle, ring and little finger.
        thumb: palmar and ulnar swing of the metacarpal, pronation, flexion of MCP and IP (the
            quantities of `datasets.poses.sampler`).
        rotation: yaw, pitch, roll of a hand that faces the camera with its palm, fingers up: yaw of
            180 shows the back, pitch leans the fingers, roll turns the image.
        place: x and y in pixels of the image where the hand's middle is, depth in metres.
    """

    side: Side
    fingers: tuple[tuple[float, float, float], ...]
    thumb: tuple[float, float, float, float, float]
    rotation: tuple[float, float, float]
    place: tuple[float, float, float]
    tone: SkinTone
    arm: ArmStyle
    cloth: ClothStyle

    def angles(self) -> np.ndarray:
        """(15, 3) flexion, abduction, twist in degrees, joints in MANO's order."""
        angles = np.zeros((15, 3))
        names = ("index", "middle", "ring", "little")
        for name, (mcp, pip, abduction) in zip(names, self.fingers, strict=True):
            # The last joint follows the middle one by two thirds (Lin et al., HUMO 2000).
            angles[finger_joints(name), 0] = (mcp, pip, 2 / 3 * pip)
            angles[finger_joints(name).start, 1] = abduction
        palmar, ulnar, pronation, mcp, ip = self.thumb
        cos, sin = np.cos(THUMB_PRONATION), np.sin(THUMB_PRONATION)
        rows = finger_joints("thumb")
        angles[rows.start] = (cos * palmar + sin * ulnar, sin * palmar - cos * ulnar, -pronation)
        angles[rows.start + 1, 0], angles[rows.start + 2, 0] = mcp, ip
        return angles


@dataclass(frozen=True)
class ImageRecipe:
    """One image: name and seed, its hands, background, light, exposure, noise (grey levels)."""

    name: str
    seed: int
    hands: tuple[HandRecipe, ...]
    theme: str
    light: LightStyle
    background_light: float = 0.85
    exposure: float = 1.0
    noise: float = 2.0


SWEATER = ClothStyle((58, 74, 112), None, True)
CHECKED = ClothStyle((146, 52, 48), (42, 46, 60), False)
SHIRT = ClothStyle((214, 218, 226), (120, 146, 190), False)
GREEN = ClothStyle((82, 104, 76), None, True)
MUSTARD = ClothStyle((196, 146, 58), None, True)
STRIPED = ClothStyle((222, 214, 200), (44, 58, 92), True)

RECIPES = (
    ImageRecipe(
        "open_palm", 11,
        (HandRecipe("right", ((4, 8, 8), (2, 7, 0), (3, 8, 5), (5, 10, 10)), (6, 2, 2, 6, 2),
                    (8, -4, 6), (322, 222, 0.38), TONES["light"],
                    ArmStyle(0.05, 0.08, 0.035, 0.004), SWEATER),),
        "bookshelf", LIGHTS["day"],
    ),
    ImageRecipe(
        "victory", 12,
        (HandRecipe("left", ((2, 6, 12), (0, 6, -9), (84, 102, 0), (82, 98, 2)),
                    (48, 10, 20, 45, 35), (-10, 4, -5), (322, 222, 0.38), TONES["tan"],
                    ArmStyle(0.1, -0.06, 0.04, 0.005), STRIPED),),
        "garden", LIGHTS["garden"],
    ),
    ImageRecipe(
        "pointing", 13,
        (HandRecipe("right", ((4, 8, 2), (72, 88, 0), (74, 88, 0), (70, 84, 0)),
                    (6, 2, 2, 8, 8), (168, -4, 14), (322, 225, 0.37), TONES["dark"],
                    ArmStyle(-0.15, 0.1, 0.03, 0.004), SHIRT),),
        "window", LIGHTS["window"],
    ),
    ImageRecipe(
        "pinch", 14,
        (HandRecipe("left", ((48, 51, 0), (22, 24, 2), (12, 18, 4), (6, 14, 10)),
                    (29, 9, 16, 10, 24), (48, -4, 8), (322, 215, 0.37), TONES["fair"],
                    ArmStyle(0.1, 0.0, 0.03, 0.004), GREEN),),
        "kitchen", LIGHTS["above"],
    ),
    ImageRecipe(
        "loose_fist", 15,
        (HandRecipe("right", ((60, 80, 3), (62, 82, 0), (62, 80, 0), (58, 76, -3)),
                    (38, 20, 20, 20, 24), (-16, 2, 4), (320, 205, 0.31), TONES["brown"],
                    ArmStyle(0.0, 0.05, 0.035, 0.005), MUSTARD),),
        "desk", LIGHTS["above"],
    ),
    ImageRecipe(
        "relaxed", 16,
        (HandRecipe("left", ((18, 26, 2), (22, 30, 0), (26, 34, 2), (28, 36, 4)),
                    (8, -2, 4, 10, 12), (190, 8, -12), (318, 215, 0.37), TONES["light"],
                    ArmStyle(-0.25, 0.0, 0.045, 0.004), CHECKED),),
        "lamps", LIGHTS["evening"],
    ),
    ImageRecipe(
        "two_hands", 17,
        (HandRecipe("right", ((6, 12, 10), (4, 10, 0), (6, 12, 6), (8, 14, 12)), (8, 2, 2, 6, 4),
                    (-14, -4, -10), (180, 240, 0.46), TONES["brown"],
                    ArmStyle(0.05, 0.1, 0.03, 0.005), GREEN),
         HandRecipe("left", ((6, 10, 4), (8, 12, 0), (84, 102, 0), (82, 98, 2)),
                    (48, 10, 20, 45, 35), (-8, 2, -8), (462, 215, 0.43), TONES["brown"],
                    ArmStyle(0.1, 0.05, 0.03, 0.005), GREEN)),
        "window", LIGHTS["day"],
    ),
    ImageRecipe(
        "three", 18,
        (HandRecipe("right", ((4, 8, 12), (2, 8, -3), (72, 84, 0), (70, 84, 0)),
                    (2, -4, 0, 2, -4), (-14, -2, -4), (322, 222, 0.38), TONES["dark"],
                    ArmStyle(0.0, 0.12, 0.035, 0.004), MUSTARD),),
        "garden", LIGHTS["garden"],
    ),
)  # fmt: skip
