"""The tables of `docs/wsim.md`, from what `benchmarks/wsim.py` has measured, and beside them what
Yu et al. 2023 print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from doc_results import Results, cell, lengths, mean_and_error, results
from doc_table import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "wsim"

FIGURES = (
    ("MPJPE", "pa_mpjpe_mm", 2),
    ("MPVPE", "pa_mpvpe_mm", 2),
    ("Edge", "edge_mm", 2),
    ("Norm", "normal", 3),
)
"""The columns of Table 1: their name, the name in results, and digits."""

FREE = "nonparametric_"
"""What the names of the non-parametric mesh's figures begin with."""

DEPTHS = (("MPVPE", "pairs_pa_mpvpe_mm"), ("A-PD", "a_pd_mm"), ("M-PD", "m_pd_mm"))
"""The columns of Table 2: their name, and the name in results."""

TABLE_2: Mapping[str, str] = {
    "touching": "before, on pairs at 3e-4",
    "refined": "after, as printed: eq. 9 at 1e-6",
    "refined-1e-4": "after, eq. 9 at 1e-4",
    "refined-weighed": "after, eq. 9 at 1e-4, L_pene weighed three times",
    "refined-heavy": "after, eq. 9 at 1e-4, L_pene weighed ten times",
    "longer": "without L_pene, eq. 8 at 1e-4",
}
PAPER_2: Sequence[Sequence[str]] = (
    ("GT, the paper", "0", "0.17", "4.89"),
    ("Ours (Before), the paper", "9.89", "1.00", "17.51"),
    ("Ours (After), the paper", "9.92", "0.51", "7.62"),
)
"""Its columns of InterHand2.6M."""

Rows = Mapping[str, tuple[str, Sequence[str]]]
"""Arm -> title, and what FreiHAND's columns of the paper say; nothing for what it has not."""

TABLE_1: Rows = {
    "parametric": ("parametric (MANO CNN)", ("8.69", "8.83", "0.54", "0.16")),
    "spiral": ("graph convolution, of vertices (GCN-Vert)", ("7.77", "7.43", "0.94", "0.20")),
    "transformer": ("transformer, of vertices (Transformer)", ("7.57", "8.05", "0.81", "0.16")),
    "parametric-joints": (
        "parametric, of joints (MANO-Joint)",
        ("8.84", "9.10", "0.55", "0.17"),
    ),
    "spiral-joints": (
        "graph convolution, of joints (GCN-Joint)",
        ("14.87", "18.43", "3.81", "0.34"),
    ),
    "integrated": ("integrated (Ours, GCN)", ("7.42", "7.43", "0.51", "0.15")),
    "integrated-transformer": ("integrated (Ours, Trans)", ("7.28", "7.33", "0.49", "0.15")),
}
TABLE_3: Rows = {
    "no-vae": ("without VAE", ("9.13", "9.20", "0.60", "0.18")),
    "no-distillation": ("without self-distillation", ("8.63", "8.66", "0.58", "0.16")),
    "integrated": ("full", ("7.42", "7.43", "0.51", "0.15")),
}
TABLE_4: Mapping[str, tuple[str, Sequence[str]]] = {
    "random": ("random twist", ("12.68", "13.90")),
    "zero": ("no twist", ("7.83", "7.96")),
    "predicted": ("estimated twist", ("7.42", "7.43")),
}
TAUGHT: Rows = {
    "integrated": ("eq. 8 alone", ()),
    "taught-joints": ("and joints of the parametric mesh", ()),
    "taught-vertices": ("and its vertices", ()),
}
MASK: Rows = {"integrated": ("eq. 8", ()), "mask": ("and silhouettes", ())}
PARAMETERS: Rows = {
    "integrated": ("both norms, as printed", ()),
    "first-norms": ("the distance from the truth alone", ()),
}
JOINT_VAES = {"joint_vae-exact": "as they are regressed", "joint_vae": "that scatter"}


def _rows(arms: Rows, folder: Path) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for arm, (title, printed) in arms.items():
        found = results(folder / "meshes", arm)
        is_parametric = bool(found) and bool(found[0]["parametric"])
        rows.append((f"{title}, here", *_cells(found, "" if is_parametric else FREE)))
        if printed:
            rows.append((f"{title}, the paper", *printed))
    return rows


