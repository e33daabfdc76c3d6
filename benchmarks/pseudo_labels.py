"""What a round of pseudo-labels gains on a domain that a network has not seen.

    python benchmarks/pseudo_labels.py DIR
    python benchmarks/pseudo_labels.py DIR --pictures 300 --steps 50 --seeds 1

domain A
    Rendered samples as `train-hands` renders them by default.
domain B
    `benchmarks/pseudo_labels_data.py`: other skin, cameras, backgrounds and views, of other seeds.
    One set without labels, one of held-out pictures with their truth.
network
    A small lifter, trained on A from random weights. It sees what the detector sees: keypoints and
    features.
pseudo-labels
    The store that `fit-hands` makes of the unlabelled pictures, as users run it; the network takes
    no part in it.
arms
    From the same weights, as many steps each: on A alone; on A and pseudo-labels, half of each
    batch, with and without the filter by score and the weights by confidence; on A and the true
    labels of half of the pictures, about as many as have pseudo-labels, as what could be reached.

Errors are of the held-out hands that the detector sees, alone or told roughly where they are, mm:
after a similarity alignment (PA), and with the wrists on each other at the true scale
(root-aligned). Their standard errors are over the seeds of the arms, which decide order and
variation of the samples; that of the difference from the renders alone is over the held-out hands,
each paired with itself. Each part is kept in DIR: the same command continues after a stop.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from measuring import BenchmarkError, parser, positive, run_command, use_threads, write_json
from pseudo_labels_data import write_shifted

import fitter
from fitter.metrics import point_errors, procrustes_aligned
from init_net import load_network
from init_net.samples.config import DatasetConfig
from init_net.samples.detected_samples import DetectedSamples
from init_net.training.command import train_hands
from init_net.training.evaluation import standard_error
from init_net.training.sources import learned_from, look_at, prepare

FIGURES = ("pa_mpjpe_mm", "mpjpe_mm")
BEGUN_WITH, RENDERS, TRUE = "before", "renders alone", "true labels"
UNLABELLED_SEED, HELD_OUT_SEED = 7001, 7002


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        folder: where all of it is kept.
        pictures, held_out: of domain B.
        renders: of domain A.
        base_steps, steps: of the network on A, and of each arm.
        seeds: runs of each arm.
        share: of a batch that is of domain B.
        least_score: of the filter.
    """

    folder: Path
    pictures: int
    held_out: int
    renders: int
    base_steps: int
    steps: int
    seeds: int
    share: float
    least_score: float

    def run(self, start: str | None, steps: int, seed: int) -> dict[str, Any]:
        """A training configuration on domain A."""
        held_out = self.source("synthetic", self.folder / "held-out", "held-out")
        return {
            "network": {
                "kind": "lifter", "width": 256, "blocks": 2, "dropout": 0.1,
                "feature_dropout": 0.3,
            },
            "data": {"folder": str(self.folder / "A"), "count": self.renders, "sightings": 1},
            "validation_datasets": {"B": held_out},
            "optimiser": {
                "steps": steps,
                "batch_size": 256,
                "learning_rate": 1.5e-3,
                "warmup_steps": steps // 10,
                "ema_decay": 0.97,
                "weight_decay": 0.02,
            },
            "run": {
                "start": start, "seed": seed, "device": "cpu", "threads": 1,
                "validate_every": 10**6, "log_every": 20,
            },
        }  # fmt: skip

    def source(self, dataset: str, folder: Path, samples: str) -> dict[str, Any]:
        """A data set whose samples are kept beside it."""
        kept = str(self.folder / "samples" / samples)
        return {"dataset": dataset, "folder": str(folder), "samples": kept, "sightings": 1}

    def arms(self) -> dict[str, dict[str, Any] | None]:
        """Name -> what is learned from besides the renders."""
        pictures = self.folder / "unlabelled"
        labels = {
            **self.source("store", self.folder / "labels.zarr", "labels"),
            "split": str(pictures / "training" / "rgb"),
            "share": self.share,
        }
        true = {
            **self.source("synthetic", pictures, "unlabelled"),
            "share": self.share,
            "count": self.pictures // 2,  # about as many as the detector finds hands in
        }
        score = self.least_score
        return {
            RENDERS: None,
            "labels, weights and filter": {**labels, "confidence": True, "least_score": score},
            "labels, filter": {**labels, "confidence": False, "least_score": score},
            "labels, weights": {**labels, "confidence": True},
            "labels": {**labels, "confidence": False},
            TRUE: true,
        }


@dataclass(frozen=True)
class Row:
    """Errors of an arm, mm.

    Attributes:
        arm: its name; seeds: number of its runs.
        figures: by their names, mean over hands and seeds.
        seed_errors: standard errors of these over the seeds.
        gain: PA less that of the renders alone, and gain_error: its standard error over the
            held-out hands, each paired with itself.
    """

    arm: str
    seeds: int
    figures: dict[str, float]
    seed_errors: dict[str, float]
    gain: float
    gain_error: float


