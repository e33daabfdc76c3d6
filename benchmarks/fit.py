"""Milliseconds a hand of the keypoint fit and of the stages after it, by batch size, on synthetic
hands and images.

python benchmarks/fit.py
python benchmarks/fit.py --batch-sizes 1 64 --set fit.num_initialisations=4 --json fit.json
python benchmarks/fit.py --batch-sizes 256 1024 --device cuda --first-order
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from fit_stages import FIRST_ORDER, StageFigures, mask_ms, measure_stages, task_of
from measuring import (
    Seconds,
    add_set,
    median_seconds,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table

from datasets.poses import sample_hand_angles
from fitter.camera import mirror_points, project
from fitter.config.options import Config, FitConfig, load_config
from fitter.device import choose_device
from fitter.energies import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.observations import ObservationBatch, unknown_features
from fitter.hand_models import anatomy_of, load_hand_model, load_pose_prior, pose_keypoints
from fitter.records import HandParams
from fitter.refinement import Refiner
from fitter.solvers import SolverResult

FOCAL = 1000.0
DISTANCE = 0.6
KEYPOINT_NOISE, DEPTH_NOISE, XYZ_NOISE = 4.0, 12.0, 0.006
"""Standard deviations in pixels, pixels and metres, about those of a detector on a hand that is 250
pixels long."""


@dataclass(frozen=True)
class Figures:
    """What was measured at one batch size.

    Attributes:
        batch_size: hands fitted at once.
        wall_ms: milliseconds a hand, median over repeats.
        cpu_ms: the same in processor time.
        iterations: median and 90th percentile of the steps of the final run of the solver.
        diverged: hands without a fit.
    """

    batch_size: int
    wall_ms: float
    cpu_ms: float
    iterations: tuple[float, float]
    diverged: int


def load_fit_model(source: str, device: torch.device) -> FitModel:
    """The reduced right-hand model with its pose prior, as the command builds it."""
    model = load_hand_model(source, "right", torch.float64).to(device)
    like = torch.zeros((), dtype=torch.float64, device=device)
    pose_space = PoseSpace.of(anatomy_of(model.data), load_pose_prior(), like)
    return FitModel(model.keypoint_model(), pose_space)


LEAST_HANDS = 32
"""Small batches are measured on this many hands, one batch after the other: one is no sample."""

WIDTH = 640
"""Pixels of the image."""


def observe(
    model: FitModel, count: int, rng: np.random.Generator
) -> tuple[HandParams, ObservationBatch]:
    """Right hands of random pose, shape and place, and how they are seen, with noise."""
    like = model.keypoints.joint_template

    def normal(scale: float, *shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.normal(scale=scale, size=(count, *shape))).to(like)

    angles = torch.as_tensor(sample_hand_angles(rng, count)).to(like)
    pose = (angles[..., None, :] @ model.pose_space.axes)[..., 0, :]
    place = normal(0.05, 3) + like.new_tensor([0.0, 0.0, DISTANCE])
    shapes = model.keypoints.joint_shapedirs.shape[-1]
    truth = HandParams(normal(1.0, 3), pose, normal(0.7, shapes), place)
    points = pose_keypoints(model.keypoints, truth)[1]
    middle = WIDTH / 2
    K = like.new_tensor([[FOCAL, 0, middle], [0, FOCAL, middle], [0, 0, 1]]).expand(count, 3, 3)
    relative = points - points[:, :1]
    observed = ObservationBatch(
        keypoints=project(points, K) + normal(KEYPOINT_NOISE, 21, 2),
        confidence=torch.as_tensor(rng.uniform(0.3, 1.0, (count, 21))).to(like),
        relative_depth=relative[..., 2] * FOCAL / DISTANCE + normal(DEPTH_NOISE, 21),
        relative_xyz=relative + normal(XYZ_NOISE, 21, 3),
        intrinsics=K,
        features=unknown_features(count, like),
        is_left=torch.zeros(count, dtype=torch.bool, device=like.device),
    )
    return truth, observed


def with_left_hands(observed: ObservationBatch, rng: np.random.Generator) -> ObservationBatch:
    """The same with about half of the hands in a mirror."""
    left = torch.as_tensor(rng.random(len(observed.is_left)) < 0.5).to(observed.is_left.device)
    chosen = left[:, None, None]
    mirrored = mirror_points(observed.keypoints, WIDTH)
    flip = observed.relative_xyz.new_tensor([-1.0, 1.0, 1.0])
    return replace(
        observed,
        keypoints=torch.where(chosen, mirrored, observed.keypoints),
        relative_xyz=torch.where(chosen, flip * observed.relative_xyz, observed.relative_xyz),
        is_left=left,
    )


def measure(
    model: FitModel, observed: ObservationBatch, config: FitConfig, batch_size: int, repeats: int
) -> Figures:
    """Fit all hands of `observed`, `batch_size` at a time."""
    count = len(observed.is_left)
    batches = [observed[i : i + batch_size] for i in range(0, count, batch_size)]
    results: list[SolverResult] = []

    def work() -> None:
        results[:] = [fit_observations(model, batch, config) for batch in batches]
        results[-1].cost.cpu()

    seconds: Seconds = median_seconds(work, repeats)
    steps = torch.cat([result.iterations for result in results]).double()
    return Figures(
        batch_size=batch_size,
        wall_ms=1000 * seconds.wall / count,
        cpu_ms=1000 * seconds.cpu / count,
        iterations=(float(steps.quantile(0.5)), float(steps.quantile(0.9))),
        diverged=sum(int(result.cost.isnan().sum()) for result in results),
    )


def show(figures: Sequence[Figures]) -> None:
    table = Table(title="keypoint fit, per hand")
    for heading in ("batch", "wall ms", "CPU ms", "steps, median", "90th percentile", "diverged"):
        table.add_column(heading, justify="right")
    for f in figures:
        table.add_row(
            str(f.batch_size),
            f"{f.wall_ms:.2f}",
            f"{f.cpu_ms:.2f}",
            *(f"{steps:.0f}" for steps in f.iterations),
            str(f.diverged),
        )
    Console().print(table)


def show_stages(figures: Sequence[StageFigures]) -> None:
    table = Table(title="stages after the keypoints, per hand")
    parts = sorted({part for f in figures for part in f.parts})
    for heading in (
        "stages", "batch", "wall ms", "CPU ms", *(f"{part}, CPU ms" for part in parts),
        "steps, median", "90th", "fits a second", "MB", "IoU before", "after",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for f in figures:
        table.add_row(
            f.stages,
            str(f.batch_size),
            f"{f.wall_ms:.2f}",
            f"{f.cpu_ms:.2f}",
            *(f"{f.parts[part]:.2f}" if part in f.parts else "" for part in parts),
            *(f"{steps:.0f}" for steps in f.iterations),
            f"{f.fits_per_second:.0f}",
            "" if f.memory_mb is None else f"{f.memory_mb:.2f}",
            *(f"{iou:.3f}" for iou in f.iou),
        )
    Console(width=max(Console().width, 150)).print(table)


def run_stages_of(
    config: Config, fit_model: FitModel, options: argparse.Namespace
) -> tuple[float, list[StageFigures]]:
    """Milliseconds a mask, and the figures of all batch sizes."""
    device = fit_model.keypoints.joint_template.device
    hand = load_hand_model(options.model, "right", torch.float64).to(device)
    model = Refiner(hand, fit_model, config.refine, config.fit).model
    chosen = [("configured", config.refine.stages)]
    chosen += [("first_order", FIRST_ORDER)] if options.first_order else []
    figures = []
    for batch_size in options.batch_sizes:
        rng = np.random.default_rng(options.seed)
        truth, observed = observe(fit_model, max(batch_size, LEAST_HANDS), rng)
        task = task_of(model, truth, observed, config)
        run = (batch_size, options.repeats)
        figures += [measure_stages(task, observed, config, stages, run) for stages in chosen]
    initialisations = fit_observations(fit_model, observed, config.fit).params
    return mask_ms(task, initialisations, options.repeats), figures


def main() -> None:
    options = parser("Milliseconds a hand of the keypoint fit and the stages, synthetic hands.")
    options.add_argument("--batch-sizes", type=positive, nargs="+", default=[1, 16, 64, 256])
    options.add_argument("--repeats", type=int, default=5, help="runs whose median is reported")
    options.add_argument("--model", default="open_hand", help="open_hand, or a MANO file")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--seed", type=int, default=0, help="of the synthetic hands")
    options.add_argument("--config", type=Path, metavar="YAML", help="a preset or your own file")
    options.add_argument(
        "--first-order", action="store_true", help="also time 30 steps of gradient descent"
    )
    add_set(options)
    arguments = options.parse_args()
    use_threads(arguments.threads)
    config = load_config(arguments.config, arguments.set)
    model = load_fit_model(arguments.model, choose_device(arguments.device))
    figures = []
    for batch_size in arguments.batch_sizes:
        rng = np.random.default_rng(arguments.seed)
        observed = with_left_hands(observe(model, max(batch_size, LEAST_HANDS), rng)[1], rng)
        figures.append(measure(model, observed, config.fit, batch_size, arguments.repeats))
    show(figures)
    per_mask, stages = run_stages_of(config, model, arguments)
    show_stages(stages)
    Console().print(f"a mask from the image: {per_mask:.1f} ms CPU")
    written = {"fit": config.fit.model_dump(), "refine": config.refine.model_dump()}
    results = {"figures": figures, "stages": stages, "mask_cpu_ms": per_mask}
    write_json(arguments.json, written | results)


if __name__ == "__main__":
    run_command(main)
