"""Milliseconds a hand of the keypoint fit, by batch size, on synthetic observations.

python benchmarks/fit.py
python benchmarks/fit.py --batch-sizes 1 64 --device cuda --set fit.num_starts=4 --json fit.json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from measuring import Seconds, median_seconds, parser, use_threads, write_json
from rich.console import Console
from rich.table import Table

from datasets.pose_sampler import sample_hand_angles
from fitter.camera import project
from fitter.config import FitConfig, load_config
from fitter.energies.priors import PoseSpace
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.hand_models.skinning import pose_keypoints
from fitter.keypoint_fit import FitModel, ObservationBatch, fit_keypoints
from fitter.records import HandParams
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


def observe(model: FitModel, count: int, rng: np.random.Generator) -> ObservationBatch:
    """Hands of random pose, shape, side and place, seen with noise."""
    like = model.keypoints.joint_template

    def normal(scale: float, *shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.normal(scale=scale, size=(count, *shape))).to(like)

    angles = torch.as_tensor(sample_hand_angles(rng, count)).to(like)
    pose = (angles[..., None, :] @ model.pose_space.axes)[..., 0, :]
    place = normal(0.05, 3) + like.new_tensor([0.0, 0.0, DISTANCE])
    shapes = model.keypoints.joint_shapedirs.shape[-1]
    points = pose_keypoints(
        model.keypoints, HandParams(normal(1.0, 3), pose, normal(0.7, shapes), place)
    )[1]
    K = like.new_tensor([[FOCAL, 0, 320], [0, FOCAL, 320], [0, 0, 1]]).expand(count, 3, 3)
    relative = points - points[:, :1]
    return ObservationBatch(
        keypoints=project(points, K) + normal(KEYPOINT_NOISE, 21, 2),
        confidence=torch.as_tensor(rng.uniform(0.3, 1.0, (count, 21))).to(like),
        relative_depth=relative[..., 2] * FOCAL / DISTANCE + normal(DEPTH_NOISE, 21),
        relative_xyz=relative + normal(XYZ_NOISE, 21, 3),
        intrinsics=K,
        is_left=torch.as_tensor(rng.random(count) < 0.5).to(like.device),
    )


def measure(
    model: FitModel, observed: ObservationBatch, config: FitConfig, batch_size: int, repeats: int
) -> Figures:
    """Fit all hands of `observed`, `batch_size` at a time."""
    count = len(observed.is_left)
    batches = [observed[i : i + batch_size] for i in range(0, count, batch_size)]
    results: list[SolverResult] = []

    def work() -> None:
        results[:] = [fit_keypoints(model, batch, config) for batch in batches]
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


def main() -> None:
    options = parser("Milliseconds a hand of the keypoint fit, on synthetic observations.")
    options.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16, 64, 256])
    options.add_argument("--repeats", type=int, default=5, help="runs whose median is reported")
    options.add_argument("--model", default="open_hand", help="open_hand, or a MANO file")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--seed", type=int, default=0, help="of the synthetic hands")
    options.add_argument(
        "--set", action="append", default=[], metavar="fit.OPTION=VALUE", help="as for fit-hands"
    )
    arguments = options.parse_args()
    use_threads(arguments.threads)
    config = load_config(None, arguments.set).fit
    model = load_fit_model(arguments.model, torch.device(arguments.device))
    figures = []
    for batch_size in arguments.batch_sizes:
        # Small batches are measured on fewer hands, of the same kind: one hand is no sample.
        count = max(batch_size, 32)
        observed = observe(model, count, np.random.default_rng(arguments.seed))
        figures.append(measure(model, observed, config, batch_size, arguments.repeats))
    show(figures)
    write_json(arguments.json, {"fit": config.model_dump(), "figures": figures})


if __name__ == "__main__":
    main()
