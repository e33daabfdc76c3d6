"""Do hands tell the field of view of the camera that took them, and does it help to ask them?

python benchmarks/field_of_view.py work/field_of_view
python benchmarks/field_of_view.py work/field_of_view --images 1000 --json field_of_view.json

Renders hands of many sizes, poses and distances by cameras of 35 to 100 degrees, finds them as the
command does, and fits each with the true focal length times each of `RATIOS`. A camera's focal
length is then where the costs of its pictures' fits have their least sum: all that fits say of it,
hands at several places and distances included. Beside it the same with the hand known: its true 3D
keypoints, moved and turned until the detected ones are met, which no fit can know better.

Cameras of 1, 10 and 50 pictures are drawn at random from those of alike fields of view, for which
the error of the estimate counts, as a factor. The estimate is corrected by a line that is fitted on
one half of the pictures, and judged on the other. Depth is as wrong as the focal length; what that
does to the pose is counted, too.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from measuring import parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.settings import SyntheticSettings
from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.metrics import pa_mpjpe
from fitter.records import HandObservation, ImageRecord
from fitter.system.files import write_whole
from fitter.workers.image_detector import ImageDetector

RATIOS = np.geomspace(0.5, 2.0, 7)
"""Assumed over true focal length."""
SEED, SIZE, CHUNK = 930000, 224, 16
FOUND_WITHIN = 0.15
"""Mean distance of the keypoints that are found from the true ones, as a share of the picture's
side, above which it is another hand that was found."""
BINS = ((35, 50), (50, 70), (70, 100))
"""Degrees; cameras are drawn from pictures within one of them."""
CAMERAS = 400
"""Cameras that are drawn of each bin and number of pictures."""
DEFAULT = math.radians(60)


@dataclass(frozen=True)
class Look:
    """A rendered hand as it was found.

    Attributes:
        hand: what was found.
        K: (3, 3) true, of the picture.
        field_of_view: radians along the longer side of the whole picture.
        keypoints: (21, 3) true, metres in the camera.
    """

    hand: HandObservation
    K: np.ndarray
    field_of_view: float
    keypoints: np.ndarray


@dataclass(frozen=True)
class Row:
    """What cameras of one bin and number of pictures give.

    Attributes:
        way: "fits" or "known hand".
        least, most: degrees, the bin.
        pictures: a camera has.
        bias: mean of the logarithm of estimated over true focal length.
        spread: its standard deviation.
        assumed: median factor by which 60 degrees are wrong.
        constant: the same of the one field of view that is best for the other half's cameras.
        estimated: the same of the estimate as it is.
        corrected: the same of the corrected one.
    """

    way: str
    least: int
    most: int
    pictures: int
    bias: float
    spread: float
    assumed: float
    constant: float
    estimated: float
    corrected: float


@dataclass(frozen=True)
class Cameras:
    """Cameras drawn at random, (C,) logarithms of focal lengths over the true one: estimated, and
    of 60 degrees."""

    estimate: np.ndarray
    assumed: np.ndarray


@dataclass(frozen=True)
class Correction:
    """A line from the logarithm of the estimated focal length to that of the true one, both over
    that of 60 degrees: what takes out a bias, also one that grows with the focal length, and keeps
    as much of a scattered estimate as it is worth."""

    slope: float
    offset: float

    @classmethod
    def of(cls, cameras: Sequence[Cameras]) -> Correction:
        """By least squares, of cameras whose true focal length is known."""
        assumed = np.concatenate([some.assumed for some in cameras])
        estimate = np.concatenate([some.estimate for some in cameras])
        return cls(*map(float, np.polyfit(estimate - assumed, -assumed, 1)))

    def __call__(self, cameras: Cameras) -> np.ndarray:
        """(C,) logarithms of corrected over true focal length."""
        corrected = self.slope * (cameras.estimate - cameras.assumed) + self.offset
        return corrected + cameras.assumed


def looks(work: Path, images: int) -> list[Look]:
    """Hands that are found in rendered pictures; those of earlier calls are read."""
    engine, detector, found = None, None, []
    work.mkdir(parents=True, exist_ok=True)
    for start in range(0, images, CHUNK):
        path = work / f"looks-{start:06d}.pkl"  # our own file, of this benchmark alone
        if not path.exists():
            if engine is None or detector is None:
                engine = SyntheticEngine(SIZE, SyntheticSettings.unoccluded(), supersampling=1)
                detector = ImageDetector(load_config("default", ["detector.max_hands=1"]), True)
            chunk = list(_chunk(engine, detector, range(start, min(start + CHUNK, images))))
            write_whole(path, pickle.dumps(chunk), durable=False)
        found += pickle.loads(path.read_bytes())
    return found


def _chunk(engine: SyntheticEngine, detector: ImageDetector, indices: range) -> Iterator[Look]:
    batch = engine.batch(SEED, list(indices))
    assert detector.detector is not None
    for row in range(len(indices)):
        K = batch.intrinsics[row].numpy().astype(np.float64)
        pixels = np.ascontiguousarray(batch.image[row].numpy())
        record = ImageRecord(str(row), Path(str(row)), pixels, K, "given")
        truth = batch.keypoints_2d[row].numpy()
        hands = [
            (float(np.linalg.norm(hand.keypoints - truth, axis=1).mean()), hand)
            for hand in detector.detector.detect(record)
        ]
        distance, hand = min(hands, key=lambda each: each[0], default=(math.inf, None))
        if hand is None or hand.side != "right" or distance > FOUND_WITHIN * SIZE:
            continue
        whole = batch.specs.view.intrinsics[row].numpy()
        field_of_view = 2 * math.atan(whole[0, 2] / whole[0, 0])  # its centre is in the middle
        yield Look(hand, K, field_of_view, batch.keypoints_3d[row].numpy().astype(np.float64))


def scaled(K: np.ndarray, ratio: float) -> np.ndarray:
    """K with another focal length and the same principal point."""
    return K * np.array([[ratio, 1, 1], [1, ratio, 1], [1, 1, 1]])


def fitted(found: list[Look]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, R) costs, errors (PA-MPJPE, mm) and depths over true ones of fits with each ratio."""
    engine = Engine(load_config("default", ["refine.stages={}", "run.device=cpu"]))
    shape = (len(found), len(RATIOS))
    costs, errors, depths = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for column, ratio in enumerate(RATIOS):
        images = [
            DetectedImage((SIZE, SIZE), scaled(look.K, ratio), "given", (look.hand,))
            for look in found
        ]
        for row, (fit, look) in enumerate(zip(engine.fit(images), found, strict=True)):
            hand = fit.hands[0]
            if hand.final_cost is None or hand.keypoints_3d is None:
                continue
            costs[row, column] = hand.final_cost
            errors[row, column] = 1000 * pa_mpjpe(hand.keypoints_3d[None], look.keypoints[None])[0]
            depths[row, column] = hand.keypoints_3d[0, 2] / look.keypoints[0, 2]
    return costs, errors, depths


