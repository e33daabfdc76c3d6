"""Tables in the shape of the papers': their columns and published rows, and ours below.

A figure that a source or a data set has nothing for stays empty, and so does a published one that
the paper does not print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from datasets.evaluation.evaluation import Evaluation
from datasets.evaluation.options import check_table
from datasets.evaluation.published import PUBLISHED
from datasets.evaluation.table import Column, Table


@dataclass(frozen=True)
class Text:
    """A column of text.

    Attributes:
        heading: as the paper prints it.
        ours: what it says of ours: the label, the number of iterations, or nothing.
    """

    heading: str
    ours: Literal["label", "iterations", ""] = ""


@dataclass(frozen=True)
class Figure:
    """A column of figures.

    Attributes:
        heading: as the paper prints it.
        key: measure of `MEASURES`; "" for one that is not measured here.
        digits: behind the point, as the paper prints them.
        factor: from the measure's unit to the paper's.
        dataset: the column is of this data set alone; "" for whichever is evaluated.
        group: what the paper has above the column.
    """

    heading: str
    key: str
    digits: int
    factor: float = 1.0
    dataset: str = ""
    group: str = ""

    @property
    def better(self) -> Literal["more", "less"]:
        """Whether more or less is better."""
        shares = ("auc", "f5", "f15", "mask_")
        return "more" if any(share in self.key for share in shares) else "less"


@dataclass(frozen=True)
class Shape:
    """A paper's table.

    Attributes:
        title: which one.
        columns: in order.
        note: how its figures are made.
    """

    title: str
    columns: tuple[Text | Figure, ...]
    note: str


_TO_CM = 0.1
_METHOD = Text("Method", "label")
_FREIHAND_RULES = (
    "By FreiHAND's rules: joints and vertices aligned separately, reflection allowed; cm."
)


def _aligned() -> tuple[Figure, ...]:
    """S2HAND's six columns of aligned figures, in cm, by FreiHAND's rules."""
    auc_j, auc_v = (Figure(f"AUC_{x}", f"reflected_auc_{x.lower()}", 2) for x in "JV")
    mpjpe = Figure("MPJPE", "reflected_pa_mpjpe_mm", 2, _TO_CM)
    mpvpe = Figure("MPVPE", "reflected_pa_mpvpe_mm", 2, _TO_CM)
    scores = (Figure("F_5", "reflected_f5", 2), Figure("F_15", "reflected_f15", 2))
    return (auc_j, mpjpe, auc_v, mpvpe, *scores)


_CAMERA = (
    Figure("AUC_J", "camera_auc_j", 2),
    Figure("MPJPE", "mpjpe_mm", 2, _TO_CM),
    Figure("AUC_V", "camera_auc_v", 2),
    Figure("MPVPE", "mpvpe_mm", 2, _TO_CM),
    Figure("F_5", "camera_f5", 2),
    Figure("F_15", "camera_f15", 2),
)
_S2HAND3 = tuple(
    Figure(f.heading, f.key, 3 if "auc" in f.key else f.digits, f.factor) for f in _aligned()
)


def _yu(group: str, dataset: str, alignment: str) -> tuple[Figure, ...]:
    """Yu's four columns of a data set, in mm."""
    keys = (f"{alignment}_mpjpe_mm", f"{alignment}_mpvpe_mm", "edge_mm", "normal")
    headings = ("MPJPE", "MPVPE", "Edge", "Norm")
    return tuple(
        Figure(heading, key, 2, 1.0, dataset, group)
        for heading, key in zip(headings, keys, strict=True)
    )


def _yu_interaction(group: str, dataset: str) -> tuple[Figure, ...]:
    return (
        Figure("MPVPE", "root_aligned_mpvpe_mm", 2, 1.0, dataset, group),
        Figure("A-PD", "", 2, 1.0, dataset, group),
        Figure("M-PD", "", 2, 1.0, dataset, group),
    )


_YU_NOTE = (
    "mm. Yu et al. print no alignment: here FreiHAND's hands are aligned by Procrustes, those of "
    "InterHand2.6M and DexYCB at the wrist."
)

