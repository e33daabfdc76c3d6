"""How far NIMBLE's own joints are from MANO's, which data sets annotate.

    python benchmarks/nimble_joints.py nimble/ --mano MANO_RIGHT.pkl
    python benchmarks/nimble_joints.py nimble/ --mano MANO_RIGHT.pkl --hands 1024 --json joints.json

Random hands of a NIMBLE model are posed. Their keypoints through MANO (MANO's regressor and
fingertip vertices on the skin in MANO's vertices; Zhao 3.2) are compared with

- the rig's joints of the same names, and what a fixed combination of all of them makes of these,
  learned from other hands;
- NIMBLE's own `jreg_mano` on the skin;
- MANO itself, fitted to the keypoints, and to the rig's joints: what no pose and no shape of MANO
  reaches.

It prints a table in Markdown. Natural poses, shapes of unit variance, any rotation.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import parser, positive, run_command, use_threads, write_json
from torch import Tensor

from fitter.conventions import KEYPOINT_NAMES
from fitter.errors import InputError
from fitter.hand_models import HandModel, inverse_kinematics
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.hand_models.mano import ManoOptions, load_mano
from fitter.hand_models.nimble import read_nimble
from fitter.hand_models.nimble.keypoint_order import KEYPOINT_JOINTS
from fitter.hand_models.nimble.model_data import (
    mano_keypoint_regressor,
    skin_data,
)
from fitter.metrics.points import point_errors, procrustes_aligned

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from measure_nimble import fitted, prior_hands

RIG, COMBINED = "the rig's joints, by their names", "fixed combinations of the rig's joints"
OWN = "NIMBLE's `jreg_mano` on the skin"
FITTED, FITTED_TO_RIG = "MANO fitted to the keypoints", "MANO fitted to the rig's joints"

_BATCH = 64
_WRIST, _FINGER = ("wrist",), ("base", "middle joint", "end joint", "tip")
LEVELS = (*_WRIST, *_FINGER)
"""Kinds of keypoints: the wrist, then along a finger from the palm."""


@dataclass(frozen=True)
class PosedKeypoints:
    """Keypoints of N hands, (N, 21, 3) metres, canonical order.

    Attributes:
        through_mano: see above.
        own: by `jreg_mano`.
        rig: the joints that are named as the keypoints.
        joints: (N, 25, 3) all joints of the rig.
    """

    through_mano: Tensor
    own: Tensor
    rig: Tensor
    joints: Tensor


@torch.no_grad()
def posed(folder: Path, mano_file: Path, count: int) -> tuple[PosedKeypoints, HandModel]:
    """Random hands of a NIMBLE model, and the MANO model, float64.

    Raises:
        InputError: a file is missing, unsafe or inconsistent, or they are of two sides.
    """
    geometry = read_nimble(folder)
    mano = load_mano(mano_file, ManoOptions())
    model = HandModel(skin_data(geometry), torch.float64)
    if mano.side != model.data.side:
        raise InputError(
            "nimble.mano_side", file=mano_file, expected=model.data.side, found=mano.side
        )
    regressor = torch.from_numpy(mano_keypoint_regressor(geometry, mano, mano_file))
    parts = []
    for start in range(0, count, _BATCH):
        mesh = model(prior_hands(model, min(_BATCH, count - start), start))
        rig = mesh.joints[:, list(KEYPOINT_JOINTS)]
        parts.append((regressor @ mesh.vertices, mesh.keypoints, rig, mesh.joints))
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    return PosedKeypoints(*columns), HandModel(mano, torch.float64)


def combined(joints: Tensor, wanted: Tensor) -> Tensor:
    """Keypoints (N, 21, 3) as the best fixed combinations of joints (N, J, 3), of one half of the
    hands each learned from the other half; weights of a keypoint sum to 1."""
    count, half = len(joints), len(joints) // 2
    # Relative to the wrist, so that any weights are the same everywhere.
    relative, aim = joints - joints[:, :1], wanted - joints[:, :1]
    found = torch.empty_like(wanted)
    for learned, told in (
        (slice(half, count), slice(0, half)),
        (slice(0, half), slice(half, count)),
    ):
        rows = relative[learned, 1:].transpose(1, 2).flatten(0, 1)
        weights = torch.linalg.lstsq(rows, aim[learned].transpose(1, 2).flatten(0, 1)).solution
        found[told] = torch.einsum("jk,njx->nkx", weights, relative[told, 1:])
    return found + joints[:, :1]


def mano_fitted(mano: HandModel, wanted: Tensor) -> Tensor:
    """(N, 21, 3) keypoints of MANO where they come nearest to others (N, 21, 3)."""
    reduced = mano.keypoint_model()
    start = inverse_kinematics(reduced, wanted)
    best = fitted(lambda params: pose_keypoints(reduced, params)[1], start, wanted)
    return pose_keypoints(reduced, best)[1]


def compared(hands: PosedKeypoints, mano: HandModel) -> dict[str, dict[str, float | list[float]]]:
    """Errors in mm: as they lie, after Procrustes, and the latter by `LEVELS`."""
    pairs = {
        RIG: (hands.rig, hands.through_mano),
        COMBINED: (combined(hands.joints, hands.through_mano), hands.through_mano),
        OWN: (hands.own, hands.through_mano),
        FITTED: (mano_fitted(mano, hands.through_mano), hands.through_mano),
        FITTED_TO_RIG: (mano_fitted(mano, hands.rig), hands.rig),
    }
    return {name: errors(*pair) for name, pair in pairs.items()}


def errors(found: Tensor, wanted: Tensor) -> dict[str, float | list[float]]:
    """Of keypoints (N, 21, 3) against others, mm."""
    points, truth = found.numpy(), wanted.numpy()
    aligned = 1e3 * point_errors(procrustes_aligned(points, truth), truth)
    levels = [aligned[:, :1], *(aligned[:, level::4] for level in range(1, 5))]
    return {
        "mpjpe_mm": float(1e3 * point_errors(points, truth).mean()),
        "pa_mpjpe_mm": float(aligned.mean()),
        "pa_by_level_mm": [float(level.mean()) for level in levels],
    }


def table(rows: Mapping[str, Mapping[str, float | list[float]]]) -> str:
    """In Markdown."""
    assert len(KEYPOINT_NAMES) == 1 + 5 * len(_FINGER)
    head = ["keypoints", "error, mm", "after Procrustes, mm", *LEVELS]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    for name, said in rows.items():
        values = [said["mpjpe_mm"], said["pa_mpjpe_mm"], *np.atleast_1d(said["pa_by_level_mm"])]
        lines.append("| " + " | ".join([name, *(f"{value:.2f}" for value in values)]) + " |")
    return "\n".join(lines)


def main() -> None:
    options = parser("How far NIMBLE's own joints are from MANO's.")
    options.add_argument("folder", type=Path, metavar="DIR", help="with NIMBLE's files")
    options.add_argument("--mano", type=Path, required=True, metavar="FILE", help="of a MANO model")
    options.add_argument("--hands", type=positive, default=256, help="default: 256")
    given = options.parse_args()
    use_threads(given.threads)
    hands, mano = posed(given.folder, given.mano, given.hands)
    rows = compared(hands, mano)
    print(table(rows))
    write_json(given.json, {"hands": given.hands, "rows": rows})


if __name__ == "__main__":
    run_command(main)
