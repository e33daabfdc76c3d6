"""Random hand poses that look like what hands do: gestures, grips, pinches, signs, rest.

A prior or a network learned from poses is as good as the poses: sampling gestures with coupled
fingers is worth more than any amount of independent joint angles. Every mode below samples a few
latent quantities per hand (how far each finger curls, how the curl is shared between knuckle and
finger joints, one spread for the whole hand, where the thumb is) and one assembly step turns them
into the 45 anatomical angles of `fitter.hand_models.anatomy`, with the couplings of

    Lin, Wu, Huang, "Modeling the constraints of human hand motion", HUMO 2000:
        DIP flexion = 2/3 PIP flexion; abduction vanishes as the knuckle flexes.
    Hager-Ross and Schieber, "Quantifying the independence of human finger movements",
        J Neurosci 20, 2000: neighbours follow a moving finger, ring and middle most of all.
    Feix et al., "The GRASP taxonomy of human grasp types", IEEE THMS 46, 2016: the families of
        power, intermediate and precision grips.

The four fingers stand in the order index, middle, ring, little; latents are in degrees, the
result is in radians. Fingers that pass through one another are not excluded here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fitter.hand_models.anatomy import (
    ABDUCTION,
    FLEXION,
    THUMB_PRONATION,
    TWIST,
    finger_joints,
    joint_limits,
)

FINGERS = ("index", "middle", "ring", "little")
_SPREAD_OUT = np.array([7.0, 1.0, 5.0, 9.0])
_SPREAD_IN = np.array([13.0, 1.0, 9.0, 18.0])
"""Abduction in degrees of the four fingers at a spread of one and, taken away, of minus one: a flat
hand model rests with its fingers spread, so they close further than they open."""
_FULL_MCP, _FULL_PIP = 80.0, 100.0
"""Flexion in degrees of a finger curled into a fist."""


@dataclass(frozen=True)
class _Latents:
    """What a mode decides about n hands, degrees.

    Attributes:
        mcp: (n, 4) flexion of the knuckles.
        pip: (n, 4) flexion of the middle joints.
        spread: (n,) spread of the fingers, 0 as the model rests, about -1 together, 1 wide.
        thumb: (n, 5) palmar and ulnar swing of the metacarpal (away from the palm; in the palm's
            plane toward the fingers), its pronation, flexion of the MCP, flexion of the IP.
        fan: (n, 4) abduction on top of what the spread gives.
    """

    mcp: np.ndarray
    pip: np.ndarray
    spread: np.ndarray
    thumb: np.ndarray
    fan: np.ndarray | float = 0.0


Rng = np.random.Generator
_THUMB_MODES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # palmar, ulnar, pronation, MCP, IP: mean and standard deviation, degrees. Palmar and ulnar
    # count from the rest pose, in which the thumb is half abducted.
    "extended": ((0, -5, 0, 3, -4), (9, 8, 4, 7, 9)),
    "rest": ((14, 9, 6, 12, 16), (8, 7, 5, 7, 9)),
    "flat": ((-20, 4, -2, 2, -4), (6, 7, 4, 6, 8)),
    "adducted": ((-14, 17, 0, 6, 4), (6, 5, 4, 8, 10)),
    "lateral": ((4, 3, 9, 18, 26), (7, 7, 5, 10, 14)),
    "opposed": ((36, 12, 18, 14, 16), (7, 8, 5, 8, 12)),
    "over": ((32, 13, 21, 17, 34), (6, 7, 5, 8, 12)),
    "crossing": ((28, 30, 20, 38, 38), (7, 6, 5, 10, 16)),
    "hitchhike": ((-12, -14, -4, -2, -12), (7, 7, 4, 6, 8)),
}

_PINCH = {
    # The pinching finger's MCP and PIP, then the thumb, solved so that the pads of
    # the open hand touch and face each other.
    "index": ((67, 35), (32, 7, 22, 1, 11)),
    "middle": ((61, 52), (35, 20, 14, 2, 11)),
    "ring": ((60, 96), (29, 20, 24, 38, 55)),
    "little": ((72, 88), (33, 29, 19, 46, 39)),
}

_SIGNS = (
    # Curl of index, middle, ring, little (0 straight, 1 fist), extra fan in degrees, thumb.
    ((0, 1, 1, 1), (0, 0, 0, 0), "over"),  # one
    ((0, 0, 1, 1), (8, -8, 0, 0), "over"),  # two, victory
    ((0, 0, 1, 1), (-5, 3, 0, 0), "over"),  # two fingers together
    ((0, 0, 0, 1), (8, 0, 8, 0), "crossing"),  # three, W
    ((0, 0, 0, 0), (5, 0, 5, 8), "crossing"),  # four
    ((0, 0, 0, 0), (9, 0, 7, 14), "extended"),  # five
    ((0, 0, 1, 1), (8, -6, 0, 0), "extended"),  # three with the thumb
    ((1, 1, 1, 0), (0, 0, 0, 4), "over"),  # little finger
    ((1, 1, 1, 0), (0, 0, 0, 6), "hitchhike"),  # call me
    ((0, 1, 1, 0), (4, 0, 0, 6), "over"),  # horns
    ((0, 1, 1, 0), (4, 0, 0, 6), "extended"),  # I love you
    ((0, 1, 1, 1), (2, 0, 0, 0), "extended"),  # L
    ((1, 1, 1, 1), (0, 0, 0, 0), "hitchhike"),  # thumb up
    ((1, 1, 1, 1), (0, 0, 0, 0), "lateral"),  # fist beside the thumb, A
    ((0.5, 0.5, 0.5, 0.5), (0, 0, 0, 0), "opposed"),  # C, O
    ((0, 0, 0, 0), (-4, 0, -3, -6), "crossing"),  # B
    ((1, 0, 0, 0), (0, 0, 4, 8), "opposed"),  # three fingers up, ring of thumb and index
)


def sample_hand_angles(generator: np.random.Generator, count: int) -> np.ndarray:
    """Sample poses of the 15 finger joints.

    Args:
        generator: the only source of randomness.
        count: number of poses N.

    Returns:
        (N, 15, 3) float64 radians: flexion, abduction and twist of the joints in MANO's order, in
        the limits of `anatomy.joint_limits`, in random order of modes.
    """
    shares = np.array([share for share, _ in _MODES.values()])
    counts = generator.multinomial(count, shares / shares.sum())
    blocks = [
        mode(generator, n) for (_, mode), n in zip(_MODES.values(), counts, strict=True) if n > 0
    ]
    if not blocks:
        return np.empty((0, 15, 3))
    angles = np.concatenate([_assemble(generator, block) for block in blocks])
    uniform = generator.random(count) < _UNIFORM_SHARE
    lower, upper = joint_limits()
    angles[uniform] = generator.uniform(lower, upper, (int(uniform.sum()), 15, 3))
    return np.clip(generator.permutation(angles), lower, upper)


def pose_modes() -> dict[str, float]:
    """Share of every mode of `sample_hand_angles`, by name; together 1."""
    total = sum(share for share, _ in _MODES.values())
    return {name: share / total for name, (share, _) in _MODES.items()}


def sample_mode_angles(generator: np.random.Generator, mode: str, count: int) -> np.ndarray:
    """Sample poses of one mode, a key of `pose_modes()`; otherwise as `sample_hand_angles`.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in _MODES:
        raise ValueError(f"expected one of {', '.join(_MODES)}, got {mode!r}")
    return np.clip(_assemble(generator, _MODES[mode][1](generator, count)), *joint_limits())


