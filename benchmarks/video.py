"""Do tracks make hands of videos steadier, and no less right, than fits of single frames?

python benchmarks/video.py work/
python benchmarks/video.py work/ --seconds 8 --seed 5 --real clip.mp4 -- --set tracks.place_noise=2

Renders a video of two hands that cross, one of which leaves and comes back, with slow and fast
motion (`video_data`), and runs `fit-hands` over it with and without `--no-tracks`. Found hands are
compared with the true hand whose keypoints are nearest in the image. With `--real` a video without
truth goes the same way; of it the surest hand of each frame counts.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from measuring import (
    fit_hands_command,
    parse_with_rest,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table
from video_data import SIDES, Clip, Truth, write_clip

import fitter
from fitter.fitted_hand import FittedHand
from fitter.inputs.frame_names import video_of
from fitter.metrics import pa_mpjpe

NEAR = 0.5
"""Mean distance of keypoints in the image over the hand's length below which a hand is the true
one."""

BONES = tuple((0 if joint % 3 == 1 else joint - 1, joint) for joint in range(1, 16))
"""Pairs of MANO's joints whose distance is a bone's."""


@dataclass(frozen=True)
class Figures:
    """Of the hands of one kind in one run; lengths in mm, accelerations in mm per frame squared.

    Attributes:
        name: of the hands and the run.
        hands: that were found.
        switches: of identity within tracks, and between them; -1 without tracks.
        bones: standard deviation of bone lengths over their mean, per cent.
        x, y, z: mean error of the acceleration, of a video without truth the acceleration.
        pa, root, camera, depth: mean error of keypoints aligned by a similarity, relative to the
            wrist, in the camera, and along its axis; NaN without truth.
        lag: frames by which the motion comes late, the largest of the three axes in size.
    """

    name: str
    hands: int
    switches: int
    bones: float
    x: float
    y: float
    z: float
    pa: float = np.nan
    root: float = np.nan
    camera: float = np.nan
    depth: float = np.nan
    lag: float = np.nan

    @property
    def ratio(self) -> float:
        """Of the depth to the mean of both axes of the image."""
        return 2 * self.z / (self.x + self.y)


def fitted(video: Path, store: Path, options: list[str]) -> float:
    """Run the command; frames a second of all of it."""
    for old in store.parent.glob(f"{store.name}*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    words = [fit_hands_command(), str(video), "--out", str(store), "-q", *options]
    begun = time.monotonic()
    subprocess.run(words, check=True)
    return len(fitter.open_results(store)) / (time.monotonic() - begun)


Frames = list[tuple[int, list[FittedHand]]]
"""The valid hands of consecutive frames, each with its number in the video."""


def frames_of(store: Path) -> Frames:
    """The valid hands of each frame, in order; without those that were filled in."""
    results = fitter.open_results(store)
    numbered = sorted((video_of(name) or ("", 0), name) for name in results)
    return [
        (number, [hand for hand in results[name] if hand.valid and not hand.filled])
        for (_, number), name in numbered
    ]


def _true_hands(frames: Frames, truth: Truth, side: int) -> list[FittedHand | None]:
    """Of each frame the found hand that is nearest to a true one, if it is near."""
    found: list[FittedHand | None] = []
    for frame, hands in frames:
        image = truth.keypoints[frame] @ truth.intrinsics.T
        image = image[..., :2] / image[..., 2:]
        length = np.ptp(image[side], axis=0).max()
        best, least = None, NEAR * length
        for hand in hands:
            assert hand.keypoints_2d is not None
            far = np.linalg.norm(hand.keypoints_2d - image, axis=-1).mean(1)
            if far.argmin() == side and far[side] < least:
                best, least = hand, far[side]
        found.append(best if truth.seen[frame, side] else None)
    return found


def _bones(hands: list[FittedHand | None]) -> float:
    points = np.stack([hand.joints_3d for hand in hands if hand is not None]).astype(float)
    lengths = np.stack([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in BONES])
    return float(100 * (lengths.std(1) / lengths.mean(1)).mean())


def _acceleration(points: np.ndarray) -> np.ndarray:
    return points[:-2] - 2 * points[1:-1] + points[2:]


def _points(hands: list[FittedHand | None]) -> np.ndarray:
    """(T, 21, 3) mm, NaN where there is no hand."""
    none = np.full((21, 3), np.nan)
    return 1000 * np.stack([none if h is None else h.keypoints_3d for h in hands])


def _lag(points: np.ndarray, truth: np.ndarray, wanted: np.ndarray) -> float:
    """Of the hand's middle: the slope of its error over the true velocity, with the sign of a
    delay, the largest of the three axes."""
    error = (points - truth).mean(1)
    velocity = np.gradient(truth.mean(1), axis=0)
    error, velocity = error[wanted], velocity[wanted]
    error, velocity = error - error.mean(0), velocity - velocity.mean(0)
    lags = -(error * velocity).sum(0) / (velocity**2).sum(0)
    return float(lags[np.abs(lags).argmax()])


def compared(name: str, frames: Frames, truth: Truth) -> list[Figures]:
    """Figures of a run over the rendered video: both hands, slow and fast."""
    found = []
    numbers_of = [number for number, _ in frames]
    for side, title in enumerate(SIDES):
        hands = _true_hands(frames, truth, side)
        points, true = _points(hands), 1000 * truth.keypoints[numbers_of, side]
        there = np.isfinite(points).all((1, 2))
        numbers = [hand.track for hand in hands if hand is not None and hand.track]
        switches = int((np.diff(numbers) != 0).sum()) if numbers else -1
        for speed in ("slow", "fast"):
            own = there & (truth.is_fast[numbers_of, side] == (speed == "fast"))
            whole = own[:-2] & own[1:-1] & own[2:]
            if not whole.any():
                continue
            error = points[own] - true[own]
            jitter = np.abs(_acceleration(points) - _acceleration(true))[whole].mean((0, 1))
            relative = error - error[:, :1]
            found.append(
                Figures(
                    f"{name}, {title}, {speed}",
                    int(own.sum()),
                    switches,
                    _bones([hand for hand, wanted in zip(hands, own, strict=True) if wanted]),
                    *jitter.tolist(),
                    pa=float(pa_mpjpe(points[own], true[own]).mean()),
                    root=float(np.linalg.norm(relative, axis=-1).mean()),
                    camera=float(np.linalg.norm(error, axis=-1).mean()),
                    depth=float(np.abs(error[..., 2]).mean()),
                    lag=_lag(points, true, own),
                )
            )
    return found


def alone(name: str, frames: Frames) -> list[Figures]:
    """Figures of a run over a video without truth."""
    hands = [max(each, key=lambda h: h.score or 0.0, default=None) for _, each in frames]
    points = _points(hands)
    there = np.isfinite(points).all((1, 2))
    numbers = [hand.track for hand in hands if hand is not None and hand.track]
    switches = int((np.diff(numbers) != 0).sum()) if numbers else -1
    jitter = np.nanmean(np.abs(_acceleration(points)), axis=(0, 1))
    return [Figures(name, int(there.sum()), switches, _bones(hands), *jitter.tolist())]


def show(found: list[Figures], rates: dict[str, float]) -> None:
    table = Table(
        "hands", "found", "switches", "bones, %", "acceleration x", "y", "depth", "depth / plane",
        "PA", "to the wrist", "camera", "its depth", "lag, frames",
    )  # fmt: skip
    for each in found:
        values = (each.bones, each.x, each.y, each.z, each.ratio, each.pa, each.root, each.camera,
                  each.depth, each.lag)  # fmt: skip
        row = [f"{value:.2f}" for value in values]
        table.add_row(each.name, str(each.hands), str(each.switches), *row)
    console = Console(width=140)  # a file has 80, which cuts every column
    console.print(table)
    for name, rate in rates.items():
        console.print(f"{name}: {rate:.2f} frames a second")


def main() -> None:
    options = parser("Steadiness and errors of hands of videos, with tracks and without.")
    options.add_argument("folder", type=Path, metavar="WORK_DIR", help="where all is written")
    options.add_argument("--seconds", type=float, default=30.0, help="of the rendered video")
    options.add_argument("--seed", type=positive, default=1205, help="of the rendered video")
    options.add_argument("--real", type=Path, metavar="VIDEO", help="a video without truth")
    arguments, rest = parse_with_rest(options)
    use_threads(arguments.threads)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    clip = Clip(arguments.seconds, arguments.seed)
    rendered = folder / f"rendered-{clip.seed}-{clip.seconds:g}.mp4"
    truth = write_clip(clip, rendered)
    K = clip.intrinsics
    camera = ["--intrinsics", f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}", "--max-hands", "2"]
    found: list[Figures] = []
    rates: dict[str, float] = {}
    for name, more in (("frames alone", ["--no-tracks"]), ("tracks", [])):
        store = folder / f"{name.replace(' ', '-')}.zarr"
        rates[f"rendered, {name}"] = fitted(rendered, store, [*camera, *more, *rest])
        found += compared(name, frames_of(store), truth)
        if arguments.real is not None:
            store = folder / f"real-{store.name}"
            rates[f"real, {name}"] = fitted(
                arguments.real, store, ["--max-hands", "1", *more, *rest]
            )
            found += alone(f"real, {name}", frames_of(store))
    show(found, rates)
    figures = {"options": rest, "rates": rates, "figures": [asdict(each) for each in found]}
    write_json(arguments.json, figures)


if __name__ == "__main__":
    run_command(main)
