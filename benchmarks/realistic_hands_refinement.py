"""Fig. 9 of RealisticHands: how well the projected mesh covers the true mask after iterations of
the refinement, from the network's own hand and its own mask.

The stages are those of ``configs/realistic_hands.yaml``, run by `Refiner` as `fit-hands` runs them;
no keypoint is fitted. Two masks are told apart:

network     its hand where its own camera puts it, and its own mask: the paper's
truth       the same hand and the true mask: what better masks would give
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from networks_figures import Bench, SampleBatch
from torch import Tensor
from torch.nn.functional import normalize as unit

from fitter.camera import back_project, project, rotation_to
from fitter.config.options import load_config
from fitter.fitting.observations import normalise
from fitter.hand_models import HandModel
from fitter.metrics import mask_iou
from fitter.records import HandCrop, HandParams
from fitter.refinement import Refiner
from fitter.rotations import roma
from init_net.networks.handnet import HandNet
from init_net.records import CropInputs, RegressedHands
from init_net.samples.shards import ShardedSamples
from init_net.training.evaluation import posed_mesh, standard_error
from init_net.view_frame import view_focal

ITERATIONS = (0, 3, 10, 15)
"""Those of Fig. 9."""

STARTS = ("network", "truth")
"""What the refinement starts from, and with which mask."""

BATCH = 50
"""Hands that are refined at once."""


@dataclass(frozen=True)
class Start:
    """What a network says of B hands.

    Attributes:
        hands: in the camera of their image.
        masks: of each, float32 (S, S) in [0, 1].
    """

    hands: HandParams
    masks: Sequence[np.ndarray]


def refinement_figures(network: HandNet, samples: ShardedSamples) -> dict[str, Any]:
    """IoU with the true masks; "ceiling" is that of the true hand.

    Args:
        network: with a decoder.
        samples: rendered ones in which the detector saw the hand.
    """
    # No iteration of the keypoint fit: a hand stays as it is predicted.
    config = load_config("realistic_hands", ["fit.max_iterations=0"])
    bench = Bench(config, {"handnet": network}, torch.device("cpu"))
    overlap: dict[str, list[np.ndarray]] = {}
    for rows in np.array_split(np.arange(len(samples)), -(-len(samples) // BATCH)):
        batch = bench.sample_batch(samples, rows)
        for name, values in _overlaps(network, bench, batch).items():
            overlap.setdefault(name, []).append(values)
    whole = {name: np.concatenate(parts) for name, parts in overlap.items()}
    said: dict[str, Any] = {
        "hands": len(samples),
        **{name: _mean(whole[name]) for name in ("ceiling", "rejected_masks")},
    }
    for name in STARTS:
        of_start = {count: whole[f"{name} {count}"] for count in ITERATIONS}
        gain = of_start[ITERATIONS[-1]] - of_start[ITERATIONS[0]]
        said[name] = {
            "iou": {str(count): _mean(values) for count, values in of_start.items()},
            "iou_se": {
                str(count): round(standard_error(values), 4) for count, values in of_start.items()
            },
            "gain_se": round(standard_error(gain), 4),
            "gained": _mean(gain > 0),
        }
    return said


def _overlaps(network: HandNet, bench: Bench, batch: SampleBatch) -> dict[str, np.ndarray]:
    """IoU of B hands by start and iterations, and the rest of `refinement_figures`, (B,) each."""
    own = own_start(network, bench.hand, batch.crops)
    true = [mask.astype(np.float32) for mask in batch.masks]
    starts = (own, Start(own.hands, true))
    said = {"ceiling": mask_iou(bench.silhouettes(batch.hands, batch), batch.masks)}
    for name, start in zip(STARTS, starts, strict=True):
        for count in ITERATIONS:
            found, lost = refined(bench, batch, start, count)
            said[f"{name} {count}"] = mask_iou(found, batch.masks)
            if name == STARTS[0]:
                said["rejected_masks"] = lost
    return said


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 4)


def refined(
    bench: Bench, batch: SampleBatch, start: Start, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Silhouettes (B, S, S) of hands after so many iterations, and (B,) whether the mask was not
    believed."""
    refine, fit = bench.config.refine, bench.config.fit
    stages = {
        name: stage.model_copy(update={"iterations": iterations})
        for name, stage in refine.stages.items()
    }
    refiner = Refiner(
        bench.hand, bench.fit_model, refine.model_copy(update={"stages": stages}), fit
    )
    observed = normalise(batch.observed).with_depth_gain(fit.relative_depth_gain)
    focal_known = torch.zeros(len(batch.crops))
    found = refiner(start.hands, batch.crops, start.masks, observed, focal_known)
    vertices = bench.hand(found.params.hand.to(torch.float64)).vertices
    if found.params.offsets is not None:
        vertices = vertices + found.params.offsets.double()
    lost = np.array([mask is None or mask.source == "rejected" for mask in found.masks])
    return silhouettes(bench, vertices, batch.intrinsics), lost