def _assemble(rng: Rng, latents: _Latents) -> np.ndarray:
    """Angles (n, 15, 3) in radians of latents, with couplings and small independent noise."""
    n = len(latents.spread)
    mcp = latents.mcp + rng.normal(0, 3.0, (n, 4))
    pip = np.maximum(latents.pip + rng.normal(0, 3.0, (n, 4)), -4 + rng.normal(0, 2, (n, 4)))
    # One ratio per hand around Lin's 2/3: how hard the fingertips work differs between hands.
    ratio = 2 / 3 + rng.normal(0, 0.1, (n, 1)) + rng.normal(0, 0.05, (n, 4))
    dip = ratio * np.maximum(pip, 0) + rng.normal(0, 4.0, (n, 4))
    freedom = np.clip(1 - 0.85 * mcp / 90, 0.15, 1)
    spread = latents.spread[:, None]
    fan = np.maximum(spread, 0) * _SPREAD_OUT + np.minimum(spread, 0) * _SPREAD_IN
    fan = fan + latents.fan + rng.normal(0, 2.0, (n, 4))
    degrees = np.zeros((n, 15, 3))
    for i, finger in enumerate(FINGERS):
        rows = finger_joints(finger)
        degrees[:, rows, FLEXION] = np.stack([mcp[:, i], pip[:, i], dip[:, i]], axis=1)
        degrees[:, rows.start, ABDUCTION] = (fan * freedom)[:, i]
        degrees[:, rows.start, TWIST] = rng.normal(0, 3.0, n)
        degrees[:, rows.start + 1 : rows.stop, ABDUCTION:] = rng.normal(0, 1.0, (n, 2, 2))
    degrees[:, finger_joints("thumb")] = _thumb_degrees(rng, latents.thumb)
    return np.deg2rad(degrees)