SHAPES: dict[str, Shape] = {
    "freihand": Shape(
        "FreiHAND, aligned: published figures",
        (
            _METHOD,
            Figure("joints", "reflected_pa_mpjpe_mm", 1),
            Figure("vertices", "reflected_pa_mpvpe_mm", 1),
            Figure("F@5", "reflected_f5", 3),
            Figure("F@15", "reflected_f15", 3),
        ),
        _FREIHAND_RULES.replace("cm", "mm"),
    ),
    "s2hand2": Shape(
        "S2HAND (Chen et al. 2021), Table 2: FreiHAND test set",
        (Text("Supervision"), _METHOD, *_aligned()),
        _FREIHAND_RULES,
    ),
    "s2hand3": Shape(
        "S2HAND (Chen et al. 2021), Table 3: HO-3D test set",
        (Text("Supervision"), _METHOD, *_S2HAND3),
        "Aligned as FreiHAND's; cm.",
    ),
    "seeber1": Shape(
        "RealisticHands (Seeber et al. 2021), Table 1: FreiHAND test set",
        (
            Text("Methods", "label"),
            Figure("MPVE (PA)", "reflected_pa_mpvpe_mm", 2, _TO_CM),
            Figure("F@5mm (PA)", "reflected_f5", 3),
            Figure("F@15mm (PA)", "reflected_f15", 3),
            Text("Model based"),
            Text("GT scale"),
        ),
        _FREIHAND_RULES,
    ),
    "seeber3": Shape(
        "RealisticHands (Seeber et al. 2021), Table 3: segmentation",
        (
            _METHOD,
            Figure("IoU", "mask_iou", 2, 1.0, "freihand", "FreiHAND"),
            Figure("Accuracy", "mask_accuracy", 2, 1.0, "freihand", "FreiHAND"),
            Figure("IoU", "mask_iou", 2, 1.0, "synthetic", "Synth"),
            Figure("Accuracy", "mask_accuracy", 2, 1.0, "synthetic", "Synth"),
        ),
        "The published rows are of segmentations, ours of the fitted mesh's silhouette.",
    ),
    "seeber4": Shape(
        "RealisticHands (Seeber et al. 2021), Table 4: stereo",
        (
            Text("Version", "label"),
            Figure("MPVE (PA)", "reflected_pa_mpvpe_mm", 2, _TO_CM),
            Figure("F@5mm (PA)", "reflected_f5", 3),
            Figure("F@15mm (PA)", "reflected_f15", 3),
        ),
        _FREIHAND_RULES,
    ),
    "seeber9": Shape(
        "RealisticHands (Seeber et al. 2021), Fig. 9: projection error",
        (_METHOD, Text("Iterations", "iterations"), Figure("IoU", "mask_iou", 3)),
        "IoU of the projected mesh and the annotated mask. Ours by the mean number of iterations "
        "after the keypoints.",
    ),
    "yu1": Shape(
        "Yu et al. 2023, Table 1",
        (
            _METHOD,
            *_yu("FreiHAND", "freihand", "reflected_pa"),
            *_yu("InterHand", "interhand", "root_aligned"),
            *_yu("DexYCB", "dexycb", "root_aligned"),
        ),
        _YU_NOTE,
    ),
    "yu2": Shape(
        "Yu et al. 2023, Table 2: interaction",
        (
            _METHOD,
            *_yu_interaction("InterHand", "interhand"),
            *_yu_interaction("DexYCB", "dexycb"),
        ),
        "mm, aligned at the wrist. Penetration depths are not measured here.",
    ),
    "zhao2": Shape(
        "Zhao, Table 2: FreiHAND test set",
        (Text("Supervision"), _METHOD, Text("Backbone"), *_aligned()),
        _FREIHAND_RULES,
    ),
    "zhao3": Shape(
        "Zhao, Table 3: bone orientation loss with and without confidence",
        (_METHOD, *_aligned()),
        _FREIHAND_RULES,
    ),
    "zhao4": Shape(
        "Zhao, Table 4: 3D losses, aligned",
        (Text("Supervision"), _METHOD, *_aligned()),
        _FREIHAND_RULES,
    ),
    "zhao5": Shape(
        "Zhao, Table 5: 3D losses, not aligned",
        (Text("Supervision"), _METHOD, *_CAMERA),
        "In the camera, not aligned; cm.",
    ),
    "zhao6": Shape(
        "Zhao, Table 6: hand models",
        (Text("Hand Model"), _METHOD, *_aligned()[:2]),
        _FREIHAND_RULES,
    ),
}
"""Tables by the name that `--table` takes."""


def paper_table(name: str, evaluations: Sequence[Evaluation]) -> Table:
    """A paper's table with its published rows, and one row for each evaluation below.

    Args:
        name: one of `SHAPES`.
        evaluations: ours.

    Raises:
        InputError: there is no such table.
    """
    check_table(name)
    shape = SHAPES[name]
    columns = [
        Column(c.heading) if isinstance(c, Text) else Column(c.heading, c.better, c.group)
        for c in shape.columns
    ]
    ours = [[_cell(column, evaluation) for column in shape.columns] for evaluation in evaluations]
    notes = [shape.note]
    notes += [_counts(evaluation) for evaluation in evaluations]
    notes += [f"{each.label}: {note}" for each in evaluations for note in each.notes]
    return Table(shape.title, columns, [*PUBLISHED[name], *ours], len(ours), notes)


def _counts(evaluation: Evaluation) -> str:
    whole, penalty = evaluation.whole, evaluation.missing_as_mm
    said = f"{evaluation.label}: {whole.found} of {whole.hands} hands of {evaluation.dataset} found"
    if whole.found == whole.hands:
        return f"{said}."
    return f"{said}, the others {'left out' if penalty is None else f'charged {penalty:g} mm'}."


def _cell(column: Text | Figure, evaluation: Evaluation) -> str:
    if isinstance(column, Text):
        if column.ours == "label":
            return f"{evaluation.label} (ours)"
        if column.ours == "iterations" and evaluation.iterations is not None:
            return f"{evaluation.iterations:.1f}"
        return ""
    if column.dataset not in ("", evaluation.dataset):
        return ""
    value = evaluation.whole.figures.get(column.key, math.nan)
    return "" if math.isnan(value) else f"{value * column.factor:.{column.digits}f}"
