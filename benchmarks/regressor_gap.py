"""How far a hand model's joint regressor is off on posed meshes: the gap that the JointVAE closes.

    python benchmarks/regressor_gap.py
    python benchmarks/regressor_gap.py --hand-model MANO_RIGHT.pkl --json gap.json

Random hands are posed. Their meshes' joints by the regressor, which is made for the mesh at rest
(Yu et al. 2023, eq. 2), are compared with those that posed them. The paper says "nearly 2 mm"
(3.1). Natural poses, shapes of unit variance; how the wrist is turned makes no difference.
Fingertips are vertices of the mesh, and never off. It prints a table in Markdown.
"""

from __future__ import annotations

import numpy as np
import torch
from measuring import parser, positive, run_command, use_threads, write_json
from torch import Tensor

from datasets.poses import sample_hand_angles
from fitter.conventions import KEYPOINT_NAMES
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles
from fitter.records import HandParams
from init_net.hand_model_id import OPEN_HAND, network_hand_model
from init_net.networks.hand_layer import HandLayer

TIPS = (4, 8, 12, 16, 20)
BATCH = 64
"""Hands that are posed at once."""


def gap(source: str, count: int, seed: int) -> dict[str, object]:
    """Distances in mm of regressed joints from those that posed the mesh.

    Args:
        source: of the hand model, see `init_net.hand_model_id.network_hand_model`.
        count: hands.
        seed: of their poses and shapes.

    Raises:
        InputError: there is no such hand model.
    """
    hand = HandLayer(network_hand_model(source)).double()
    params = _random_hands(hand, count, seed)
    parts = [_distances(hand, params[k : k + BATCH]) for k in range(0, count, BATCH)]
    away = 1e3 * torch.cat(parts)
    joints = [k for k in range(len(KEYPOINT_NAMES)) if k not in TIPS]
    inner = away[:, joints]
    still = params.map(torch.zeros_like)[:1]
    return {
        "hand_model": hand.model.data.name,
        "vertices": len(hand.model.v_template),
        "hands": count,
        "seed": seed,
        "mean_16_mm": round(inner.mean().item(), 3),
        "mean_21_mm": round(away.mean().item(), 3),
        "share_95_mm": round(inner.quantile(0.95).item(), 3),
        "most_mm": round(inner.max().item(), 3),
        "at_rest_mm": round(1e3 * _distances(hand, still)[:, joints].mean().item(), 3),
        "by_joint_mm": {KEYPOINT_NAMES[k]: round(away[:, k].mean().item(), 3) for k in joints},
    }


def _random_hands(hand: HandLayer, count: int, seed: int) -> HandParams:
    """Hands whose wrist is not turned, in double precision."""
    numpy_generator = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    skeleton = hand.model.skeleton
    axes = torch.from_numpy(anatomy_of(hand.model.data).axes).double()
    angles = torch.zeros(count, len(axes), 3, dtype=torch.float64)
    drawn = sample_hand_angles(numpy_generator, count)
    angles[:, list(skeleton.finger_rows)] = torch.from_numpy(drawn).double()
    shapes = hand.model.shapedirs.shape[2]
    betas = torch.randn(count, shapes, generator=generator, dtype=torch.float64)
    still = torch.zeros(count, 3, dtype=torch.float64)
    return HandParams(still, hand_pose_from_angles(angles, axes), betas, still)


def _distances(hand: HandLayer, params: HandParams) -> Tensor:
    """(B, 21) metres."""
    vertices, joints = hand.posed(params)
    return (hand.regress(vertices) - joints).norm(dim=-1)


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--hand-model", action="append", default=[], metavar="FILE", help="besides the open hand"
    )
    options.add_argument("--hands", type=positive, default=1000, help="(default: 1000)")
    options.add_argument("--seed", type=int, default=0, help="(default: 0)")
    given = options.parse_args()
    use_threads(given.threads)
    found = [gap(m, given.hands, given.seed) for m in (OPEN_HAND, *given.hand_model)]
    print("| hand model | 16 joints, mean | 95 % below | most | with the fingertips | at rest |")
    print("| --- | --- | --- | --- | --- | --- |")
    columns = ("mean_16_mm", "share_95_mm", "most_mm", "mean_21_mm", "at_rest_mm")
    for row in found:
        print(f"| {row['hand_model']} | " + " | ".join(f"{row[c]:.2f}" for c in columns) + " |")
    write_json(given.json, {"gaps": found})


if __name__ == "__main__":
    run_command(main)