def _thumb_degrees(rng: Rng, thumb: np.ndarray) -> np.ndarray:
    """Anatomical angles (n, 3, 3) of the thumb: its plane of flexion is `THUMB_PRONATION` off."""
    palmar, ulnar, pronation, mcp, ip = thumb.T
    cos, sin = np.cos(THUMB_PRONATION), np.sin(THUMB_PRONATION)
    degrees = rng.normal(0, [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0], [3.0, 1.0, 1.0]], (len(thumb), 3, 3))
    degrees[:, 0, FLEXION] += cos * palmar + sin * ulnar
    degrees[:, 0, ABDUCTION] += sin * palmar - cos * ulnar
    degrees[:, 0, TWIST] -= pronation
    degrees[:, 1, FLEXION] += mcp
    degrees[:, 2, FLEXION] += ip
    return degrees


def _thumb(rng: Rng, n: int, weights: dict[str, float]) -> np.ndarray:
    """Thumb latents (n, 5) from a mixture of the named thumb modes."""
    means = np.array([_THUMB_MODES[name][0] for name in weights], float)
    deviations = np.array([_THUMB_MODES[name][1] for name in weights], float)
    shares = np.array(list(weights.values()))
    chosen = rng.choice(len(shares), n, p=shares / shares.sum())
    return rng.normal(means[chosen], deviations[chosen])


