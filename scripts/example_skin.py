"""Procedural skin and cloth, painted in space around the hand's rest pose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from example_geometry import ArmMesh, RestFrame
from scipy.interpolate import CubicSpline

from fitter.conventions import FINGERS, MODEL_FINGERS


@dataclass(frozen=True)
class SkinTone:
    """Colours in sRGB, 0-255.

    Attributes:
        back: (3,) of the back of the hand.
        palm: (3,) of the palm and the pads.
        flush: (3,) multiplied in where blood shows: knuckles, fingertips, palm.
    """

    back: tuple[int, int, int]
    palm: tuple[int, int, int]
    flush: tuple[float, float, float]


@dataclass(frozen=True)
class ClothStyle:
    """A sleeve: sRGB colours 0-255 of its ground and of its stripes if any; a ribbed hem or not."""

    colour: tuple[int, int, int]
    stripes: tuple[int, int, int] | None
    ribbed: bool


@dataclass(frozen=True)
class Samples:
    """Points of the visible surface: rest (N, 3) metres, normals (N, 3) of the rest pose, skin
    weights (N, 16), along (N, 2) the sleeve as in `ArmMesh`."""

    rest: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    along: np.ndarray


@dataclass(frozen=True)
class Paint:
    """Material at N points: albedo (N, 3) linear RGB, gloss (N, 2) for the two specular lobes,
    relief (N,) multiplied into the light."""

    albedo: np.ndarray
    gloss: np.ndarray
    relief: np.ndarray


def to_linear(colour: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """sRGB 0-255 to linear 0-1 (IEC 61966-2-1)."""
    value = np.asarray(colour, float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


class SolidNoise:
    """Smooth random function of position, about -1 to 1 (value noise on a lattice)."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.table = generator.uniform(-1, 1, 4096)

    def __call__(self, points: np.ndarray, wavelength: float, octaves: int = 1) -> np.ndarray:
        """(N,) values at points (N, 3); wavelength in metres halves with every octave."""
        total, amplitude = np.zeros(len(points)), 1.0
        for octave in range(octaves):
            total += amplitude * self._once(points / wavelength * 2**octave + 17.3 * octave)
            amplitude *= 0.55
        return total

    def _once(self, points: np.ndarray) -> np.ndarray:
        cell = np.floor(points).astype(np.int64)
        t = points - cell
        t = t * t * t * (t * (t * 6 - 15) + 10)
        value = np.zeros(len(points))
        for corner in range(8):
            step = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
            x, y, z = (cell + step).T
            mixed = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
            mixed = (mixed ^ (mixed >> 13)) * 1274126177
            a, b, c = (t[:, k] if step[k] else 1 - t[:, k] for k in range(3))
            value += a * b * c * self.table[(mixed >> 7) & 4095]
        return value


