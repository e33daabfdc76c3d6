"""Hands seen through a fisheye and a lens that distorts: errors with and without the lens's model.

python benchmarks/lens.py
python benchmarks/lens.py --hands 12 --json lens.json --pictures looked_at

Renders hands and turns each to stand at some angles with the axis of a camera with a lens: every
pixel of its picture is the render's pixel on the same ray, so that the truth is known but for no
rounding. The detector finds the hands, and they are fitted with the lens (`fitter.Lens`), and with
its K alone, as if it did not distort. Errors, as means over the hands that both ways found and
fitted:

- 2D, pixels of the picture as the lens made it, of the fitted keypoints;
- depth, millimetres: how far the fitted keypoints' mean is off along the line of sight;
- aside, millimetres: the same across it;
- PA, millimetres: the mean error of keypoints aligned by a similarity.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
from measuring import parser, positive, use_threads, write_json
from PIL import Image
from rich.console import Console
from rich.table import Table

import fitter
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.settings import SyntheticSettings
from fitter.inputs.lens_rays import distorted, rays_of
from fitter.lens import Lens
from fitter.metrics import pa_mpjpe

SEED, FIRST = 77, 500_000
"""Others than those of training data."""
SIDE = 384
"""Pixels of a render's side."""
NEAREST, FARTHEST = 0.35, 0.6
"""Metres from the camera to hands."""


def _matrix(f: float, size: tuple[int, int]) -> np.ndarray:
    return np.array([[f, 0, size[0] / 2], [0, f, size[1] / 2], [0, 0, 1.0]])


LENSES = {
    # An action camera: 143 degrees across.
    "fisheye": (
        Lens(
            _matrix(640, (1600, 1200)), "fisheye",
            np.array([0.03, -0.01, 0.004, -0.001]), (1600, 1200),
        ),
        (0.0, 25.0, 45.0, 60.0),
    ),
    # A wide webcam: 92 degrees across.
    "distorted": (
        Lens(
            _matrix(620, (1280, 960)), "pinhole",
            np.array([-0.28, 0.09, 0.0005, -0.0003, -0.012]), (1280, 960),
        ),
        (0.0, 15.0, 30.0),
    ),
}  # fmt: skip
"""Each with the angles with its axis, degrees, at which hands stand."""


@dataclass(frozen=True)
class Seen:
    """A picture of one hand.

    Attributes:
        pixels: (H, W, 3) uint8, as the lens made it.
        keypoints: (21, 3) float64 metres, in the camera's frame.
    """

    pixels: np.ndarray
    keypoints: np.ndarray


@dataclass(frozen=True)
class Errors:
    """Means over hands; see the module's text."""

    lens: str
    degrees: float
    way: str
    hands: int
    found: int
    pixels: float
    depth: float
    aside: float
    pa: float


