"""Synthetic hands with their own images, and the time of the stages that refine them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch
from measuring import Stopwatch, median_seconds
from torch import Tensor

import fitter.energies.weighted
import fitter.refinement.least_squares
from fitter.camera import SquareCrop, crop_intrinsics, project, to_crop
from fitter.config.options import Config
from fitter.config.stages import StageConfig
from fitter.energies import ENERGIES, KeypointTargets, contour_l2
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.masks import grabcut_mask
from fitter.raster import RasterSettings, rasterize
from fitter.records import HandCrop, HandParams
from fitter.refinement import SceneModel, StageTask, draw, run_stages
from fitter.refinement.scene import SceneView

FIRST_ORDER: Mapping[str, StageConfig] = {
    "first_order": StageConfig(
        solver="adam",
        iterations=30,
        free=["global_orient", "pose", "shape", "camera"],
        energies={
            "keypoints": 1.0,
            "silhouette_l2": 0.1,
            "limits": 1.0,
            "pose_prior": 0.1,
            "shape_prior": 0.1,
        },
        silhouette="edge",
        band=2.0,
        learning_rate=0.01,
        tolerance=0.0,
    )
}
"""Thirty steps of gradient descent on keypoints and outline; not tuned, only timed."""

MOST_MASKS = 16
"""Hands that are segmented to time it: a mask a time, whatever the batch."""


@dataclass(frozen=True)
class StageFigures:
    """What was measured of the stages at one batch size.

    Attributes:
        batch_size: hands refined at once.
        stages: "configured" or "first_order".
        keypoint_ms: wall milliseconds a hand of the keypoint fit before the stages.
        wall_ms, cpu_ms: milliseconds a hand of all stages, median over repeats.
        fits_per_second: keypoint fit and stages, by the wall clock.
        iterations: median and 90th percentile of the steps.
        parts: processor milliseconds a hand, of one more run: "rendering", "outline" and
            "keypoints" (values and derivatives), and "rest", which is posing the vertices and the
            solver.
            Empty for first-order stages, where automatic differentiation mixes them.
        memory_mb: peak of the GPU's memory a hand, None on a CPU.
        iou: mean of rendered and true silhouette before and after.
    """

    batch_size: int
    stages: str
    keypoint_ms: float
    wall_ms: float
    cpu_ms: float
    fits_per_second: float
    iterations: tuple[float, float]
    parts: dict[str, float]
    memory_mb: float | None
    iou: tuple[float, float]


def view_of(
    model: SceneModel, truth: HandParams, observed: ObservationBatch, crop: tuple[int, float]
) -> SceneView:
    """The images of right hands in crops around their noisy keypoints, rendered from the truth.

    Args:
        model: renders.
        truth: B hands.
        observed: of the same hands, none of them marked as left.
        crop: side in pixels, and side over the longer side of the keypoints' box.
    """
    side, margin = crop
    like = model.hand.v_template
    window = SquareCrop.around(observed.keypoints, margin, side)
    count = len(observed.is_left)
    blank = like.new_ones(count, side, side)
    view = SceneView(
        image=like.new_zeros(count, side, side, 3),
        mask=blank,
        mask_weight=blank,
        image_weight=blank,
        intrinsics=crop_intrinsics(observed.intrinsics, window).to(like),
        keypoints=to_crop(observed.keypoints, window).to(like),
        confidence=observed.confidence.to(like),
        focal_unknown=like.new_zeros(count),
    )
    with torch.no_grad():
        rendering = draw(model, model.start(truth), view, RasterSettings(silhouette="edge"), True)
    # A striped background, so that there are edges beside the hand's own.
    stripes = 0.35 + 0.1 * torch.sin(0.3 * torch.arange(side, device=like.device)).to(like)
    image = rendering.picture + (1 - rendering.fragments.alpha)[..., None] * stripes[:, None]
    return replace(view, image=image, mask=rendering.fragments.mask.to(like))


def mask_ms(task: StageTask, initialisations: HandParams, repeats: int) -> float:
    """Processor milliseconds in which one hand is segmented, of the first `MOST_MASKS` hands."""
    count = min(MOST_MASKS, len(initialisations.transl))
    view = task.view[:count]
    rendered = _silhouettes(task.model, initialisations[:count], view).float().cpu().numpy()
    pixels = (255 * view.image).round().to(torch.uint8).cpu().numpy()
    parts = (view.intrinsics, view.keypoints, view.confidence)
    K, keypoints, confidence = (part.double().cpu().numpy() for part in parts)
    crops = [
        HandCrop(pixels[i], None, None, K[i], keypoints[i], confidence[i], np.zeros((0, 21, 2)))
        for i in range(count)
    ]

    def work() -> None:
        for crop, silhouette in zip(crops, rendered, strict=True):
            grabcut_mask(crop, silhouette)

    return 1000 * median_seconds(work, repeats).cpu / count


def measure_stages(
    task: StageTask,
    observed: ObservationBatch,
    config: Config,
    stages: tuple[str, Mapping[str, StageConfig]],
    run: tuple[int, int],
) -> StageFigures:
    """Refine all hands of `task`.

    Args:
        task: of B hands.
        observed: of the same hands.
        config: options of the keypoint fit.
        stages: what they are called, and the stages.
        run: hands at once, and repeats.
    """
    name, chosen = stages
    batch_size, repeats = run
    count = len(observed.is_left)
    rows = [slice(i, i + batch_size) for i in range(0, count, batch_size)]
    initialisations = [
        fit_observations(task.model.fit, observed[part], config.fit).params for part in rows
    ]
    tasks = [replace(task, view=task.view[part], targets=task.targets[part]) for part in rows]
    device = task.view.image.device
    results = []

    def keypoints() -> None:
        for part in rows:
            fit_observations(task.model.fit, observed[part], config.fit).cost.cpu()

    def refine() -> None:
        results[:] = [
            run_stages(own, start, chosen)
            for own, start in zip(tasks, initialisations, strict=True)
        ]
        results[-1].cost.cpu()

    keypoint_seconds = median_seconds(keypoints, repeats)
    memory = None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        refine()
        memory = (torch.cuda.max_memory_allocated(device) - before) / min(batch_size, count) / 1e6
    seconds = median_seconds(refine, repeats)
    parts = _parts(refine, device, count) if name == "configured" else {}
    steps = torch.cat([result.iterations for result in results]).double()
    first = HandParams(
        *(torch.cat(field) for field in zip(*map(_fields, initialisations), strict=True))
    )
    last = HandParams(
        *(
            torch.cat(field)
            for field in zip(*(_fields(r.params.hand) for r in results), strict=True)
        )
    )
    return StageFigures(
        batch_size=batch_size,
        stages=name,
        keypoint_ms=1000 * keypoint_seconds.wall / count,
        wall_ms=1000 * seconds.wall / count,
        cpu_ms=1000 * seconds.cpu / count,
        fits_per_second=count / (keypoint_seconds.wall + seconds.wall),
        iterations=(float(steps.quantile(0.5)), float(steps.quantile(0.9))),
        parts=parts,
        memory_mb=memory,
        iou=(_iou(task, first), _iou(task, last)),
    )


def task_of(
    model: SceneModel,
    truth: HandParams,
    observed: ObservationBatch,
    config: Config,
) -> StageTask:
    """The stages' task for right hands rendered from the truth."""
    crop = (config.refine.resolution, config.refine.margin)
    hands = normalise(observed).with_depth_gain(config.fit.relative_depth_gain)
    view = view_of(model, truth, observed, crop)
    return StageTask(model, view, KeypointTargets.of(hands), config.fit)


