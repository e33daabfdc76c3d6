"""The measures that an evaluation reports: their names, units and labels, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Unit = Literal["mm", "px", "share", "mm/frame²"]


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        label: what it is, in one line.
        unit: of its figure.
        charge: what a hand that was not found is charged: the penalty itself, the area that errors
            of that size have, or nothing.
        needs: what must be annotated of a hand for it to be charged.
        is_shown: whether it has a line in the table of all measures; the others are in the JSON and
            in the papers' tables.
    """

    label: str
    unit: Unit
    charge: Literal["length", "area", "none"] = "none"
    needs: Literal["camera", "points", "vertices", "camera vertices", ""] = ""
    is_shown: bool = True

    @property
    def digits(self) -> int:
        """Digits behind the point in a table."""
        return 3 if self.unit == "share" else 2

    @property
    def heading(self) -> str:
        """Label with its unit."""
        return self.label if self.unit == "share" else f"{self.label}, {self.unit}"


_ALIGNED: dict[str, Measure] = {
    "pa_mpjpe_mm": Measure("PA-MPJPE", "mm", "length", "points"),
    "auc_j": Measure("AUC of aligned joints, 0 to 50 mm", "share", "area", "points"),
    "pa_mpvpe_mm": Measure("PA-MPVPE (vertices)", "mm", "length", "vertices"),
    "auc_v": Measure("AUC of aligned vertices, 0 to 50 mm", "share", "area", "vertices"),
    "f5": Measure("F-score of aligned vertices, 5 mm", "share"),
    "f15": Measure("F-score of aligned vertices, 15 mm", "share"),
}
"""Measures after an alignment by a similarity; FreiHAND's own evaluation permits a reflection."""

MEASURES: dict[str, Measure] = {
    "mpjpe_mm": Measure("MPJPE in the camera", "mm", "length", "camera"),
    "wrist_mm": Measure("  of it the wrist's", "mm", "length", "camera"),
    "root_aligned_mpjpe_mm": Measure("MPJPE, wrists aligned", "mm", "length", "points"),
    "bone_aligned_mpjpe_mm": Measure("MPJPE, scale and wrist aligned", "mm", "length", "points"),
    "pa_mpjpe_mm": _ALIGNED["pa_mpjpe_mm"],
    "auc_j": _ALIGNED["auc_j"],
    "camera_auc_j": Measure("AUC of joints in the camera, 0 to 50 mm", "share", "area", "camera"),
    "kp2d_px": Measure("2D keypoints", "px"),
    "acceleration_mm": Measure("acceleration error", "mm/frame²"),
    "mpvpe_mm": Measure("MPVPE in the camera", "mm", "length", "camera vertices"),
    "root_aligned_mpvpe_mm": Measure("MPVPE, wrists aligned", "mm", "length", "vertices"),
    "pa_mpvpe_mm": _ALIGNED["pa_mpvpe_mm"],
    "auc_v": _ALIGNED["auc_v"],
    "camera_auc_v": Measure(
        "AUC of vertices in the camera, 0 to 50 mm", "share", "area", "camera vertices"
    ),
    "f5": _ALIGNED["f5"],
    "f15": _ALIGNED["f15"],
    "camera_f5": Measure("F-score of vertices in the camera, 5 mm", "share"),
    "camera_f15": Measure("F-score of vertices in the camera, 15 mm", "share"),
    **{
        f"reflected_{key}": replace(
            measure, label=f"{measure.label}, reflection allowed", is_shown=False
        )
        for key, measure in _ALIGNED.items()
    },
    "edge_mm": Measure("edge error", "mm"),
    "normal": Measure("normal error of aligned meshes", "share"),
    "mask_iou": Measure("IoU of mesh and mask", "share"),
    "mask_accuracy": Measure("accuracy of mesh and mask", "share"),
    "detector_world_pa_mpjpe_mm": Measure("PA-MPJPE of detector world landmarks", "mm"),
    "detector_xyz_pa_mpjpe_mm": Measure("PA-MPJPE of detector image x, y, 1.3 z", "mm"),
}
"""By name, in the table's order; a figure is in the measure's unit."""
