"""What each step of the learned start gives, on annotated hands, in one run.

    python benchmarks/starts.py FREIHAND_ROOT

FREIHAND_ROOT holds ``evaluation/rgb``, ``evaluation_K.json`` and ``evaluation_xyz.json``. Hands are
found once. First each start by itself: the detector's own x, y and z, the best typical pose placed
on the keypoints, what each network says. Then the fit to the keypoints from each, then the whole
command's fit with each kind of mask. Errors are PA-MPJPE in mm; halves of the data beside the whole
show how far the figures scatter.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import add_set, parser, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table
from torch import Tensor

from datasets.freihand import FreiHandSplit, load_freihand
from datasets.images import read_image_and_exif
from fitter.config import Config, load_config
from fitter.crops import crop_hands
from fitter.detect import MediaPipeDetector
from fitter.guidance import guess_starts
from fitter.hand_models.skinning import pose_keypoints
from fitter.look import SeenImage
from fitter.metrics import pa_mpjpe
from fitter.observations import ObservationBatch, normalise
from fitter.pipeline import Engine
from fitter.records import HandParams, ImageRecord, InputError
from fitter.starts import propose_starts

MASKS = ("none", "grabcut", "network")


def seen_images(split: FreiHandSplit, config: Config) -> list[SeenImage]:
    """Every picture with its surest right hand, as `fitter.look` gives it."""
    images = []
    crop = (config.refine.resolution, config.refine.margin)
    with MediaPipeDetector(max_hands=1) as detector:
        for name, K in zip(split.names, split.intrinsics, strict=True):
            path = split.image_dir / name
            pixels, _ = read_image_and_exif(path)
            hands = tuple(detector.detect(ImageRecord(name, path, pixels, K, "given"))[:1])
            size = (pixels.shape[1], pixels.shape[0])
            crops = crop_hands(pixels, K, hands, None, crop)
            images.append(SeenImage(size, K, "given", hands, crops))
    return images


def start_errors(engine: Engine, images: Sequence[SeenImage], truth: np.ndarray) -> dict:
    """Name -> (N,) PA-MPJPE, mm, of each start by itself."""
    model, config = engine.fit_model, engine.config
    hands = [image.hands[0] for image in images]
    like = model.keypoints.joint_template
    observed = ObservationBatch.of(hands, [image.intrinsics for image in images], like)
    targets = normalise(observed, config.fit.relative_depth_gain)
    single = config.fit.model_copy(update={"num_starts": 1})

    def error(params: HandParams) -> np.ndarray:
        params = params.mirrored_where(observed.is_left)
        right = pose_keypoints(model.keypoints, params.mirrored_where(observed.is_left))[1]
        return 1000 * pa_mpjpe(_mirrored(right, observed.is_left).numpy(), truth)

    raw = torch.cat(
        [observed.keypoints, config.fit.relative_depth_gain * observed.relative_depth[..., None]],
        -1,
    )
    errors = {
        "detector's x, y, z": 1000 * pa_mpjpe(raw.numpy(), truth),
        "typical pose": error(propose_starts(model, targets, single)),
    }
    guesses = engine.initializer(observed, [image.crops[0] for image in images])
    for name, guess in guesses.starts.items():
        joints = _mirrored(guess.joints, observed.is_left)
        errors[f"{name}, joints"] = 1000 * pa_mpjpe(joints.numpy(), truth)
        errors[f"{name}, hand model"] = error(guess_starts(model, targets, guess))
    return errors


def _mirrored(points: Tensor, is_left: Tensor) -> Tensor:
    sign = torch.where(is_left, -1.0, 1.0).to(points)[:, None]
    return torch.cat([sign[..., None] * points[..., :1], points[..., 1:]], -1)


def fit_errors(
    config: Config, images: Sequence[SeenImage], truth: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """(N,) PA-MPJPE, mm, of the fit that a configuration makes, and how often it started where."""
    rows = [row.hands[0] for row in Engine(config).fit(images)]
    found = np.stack([row.keypoints_3d for row in rows])
    sources = [row.start_source for row in rows]
    counts = {str(name): sources.count(name) for name in dict.fromkeys(sources)}
    return 1000 * pa_mpjpe(found, truth), counts


def variants(config: Config) -> dict[str, Config]:
    """The fits that are compared, by name."""

    def changed(init: Mapping[str, object], refine: Mapping[str, object]) -> Config:
        return config.model_copy(
            update={
                "init": config.init.model_copy(update=dict(init)),
                "refine": config.refine.model_copy(update=dict(refine)),
            }
        )

    keypoints = {"stages": {}}
    lifter, handnet = {"handnet": None}, {"lifter": None}
    only = {"source": "network"}
    return {
        "fit from typical poses": changed({"source": "keypoints"}, keypoints),
        "fit from the lifter": changed({**only, **lifter}, keypoints),
        "fit from the HandNet": changed({**only, **handnet}, keypoints),
        "fit from both networks": changed(only, keypoints),
        "fit from the best of all": changed({"source": "both"}, keypoints),
        **{
            f"typical poses, mask: {mask}": changed(
                {"source": "keypoints"}, {"segmentation": mask} if mask != "none" else keypoints
            )
            for mask in MASKS[1:]
        },
        **{
            f"best start, mask: {mask}": changed({"source": "both"}, {"segmentation": mask})
            for mask in MASKS[1:]
        },
    }


def main() -> None:
    """Print the table."""
    options = _options()
    use_threads(options.threads)
    config = load_config(options.config, options.set)
    split = load_freihand(options.root)
    images = seen_images(split, config)
    kept = [i for i, image in enumerate(images) if image.hands]
    if not kept:
        raise InputError(f"{options.root}: expected pictures of hands, the detector found none")
    images, truth = [images[i] for i in kept], split.keypoints_3d[kept]
    console = Console()
    console.print(f"{len(kept)} of {len(split.names)} found")
    halves = [np.array(kept) < len(split.names) // 2, np.array(kept) >= len(split.names) // 2]
    table = Table("PA-MPJPE, mm", "all", "first half", "second half", "started from")
    figures = {}
    everything = config.model_copy(
        update={"init": config.init.model_copy(update={"source": "both"})}
    )
    lines = [
        (name, error, {}) for name, error in start_errors(Engine(everything), images, truth).items()
    ]
    for name, variant in variants(config).items():
        lines.append((name, *fit_errors(variant, images, truth)))
    for name, error, counts in lines:
        means = [error.mean(), *(error[half].mean() for half in halves)]
        told = ", ".join(f"{key} {count}" for key, count in counts.items())
        table.add_row(name, *(f"{mean:.2f}" for mean in means), told)
        figures[name] = {"pa_mpjpe_mm": means, "started_from": counts}
    console.print(table)
    write_json(options.json, figures)


def _options() -> argparse.Namespace:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("root", type=Path, metavar="FREIHAND_ROOT")
    options.add_argument("--config", help="YAML file or preset")
    add_set(options)
    return options.parse_args()


if __name__ == "__main__":
    run_command(main)