def _curled(rng: Rng, curl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MCP and PIP flexion (n, 4) of curls: each hand shares a curl between the two its own way."""
    n = len(curl)
    style = rng.normal(0, 0.16, (n, 1)) + rng.normal(0, 0.06, (n, 4))
    return _FULL_MCP * curl * (1 - style), _FULL_PIP * curl * (1 + style)


def _open(rng: Rng, n: int) -> _Latents:
    mcp = rng.normal(4, 9, (n, 1)) + rng.normal(0, 4, (n, 4))
    pip = np.abs(rng.normal(0, 13, (n, 1))) + rng.normal(2, 4, (n, 4))
    thumb = _thumb(
        rng, n, {"extended": 4, "rest": 3, "flat": 2, "adducted": 2, "opposed": 1, "crossing": 0.5}
    )
    return _Latents(mcp, pip, rng.uniform(-1.1, 1.0, n), thumb)


def _gesture(rng: Rng, n: int) -> _Latents:
    """Each finger extended, half curled or curled; a finger often does what its neighbour does."""
    states = rng.choice(3, (n, 4), p=[0.4, 0.22, 0.38])
    for finger in range(1, 4):
        follows = rng.random(n) < 0.45
        states[follows, finger] = states[follows, finger - 1]
    half = np.clip(rng.uniform(0.2, 0.8, (n, 1)) + rng.normal(0, 0.1, (n, 4)), 0.15, 0.85)
    curled = rng.uniform(0.8, 1.05, (n, 1)) + rng.normal(0, 0.04, (n, 4))
    straight = np.abs(rng.normal(0, 0.07, (n, 4)))
    curl = np.choose(states, [straight, half, curled])
    # A straight finger between curled ones is dragged along (Hager-Ross and Schieber).
    pull = 0.07 * np.stack(
        [curl[:, 1], curl[:, [0, 2]].mean(1), curl[:, [1, 3]].mean(1), curl[:, 2]]
    )
    mcp, pip = _curled(rng, curl + pull.T)
    weights: dict[str, float] = {
        "extended": 2,
        "rest": 2,
        "flat": 1,
        "adducted": 2,
        "lateral": 1,
        "opposed": 2,
    }
    thumb = _thumb(rng, n, weights | {"over": 2, "crossing": 1})
    return _Latents(mcp, pip, rng.normal(-0.3, 0.55, n), thumb)


def _fist(rng: Rng, n: int) -> _Latents:
    mcp, pip = _curled(rng, rng.uniform(0.82, 1.05, (n, 1)) + rng.normal(0, 0.04, (n, 4)))
    thumb = _thumb(rng, n, {"over": 5, "lateral": 3, "hitchhike": 1, "crossing": 1})
    return _Latents(mcp, pip, rng.normal(-0.6, 0.3, n), thumb)


def _cylinder(rng: Rng, n: int) -> _Latents:
    """Around a handle or a bottle: one curl, growing or shrinking from index to little."""
    gradient = rng.normal(0.04, 0.06, (n, 1)) * np.arange(-1.5, 2)
    mcp, pip = _curled(rng, rng.uniform(0.25, 0.9, (n, 1)) + gradient)
    thumb = _thumb(rng, n, {"opposed": 5, "over": 1, "lateral": 1, "adducted": 1})
    return _Latents(mcp, pip, rng.normal(-0.6, 0.4, n), thumb)


def _sphere(rng: Rng, n: int) -> _Latents:
    """Around a ball or a jar's lid: half curled and spread."""
    curl = rng.uniform(0.15, 0.65, (n, 1)) + rng.normal(0, 0.05, (n, 4))
    mcp, pip = _curled(rng, curl)
    return _Latents(0.8 * mcp, pip, rng.uniform(0.0, 1.1, n), _thumb(rng, n, {"opposed": 1}))


def _hook(rng: Rng, n: int) -> _Latents:
    """Straight knuckles and bent fingers: a bag's handle, a claw."""
    mcp = rng.normal(2, 12, (n, 1)) + rng.normal(0, 4, (n, 4))
    pip = rng.uniform(45, 105, (n, 1)) + rng.normal(0, 7, (n, 4))
    thumb = _thumb(rng, n, {"rest": 2, "extended": 1, "adducted": 2, "opposed": 1})
    return _Latents(mcp, pip, rng.normal(-0.3, 0.5, n), thumb)


def _platform(rng: Rng, n: int) -> _Latents:
    """Bent knuckles and straight fingers: holding a plate, a book, a beak."""
    mcp = rng.uniform(30, 85, (n, 1)) + rng.normal(0, 5, (n, 4))
    pip = np.abs(rng.normal(0, 16, (n, 1))) + rng.normal(2, 4, (n, 4))
    thumb = _thumb(rng, n, {"opposed": 3, "adducted": 1, "rest": 1})
    return _Latents(mcp, pip, rng.normal(-0.6, 0.45, n), thumb)


def _pinch(rng: Rng, n: int) -> _Latents:
    """Thumb against one finger; the others straight (OK), along with it, or curled."""
    fingers = np.array([flexions for flexions, _ in _PINCH.values()], float)
    thumbs = np.array([thumb for _, thumb in _PINCH.values()], float)
    chosen = rng.choice(4, n, p=[0.55, 0.25, 0.12, 0.08])
    # A wide pinch opens finger and thumb alike.
    width = np.clip(rng.normal(1, 0.12, (n, 1)), 0.5, 1.15)
    pinching = fingers[chosen] * width + rng.normal(0, 4, (n, 2))
    others = rng.choice(3, n, p=[0.35, 0.45, 0.2])
    follow = np.clip(rng.normal(0.5, 0.1, n), 0.2, 0.75) + rng.normal(0, 0.02, n)
    base = np.choose(others, [np.abs(rng.normal(0, 0.12, n)), follow, rng.uniform(0.75, 1, n)])
    gradient = np.where(others == 2, 0.0, rng.normal(0, 0.06, n))[:, None] * np.arange(-1.5, 2)
    mcp, pip = _curled(rng, np.maximum(base[:, None] + gradient, 0) + rng.normal(0, 0.03, (n, 4)))
    rows = np.arange(n)
    mcp[rows, chosen], pip[rows, chosen] = pinching.T
    # Width opens the thumb's own joints, half as much as the finger's, and not its base.
    opening = 1 + (width - 1) * np.array([0, 0, 0, 0.5, 0.5])
    thumb = thumbs[chosen] * opening + rng.normal(0, [4, 4, 3, 6, 7], (n, 5))
    return _Latents(mcp, pip, rng.normal(-0.2, 0.4, n), thumb)


def _tripod(rng: Rng, n: int) -> _Latents:
    """Index and middle against the thumb (pen, key, coin), the rest curled more."""
    lead = rng.uniform(0.35, 0.65, (n, 1)) + rng.normal(0, 0.04, (n, 2))
    rest = lead.mean(1, keepdims=True) + rng.uniform(0, 0.4, (n, 1)) + rng.normal(0, 0.04, (n, 2))
    mcp, pip = _curled(rng, np.concatenate([lead, rest], axis=1))
    thumb = _thumb(rng, n, {"opposed": 3, "lateral": 2})
    return _Latents(mcp, pip, rng.normal(-0.6, 0.3, n), thumb)


def _point(rng: Rng, n: int) -> _Latents:
    curl = rng.uniform(0.65, 1.05, (n, 1)) + rng.normal(0, 0.05, (n, 4))
    curl[:, 0] = np.abs(rng.normal(0, 0.09, n))
    mcp, pip = _curled(rng, curl)
    # The pointing finger often lowers its knuckle while it stays straight.
    mcp[:, 0] += np.abs(rng.normal(0, 14, n))
    thumb = _thumb(rng, n, {"over": 4, "lateral": 2, "extended": 2, "adducted": 1, "rest": 1})
    return _Latents(mcp, pip, rng.normal(-0.5, 0.4, n), thumb)


def _sign(rng: Rng, n: int) -> _Latents:
    chosen = rng.integers(len(_SIGNS), size=n)
    curl = np.array([curl for curl, _, _ in _SIGNS], float)[chosen]
    fan = np.array([fan for _, fan, _ in _SIGNS], float)[chosen]
    names = list(_THUMB_MODES)
    modes = np.array([names.index(name) for _, _, name in _SIGNS])[chosen]
    tightness = rng.uniform(0.82, 1.05, (n, 1))
    mcp, pip = _curled(rng, curl * tightness + np.abs(rng.normal(0, 0.05, (n, 4))))
    means = np.array([mean for mean, _ in _THUMB_MODES.values()], float)
    deviations = np.array([deviation for _, deviation in _THUMB_MODES.values()], float)
    fan = fan * rng.uniform(0.6, 1.3, (n, 1))
    return _Latents(
        mcp, pip, rng.normal(-0.3, 0.25, n), rng.normal(means[modes], deviations[modes]), fan
    )


def _relaxed(rng: Rng, n: int) -> _Latents:
    """A hand at rest: curl grows gradually from index to little."""
    curl = rng.uniform(0.1, 0.45, (n, 1)) + rng.uniform(0.0, 0.07, (n, 1)) * np.arange(4)
    mcp, pip = _curled(rng, curl + rng.normal(0, 0.03, (n, 4)))
    thumb = _thumb(rng, n, {"rest": 5, "opposed": 1, "adducted": 1})
    return _Latents(mcp, pip, rng.normal(-0.5, 0.35, n), thumb)


_UNIFORM_SHARE = 0.02
"""Share of poses whose angles are independent and uniform within the limits."""
_MODES: dict[str, tuple[float, Callable[[Rng, int], _Latents]]] = {
    "open": (0.14, _open),
    "gesture": (0.20, _gesture),
    "fist": (0.07, _fist),
    "cylinder": (0.09, _cylinder),
    "sphere": (0.06, _sphere),
    "hook": (0.04, _hook),
    "platform": (0.05, _platform),
    "pinch": (0.10, _pinch),
    "tripod": (0.05, _tripod),
    "point": (0.06, _point),
    "sign": (0.07, _sign),
    "relaxed": (0.07, _relaxed),
}
"""Share and latents of every mode."""
