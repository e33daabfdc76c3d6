"""The true hands of crops, as meshes before the cameras, where their parameters are known."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.hand_models import HandModel, load_hand_model
from fitter.raster import MeshTopology, rasterize
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.samples.crop_samples import CropSamples


def has_parameters(crops: CropSamples) -> Tensor:
    """(B,) bool, whose rotations, shape and place before the camera are known."""
    parts = (crops.rotations.flatten(1), crops.betas, crops.wrist)
    return torch.cat(parts, 1).isfinite().all(1)


def true_meshes(model: HandModel, crops: CropSamples) -> Tensor:
    """Vertices (B, V, 3) of hands whose parameters are known: metres, view frame, in the model's
    dtype.

    Args:
        model: of right hands, with all shapes that samples have.
        crops: B.
    """
    like = model.v_template
    vectors = roma.rotmat_to_rotvec(crops.rotations.to(like))
    nowhere = torch.zeros_like(vectors[:, 0])
    mesh = model(HandParams(vectors[:, 0], vectors[:, 1:], crops.betas.to(like), nowhere))
    # The wrist that a crop places is that of its labels.
    marked, jointed = mesh.keypoints[:, 0], mesh.joints[:, 0]
    shift = crops.wrist.to(like) - torch.where(crops.is_marks[:, None], marked, jointed)
    return mesh.vertices + shift[:, None]


class TrueDepth:
    """Draws them."""

    def __init__(self, device: torch.device) -> None:
        self._model = load_hand_model(children=True).to(device)
        self._topology = MeshTopology(self._model.faces)

    @torch.no_grad()
    def __call__(self, crops: CropSamples, side: int) -> Tensor:
        """(B, S, S) metres along the axis of the image's camera from the wrist of the labels to the
        visible surface; NaN where there is none, as everywhere for a hand that is not known.

        Args:
            crops: B.
            side: S, pixels.
        """
        known = has_parameters(crops)
        depth = crops.image.new_full((len(known), side, side), torch.nan)
        if not bool(known.any()):
            return depth
        hands = crops[known]
        camera = hands.projection.to(self._model.v_template)
        seen = true_meshes(self._model, hands) @ camera.mT
        depth_of_wrist = (camera[:, 2] * hands.wrist).sum(1)
        screen = torch.cat([side * (seen[..., :2] / seen[..., 2:] + 0.5), seen[..., 2:]], -1)
        fragments = rasterize(screen, self._topology, (side, side))
        found = (fragments.depth - depth_of_wrist[:, None, None]).to(depth)
        depth[known] = torch.where(fragments.mask, found, torch.nan)
        return depth