def known_costs(found: list[Look]) -> np.ndarray:
    """(N, R) mean squared distances in shares of the picture's side of the detected keypoints from
    the true hand's, at the best place and turn under each ratio."""
    costs = np.full((len(found), len(RATIOS)), np.nan)
    for row, look in enumerate(found):
        points = look.keypoints - look.keypoints.mean(0)
        centre = look.keypoints.mean(0)
        for column, ratio in enumerate(RATIOS):
            K = scaled(look.K, ratio)
            start = centre * [1, 1, ratio]
            _, turn, place = cv2.solvePnP(
                points, look.hand.keypoints.astype(np.float64), K, np.zeros(5),
                np.zeros((3, 1)), start.reshape(3, 1).copy(), True, cv2.SOLVEPNP_ITERATIVE,
            )  # fmt: skip
            seen = cv2.projectPoints(points, turn, place, K, np.zeros(5))[0][:, 0]
            distances = (seen - look.hand.keypoints) / SIZE
            costs[row, column] = (distances**2).sum(1).mean()
    return costs


def least(costs: np.ndarray) -> float:
    """Logarithm of the ratio at which (R,) costs are least, by a parabola about the least one."""
    x, at = np.log(RATIOS), int(np.argmin(costs))
    at = min(max(at, 1), len(x) - 2)
    a, b, _ = np.polyfit(x[at - 1 : at + 2] - x[at], costs[at - 1 : at + 2], 2)
    step = x[1] - x[0]
    move = -b / (2 * a) if a > 0 else math.copysign(step, -b)
    return float(x[at] + np.clip(move, -step, step))


