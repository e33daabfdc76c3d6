"""What each step of the learned start gives, on annotated hands, in one run.

    python benchmarks/initialisations.py FREIHAND_ROOT

FREIHAND_ROOT holds ``evaluation/rgb``, ``evaluation_K.json`` and ``evaluation_xyz.json``. Hands are
found once. First each initialisation by itself: the detector's own x, y and z, the best typical
pose placed on the keypoints, what each network says. Then the fit to the keypoints, without what
was measured or learned and with it, then the whole command's fit with each kind of mask. Errors
are PA-MPJPE in mm; halves of the data beside the whole show how far the figures scatter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from measuring import BenchmarkError, add_set, parser, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table
from torch import Tensor

from datasets.annotations import AnnotatedImages
from datasets.readers import open_dataset
from fitter.config.options import Config, load_config
from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.engine import Engine
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initialisations import propose_initialisations
from fitter.fitting.network_prior import predicted_initialisations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import pose_keypoints
from fitter.inputs.images import read_image_and_exif
from fitter.metrics import pa_mpjpe
from fitter.records import HandParams, ImageRecord
from init_net.offer import SHIPPED


def detected_images(annotated: AnnotatedImages, config: Config) -> list[DetectedImage]:
    """Every image with its most confident right hand, as `detect_image` gives it."""
    images = []
    crop = (config.refine.resolution, config.refine.margin)
    with HandDetector(DetectorOptions(max_hands=1)) as detector:
        for place, name in enumerate(annotated.names):
            path, K = annotated.path(place), annotated.annotation(place).intrinsics
            assert K is not None
            pixels, _ = read_image_and_exif(path)
            hands = tuple(detector.detect(ImageRecord(name, path, pixels, K, "given"))[:1])
            size = (pixels.shape[1], pixels.shape[0])
            crops = crop_hands(pixels, K, hands, None, crop)
            images.append(DetectedImage(size, K, "given", hands, crops))
    return images


def initialisation_errors(
    engine: Engine, images: Sequence[DetectedImage], truth: np.ndarray
) -> dict:
    """Name -> (N,) PA-MPJPE, mm, of each initialisation by itself."""
    model, config = engine.fit_model, engine.config
    hands = [image.hands[0] for image in images]
    like = model.keypoints.joint_template
    observed = ObservationBatch.of(hands, [image.intrinsics for image in images], like)
    detected = normalise(observed)
    deep = detected.with_depth_gain(config.fit.relative_depth_gain)
    single = config.fit.model_copy(update={"num_initialisations": 1})

    def error(params: HandParams) -> np.ndarray:
        points = pose_keypoints(model.keypoints, params)[1]
        return 1000 * pa_mpjpe(_mirrored(points, observed.is_left).cpu().numpy(), truth)

    raw = torch.cat(
        [observed.keypoints, config.fit.relative_depth_gain * observed.relative_depth[..., None]],
        -1,
    )
    errors = {
        "detector's x, y, z": 1000 * pa_mpjpe(raw.cpu().numpy(), truth),
        "typical pose": error(propose_initialisations(model, deep, single)),
    }
    predictions = engine.initializer(detected, [image.crops[0] for image in images])
    for name, prediction in predictions.initialisations.items():
        joints = _mirrored(prediction.keypoints, observed.is_left)
        errors[f"{name}, joints"] = 1000 * pa_mpjpe(joints.cpu().numpy(), truth)
        errors[f"{name}, hand model"] = error(
            predicted_initialisations(model, detected, prediction)
        )
    return errors


def _mirrored(points: Tensor, is_left: Tensor) -> Tensor:
    sign = torch.where(is_left, -1.0, 1.0).to(points)[:, None]
    return torch.cat([sign[..., None] * points[..., :1], points[..., 1:]], -1)


@dataclass(frozen=True)
class Variant:
    """A way to fit.

    Attributes:
        config: of the run.
        is_bare: keypoints are the model's joints and tips, not where the detector marks them.
    """

    config: Config
    is_bare: bool = False


def fit_errors(
    variant: Variant, images: Sequence[DetectedImage], truth: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """(N,) PA-MPJPE, mm, of a fit, and how often each initialisation was kept."""
    engine = Engine(variant.config)
    if variant.is_bare:
        model = engine.fit_model.keypoints
        bare = replace(model, keypoint_offsets=torch.zeros_like(model.keypoint_offsets))
        engine.fit_model = FitModel(bare, engine.fit_model.pose_space)
    rows = [row.hands[0] for row in engine.fit(images)]
    found = np.stack([row.keypoints_3d for row in rows])
    sources = [row.initialisation_source for row in rows]
    counts = {str(name): sources.count(name) for name in dict.fromkeys(sources)}
    return 1000 * pa_mpjpe(found, truth), counts


def with_networks(config: Config) -> Config:
    """The same with every network that ships and every initialisation."""
    everything = {"source": "both", "handnet": config.init.handnet or SHIPPED}
    return config.model_copy(update={"init": config.init.model_copy(update=everything)})


def variants(config: Config) -> dict[str, Variant]:
    """The fits that are compared, by name."""

    def changed(name: str, is_bare: bool = False, **options: object) -> dict[str, Variant]:
        """Options of `fit`, and of other sections behind their names: ``init_source``."""
        sections = {
            section: {
                key.removeprefix(f"{section}_"): value
                for key, value in options.items()
                if key.startswith(f"{section}_")
            }
            for section in ("init", "refine")
        }
        sections["fit"] = {
            key: value for key, value in options.items() if not key.startswith(("init_", "refine_"))
        }
        update = {
            section: getattr(config, section).model_copy(update=values)
            for section, values in sections.items()
        }
        return {name: Variant(config.model_copy(update=update), is_bare)}

    config = with_networks(config)
    bare = {"refine_stages": {}}
    typical = {**bare, "init_source": "keypoints"}
    networks = {**bare, "init_source": "network"}
    alone = {"init_source": "network", "init_handnet": None}
    without = {"network_depth_confidence": 0.0, "network_direction_confidence": 0.0}
    from_lifter = {**networks, "init_handnet": None}
    return {
        **changed("fit from typical poses, joints for keypoints", is_bare=True, **typical),
        **changed("fit from typical poses, no pose prior", **typical, pose_prior_weight=0.0),
        **changed("fit from typical poses", **typical),
        **changed("fit from the lifter, no prior of its", **from_lifter, **without),
        **changed("fit from the lifter", **from_lifter),
        **changed("fit from the HandNet", **networks, init_lifter=None),
        **changed("fit from both networks", **networks),
        **changed("fit from the best of all", **bare, init_source="both"),
        **changed("typical poses, GrabCut", init_source="keypoints", refine_segmentation="grabcut"),
        **changed("typical poses, mask", init_source="keypoints", refine_segmentation="network"),
        **changed("best of all, GrabCut", init_source="both", refine_segmentation="grabcut"),
        **changed("best of all, mask", init_source="both", refine_segmentation="network"),
        **changed("lifter, GrabCut", **alone, refine_segmentation="grabcut"),
        **changed("lifter, mask (default)", **alone, refine_segmentation="network"),
    }


def main() -> None:
    """Print the table."""
    options = _options()
    use_threads(options.threads)
    config = load_config(options.config, options.set)
    annotated = open_dataset("freihand", options.root, "evaluation")
    images = detected_images(annotated, config)
    kept = [i for i, image in enumerate(images) if image.hands]
    if not kept:
        raise BenchmarkError(f"{options.root}: expected images of hands, the detector found none")
    images = [images[i] for i in kept]
    truth = np.array([annotated.annotation(i).hands[0].keypoints_3d for i in kept])
    console = Console()
    console.print(f"{len(kept)} of {len(annotated)} found")
    halves = [np.array(kept) < len(annotated) // 2, np.array(kept) >= len(annotated) // 2]
    table = Table("PA-MPJPE, mm", "all", "first half", "second half", "initialised from")
    figures = {}
    everything = with_networks(config)
    lines = [
        (name, error, {})
        for name, error in initialisation_errors(Engine(everything), images, truth).items()
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