def bump(x: np.ndarray, width: float) -> np.ndarray:
    """A Gaussian of height 1, down to 1/e at `width`."""
    return np.exp(-((x / width) ** 2))


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """A smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def paint_skin(
    points: Samples, arm: ArmMesh, tone: SkinTone, generator: np.random.Generator
) -> Paint:
    """Skin at the given points."""
    noise = SolidNoise(generator)
    frame, rest = arm.frame, points.rest
    pads = np.vstack([frame.palmar, frame.pads])
    palmar = ((points.weights @ pads) * points.normals).sum(axis=1)
    palmness = ramp(palmar + 0.12 * noise(rest, 0.02, 2), -0.25, 0.45)
    on_arm = ramp((rest - frame.joints[0]) @ -frame.forward, -0.005, 0.02)
    palmness = palmness * (1 - 0.75 * on_arm)

    back, palm = to_linear(tone.back), to_linear(tone.palm)
    albedo = back * (1 - palmness)[:, None] + palm * palmness[:, None]
    flush = 0.25 * palmness * (1 - on_arm) * (1 + 0.8 * noise(rest, 0.025, 2))
    flush += knuckle_flush(points, frame, palmness)
    creases = finger_creases(points, frame, noise, palmar) + palm_creases(
        points, frame, noise, palmar
    )
    nail, edge, lunula = nails(points, arm, noise)
    albedo *= np.array(tone.flush) ** np.clip(flush, 0, 1.5)[:, None]
    mottle = 0.05 * noise(rest, 0.012, 3) + 0.035 * noise(rest, 0.0018, 2)
    albedo *= 1 + mottle[:, None] * np.array([0.8, 1.1, 1.2])
    veins = np.abs(noise(rest + 0.004 * noise(rest, 0.02)[:, None], 0.028))
    veins = bump(veins, 0.10) * (1 - palmness) * (points.weights[:, 0] + on_arm).clip(0, 1)
    albedo *= 1 - veins[:, None] * np.array([0.13, 0.07, 0.05])
    albedo *= 1 - np.clip(creases, 0, 1)[:, None] * np.array([0.30, 0.42, 0.46])

    # A nail shows the pink below it, darkened as the skin around it is.
    pink = to_linear((236, 178, 164)) * palm.mean() * 1.8
    nail_colour = 0.6 * (0.4 * back + 0.6 * palm) + 0.4 * pink
    nail_colour = nail_colour * (1 + 0.25 * lunula[:, None])
    free_edge = 0.55 * nail_colour + 0.45 * to_linear((232, 218, 200)) * (0.4 + palm.mean())
    albedo = albedo * (1 - nail)[:, None] + nail_colour * nail[:, None]
    albedo = albedo * (1 - edge)[:, None] + free_edge * edge[:, None]

    pores = noise(rest, 0.0011, 2)
    # Relief: the difference of a height along a fixed direction, as a light from there shows it.
    shift = np.array([0.00035, -0.0004, 0.0003])
    height = noise(rest, 0.0016, 2)
    relief = 1 + (0.07 * (1 - nail)) * (height - noise(rest + shift, 0.0016, 2))
    gloss = np.stack([0.55 + 0.15 * pores, 0.16 + 0.1 * pores], axis=-1)
    gloss = gloss * (1 - 0.8 * np.clip(creases, 0, 1))[:, None]
    gloss += nail[:, None] * np.array([0.1, 0.55])
    return Paint(np.clip(albedo, 0.004, 0.95), np.clip(gloss, 0, None), relief)


def knuckle_flush(points: Samples, frame: RestFrame, palmness: np.ndarray) -> np.ndarray:
    """Blood that shows at the back of the joints and at the fingertips."""
    flush = np.zeros(len(points.rest))
    for joint in range(15):
        size = (0.011, 0.0085, 0.006)[joint % 3]
        distance = np.linalg.norm(points.rest - frame.joints[joint + 1], axis=1)
        flush += (0.55, 0.75, 0.4)[joint % 3] * bump(distance, 1.5 * size) * (1 - palmness)
    for tip in frame.tips:
        flush += 0.7 * bump(np.linalg.norm(points.rest - tip, axis=1), 0.014)
    return flush


def finger_creases(
    points: Samples, frame: RestFrame, noise: SolidNoise, palmar: np.ndarray
) -> np.ndarray:
    """Lines across the palmar side and wrinkles across the back of the finger joints."""
    lines = np.zeros(len(points.rest))
    wobble = 0.0007 * noise(points.rest, 0.006, 2)
    front, back = ramp(palmar, -0.15, 0.35), ramp(-palmar, 0.25, 0.75)
    for joint in range(15):
        finger, level = joint // 3, joint % 3
        if level == 0:
            continue
        own = points.weights[:, 1 + 3 * finger : 4 + 3 * finger].sum(axis=1)
        bone = frame.axes[joint, 2]
        along = (points.rest - frame.joints[joint + 1]) @ bone + wobble
        own = ramp(own, 0.5, 0.9)
        # The thumb's metacarpophalangeal joint hardly folds the skin.
        share = 0.35 if (MODEL_FINGERS[finger], level) == ("thumb", 1) else 1.0
        own = share * own * (0.8 + 0.4 * noise(points.rest, 0.004))
        lines += 0.75 * own * front * bump(along, 0.0007)
        if level == 1 and MODEL_FINGERS[finger] != "thumb":
            lines += 0.5 * own * front * bump(along + 0.0028, 0.0006)
            base = (points.rest - frame.joints[joint]) @ bone + wobble
            reach = np.linalg.norm(frame.joints[joint + 1] - frame.joints[joint])
            lines += 0.7 * own * front * bump(base - 0.52 * reach, 0.0008)
        for step in np.linspace(-1, 1, 7 if level == 1 else 4):
            at = along - step * (0.0065 if level == 1 else 0.003) + 0.0012 * step**2
            lines += 0.62 * own * back * bump(at, 0.00055) * (1 - 0.4 * abs(step))
    return lines


def palm_creases(
    points: Samples, frame: RestFrame, noise: SolidNoise, palmar: np.ndarray
) -> np.ndarray:
    """Heart, head and life line, and two lines across the wrist."""
    offset = points.rest - frame.joints[0]
    length = (frame.joints[4] - frame.joints[0]) @ frame.forward
    width = (frame.joints[1] - frame.joints[7]) @ frame.radial
    middle = 0.5 * (frame.joints[1] + frame.joints[7]) - frame.joints[0]
    u = offset @ frame.forward / length + 0.012 * noise(points.rest, 0.012, 2)
    v = (offset - middle) @ frame.radial / width + 0.012 * noise(points.rest + 5, 0.012, 2)
    curves = (
        ((0.77, -0.72), (0.80, -0.35), (0.86, 0.0), (0.97, 0.22), (1.06, 0.27)),
        ((0.80, 0.66), (0.76, 0.3), (0.66, -0.1), (0.55, -0.45)),
        ((0.80, 0.66), (0.72, 0.36), (0.55, 0.13), (0.33, 0.04), (0.12, 0.07)),
    )
    lines = np.zeros(len(u))
    for curve in curves:
        distance = distance_to_curve(np.stack([u * length, v * width], -1), curve, length, width)
        lines = np.maximum(lines, bump(distance, 0.0010))
    lines *= ramp(points.weights[:, 0] + points.weights[:, 13], 0.15, 0.5)
    lines *= (0.6 + 0.25 * noise(points.rest, 0.009, 2)) * ramp(palmar, 0.1, 0.5)
    at = offset @ frame.forward + 0.001 * noise(points.rest, 0.015, 2)
    wrist = bump(at + 0.006, 0.0009) + 0.7 * bump(at + 0.0125, 0.0008)
    return lines + 0.55 * wrist * ramp(palmar, 0.0, 0.5)


def distance_to_curve(
    points: np.ndarray, curve: tuple[tuple[float, float], ...], length: float, width: float
) -> np.ndarray:
    """(N,) metres from points (N, 2) to a smooth curve through relative positions."""
    knots = np.array(curve) * [length, width]
    dense = CubicSpline(np.arange(len(knots)), knots)(np.linspace(0, len(knots) - 1, 24))
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(dense):
        x, y = (points - a).T
        d = b - a
        t = np.clip((x * d[0] + y * d[1]) / (d @ d), 0, 1)
        best = np.minimum(best, np.hypot(x - t * d[0], y - t * d[1]))
    return best


def nails(
    points: Samples, arm: ArmMesh, noise: SolidNoise
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coverage (N,) of the nails, of their free edges and of their pale half moons."""
    nail, edge, lunula = (np.zeros(len(points.rest)) for _ in range(3))
    for finger in range(5):
        distal = 3 * finger + 2
        _, side, bone = (
            arm.frame.axes[distal, 1],
            arm.frame.axes[distal, 0],
            arm.frame.axes[distal, 2],
        )
        pad = arm.frame.pads[distal]
        own_vertices = arm.weights[:, distal + 1] > 0.7
        end = (arm.rest[own_vertices] @ bone).max()
        base = arm.frame.tips[FINGERS.index(MODEL_FINGERS[finger])]
        ahead = end - arm.rest[own_vertices] @ bone
        across = (arm.rest[own_vertices] - base) @ side
        near = (ahead > 0.004) & (ahead < 0.012)
        centre = 0.5 * (across[near].max() + across[near].min())
        half = 0.5 * np.ptp(across[near])
        u = ((points.rest - base) @ side - centre) / (0.74 * half)
        behind = end - points.rest @ bone
        length = 1.5 * half
        v = (behind - 0.0012 - length / 2) / (length / 2)
        shape = (np.abs(u) ** 2.6 + np.abs(v) ** np.where(v > 0, 2.4, 3.2)) ** (1 / 2.5)
        own = ramp(points.weights[:, distal + 1], 0.3, 0.7) * ramp(
            -(points.normals @ pad), 0.05, 0.25
        )
        inside = own * ramp(-shape, -1.05, -0.95)
        nail += inside
        edge += inside * ramp(-v, 0.78, 0.88)
        lunula += inside * ramp(-np.hypot(u / 0.55, (v - 1.0) / 0.45), -1.0, -0.8)
    return nail.clip(0, 1), 0.75 * edge.clip(0, 1), lunula.clip(0, 1)


def paint_cloth(points: Samples, cloth: ClothStyle, generator: np.random.Generator) -> Paint:
    """Cloth of a sleeve at the given points."""
    noise = SolidNoise(generator)
    distance, angle = points.along.T
    albedo = np.tile(to_linear(cloth.colour), (len(distance), 1))
    if cloth.stripes is not None:
        band = ramp(np.cos(distance * 2 * np.pi / 0.022), 0.25, 0.45)
        if not cloth.ribbed:
            band = 0.5 * band + 0.5 * ramp(np.cos(angle * 12), 0.25, 0.45)
        albedo += band[:, None] * (to_linear(cloth.stripes) - albedo)
    weave = np.cos(distance * 2 * np.pi / 0.0022) * np.cos(angle * 110)
    relief = 1 + 0.07 * weave + 0.10 * noise(points.rest, 0.004, 3)
    if cloth.ribbed:
        hem = 1 - ramp(distance, 0.045, 0.05)
        relief *= 1 + 0.28 * hem * np.cos(angle * 44)
    relief *= 1 - 0.35 * bump(distance - 0.012, 0.0009) * (not cloth.ribbed)
    return Paint(albedo, np.full((len(distance), 2), (0.12, 0.0)), relief)