def estimates(costs: np.ndarray, assumed: np.ndarray, places: np.ndarray, pictures: int) -> Cameras:
    """Cameras drawn at random from the pictures at some places."""
    rng = np.random.default_rng([SEED, pictures, len(places)])
    drawn = [rng.choice(places, pictures, replace=False) for _ in range(CAMERAS)]
    return Cameras(
        np.array([least(costs[some].mean(0)) for some in drawn]),
        np.array([assumed[some].mean() for some in drawn]),
    )


def rows_of(way: str, costs: np.ndarray, views: np.ndarray) -> list[Row]:
    """All bins and numbers of pictures of one way to estimate, with (N,) fields of view, radians.

    Numbers of pictures are left out that one of the bins has not.
    """
    assumed = np.log(np.tan(views / 2) / math.tan(DEFAULT / 2))
    known = np.isfinite(costs).all(1)
    rows = []
    for pictures in (1, 10, 50):
        halves: list[list[Cameras]] = []
        for half in (0, 1):
            mine = known & (np.arange(len(views)) % 2 == half)
            inside = [(views >= math.radians(a)) & (views < math.radians(b)) for a, b in BINS]
            places = [np.flatnonzero(mine & some) for some in inside]
            if min(map(len, places)) >= pictures:
                halves.append([estimates(costs, assumed, some, pictures) for some in places])
        if len(halves) < 2:
            continue
        correction = Correction.of(halves[0])
        even = known & (np.arange(len(views)) % 2 == 0)
        constant = float(np.median(assumed[even]))
        for (low, high), cameras in zip(BINS, halves[1], strict=True):
            between = (views >= math.radians(low)) & (views < math.radians(high))
            single = assumed[known & ~even & between]  # the mean of several would be no camera's
            errors = (single, single - constant, cameras.estimate, correction(cameras))
            factors = [float(np.exp(np.median(np.abs(error)))) for error in errors]
            of_estimate = float(cameras.estimate.mean()), float(cameras.estimate.std())
            rows.append(Row(way, low, high, pictures, *of_estimate, *factors))
    return rows


def main() -> None:
    options = parser("does the field of view show in the fits of hands?")
    options.add_argument("work", type=Path, help="folder for what was rendered and found")
    options.add_argument("--images", type=positive, default=600, help="to render (default: 600)")
    given = options.parse_args()
    use_threads(given.threads)
    found = looks(given.work, given.images)
    fits = given.work / f"fits-{given.images}.npy"
    if not fits.exists():
        write_whole(fits, lambda file: np.save(file, np.stack(fitted(found))), durable=False)
    costs, errors, depths = np.load(fits)
    ways = {"fits": costs, "known hand": known_costs(found)}
    views = np.array([look.field_of_view for look in found])
    rows = [row for way, of_way in ways.items() for row in rows_of(way, of_way, views)]
    console = Console()
    heads = ("way", "degrees", "pictures", "bias", "spread")
    table = Table(*heads, "60 degrees", "constant", "estimate", "corrected")
    for r in rows:
        numbers = [f"{r.bias:+.2f}", f"{r.spread:.2f}"]
        factors = (r.assumed, r.constant, r.estimated, r.corrected)
        numbers += [f"{factor:.2f}" for factor in factors]
        table.add_row(r.way, f"{r.least}-{r.most}", str(r.pictures), *numbers)
    console.print(f"{len(found)} hands found in {given.images} pictures", table)
    pose = Table("assumed / true focal length", *(f"{ratio:.2f}" for ratio in RATIOS))
    pose.add_row("PA-MPJPE, mm", *(f"{e:.2f}" for e in np.nanmean(errors, 0)))
    pose.add_row("depth / true", *(f"{d:.2f}" for d in np.nanmedian(depths, 0)))
    pose.add_row(
        "cost / least",
        *(f"{c:.3f}" for c in np.nanmean(costs, 0) / np.nanmin(np.nanmean(costs, 0))),
    )
    console.print(pose)
    figures = {
        "hands": len(found),
        "rows": [asdict(row) for row in rows],
        "ratios": RATIOS.tolist(),
        "pa_mpjpe_mm": np.nanmean(errors, 0).tolist(),
        "depth_ratio": np.nanmedian(depths, 0).tolist(),
        "cost": np.nanmean(costs, 0).tolist(),
        "known_cost": np.nanmean(ways["known hand"], 0).tolist(),
    }
    write_json(given.json, figures)


if __name__ == "__main__":
    run_command(main)
