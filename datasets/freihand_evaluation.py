"""Stored results against FreiHAND's annotations: the figures behind `eval-hands`.

FreiHAND annotates one right hand per image. Where several hands were found in an image, the
one with the best detection score among the valid ones is scored, whatever side it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from datasets.evaluated_keypoints import keypoints_defined, stored_definition
from datasets.evaluation_options import check_penalty, check_ranges
from datasets.freihand import FreiHandSplit
from fitter import metrics
from fitter.errors import InputError
from fitter.store.reader import StoreReader
from fitter.store.schema import IMAGE_STATUS

RULE = (
    "Where several hands were found in an image, the valid one with the best detection score "
    "is scored."
)
ANNOTATED = "freihand"
"""The definition of the annotations."""
DEPTH_GAIN = 1.3
"""True depth per unit of the detector's image depth, in the model-free reference."""

_SCORED_VARIABLES = (
    "valid",
    "detection_score",
    "image_status",
    "keypoints_3d",
    "keypoints_2d",
    "keypoints_2d_detected",
    "detector_relative_depth",
    "detector_relative_xyz",
)
"""What every evaluation reads of a store."""

_STATUS_CODE = {name: code for code, name in enumerate(IMAGE_STATUS)}

_MEASURES = {
    "mpjpe_mm": "MPJPE in the camera, mm",
    "root_aligned_mpjpe_mm": "MPJPE, wrists aligned, mm",
    "pa_mpjpe_mm": "PA-MPJPE, mm",
    "auc_j": "AUC of aligned joints, 0 to 50 mm",
    "kp2d_px": "2D keypoints, px",
    "pa_mpvpe_mm": "PA-MPVPE (vertices), mm",
    "f5": "F-score of aligned vertices, 5 mm",
    "f15": "F-score of aligned vertices, 15 mm",
    "detector_world_pa_mpjpe_mm": "PA-MPJPE of detector world landmarks, mm",
    "detector_xyz_pa_mpjpe_mm": f"PA-MPJPE of detector image x, y, {DEPTH_GAIN} z, mm",
}
"""Measures in the table's order, with their labels."""


@dataclass(frozen=True)
class Part:
    """The figures of a range of images.

    Attributes:
        name: "all", or the range as "start:stop".
        images: annotated images in the range.
        found: images with a valid hand; all means below are over these (see `Evaluation`).
        no_hand: images in which the detector saw none.
        failed: images that failed, or whose every fit did.
        pending: images the run has not come to yet.
        not_in_store: images the run was not asked for.
        figures: measure -> value; millimetres, pixels or a share, as the name says. A measure
            whose ingredients the store or the data set lacks is absent.
    """

    name: str
    images: int
    found: int
    no_hand: int
    failed: int
    pending: int
    not_in_store: int
    figures: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Counts and figures in one flat dictionary; NaN as None."""
        counts = {
            key: getattr(self, key)
            for key in ("images", "found", "no_hand", "failed", "pending", "not_in_store")
        }
        return counts | {k: None if np.isnan(v) else v for k, v in self.figures.items()}


@dataclass(frozen=True)
class Evaluation:
    """A store scored against a data set.

    Attributes:
        store: path of the store.
        dataset: path of the data set.
        missing_as_mm: millimetres that every joint of an image without a valid hand is charged
            in the fit's figures in millimetres and its AUC, or None to average over the found
            hands alone. Pixels, F-scores and the detector's own figures are never charged.
        definition: of the keypoints that are scored.
        is_stored: whether the store has them in it; else they are posed from its parameters.
        whole: the figures of all images.
        parts: the figures of the ranges asked for.
    """

    store: Path
    dataset: Path
    missing_as_mm: float | None
    definition: str
    is_stored: bool
    whole: Part
    parts: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-able: the whole's figures, and under "parts" those of each range."""
        return {
            "store": str(self.store),
            "dataset": str(self.dataset),
            "missing_as_mm": self.missing_as_mm,
            "keypoint_definition": self.definition,
            **self.whole.to_json(),
            "parts": {part.name: part.to_json() for part in self.parts},
        }

    def table(self) -> Table:
        """The figures, one column for the whole and one for each range."""
        columns = (self.whole, *self.parts)
        table = Table(title=f"{self.store.name} on {self.dataset}", caption=self._caption())
        table.add_column("measure", no_wrap=True)
        for part in columns:
            table.add_column(part.name, justify="right")
        table.add_row("found / images", *(f"{part.found} / {part.images}" for part in columns))
        for key in ("no_hand", "failed", "pending", "not_in_store"):
            if any(getattr(part, key) for part in columns):
                label = f"  {key.replace('_', ' ')}"
                table.add_row(label, *(str(getattr(part, key)) for part in columns))
        table.add_section()
        known = {key: label for key, label in _MEASURES.items() if key in self.whole.figures}
        for key, label in known.items():
            digits = 3 if key in ("auc_j", "f5", "f15") else 2
            values = (part.figures.get(key, float("nan")) for part in columns)
            table.add_row(label, *(f"{value:.{digits}f}" for value in values))
        return table

    def _caption(self) -> str:
        if self.missing_as_mm is None:
            charge = "Images without a valid hand are left out of the means."
        else:
            charge = (
                "Images without a valid hand are charged "
                f"{self.missing_as_mm:g} mm in the fit's millimetres and AUC."
            )
        return f"{RULE} {charge} {self._definition()}"

    def _definition(self) -> str:
        how = "as stored" if self.is_stored else "posed from the stored parameters"
        said = f"Keypoints are in the definition {self.definition}, {how}"
        if self.definition == ANNOTATED:
            return f"{said}; so are FreiHAND's annotations."
        return (
            f"{said}; FreiHAND's annotations are in another, {ANNOTATED}, and a part of the error "
            "is the difference."
        )


