"""Build the quality model: `python scripts/build_quality.py WORK_DIR`.

Renders scenes, runs the detector, the fit and the judgement of this version on them, fits the model
and writes it with its card, and the plot of the documentation. What was rendered and measured is
kept in WORK_DIR: after the detector or a network has changed, the same command measures and fits
anew, and only the scenes are used again. `--held-out` and `--annotated` only report.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from quality_figures import JudgedSet, figures, plot, table, visibility_figures  # noqa: E402
from quality_hands import (  # noqa: E402
    HAND,
    MODES,
    PHANTOM,
    Bench,
    MeasuredHands,
    freihand_scenes,
    shard_scenes,
)
from quality_scenes import PART, Scene, read_scenes, scene_file, write_scenes  # noqa: E402
from quality_training import TrainingOptions, calibrated, folds, train  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from fitter.quality.features import FEATURES  # noqa: E402
from fitter.quality.model import GOOD_MM, Quality, QualityModel  # noqa: E402

ASSETS = ROOT / "fitter" / "quality" / "assets"
PLOT = ROOT / "docs" / "images" / "quality.png"

LEAST_SCORE = 0.3
"""The detector's, so that there are windows without a hand to learn from."""

TRAINING_SHARE = {"default": 1, "keypoints_alone": 4, "given": 3, "no_stages": 8}
REPORTED_SHARE = {"default": 1, "keypoints_alone": 4, "given": 4}
"""Mode -> every how manieth picture is fitted in it."""

SHOWN = (
    "hands",
    "error_mm",
    "best_80_mm",
    "best_50_mm",
    "spearman",
    "good_share",
    "mean_score",
    "calibration_error",
    "brier",
    "brier_of_constant",
    "phantoms",
    "phantoms_from_0.3",
)