def main() -> None:
    options = parser(__doc__)
    options.add_argument("folder", type=Path, metavar="DIR")
    for flag, default, what in (
        ("--pictures", 3000, "unlabelled"),
        ("--held-out", 600, "held-out pictures"),
        ("--renders", 512, "samples of domain A"),
        ("--base-steps", 200, "of the network on domain A"),
        ("--steps", 500, "of each arm"),
        ("--seeds", 3, "runs of each arm"),
    ):
        options.add_argument(flag, type=positive, default=default, metavar="N", help=what)
    options.add_argument("--share", type=float, default=0.5, help="of a batch that is of domain B")
    options.add_argument("--least-score", type=float, default=0.7, help="of the filter")
    given = vars(options.parse_args())
    use_threads(given.pop("threads"))
    written = given.pop("json")
    plan = Plan(**given)
    rows = measure(plan)
    print(table(rows))
    if written is not None:
        write_json(
            written, {"plan": {**asdict(plan), "folder": None}, "rows": list(map(asdict, rows))}
        )


def measure(plan: Plan) -> list[Row]:
    """All parts that are not there yet, and the errors."""
    write_shifted(plan.folder / "unlabelled", plan.pictures, UNLABELLED_SEED)
    write_shifted(plan.folder / "held-out", plan.held_out, HELD_OUT_SEED)
    label(plan)
    base = trained(plan, "base", plan.run(None, plan.base_steps, 0))
    found: dict[str, list[np.ndarray]] = {BEGUN_WITH: [errors(plan, base)]}
    for seed in range(plan.seeds):
        for arm, source in plan.arms().items():
            config = plan.run(str(base), plan.steps, seed)
            if source is not None:
                config["datasets"] = {"B": source}
            weights = trained(plan, f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}", config)
            found.setdefault(arm, []).append(errors(plan, weights))
            print(f"{arm}, seed {seed}: {found[arm][-1].mean(0)} mm", file=sys.stderr)
    return [row(arm, values, found[RENDERS]) for arm, values in found.items()]


def label(plan: Plan) -> None:
    """Fit the unlabelled pictures, as ``fit-hands --resume`` does."""
    out, pictures = plan.folder / "labels.zarr", plan.folder / "unlabelled"
    fitter.fit_to_store(
        fitter.RunRequest(
            str(pictures / "training" / "rgb"),
            out,
            intrinsics=str(pictures / "training_K.json"),
            resume=out.exists(),
            quiet=True,
        )
    )


def trained(plan: Plan, name: str, config: Mapping[str, Any]) -> Path:
    """Weights of a run of `train-hands`, which is continued where it stopped."""
    out = plan.folder / "runs" / name
    weights = out / "weights.safetensors"
    if not weights.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.with_suffix(".yaml")
        file.write_text(yaml.safe_dump(dict(config)))
        try:
            train_hands([str(file), "--out", str(out), "--quiet"])
        except SystemExit as end:
            if end.code:
                raise BenchmarkError(f"train-hands ended with {end.code} in {out}") from None
    return weights


def errors(plan: Plan, weights: Path) -> np.ndarray:
    """(N, 2) errors on each held-out hand, in the order of `FIGURES`; kept beside the weights."""
    file = weights.with_name("held-out.npy")
    if not file.exists():
        given = plan.source("synthetic", plan.folder / "held-out", "held-out")
        source = DatasetConfig.model_validate(given)
        prepare(source)
        look_at(source, 1)
        hands = DetectedSamples.of(learned_from([source]).samples, variants=[1]).samples
        hands = replace(hands, features=hands.features.float())
        with torch.no_grad():
            said = load_network(weights, expected_kind="lifter")(hands.inputs)
        found, true = (
            (each.keypoints * hands.metres[:, None, None]).numpy() for each in (said, hands)
        )
        aligned = point_errors(procrustes_aligned(found, true), true)
        both = [aligned.mean(1), point_errors(found, true).mean(1)]
        np.save(file, 1000 * np.stack(both, 1))
    return np.load(file)


def row(arm: str, found: list[np.ndarray], control: list[np.ndarray]) -> Row:
    """The row of an arm whose runs have errors, beside those of the control of the same seeds."""
    seeds = np.stack([each.mean(0) for each in found])
    pairs = list(zip(found, control, strict=False))
    gain = np.mean([one[:, 0] - other[:, 0] for one, other in pairs], 0)
    return Row(
        arm=arm,
        seeds=len(found),
        figures=dict(zip(FIGURES, seeds.mean(0).tolist(), strict=True)),
        seed_errors=dict(zip(FIGURES, (standard_error(c) for c in seeds.T), strict=True)),
        gain=float(gain.mean()),
        gain_error=standard_error(gain),
    )


def table(rows: list[Row]) -> str:
    """Markdown."""
    before = rows[0].figures[FIGURES[0]]
    lines = [
        "| learned from | PA mm | root-aligned mm | PA against before | against renders alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in rows:
        cells = [
            f"{each.figures[name]:.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")
            for name, error in each.seed_errors.items()
        ]
        change = f"{100 * (each.figures[FIGURES[0]] / before - 1):+.1f} %"
        gain = f"{each.gain:+.2f} ± {each.gain_error:.2f} mm"
        lines.append(f"| {each.arm} | {cells[0]} | {cells[1]} | {change} | {gain} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