def _cells(found: Results, prefix: str) -> list[str]:
    return [cell(found, (prefix + key,), digits) for _, key, digits in FIGURES]


def _columns(title: str = "") -> list[str]:
    return [title, *(name for name, *_ in FIGURES)]


def arms(folder: Path = RESULTS) -> str:
    """What was trained."""
    rows = []
    homes = {file.stem.rsplit("-", 2)[0]: folder / part for part in ("meshes", "gap", "touching")
             for file in (folder / part).glob("*.json")}  # fmt: skip
    for arm, part in sorted(homes.items()):
        for length in lengths(part, arm):
            found = results(part, arm, length)
            seeds = ", ".join(str(each["seed"]) for each in found)
            minutes = mean_and_error([e["training"]["cpu_seconds"] / 60 for e in found], 1)
            rows.append((f"`{arm}`", str(length), seeds, _losses(found), minutes))
    return table(("arm", "steps", "seeds", "losses and their weights", "CPU minutes"), rows)


def _losses(found: Results) -> str:
    weights = found[0]["training"]["losses"]
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items() if weight)


def meshes(folder: Path = RESULTS) -> str:
    """Table 1, FreiHAND's columns of the paper."""
    return table(_columns(), _rows(TABLE_1, folder))


def depths(folder: Path = RESULTS) -> str:
    """Table 2, InterHand2.6M's columns of the paper."""
    true = results(folder / "touching", "touching")
    rows: list[Sequence[str]] = [
        ("the true hands, here", "0", *(cell(true, (f"true_{k}",), 2) for _, k in DEPTHS[1:]))
    ]
    for arm, title in TABLE_2.items():
        found = results(folder / "touching", arm)
        rows.append((f"{title}, here", *(cell(found, (key,), 2) for _, key in DEPTHS)))
    return table(("", *(name for name, _ in DEPTHS)), [*rows, *PAPER_2])


def parts(folder: Path = RESULTS) -> str:
    """Table 3."""
    return table(_columns(), _rows(TABLE_3, folder))


def twists(folder: Path = RESULTS) -> str:
    """Table 4."""
    found, rows = results(folder / "twists", "integrated"), []
    for twist, (title, printed) in TABLE_4.items():
        cells = [cell(found, (twist, key), digits) for _, key, digits in FIGURES[:2]]
        rows += [(f"{title}, here", *cells), (f"{title}, the paper", *printed)]
    return table(_columns()[:3], rows)


def taught(folder: Path = RESULTS) -> str:
    """Yu et al. 3.3."""
    return table(_columns(), _rows(TAUGHT, folder))


def masks(folder: Path = RESULTS) -> str:
    """Yu et al. 4.6: both meshes of each arm."""
    rows = []
    for arm, (title, _) in MASK.items():
        found = results(folder / "meshes", arm)
        rows += [(f"{title}, the parametric mesh", *_cells(found, "")),
                 (f"{title}, the non-parametric mesh", *_cells(found, FREE))]  # fmt: skip
    return table(_columns(), rows)


def parameters(folder: Path = RESULTS) -> str:
    """Eq. 4."""
    return table(_columns(), _rows(PARAMETERS, folder))


def gap(folder: Path = RESULTS) -> str:
    """How far regressed joints are from true ones, and refined ones."""
    rows = []
    for arm, title in JOINT_VAES.items():
        found = results(folder / "gap", arm)
        whose = f"a JointVAE that learns from joints {title}"
        rows.append((whose, "those of the hand model's mesh", *_before_and_after(found, "")))
        if arm == "joint_vae":
            rows.append((whose, "those that scatter", *_before_and_after(found, "noisy_")))
    return table(("", "joints", "before, mm", "after, mm"), rows)


def _before_and_after(found: Results, prefix: str) -> list[str]:
    return [cell(found, (f"{prefix}{when}_mm",), 2) for when in ("before", "after")]


BLOCKS: dict[str, Callable[[], str]] = {
    f"wsim-{make.__name__}": partial(make)
    for make in (arms, meshes, depths, parts, twists, taught, masks, parameters, gap)
}
"""Name in the markers of the page -> what writes the text between them."""
