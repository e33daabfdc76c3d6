"""How much the image improves a hand: render and compare against known meshes and masks.

python benchmarks/refine.py --scenes scenes/test --preset default
python benchmarks/refine.py --scenes scenes/dev --preset default s2hand my.yaml --count 50
python benchmarks/refine.py --scenes scenes/dev --preset default --iterations all --ablate

The scenes are those of `benchmarks/refine_data.py`, which says what they are and what a fit sees of
them. Every preset is run for the given numbers of iterations, counted over its stages in their
order, and stands beside what the keypoints alone gave, which is its row of 0 iterations.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fit import load_fit_model
from measuring import Seconds, Stopwatch, add_set, parser, run_command, use_threads, write_json
from refine_data import load_scenes
from refine_figures import FIGURES, Estimate, SceneBatch, evaluate
from rich.console import Console
from rich.table import Table

from fitter.config.options import Config, load_config
from fitter.config.stages import StageConfig
from fitter.fitting.crops import crop_hands
from fitter.fitting.fit_model import FitModel
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.observations import normalise
from fitter.hand_models import HandModel, load_hand_model
from fitter.records import HandParams
from fitter.refinement import Refiner

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

LEAST_IOU_GAIN, ENOUGH_IOU, LEAST_VERTEX_GAIN, MOST_EDGE_LOSS = 0.15, 0.92, 0.25, 0.10
"""What `default.yaml` is to reach: the gain in IoU over the initialisation or the IoU itself,
the share by which the aligned vertex error falls, the share by which the edge error may rise."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        preset: name of the configuration.
        variant: "" for the preset as it is, else the energy that is off.
        iterations: of all stages together.
        mean, median: of `FIGURES` over the hands; a hand without a fit counts in `failed` alone.
        failed: hands without a fit.
        rejected_masks: hands whose mask was not believed.
        seconds: for all hands, of the stages alone.
    """

    preset: str
    variant: str
    iterations: int
    mean: dict[str, float]
    median: dict[str, float]
    failed: int
    rejected_masks: int
    seconds: Seconds


def limited(stages: Mapping[str, StageConfig], iterations: int) -> dict[str, StageConfig]:
    """The stages ended after a number of iterations of all together."""
    kept = {}
    for name, stage in stages.items():
        if iterations <= 0:
            break
        kept[name] = stage.model_copy(update={"iterations": min(stage.iterations, iterations)})
        iterations -= stage.iterations
    return kept


def without(stages: Mapping[str, StageConfig], energy: str) -> dict[str, StageConfig]:
    """The stages with one energy off; a stage that has no other is left out."""
    return {
        name: stage.model_copy(
            update={"energies": {e: w for e, w in stage.energies.items() if e != energy}}
        )
        for name, stage in stages.items()
        if set(stage.energies) != {energy}
    }


@dataclass(frozen=True)
class Fitter:
    """Keypoint fit and stages, as a configuration says, on the open hand: the command's own path
    from the crops on."""

    config: Config
    hand: HandModel
    fit: FitModel

    @classmethod
    def of(cls, config: Config) -> Fitter:
        fit = load_fit_model("open_hand", torch.device("cpu"))
        return cls(config, load_hand_model("open_hand", dtype=torch.float64), fit)

    def initialise(self, batch: SceneBatch) -> HandParams:
        """Where the keypoints alone put the hands."""
        return fit_observations(self.fit, batch.observed, self.config.fit).params

    def refined(
        self, batch: SceneBatch, hands: HandParams, stages: Mapping[str, StageConfig]
    ) -> tuple[Estimate, int]:
        """Where the stages put the hands from there, and how many masks were not believed."""
        refine = self.config.refine.model_copy(update={"stages": stages})
        crop = (refine.resolution, refine.margin)
        crops = [
            crop_hands(
                observation.image,
                observation.intrinsics,
                [observation.hand],
                observation.mask,
                crop,
            )[0]
            for observation in batch.observations
        ]
        nothing, known = [None] * len(crops), torch.zeros(len(crops))
        fit = self.config.fit
        observed = normalise(batch.observed).with_depth_gain(fit.relative_depth_gain)
        found = Refiner(self.hand, self.fit, refine, fit)(hands, crops, nothing, observed, known)
        rejected = sum(mask.source == "rejected" for mask in found.masks)
        return Estimate.of(self.hand, found.params.hand, found.params.offsets), rejected


def variants(
    config: Config, iterations: Sequence[int | None], ablate: bool
) -> Iterator[tuple[str, dict[str, StageConfig]]]:
    """The runs of a preset: the energy that is off or "", and the stages.

    Numbers of iterations that the preset does not reach are left out; None stands for all.
    """
    stages = config.refine.stages
    total = sum(stage.iterations for stage in stages.values())
    for count in iterations:
        if count is None or count < total:
            yield "", limited(stages, total if count is None else count)
    if ablate:
        for energy in dict.fromkeys(e for stage in stages.values() for e in stage.energies):
            yield energy, without(stages, energy)


def run_preset(name: str, runs: argparse.Namespace, batch: SceneBatch) -> list[Row]:
    """All rows of one preset."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    config = load_config(path, runs.set)
    fitter = Fitter.of(config)
    size = config.run.batch_size
    parts = [batch[i : i + size] for i in range(0, len(batch.scenes), size)]
    initialisations = [fitter.initialise(part) for part in parts]
    rows = []
    for variant, stages in variants(config, runs.iterations, runs.ablate):
        watch, results, rejected = Stopwatch(), [], 0
        for part, hands in zip(parts, initialisations, strict=True):
            with watch.part("stages"):
                estimate, unused = fitter.refined(part, hands, stages)
            results.append(evaluate(part, estimate, fitter.hand.faces))
            rejected += unused
        figures = {key: np.concatenate([result[key] for result in results]) for key in FIGURES}
        fitted = np.isfinite(figures["vertex_mm"])
        row = Row(
            preset=path.stem,
            variant=variant,
            iterations=sum(stage.iterations for stage in stages.values()),
            mean={key: float(values[fitted].mean()) for key, values in figures.items()},
            median={key: float(np.median(values[fitted])) for key, values in figures.items()},
            failed=int((~fitted).sum()),
            rejected_masks=rejected,
            seconds=watch.parts["stages"],
        )
        rows.append(row)
    return rows


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="means over the hands")
    table.add_column("preset")
    table.add_column("iterations", justify="right")
    for heading in (*FIGURES.values(), "failed", "masks rejected", "CPU s"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row.preset}, no {row.variant}" if row.variant else row.preset,
            str(row.iterations),
            *(f"{row.mean[key]:.3f}" for key in FIGURES),
            str(row.failed),
            str(row.rejected_masks),
            f"{row.seconds.cpu:.1f}",
        )
    console.print(table)