def _parts(work: Callable[[], None], device: torch.device, count: int) -> dict[str, float]:
    """Processor milliseconds a hand of what `work`, least-squares stages, calls."""
    watch = Stopwatch()

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        wait()
        with watch.part(part):
            yield
            wait()

    def watched(part: str, function: Callable) -> Callable:
        def call(*args: object, **options: object) -> object:
            with timed(part):
                return function(*args, **options)

        return call

    with ExitStack() as stack:
        for part, owner, name in (
            ("rendering", fitter.refinement.least_squares, "rasterize"),
            ("keypoints", fitter.energies.weighted, "keypoint_quadratic"),
        ):
            stack.enter_context(patch.object(owner, name, watched(part, getattr(owner, name))))
        contour = ENERGIES["silhouette_l2"]
        assert contour.least_squares is not None
        term = replace(contour.least_squares, function=watched("outline", contour_l2))
        timed_contour = replace(contour, least_squares=term)
        stack.enter_context(patch.dict(ENERGIES, {"silhouette_l2": timed_contour}))
        with timed("all"):
            work()
    spent = {part: 1000 * seconds.cpu / count for part, seconds in watch.parts.items()}
    total = spent.pop("all")
    return spent | {"rest": total - sum(spent.values())}


def _fields(params: HandParams) -> tuple[Tensor, ...]:
    return tuple(vars(params).values())


def _silhouettes(model: SceneModel, params: HandParams, view: SceneView) -> Tensor:
    """(B, S, S) bool."""
    with torch.inference_mode():
        vertices = model.hand(params.to(view.image.dtype)).vertices
        screen = torch.cat([project(vertices, view.intrinsics), vertices[..., 2:]], -1)
        return rasterize(screen, model.topology, (view.size, view.size)).mask


def _iou(task: StageTask, params: HandParams) -> float:
    rendered, mask = _silhouettes(task.model, params, task.view), task.view.mask > 0.5
    both, either = (rendered & mask).flatten(1).sum(1), (rendered | mask).flatten(1).sum(1)
    return float((both / either).mean())