def turned_to(direction: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of the least angle that takes one unit vector to another."""
    axis = np.cross(direction, other)
    sine, cosine = np.linalg.norm(axis), float(direction @ other)
    if sine < 1e-12:
        return np.eye(3)
    return cv2.Rodrigues(axis / sine * np.arctan2(sine, cosine))[0]


@cache
def all_rays(name: str) -> np.ndarray:
    """(H W, 3) rays of every pixel of a lens's pictures, NaN where none arrives."""
    lens, _ = LENSES[name]
    assert lens.size is not None
    x, y = (np.arange(0.5, side) for side in lens.size)
    rays = rays_of(lens, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    return np.column_stack([rays, np.ones(len(rays))])


def through(
    name: str, image: np.ndarray, K: np.ndarray, points: np.ndarray, to: np.ndarray
) -> Seen:
    """What a lens shows of a rendered hand (21, 3) that is turned to stand in a direction (3,)."""
    middle = points.mean(0)
    rotation = turned_to(middle / np.linalg.norm(middle), to)
    width, height = LENSES[name][0].size or (0, 0)
    back = all_rays(name) @ rotation  # R^T ray
    ahead = back[:, 2] > 0.05
    flat = np.where(ahead[:, None], back[:, :2] / np.where(ahead, back[:, 2], 1.0)[:, None], 1e3)
    sampled = np.nan_to_num(flat, nan=1e3) * K[[0, 1], [0, 1]] + K[:2, 2] - 0.5
    x, y = np.moveaxis(sampled.reshape(height, width, 2).astype(np.float32), -1, 0)
    pixels = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return Seen(pixels, points @ rotation.T)


@cache
def renders(hands: int) -> SyntheticBatch:
    """The first hands that are as near as hands before such a camera are."""
    engine, drawn = SyntheticEngine(SIDE, SyntheticSettings.unoccluded()), 40 * hands
    depth = engine.sample(SEED, range(FIRST, FIRST + drawn)).hand.transl[:, 2]
    near = ((depth > NEAREST) & (depth < FARTHEST)).nonzero()[:hands, 0]
    return engine.batch(SEED, [FIRST + place for place in near.tolist()])


@lru_cache(maxsize=1)
def scenes(name: str, degrees: float, hands: int) -> list[Seen]:
    """Pictures of hands at an angle with the axis, to the sides, where the picture has the room."""
    batch, found = renders(hands), []
    for place in range(len(batch.image)):
        around = np.random.default_rng([SEED, place]).uniform(-0.4, 0.4) + np.pi * (place % 2)
        angle = np.radians(degrees)
        across = np.sin(angle)
        to = np.array([across * np.cos(around), across * np.sin(around), np.cos(angle)])
        found.append(
            through(
                name,
                batch.image[place].numpy(),
                batch.intrinsics[place].double().numpy(),
                batch.keypoints_3d[place].double().numpy(),
                to,
            )
        )
    return found


def in_picture(lens: Lens, hand: fitter.FittedHand) -> np.ndarray:
    """(21, 2) the fitted keypoints in pixels of the picture as the lens made it."""
    assert hand.keypoints_2d is not None  # it was fitted
    points = hand.keypoints_2d.astype(np.float64)
    if hand.lens is None:
        return points
    K = hand.intrinsics
    return distorted(lens, (points - K[:2, 2]) / K[[0, 1], [0, 1]])


def off(lens: Lens, seen: Seen, hand: fitter.FittedHand) -> tuple[float, float, float, float]:
    """Errors of a hand: 2D, depth, aside, PA."""
    assert hand.keypoints_3d is not None  # it was fitted
    found, true = hand.keypoints_3d.astype(np.float64), seen.keypoints
    here = distorted(lens, true[:, :2] / true[:, 2:])
    sight = true.mean(0) / np.linalg.norm(true.mean(0))
    moved = found.mean(0) - true.mean(0)
    along = float(moved @ sight)
    aligned = pa_mpjpe(found[None], true[None])
    return (
        float(np.linalg.norm(in_picture(lens, hand) - here, axis=1).mean()),
        1000 * abs(along),
        1000 * float(np.linalg.norm(moved - along * sight)),
        1000 * float(np.ravel(aligned)[0]),
    )


def measure(name: str, degrees: float, hands: int, fitter_of: fitter.HandFitter) -> list[Errors]:
    """The errors of all ways."""
    lens, _ = LENSES[name]
    pictures = scenes(name, degrees, hands)
    ways = {
        "with the lens": lens,
        "K alone": replace(lens, model="pinhole", distortion=np.zeros(0)),
    }
    fitted = {
        way: fitter_of([seen.pixels for seen in pictures], K=camera) for way, camera in ways.items()
    }
    both = [
        place
        for place in range(len(pictures))
        if all(found[place] and found[place][0].valid for found in fitted.values())
    ]
    rows = []
    for way, found in fitted.items():
        each = np.array([off(lens, pictures[place], found[place][0]) for place in both])
        count = sum(bool(hand) for hand in found)
        means = each.mean(0).tolist() if len(each) else [float("nan")] * 4
        rows.append(Errors(name, degrees, way, len(both), count, *means))
    return rows


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--hands", type=positive, default=8, help="at each angle")
    options.add_argument("--pictures", type=Path, help="a folder for pictures to be looked at")
    arguments = options.parse_args()
    use_threads(arguments.threads)
    table = Table(
        "lens", "degrees", "way", "hands", "found", "2D, px", "depth, mm", "aside", "PA, mm"
    )
    rows = []
    with fitter.HandFitter(max_hands=1) as fitted:
        for name, (_, angles) in LENSES.items():
            for degrees in angles:
                if arguments.pictures is not None:
                    arguments.pictures.mkdir(parents=True, exist_ok=True)
                    seen = scenes(name, degrees, arguments.hands)[-1]
                    place = arguments.pictures / f"{name}_{degrees:.0f}.png"
                    Image.fromarray(seen.pixels).save(place)
                rows += measure(name, degrees, arguments.hands, fitted)
                write_json(arguments.json, {"errors": [asdict(row) for row in rows]})
                for row in rows[-2:]:
                    values = (
                        f"{v:.1f}" if isinstance(v, float) else str(v) for v in vars(row).values()
                    )
                    table.add_row(*values)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