def silhouettes(bench: Bench, vertices: Tensor, intrinsics: Tensor) -> np.ndarray:
    """(B, S, S) bool of meshes (B, V, 3) in the cameras (B, 3, 3) of their crops."""
    screen = torch.cat([project(vertices, intrinsics), vertices[..., 2:]], -1)
    return bench.rendered(screen)


@torch.no_grad()
def own_start(network: HandNet, model: HandModel, crops: Sequence[HandCrop]) -> Start:
    """What a network says of crops, its hands in the camera of their image.

    Args:
        network: with a decoder.
        model: of a right hand, float64.
        crops: of B hands.
    """
    inputs = _inputs(crops, network.config.input_size)
    said = network(inputs)
    masks = [
        cv2.resize(mask, (crop.side, crop.side))
        for mask, crop in zip(said.mask_logits.sigmoid().numpy(), crops, strict=True)
    ]
    return Start(placed(said.hands, model, crops), masks)


def placed(hands: RegressedHands, model: HandModel, crops: Sequence[HandCrop]) -> HandParams:
    """Hands in the camera of their image, float64: the view frame is turned back, and the distance
    is that at which the camera's scale is seen.

    A weak-perspective camera has one scale for all points, that of their mean depth; ``t / scale``
    is how far the wrist keypoint lies from the line of sight.

    Args:
        hands: what the network says.
        model: of a right hand, float64.
        crops: of the B hands.
    """
    K = torch.from_numpy(np.stack([crop.intrinsics for crop in crops])).double()
    side = torch.tensor([float(crop.side) for crop in crops], dtype=torch.float64)
    middle = (0.5 * side)[:, None, None].expand(-1, 1, 2)
    ray = unit(back_project(middle, torch.ones_like(middle[..., 0]), K)[:, 0], dim=-1)
    to_camera = rotation_to(ray)
    mesh = posed_mesh(model, hands.rotations, hands.betas)
    points = mesh.keypoints - mesh.keypoints[:, :1]
    scale, place = hands.camera[:, :1].double(), hands.camera[:, 1:].double()
    distance = view_focal(K[:, 0, 0] / side, ray)[:, None] / scale
    wrist = torch.cat([place / scale, distance - points[..., 2].mean(1, keepdim=True)], 1)
    rotations = hands.rotations.double()
    turned = torch.cat([(to_camera @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    vectors = roma.rotmat_to_rotvec(turned)
    nowhere = torch.zeros_like(wrist)
    params = HandParams(vectors[:, 0], vectors[:, 1:], hands.betas.double(), nowhere)
    at = (to_camera @ wrist[..., None])[..., 0] - model(params).keypoints[:, 0]
    return HandParams(params.global_orient, params.hand_pose, params.betas, at)


def _inputs(crops: Sequence[HandCrop], size: int) -> CropInputs:
    """Crops as a network takes them."""
    images = [cv2.resize(crop.pixels, (size, size)) for crop in crops]
    keypoints = [crop.keypoints * (size / crop.side) for crop in crops]
    return CropInputs(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(np.stack(keypoints)).float(),
        torch.from_numpy(np.stack([crop.confidence for crop in crops])).float(),
    )
