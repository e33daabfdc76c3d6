"""How far hands are from the truth that one, two, four and eight calibrated cameras see.

    python benchmarks/views.py
    python benchmarks/views.py --count 100 --degrees 0.1 0.5 1
    python benchmarks/views.py --rendered 30

Hands are sampled at random and their keypoints off by 2 pixels in images of 640 x 480, cameras 0.35
to 0.6 m away. A pair stands side by side, 0.1 m apart, the least that a rig has here; four and
eight stand around the hand. With ``--degrees`` the calibration's rotations are off, but for the
first camera's. With ``--rendered`` hands are rendered by a dome of eight cameras, of which one, two
neighbours, four or all are used, and what the detector finds goes through the whole fit.

Errors are of the model's joints, in mm: where they lie in the rig's frame ("camera space": for one
view that is the camera's), and after alignment by a similarity (PA); +- is the standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from measuring import add_set, parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table
from views_data import SampledHands, frames_of, ring, stereo, turned
from views_renders import VIEWS, rendered_frames

from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.fitting.detected_frame import DetectedFrame
from fitter.metrics import pa_mpjpe
from fitter.rig import Rig
from fitter.store.frame_schema import FrameRow

MISCALIBRATED = ("two, 0.1 m apart", "four around")
"""Rigs whose calibration may be off."""


@dataclass(frozen=True)
class Errors:
    """Of one rig, over all hands that were found.

    Attributes:
        placed: mean distance of joints in the rig's frame and its standard error, mm; aligned: the
            same after alignment; median: of `placed`.
        found: share of the hands that were fitted.
        others: hands of the frames beside these.
        valid: those of the others that are stored as valid.
    """

    placed: tuple[float, float]
    aligned: tuple[float, float]
    median: float
    found: float
    others: int
    valid: int

    @classmethod
    def of(cls, rows: Sequence[FrameRow], truth: np.ndarray) -> Errors:
        """Errors of the nearest hand of each frame from joints (B, J, 3), metres."""
        placed, aligned, others, valid = [], [], 0, 0
        for row, joints in zip(rows, truth, strict=True):
            there = [hand for hand in row.hands if hand.joints_3d is not None]
            hands = [hand.joints_3d for hand in there if hand.joints_3d is not None]
            others += max(len(hands) - 1, 0)
            if hands:
                apart = [np.linalg.norm(hand - joints, axis=1).mean() for hand in hands]
                best = int(np.argmin(apart))
                nearest = hands[best]
                valid += sum(hand.valid for k, hand in enumerate(there) if k != best)
                placed.append(1e3 * min(apart))
                aligned.append(1e3 * pa_mpjpe(nearest[None].astype(float), joints[None])[0])
        return cls(
            _mean(placed),
            _mean(aligned),
            float(np.median(placed)),
            len(placed) / len(truth),
            others,
            valid,
        )

    def cells(self) -> list[str]:
        """Of a table."""
        return [
            f"{self.placed[0]:.2f} +- {self.placed[1]:.2f}",
            f"{self.median:.2f}",
            f"{self.aligned[0]:.2f} +- {self.aligned[1]:.2f}",
            f"{self.found:.1%}",
            str(self.others),
            str(self.valid),
        ]


def _mean(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


MakeRig = Callable[[np.random.Generator], Rig]

RIGS: dict[str, MakeRig] = {
    "one": lambda rng: Rig(stereo(rng, 0.1).cameras[:1]),
    "two, 0.1 m apart": lambda rng: stereo(rng, 0.1),
    "four around": lambda rng: ring(rng, 4),
    "eight around": lambda rng: ring(rng, 8),
}


def sampled(
    engine: Engine, hands: SampledHands, make: MakeRig, noise: float, degrees: float, seed: int
) -> Errors:
    """Errors of sampled hands before rigs of a kind whose calibration is off by some degrees."""
    rng = np.random.default_rng(seed)
    rigs = [make(rng) for _ in hands.sides]
    known = [turned(rig, degrees, rng) for rig in rigs]
    return Errors.of(engine.fit_frames(frames_of(hands, rigs, noise, rng, known)), hands.joints)


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    for column in (first, "camera space, mm", "median", "PA, mm", "found", "other hands", "valid"):
        table.add_column(column, justify="left" if column == first else "right")
    return table


def _of_keypoints(
    console: Console, given: argparse.Namespace, degrees: Sequence[float]
) -> dict[str, Errors]:
    """Figures by rig and degrees by which rotations are off."""
    engine = Engine(load_config(None, ["refine.stages={}", *given.set]))
    hands = SampledHands.of(engine.fit_model, given.count, given.seed)
    figures = {}
    table = _table(f"{given.count} sampled hands, {given.noise:g} px noise", "views, degrees off")
    for off in degrees:
        for name, make in RIGS.items():
            # A rig of one camera has no calibration to be off.
            if off == 0 or name in MISCALIBRATED:
                label = f"{name}, {off:g}"
                figures[label] = sampled(engine, hands, make, given.noise, off, given.seed)
                table.add_row(label, *figures[label].cells())
                console.print(label, *figures[label].cells())
    console.print(table)
    return figures


def _of_renders(console: Console, given: argparse.Namespace) -> dict[str, Errors]:
    """Figures by the number of views."""
    engine = Engine(load_config(None, given.set))
    frames, truth = rendered_frames(given.rendered, given.seed, engine.config)
    table = _table(f"{given.rendered} rendered hands, found by the detector, whole fit", "views")
    figures = {}
    for name, views in VIEWS.items():
        parts = [
            DetectedFrame(
                Rig(tuple(frame.rig.cameras[k] for k in views)),
                tuple(frame.views[k] for k in views),
            )
            for frame in frames
        ]
        figures[f"rendered, {name}"] = Errors.of(engine.fit_frames(parts), truth)
        table.add_row(name, *figures[f"rendered, {name}"].cells())
    console.print(table)
    return figures


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--count", type=positive, default=200, help="sampled hands")
    options.add_argument("--seed", type=int, default=100, help="of hands and cameras")
    options.add_argument("--noise", type=float, default=2.0, help="of keypoints, pixels")
    options.add_argument(
        "--degrees", type=float, nargs="+", default=[0.0], help="rotations of calibrations are off"
    )
    options.add_argument("--rendered", type=positive, help="rendered hands instead")
    add_set(options)
    given = options.parse_args()
    use_threads(given.threads)
    console = Console()
    if given.rendered:
        figures = _of_renders(console, given)
    else:
        figures = _of_keypoints(console, given, given.degrees)
    write_json(given.json, {"errors": figures})


if __name__ == "__main__":
    run_command(main)
