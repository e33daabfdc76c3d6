"""How good and how fast the networks of the learned initialisation are, on rendered hands.

    python benchmarks/networks.py data/validation
    python benchmarks/networks.py data/validation --count 200 --weights runs/export --only masks
    python benchmarks/networks.py data/validation --only speed --device cuda

The folder holds samples that `train-hands` renders to validate on: another seed than those that are
learned from, and so other hands and appearances, and other backgrounds. ``--weights DIR`` holds
``lifter.safetensors``, ``handnet.safetensors`` and ``segmentation.safetensors``; without it those
that ship are measured, and ``--set init.handnet=null`` leaves one out.

validation
    What each initialisation and each fit says of the hands that the detector found, the same ones
    in all rows. PA is after a similarity alignment. The 2D error is in pixels of the crop, whose
    side is 128; IoU is that of the mesh's silhouette with the true mask, in which objects and the
    image's border hide a part of the hand: "true hand" is what can be reached. The lifter gives
    keypoints: its mesh, 2D error and IoU are those of the hand model laid onto them
    (`predicted_initialisations`). HandNet is measured in its own weak-perspective camera.
    `init_net.predict.Networks` makes the predictions, and `fit_keypoints` uses them as `fit-hands`
    does, before its stages; "fit from the best of all" is its default. Without keypoints HandNet
    sees the image alone, in the crop around the detected keypoints, or around the true ones for
    "all".
masks
    The network's, GrabCut's, and those of published ranges of skin in HSV (Seeber et al. 2021,
    Table 3), on the same crops: over whole crops, and where masks are believed, in the image and
    before the wrist (`HandMask.weight`). "rejected" are those that disagree with keypoints and mesh
    of the fit to the keypoints. The silhouette of that fit stands beside them.
speed
    Images a second by the wall clock, and by processor time; hands for the lifter. Training is
    forward, backward, optimiser and average of the weights on one batch of the preset's size.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring import (
    BenchmarkError,
    add_set,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from networks_figures import Bench, Row, blind_rows, found_alone, initialisation_rows
from networks_masks import MaskRow, mask_rows
from networks_speed import Speed, SpeedOptions, speeds
from rich.console import Console
from rich.table import Table
from torch import nn

from fitter.config.options import Config, InitConfig, load_config
from fitter.device import choose_device
from init_net import load_network, read_info, weights_file
from init_net.samples.shards import ShardedSamples

KINDS = ("lifter", "handnet", "segmentation")
PARTS = ("validation", "masks", "speed")

SPEED_SAMPLES = 256
"""Samples that are read to measure speed: a training batch repeats them where it is larger."""

_HEADINGS = {
    "pa_mpjpe_mm": ("PA-MPJPE mm", 2),
    "pa_mpvpe_mm": ("PA-MPVPE mm", 2),
    "f_5": ("F@5", 3),
    "f_15": ("F@15", 3),
    "auc": ("AUC", 3),
    "error_2d_px": ("2D px", 2),
    "mask_iou": ("mask IoU", 3),
}
_MASK_HEADINGS = {
    "mask_iou": ("IoU", 3),
    "mask_iou_median": ("median", 3),
    "pixel_accuracy": ("accuracy", 3),
    "believed_iou": ("IoU, believed", 3),
    "believed_iou_median": ("median, believed", 3),
    "rejected": ("rejected", 3),
}


def weight_files(init: InitConfig) -> dict[str, Path]:
    """Kind of network -> the weights that a configuration asks for."""
    given = {kind: getattr(init, kind) for kind in KINDS}
    return {kind: weights_file(kind, file) for kind, file in given.items() if file is not None}


def show_rows(
    title: str,
    rows: Sequence[Row | MaskRow],
    headings: Mapping[str, tuple[str, int]],
    console: Console,
) -> None:
    """Print means, with their standard errors where there are any.

    `headings` are those of figures, by their names, and how many digits they are shown with.
    """
    table = Table("", title=title)
    for heading, _ in headings.values():
        table.add_column(heading, justify="right")
    table.add_column("hands", justify="right")
    if isinstance(rows[0], Row):
        table.add_column("failed", justify="right")
    for row in rows:
        cells = []
        for key, (_, digits) in headings.items():
            value, error = (of.get(key, math.nan) for of in (row.figures, row.standard_errors))
            shown = "" if math.isnan(value) else f"{value:.{digits}f}"
            cells.append(shown if math.isnan(error) else f"{shown} ± {error:.{digits}f}")
        counts = [row.hands, row.failed] if isinstance(row, Row) else [row.hands]
        table.add_row(row.name, *cells, *map(str, counts))
    console.print(table)


def show_speeds(rows: Sequence[Speed], console: Console) -> None:
    """Print images a second."""
    table = Table("", "", "device", title="speed")
    for heading in ("batch", "ms a batch", "images / s", "images / CPU s", "batches / s"):
        table.add_column(heading, justify="right")
    for i, row in enumerate(rows):
        wall, cpu = row.seconds.wall, row.seconds.cpu
        table.add_row(
            row.what,
            row.name,
            row.device,
            str(row.batch),
            f"{1000 * wall:.1f}",
            f"{row.batch / wall:.1f}",
            f"{row.batch / max(cpu, 1e-9):.1f}",
            f"{1 / wall:.2f}",
            end_section=i + 1 < len(rows) and rows[i + 1].what != row.what,
        )
    console.print(table)


def measure_hands(
    options: argparse.Namespace, config: Config, networks: dict[str, nn.Module], console: Console
) -> dict[str, object]:
    """The tables of initialisations, fits and masks, printed and as figures."""
    samples = ShardedSamples(options.samples, options.count)
    found = found_alone(samples)
    if len(found) == 0:
        raise BenchmarkError(
            f"{options.samples}: expected samples in which the detector found the hand, found none "
            f"among {len(samples)}"
        )
    told = f"{len(found)} of {len(samples)} hands found by the detector"
    figures: dict[str, object] = {"samples": len(samples), "found": len(found)}
    bench = Bench(config, networks, choose_device(options.device))
    if "validation" in options.only:
        rows = initialisation_rows(bench, samples, found) + blind_rows(bench, samples)
        show_rows(f"initialisations and fits: {told}", rows, _HEADINGS, console)
        figures["validation"] = rows
    if "masks" in options.only:
        masks = mask_rows(bench, samples, found)
        show_rows(f"masks: {told}", masks, _MASK_HEADINGS, console)
        figures["masks"] = masks
    return figures


def run(options: argparse.Namespace) -> dict[str, object]:
    """Measure all that is asked for, print it, and give the figures."""
    given = ["init.handnet=shipped"] if options.weights is None else [
        f"init.{kind}={options.weights / kind}.safetensors" for kind in KINDS
    ]  # fmt: skip
    config = load_config(None, [*given, *options.set])
    files, device = weight_files(config.init), choose_device(options.device)
    networks = {kind: load_network(file, device, kind) for kind, file in files.items()}
    steps = {kind: read_info(file).steps for kind, file in files.items()}
    # A file or a pipe has no width of its own; narrower than this the figures would be truncated.
    console = Console(width=max(Console().width, 160))
    trained = ", ".join(f"{kind} {count}" for kind, count in steps.items())
    console.print(f"steps trained: {trained}", highlight=False)
    figures: dict[str, object] = {"steps": steps, "device": device.type}
    if {"validation", "masks"} & set(options.only):
        figures |= measure_hands(options, config, networks, console)
    if "speed" in options.only:
        few = ShardedSamples(options.samples)
        few = ShardedSamples(options.samples, min(len(few), SPEED_SAMPLES))
        rows = speeds(networks, few, SpeedOptions(device, options.images, options.repeats))
        show_speeds(rows, console)
        figures["speed"] = rows
    return figures


def main(words: Sequence[str] | None = None) -> None:
    options = parser("How good and how fast the networks are, on rendered hands.")
    options.add_argument("samples", type=Path, metavar="DIR", help="rendered samples")
    options.add_argument("--count", type=positive, help="the first samples alone (default: all)")
    options.add_argument("--weights", type=Path, metavar="DIR", help="default: those that ship")
    options.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument(
        "--images", type=positive, default=64, help="that the engine renders at once (default: 64)"
    )
    options.add_argument(
        "--repeats", type=positive, default=5, help="runs whose median is reported (default: 5)"
    )
    add_set(options)
    arguments = options.parse_args(words)
    use_threads(arguments.threads)
    write_json(arguments.json, run(arguments))


if __name__ == "__main__":
    run_command(main)