def main() -> None:
    """Build, write and report."""
    options = _options()
    torch.set_num_threads(1)
    work: Path = options.work
    write_scenes(work / "scenes", options.seed, options.count)
    measured = _training_hands(work, options)
    trained, held_out = _trained(measured)
    sets = {"renders, cross-validated": held_out}
    if options.held_out is not None:
        count = options.held_out_count
        scenes = shard_scenes(options.held_out, count)
        hands = _measured(work / f"held-out-{count}.npz", scenes, [])
        sets["renders, held out"] = JudgedSet(hands, trained(hands.features))
    if options.annotated is not None:
        scenes = freihand_scenes(options.annotated)
        hands = _measured(work / "annotated.npz", scenes, [])
        sets["annotated"] = JudgedSet(hands, trained(hands.features))
        half = hands.scene < (hands.scene.max() + 1) // 2
        sets["its first half"] = sets["annotated"].where(half)
        sets["its second half"] = sets["annotated"].where(~half)
    found = {
        mode: {name: figures(s.of_mode(mode)) for name, s in sets.items() if _has(s, mode)}
        for mode in MODES
    }
    seen = {
        name: visibility_figures(s.hands) for name, s in sets.items() if name.startswith("renders")
    }
    _write(trained, _info(work, measured, found, seen))
    plotted = {n: s.of_mode("default") for n, s in sets.items() if not n.startswith("its")}
    plot(plotted, PLOT)
    for mode, columns in found.items():
        print(f"\n{mode}\n\n{table(columns, SHOWN)}")
    print(json.dumps(seen, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, metavar="WORK_DIR")
    parser.add_argument("--seed", type=int, default=5000, help="of the scenes")
    parser.add_argument("--count", type=int, default=56 * PART, help="scenes")
    parser.add_argument("--held-out", type=Path, metavar="DIR", help="shards to report on")
    parser.add_argument("--held-out-count", type=int, default=2000, help="of their samples")
    parser.add_argument("--annotated", type=Path, metavar="DIR", help="FreiHAND to report on")
    return parser.parse_args()


def _has(judged: JudgedSet, mode: str) -> bool:
    chosen = (judged.hands.mode == MODES.index(mode)) & (judged.hands.kind == HAND)
    return int(chosen.sum()) > 10


def _training_hands(work: Path, options: argparse.Namespace) -> MeasuredHands:
    """The hands of all scenes, measured part by part where that has not been done."""
    bench = Bench([f"detector.min_score={LEAST_SCORE}"])
    # Also where nothing is left to measure: what is there may be another detector's.
    _require_same(work, bench)
    parts = []
    for start in range(0, options.count, PART):
        path = work / "measured" / f"{options.seed}-{start:06d}.npz"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            scenes = read_scenes(scene_file(work / "scenes", options.seed, start))
            hands = list(bench.measure(scenes, TRAINING_SHARE, start))
            MeasuredHands.joined(hands).save(path)
            print(f"measured {start + PART} of {options.count} scenes", flush=True)
        parts.append(MeasuredHands.load(path))
    return MeasuredHands.joined(parts)


def _measured(path: Path, scenes: Iterable[Scene], options: list[str]) -> MeasuredHands:
    """The hands of a set to report on."""
    if not path.exists():
        bench = Bench(options, list(REPORTED_SHARE))
        MeasuredHands.joined(list(bench.measure(scenes, REPORTED_SHARE))).save(path)
    return MeasuredHands.load(path)


def _require_same(work: Path, bench: Bench) -> None:
    """Refuse to mix what two detectors or networks were measured with.

    Raises:
        SystemExit: WORK_DIR holds measurements of others.
    """
    identity = bench.identity
    path = work / "measured-with.json"
    if path.exists() and json.loads(path.read_text("utf-8")) != identity:
        raise SystemExit(
            f"{work}: expected measurements of today's detector and networks, found others; "
            "remove measured/, held-out-*.npz, annotated.npz and measured-with.json"
        )
    path.write_text(json.dumps(identity, indent=1), "utf-8")


def _trained(hands: MeasuredHands) -> tuple[QualityModel, JudgedSet]:
    """The model of all hands, calibrated on models of other folds, and what those say."""
    hands = hands[hands.kind <= PHANTOM]
    options, others = TrainingOptions(), []
    for fold in folds(hands):
        others.append((train(hands[~fold], options), fold))
    model = calibrated(train(hands, options), [(other, hands[fold]) for other, fold in others])
    found = Quality(*np.empty((3, len(hands))))
    for other, fold in others:
        said = model.calibrated_as(other)(hands[fold].features)
        for name, values in vars(said).items():
            getattr(found, name)[fold] = values
    return model, JudgedSet(hands, found)


def _info(
    work: Path, hands: MeasuredHands, found: Mapping[str, Any], seen: Mapping[str, Any]
) -> dict[str, Any]:
    measured_with = json.loads((work / "measured-with.json").read_text("utf-8"))
    return {
        "made_by": f"fit-hands {version('fit-hands')}, scripts/build_quality.py",
        "measured_with": measured_with,
        "hands": {
            mode: {
                "hands": int(((hands.mode == k) & (hands.kind == HAND)).sum()),
                "no hand": int(((hands.mode == k) & (hands.kind == PHANTOM)).sum()),
            }
            for k, mode in enumerate(MODES)
        },
        "options": vars(TrainingOptions()),
        "figures": found,
        "visibility": seen,
    }


def _write(model: QualityModel, info: dict[str, Any]) -> None:
    """Weights and card."""
    ASSETS.mkdir(exist_ok=True)
    path = ASSETS / "quality.safetensors"
    arrays = {name: np.ascontiguousarray(array) for name, array in vars(model).items()}
    metadata = {"features": json.dumps(FEATURES), "made_with": json.dumps(info["measured_with"])}
    save_file(arrays, path, metadata)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    modes = {mode: columns for mode, columns in info["figures"].items() if columns}
    shown = "\n\n".join(f"### {mode}\n\n{table(found, SHOWN)}" for mode, found in modes.items())
    card = f"""# The quality model

`quality.safetensors`, sha256 `{digest}`. What it is and how it is used stands in `docs/quality.md`.
Made by {info["made_by"]}, from rendered scenes alone; nothing real was trained on. CC0.

It says the median error after alignment of a fitted hand, and the probability that this error is
below {GOOD_MM:g} mm, from {len(FEATURES)} features. It is right for the hand model, the detector
and the networks that it was measured with:

```json
{json.dumps(info["measured_with"], indent=1)}
```

Hands that it was fitted to, by the way they were fitted:

```json
{json.dumps(info["hands"], indent=1)}
```

Options: `{json.dumps(info["options"])}`

## Figures

Errors are PA-MPJPE in mm over hands; scores are of phantoms, too.

{shown}

## Visibility of keypoints

```json
{json.dumps(info["visibility"], indent=1)}
```

## Features

{", ".join(f"`{name}`" for name in FEATURES)}
"""
    (ASSETS / "quality.md").write_text(card, "utf-8")


if __name__ == "__main__":
    main()
