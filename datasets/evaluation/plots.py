"""Plots of evaluations, with matplotlib (extra `fit-hands[plots]`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datasets.evaluation.evaluation import Evaluation
from fitter import metrics
from fitter.conventions import KEYPOINT_NAMES
from fitter.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PIXELS = np.linspace(0.0, 30.0, 121)
"""Distances in the image at which the fraction of joints is drawn."""


def check_plots() -> None:
    """Make sure that matplotlib is installed.

    Raises:
        InputError: it is not.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("plots.no_matplotlib", file="--plots") from error


def write_plots(evaluations: Sequence[Evaluation], folder: Path) -> list[Path]:
    """Write a picture for each plot that there are figures for, one curve for each evaluation.

    ``pck_joints.png`` and ``pck_vertices.png``: share of aligned keypoints and vertices within 0 to
    50 mm, with its AUC. ``fraction_2d.png``: share of keypoints within a distance in the image, as
    S2HAND's fig. 4. ``error_by_joint.png``: mean aligned error. ``iou_by_iteration.png``: IoU of
    mesh and mask over the mean number of iterations after the keypoints, where several stores are
    given, one for each budget, as RealisticHands' fig. 9.

    Args:
        evaluations: what is compared.
        folder: is made where it is not there.

    Returns:
        the files.

    Raises:
        InputError: matplotlib is not installed; the folder cannot be written.
    """
    check_plots()
    plots: dict[str, Callable[[Axes, Sequence[Evaluation]], bool]] = {
        "pck_joints": _pck_joints,
        "pck_vertices": _pck_vertices,
        "fraction_2d": _fraction_2d,
        "error_by_joint": _error_by_joint,
        "iou_by_iteration": _iou_by_iteration,
    }
    from matplotlib.figure import Figure

    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in plots.items():
            figure = Figure(figsize=(7, 4.5), layout="constrained")
            if draw(figure.add_subplot(), evaluations):
                figure.savefig(folder / f"{name}.png", dpi=150)
                written.append(folder / f"{name}.png")
    except OSError as error:
        raise InputError("output.cannot_write", file=folder, reason=error.strerror) from error
    return written


def _pck_joints(axes: Axes, evaluations: Sequence[Evaluation]) -> bool:
    errors = [e.curves.joints[np.isfinite(e.curves.joints)] for e in evaluations]
    curves = [metrics.pck(of) if of.size else None for of in errors]
    areas = [metrics.auc(of) for of in errors]
    return _pck(axes, evaluations, curves, areas, "share of aligned keypoints")


def _pck_vertices(axes: Axes, evaluations: Sequence[Evaluation]) -> bool:
    curves = [e.curves.vertices for e in evaluations]
    areas = [e.whole.figures.get("auc_v", np.nan) for e in evaluations]
    return _pck(axes, evaluations, curves, areas, "share of aligned vertices")


def _pck(
    axes: Axes,
    evaluations: Sequence[Evaluation],
    curves: Sequence[np.ndarray | None],
    areas: Sequence[float],
    what: str,
) -> bool:
    for evaluation, curve, area in zip(evaluations, curves, areas, strict=True):
        if curve is not None:
            label = f"{evaluation.label}, AUC {area:.3f}"
            axes.plot(1e3 * metrics.AUC_THRESHOLDS, curve, label=label)
    return _finished(axes, "distance, mm", what, [curve is not None for curve in curves])


def _fraction_2d(axes: Axes, evaluations: Sequence[Evaluation]) -> bool:
    drawn = []
    for evaluation in evaluations:
        errors = evaluation.curves.image[np.isfinite(evaluation.curves.image)]
        drawn.append(errors.size > 0)
        if errors.size:
            label = f"{evaluation.label}, mean {errors.mean():.2f} px"
            axes.plot(PIXELS, metrics.pck(errors, PIXELS), label=label)
    return _finished(axes, "distance, px", "fraction of joints within distance", drawn)


def _error_by_joint(axes: Axes, evaluations: Sequence[Evaluation]) -> bool:
    places, width = np.arange(len(KEYPOINT_NAMES)), 0.8 / len(evaluations)
    drawn = []
    for number, evaluation in enumerate(evaluations):
        values = np.array([evaluation.by_joint[name] for name in KEYPOINT_NAMES])
        drawn.append(bool(np.isfinite(values).any()))
        shift = (number - (len(evaluations) - 1) / 2) * width
        axes.bar(places + shift, np.nan_to_num(values), width, label=evaluation.label)
    axes.set_xticks(places, KEYPOINT_NAMES, rotation=90)
    return _finished(axes, "", "mean aligned error, mm", drawn)


def _iou_by_iteration(axes: Axes, evaluations: Sequence[Evaluation]) -> bool:
    points: list[tuple[Any, ...]] = sorted(
        (e.iterations, e.whole.figures["mask_iou"], e.label)
        for e in evaluations
        if e.iterations is not None and "mask_iou" in e.whole.figures
    )
    if len(points) < 2:
        return False
    iterations, overlaps, labels = zip(*points, strict=True)
    axes.plot(iterations, overlaps, marker="o")
    for at, overlap, label in points:
        axes.annotate(label, (at, overlap), xytext=(4, 4), textcoords="offset points")
    axes.set_xlabel("iterations after the keypoints")
    axes.set_ylabel("IoU of mesh and mask")
    return bool(labels)


def _finished(axes: Axes, x: str, y: str, drawn: Sequence[bool]) -> bool:
    if not any(drawn):
        return False
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend()
    return True