def evaluate_freihand(
    store_path: Path,
    truth: FreiHandSplit,
    ranges: Sequence[range] = (),
    missing_as_mm: float | None = None,
    definition: str | None = None,
) -> Evaluation:
    """Score a store against the evaluation split of FreiHAND, or of a data set laid out like it.

    Images are matched by file name (`00000012.jpg`), whatever folder they lay in.

    Args:
        store_path: the result store.
        truth: the data set, of `load_freihand`.
        ranges: ranges of image numbers to report apart, besides the whole.
        missing_as_mm: see `Evaluation`.
        definition: score keypoints in this definition; None for that of the store.

    Raises:
        InputError: the store cannot be read, holds none of the images or two of one file name; a
            range leaves the data set; `missing_as_mm` is no length; there is no such definition,
            or the model to pose it with is not there.
    """
    check_penalty(missing_as_mm)
    check_ranges(ranges, truth.root, len(truth.names))
    store = StoreReader.open(store_path)
    stored = stored_definition(store)
    definition = definition or stored
    rows = _match(store, truth)
    if (rows < 0).all():
        raise InputError("evaluation.other_images", file=store_path, dataset=truth.root)
    results = _loaded(store, truth)
    keypoints = keypoints_defined(store, results, definition)
    results = results.assign(keypoints_3d=(results.keypoints_3d.dims, keypoints))
    scored = _Scored.of(results, rows, truth)
    whole, *parts = (
        scored.part(name, images, missing_as_mm)
        for name, images in [
            ("all", range(len(truth.names))),
            *((f"{part.start}:{part.stop}", part) for part in ranges),
        ]
    )
    return Evaluation(
        Path(store_path),
        truth.root,
        missing_as_mm,
        definition,
        definition == stored,
        whole,
        tuple(parts),
    )


def _loaded(store: StoreReader, truth: FreiHandSplit) -> xr.Dataset:
    """The results, with the variables that are scored read from the disk."""
    results = store.dataset()
    needed = list(_SCORED_VARIABLES)
    if truth.vertices is not None and results.sizes.get("vertex") == truth.vertices.shape[1]:
        needed.append("vertices")
    loaded = {}
    for name in needed:
        try:
            loaded[name] = results[name].load()
        except Exception as error:
            # What a cut chunk raises is up to the codec and is of many types.
            raise InputError(
                "store.damaged_variable", file=store.path, variable=name, reason=str(error)
            ) from error
    return results.assign(loaded)


def _match(store: StoreReader, truth: FreiHandSplit) -> np.ndarray:
    """(N,) the store's row of every annotated image, -1 where it has none."""
    places: dict[str, int] = {}
    wanted = set(truth.names)
    for row, name in enumerate(store.names):
        base = PurePosixPath(name).name
        if base in wanted and base in places:
            raise InputError("evaluation.same_name", file=store.path, name=base)
        places[base] = row
    return np.array([places.get(name, -1) for name in truth.names])