def goals(rows: Sequence[Row]) -> dict[str, dict[str, float | bool]]:
    """What each preset reached, of its last row without ablation against its row of 0 iterations:
    the change and whether it is enough. A preset without both rows is left out."""
    reached = {}
    for preset in dict.fromkeys(row.preset for row in rows):
        own = [row for row in rows if row.preset == preset and not row.variant]
        start, end = min(own, key=_iterations), max(own, key=_iterations)
        if start.iterations > 0 or end is start:
            continue
        gain = end.mean["iou"] - start.mean["iou"]
        vertex = 1 - end.mean["pa_vertex_mm"] / start.mean["pa_vertex_mm"]
        edge = end.mean["edge_mm"] / start.mean["edge_mm"] - 1
        reached[preset] = {
            "iou": end.mean["iou"],
            "iou_gain": gain,
            "iou_enough": gain >= LEAST_IOU_GAIN or end.mean["iou"] >= ENOUGH_IOU,
            "pa_vertex_fall": vertex,
            "pa_vertex_enough": vertex >= LEAST_VERTEX_GAIN,
            "edge_rise": edge,
            "edge_enough": edge <= MOST_EDGE_LOSS,
        }
    return reached


def _iterations(row: Row) -> int:
    return row.iterations


def _iteration_count(text: str) -> int | None:
    return None if text == "all" else int(text)


def main() -> None:
    options = parser("What the image adds to the keypoints, on scenes whose truth is known.")
    options.add_argument("--scenes", type=Path, required=True, metavar="DIR")
    options.add_argument("--count", type=int, help="the first scenes alone")
    options.add_argument(
        "--preset", nargs="+", default=["default"], help="names in configs/, or YAML files"
    )
    options.add_argument(
        "--iterations", type=_iteration_count, nargs="+", default=[0, 3, 10, 15, None],
        metavar="N|all", help="rows of every preset (default: 0 3 10 15 all)",
    )  # fmt: skip
    options.add_argument(
        "--ablate", action="store_true", help="also run all stages with each energy off in turn"
    )
    add_set(options)
    runs = options.parse_args()
    use_threads(runs.threads)
    # A file or a pipe has no width of its own; narrower than this the figures would be truncated.
    console = Console(width=max(Console().width, 150))
    batch = SceneBatch.of(load_scenes(runs.scenes, runs.count))
    rows = [row for name in runs.preset for row in run_preset(name, runs, batch)]
    show(rows, console)
    console.print(goals(rows))
    write_json(runs.json, {"scenes": len(batch.scenes), "rows": rows, "goals": goals(rows)})


if __name__ == "__main__":
    run_command(main)
