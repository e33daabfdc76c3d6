"""The tables of `docs/render_and_compare.md`, from what `benchmarks/render_and_compare.py` has
measured, and beside them what the papers print."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from doc_results import Results, cell, lengths, mean_and_error, results
from doc_table import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "render_and_compare"

FIGURES = (
    ("AUC_J", "auc", 3, 1.0),
    ("MPJPE cm", "pa_mpjpe_mm", 2, 0.1),
    ("AUC_V", "auc_v", 3, 1.0),
    ("MPVPE cm", "pa_mpvpe_mm", 2, 0.1),
    ("F@5", "f_5", 3, 1.0),
    ("F@15", "f_15", 3, 1.0),
)
"""What both papers print: its name, the name in results, digits, and its unit over theirs."""

UNALIGNED = "camera_"
"""What the names of figures begin with that are of hands as they stand, in the place of ``pa_``."""

Printed = Sequence[str]


def columns(*names: str) -> list[str]:
    """The header of a table of `FIGURES`."""
    return [*names, *(name for name, *_ in FIGURES)]


def rows_of(
    arms: Mapping[str, tuple[str, Printed]], folder: Path, prefix: str = ""
) -> list[Sequence[str]]:
    """A row of what is measured here and one of what is printed, for each arm.

    Args:
        arms: name -> title, and what is printed; nothing for what no paper has.
        folder: of all results.
        prefix: `UNALIGNED`, or nothing for hands that are aligned.
    """
    rows: list[Sequence[str]] = []
    for arm, (title, printed) in arms.items():
        rows.append((f"{title}, here", *_cells(results(folder / "hands", arm), prefix)))
        if printed:
            rows.append((f"{title}, the paper", *printed))
    return rows


def _cells(found: Results, prefix: str) -> list[str]:
    return [
        cell(found, (prefix + key.removeprefix("pa_") if prefix else key,), digits, scale)
        for _, key, digits, scale in FIGURES
    ]


def arms(folder: Path = RESULTS) -> str:
    """What was trained."""
    rows = []
    for part in ("hands", "joints", "keypoints", "domain"):
        names = sorted({file.stem.rsplit("-", 2)[0] for file in (folder / part).glob("*.json")})
        for arm in names:
            if arm in {row[0].strip("`") for row in rows}:
                continue
            for length in lengths(folder / part, arm):
                found = results(folder / part, arm, length)
                seeds = ", ".join(str(each["seed"]) for each in found)
                minutes = mean_and_error([e["training"]["cpu_seconds"] / 60 for e in found], 1)
                rows.append((f"`{arm}`", str(length), seeds, _losses(found), minutes))
    return table(("arm", "steps", "seeds", "losses and their weights", "CPU minutes"), rows)


def _losses(found: Results) -> str:
    training = found[0]["training"]
    weights = {name: weight for name, weight in training["losses"].items() if weight}
    for stage in training["stages"].values():
        weights |= {name: weight for name, weight in stage.get("losses", {}).items() if weight}
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())


TABLE_4 = {
    "location": ("E_loc, E_regu", ("0.696", "1.54", "0.687", "1.58", "0.387", "0.852")),
    "orientation": ("+ E_ori", ("0.754", "1.24", "0.750", "1.26", "0.457", "0.903")),
    "consistency": ("+ E_2d, E_con", ("0.764", "1.19", "0.763", "1.20", "0.479", "0.915")),
    "photometric": ("+ E_photo", ("0.766", "1.18", "0.765", "1.19", "0.483", "0.917")),
}
"""S2HAND, Table 4."""


def losses(folder: Path = RESULTS) -> str:
    """S2HAND, Table 4, after a network that has learned nothing and says the mean hand."""
    mean = ("the mean hand", *_cells(results(folder / "mean", "hands"), ""))
    return table(columns(""), [mean, *rows_of(TABLE_4, folder)])


TABLE_5 = {
    "weak-leading": ("true keypoints (WSL)", ("0.730", "", "0.725", "", "0.42", "0.89")),
    "self-found": ("the detector's (SSL)", ("0.766", "", "0.765", "", "0.48", "0.92")),
}
"""S2HAND, Table 5, its rows of FreiHAND."""


def supervision(folder: Path = RESULTS) -> str:
    """S2HAND, Table 5."""
    return table(columns(""), rows_of(TABLE_5, folder))


SETS = {
    "detected": ("orientation", "the detector's, J^de"),
    "estimated, apart": ("estimator", "2D branch, J^2d, without consistency"),
    "projected, apart": ("orientation", "3D branch, J^pro, without consistency"),
    "estimated": ("consistency", "2D branch, J^2d, with consistency"),
    "projected": ("consistency", "3D branch, J^pro, with consistency"),
}
"""Sets of keypoints in Fig. 4 of S2HAND -> the arm whose they are, and their title."""

WITHIN = (2, 5, 10, 20)
"""Pixels at which the curves are told."""


def keypoints(folder: Path = RESULTS) -> str:
    """Fig. 4 of S2HAND in numbers."""
    rows = []
    for name, (arm, title) in SETS.items():
        kind = name.partition(",")[0]
        found = results(folder / "keypoints", arm)
        shares = [
            mean_and_error([each[kind]["curve"][2 * pixels] for each in found], 3)
            for pixels in WITHIN
        ]
        rows.append((title, cell(found, (kind, "px"), 2), *shares))
    return table(("keypoints", "mean, px", *(f"within {px} px" for px in WITHIN)), rows)


ZHAO_2 = {
    "self-found": ("S2HAND", ("0.77", "1.18", "0.77", "1.19", "0.48", "0.92")),
    "zhao-found": ("Zhao", ("0.74", "1.29", "0.74", "1.30", "0.43", "0.90")),
}
ZHAO_3 = {
    "zhao-leading": ("WSL without confidence", ("0.74", "1.33", "0.74", "1.33", "0.43", "0.89")),
    "zhao-leading-confidence": (
        "WSL with confidence",
        ("0.73", "1.38", "0.72", "1.40", "0.41", "0.88"),
    ),
    "zhao-found-alike": (
        "SSL without confidence",
        ("0.74", "1.33", "0.74", "1.33", "0.42", "0.90"),
    ),
    "zhao-found": ("SSL with confidence", ("0.74", "1.29", "0.74", "1.30", "0.43", "0.90")),
}
ZHAO_4 = {
    "zhao-weak": ("2D", ("0.74", "1.33", "0.74", "1.33", "0.42", "0.89")),
    "zhao-3d": ("+ 3D", ("0.73", "1.39", "0.73", "1.38", "0.41", "0.89")),
    "zhao-3d-norm": ("+ normalised 3D", ("0.76", "1.24", "0.76", "1.22", "0.46", "0.91")),
}
ZHAO_5 = {
    "zhao-weak": ("2D", ("0.11", "11.42", "0.11", "11.45", "0.06", "0.22")),
    "zhao-3d": ("+ 3D", ("0.13", "8.31", "0.13", "8.40", "0.08", "0.27")),
    "zhao-3d-norm": ("+ normalised 3D", ("0.15", "7.70", "0.15", "7.73", "0.08", "0.29")),
}
ZHAO_6 = {
    "joints": "the mean open hand",
    "zhao-open": "open hand, here",
    "zhao-nimble": "NIMBLE's fixture, here",
}
"""Zhao, Tables 2 to 6."""


def pipelines(folder: Path = RESULTS) -> str:
    """Zhao, Table 2."""
    return table(columns(""), rows_of(ZHAO_2, folder))


def confidence(folder: Path = RESULTS) -> str:
    """Zhao, Table 3."""
    return table(columns(""), rows_of(ZHAO_3, folder))


def joints(folder: Path = RESULTS) -> str:
    """Zhao, Table 4."""
    return table(columns("aligned"), rows_of(ZHAO_4, folder))


def joints_unaligned(folder: Path = RESULTS) -> str:
    """Zhao, Table 5."""
    return table(columns("not aligned"), rows_of(ZHAO_5, folder, UNALIGNED))


def models(folder: Path = RESULTS) -> str:
    """Zhao, Table 6."""
    both = FIGURES[:2]
    rows: list[Sequence[str]] = []
    for arm, title in ZHAO_6.items():
        said = results(folder / ("mean" if arm == "joints" else "joints"), arm)
        rows.append((title, *(cell(said, (key,), digits, scale) for _, key, digits, scale in both)))
    rows += [("MANO, the paper", "0.76", "1.24"), ("NIMBLE, the paper", "0.68", "1.60")]
    return table(("", *(name for name, *_ in both)), rows)


COMPARED = {
    "orientation": "no picture",
    "compared-photometric": "colours (S2HAND eq. 6 and 7)",
    "compared-mask": "silhouette and mask",
    "compared-depth": "depth",
    "compared-printed": "colours and SSIM with the silhouette (Zhao 3.5)",
}


def compared(folder: Path = RESULTS) -> str:
    """What is compared."""
    return _own(COMPARED, folder)


FOCAL = {"orientation": "given", "focal": "said by the network"}


def focal(folder: Path = RESULTS) -> str:
    """Focal lengths."""
    return _own(FOCAL, folder)


OWN = (
    ("MPJPE (PA) mm", "pa_mpjpe_mm", 2),
    ("MPVPE (PA) mm", "pa_mpvpe_mm", 2),
    ("MPJPE, wrists on each other, mm", "mpjpe_mm", 1),
    ("MPJPE, in the camera, mm", "camera_mpjpe_mm", 1),
    ("keypoints in the image, px of 128", "keypoints_2d_px", 2),
)
"""Figures of tables that no paper has."""


def _own(titles: Mapping[str, str], folder: Path, part: str = "hands") -> str:
    rows = [
        (title, *(cell(results(folder / part, arm), (key,), digits) for _, key, digits in OWN))
        for arm, title in titles.items()
    ]
    return table(("", *(name for name, *_ in OWN)), rows)


DOMAIN = {
    "orientation": "before",
    "adapted": "after, on pictures of the domain",
    "longer": "after as many steps on the renders that it knows",
}


def domain(folder: Path = RESULTS) -> str:
    """The shifted domain."""
    return _own(DOMAIN, folder, "domain")


FOUND = (
    ("pictures", "pictures"),
    ("without", "of these without a hand found"),
    ("hands", "hands found"),
    ("wrong", "of these wrong: a quarter of the true box or more from the true hand"),
    ("left", "of these taken for left hands, none being one"),
    ("learned", "hands that the detector sees once more in the crop around them: learned from"),
    ("learned_wrong", "of these wrong as above"),
    ("learned_left", "of these taken for left hands"),
)
"""What is counted of found hands, and how it is called."""


def found(folder: Path = RESULTS) -> str:
    """What the detector found in pictures."""
    rows: list[Sequence[str]] = []
    for file in sorted((folder / "found").glob("*.json")):
        said = json.loads(file.read_text())
        rows += [(title, f"{said[name]:,}") for name, title in FOUND]
    return table(("", "count"), rows or [(title, "n/a") for _, title in FOUND])


PRESETS = {"s2hand_published": "S2HAND", "zhao_published": "Zhao"}


def sizes(folder: Path = RESULTS) -> str:
    """The networks as printed."""
    rows: list[Sequence[str]] = []
    for preset, title in PRESETS.items():
        file = folder / "sizes" / f"{preset}.json"
        if not file.exists():
            rows.append((title, "n/a", ""))
            continue
        one = json.loads(file.read_text())
        rows += [(f"{title}: {name}", shape, one["printed"].get(name, "not printed"))
                 for name, shape in one["shapes"].items()]  # fmt: skip
        rows += [(f"{title}: parameters of {name}", f"{count:,}", "not printed")
                 for name, count in one["parts"].items()]  # fmt: skip
        step = f"{title}: a step of {one['batch']} crops of {one['input_size']} pixels"
        rows.append((step, f"{one['cpu_seconds']:.1f} s of one core", "not printed"))
    return table(("", "here", "the paper"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    f"render-and-compare-{make.__name__.replace('_', '-')}": partial(make)
    for make in (arms, losses, supervision, keypoints, pipelines, confidence, joints,
                 joints_unaligned, models, compared, focal, domain, found, sizes)
}  # fmt: skip
"""Name in the markers of the page -> what writes the text between them."""