@dataclass(frozen=True)
class _Scored:
    """Per annotated image: its fate, and the errors of its hand.

    Attributes:
        found: (N,) bool.
        status: (N,) codes of `IMAGE_STATUS`; -1 for images that the store does not hold.
        distances: measure -> (N, ...) metres, charged where missing.
        others: measure -> (N,) of what is never charged, in the measure's own unit.
    """

    found: np.ndarray
    status: np.ndarray
    distances: dict[str, np.ndarray]
    others: dict[str, np.ndarray]

    @classmethod
    def of(cls, results: xr.Dataset, rows: np.ndarray, truth: FreiHandSplit) -> _Scored:
        here = rows >= 0
        results = results.isel(image=np.maximum(rows, 0))
        valid = results.valid.values & here[:, None]
        rank = np.where(valid, np.nan_to_num(results.detection_score.values, nan=0.0), -np.inf)
        slot, images = rank.argmax(axis=1), np.arange(len(rows))
        found = valid.any(axis=1)

        def chosen(name: str) -> np.ndarray:
            values = results[name].values[images, slot].astype(float)
            values[~found] = np.nan
            return values

        estimate, joints = chosen("keypoints_3d"), truth.keypoints_3d
        aligned = metrics.procrustes_aligned(estimate, joints)
        distances = {
            "mpjpe": metrics.mpjpe(estimate, joints),
            "root_aligned_mpjpe": metrics.mpjpe(
                metrics.root_aligned(estimate), metrics.root_aligned(joints)
            ),
            "pa_mpjpe": metrics.mpjpe(aligned, joints),
            "aligned_joints": metrics.point_errors(aligned, joints),
        }
        image_depth = DEPTH_GAIN * chosen("detector_relative_depth")[..., None]
        image_xyz = np.concatenate([chosen("keypoints_2d_detected"), image_depth], axis=-1)
        others = {
            "kp2d_px": metrics.keypoint_2d_error(chosen("keypoints_2d"), truth.keypoints_2d),
            "detector_world_pa_mpjpe_mm": 1e3
            * metrics.pa_mpjpe(chosen("detector_relative_xyz"), joints),
            "detector_xyz_pa_mpjpe_mm": 1e3 * metrics.pa_mpjpe(image_xyz, joints),
        }
        if truth.vertices is not None and results.sizes.get("vertex") == truth.vertices.shape[1]:
            surface = metrics.procrustes_aligned(chosen("vertices"), truth.vertices)
            distances["pa_mpvpe"] = metrics.mpjpe(surface, truth.vertices)
            others["f5"], others["f15"] = metrics.fscore(surface, truth.vertices).T
        status = np.where(here, results.image_status.values.astype(int), -1)
        return cls(found, status, distances, others)

    def part(self, name: str, images: range, missing_as_mm: float | None) -> Part:
        """The figures of a range of images."""
        span = slice(images.start, images.stop)
        found, status = self.found[span], self.status[span]
        charged = {key: values[span][found] for key, values in self.distances.items()}
        if missing_as_mm is not None:
            charged = {
                key: _charge(values, int((~found).sum()), missing_as_mm / 1e3)
                for key, values in charged.items()
            }
        aligned = charged.pop("aligned_joints")
        figures = {f"{key}_mm": 1e3 * _mean(values) for key, values in charged.items()}
        figures["auc_j"] = metrics.auc(aligned)
        for key, values in self.others.items():
            known = values[span][found]
            known = known[np.isfinite(known)] if key.startswith("detector") else known
            if known.size or not key.startswith("detector"):
                figures[key] = _mean(known)
        lost = status[~found]
        counts = {key: int((lost == code).sum()) for key, code in _STATUS_CODE.items()}
        return Part(
            name=name,
            images=len(status),
            found=int(found.sum()),
            no_hand=counts["no_hand"],
            # An image that went well and has no valid hand had every one of its fits fail.
            failed=counts["failed"] + counts["ok"],
            pending=counts["pending"],
            not_in_store=int((lost == -1).sum()),
            figures=figures,
        )


def _charge(values: np.ndarray, missing: int, penalty: float) -> np.ndarray:
    return np.concatenate([values, np.full((missing, *values.shape[1:]), penalty)])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
