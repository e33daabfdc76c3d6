"""How deep the true hand's surface lies at every pixel of a crop, where its parameters are known."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.hand_models import load_hand_model
from fitter.raster import MeshTopology, rasterize
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.samples.crop_samples import CropSamples


class TrueDepth:
    """Draws the open hand as samples have it."""

    def __init__(self, device: torch.device) -> None:
        self._model = load_hand_model(children=True).to(device)
        self._topology = MeshTopology(self._model.faces)

    @torch.no_grad()
    def __call__(self, batch: CropSamples, side: int) -> Tensor:
        """(B, S, S) metres along z beyond the wrist keypoint; NaN where no hand is seen, or its
        parameters or its place are not known.

        Args:
            batch: B crops.
            side: S, pixels.
        """
        wanted = (batch.rotations, batch.betas, batch.wrist, batch.focal)
        known = torch.stack([each.flatten(1).isfinite().all(1) if each.ndim > 1 else
                             each.isfinite() for each in wanted]).all(0)  # fmt: skip
        depth = batch.image.new_full((len(known), side, side), torch.nan)
        if not bool(known.any()):
            return depth
        hands = batch[known]
        vectors = roma.rotmat_to_rotvec(hands.rotations)
        nowhere = torch.zeros_like(hands.wrist)
        mesh = self._model(HandParams(vectors[:, 0], vectors[:, 1:], hands.betas, nowhere))
        labelled = torch.where(hands.is_marks[:, None], mesh.keypoints[:, 0], mesh.joints[:, 0])
        shift = hands.wrist - labelled
        vertices = mesh.vertices + shift[:, None]
        across = hands.focal[:, None, None] * vertices[..., :2] / vertices[..., 2:]
        screen = torch.cat([side * (across + 0.5), vertices[..., 2:]], -1)
        fragments = rasterize(screen, self._topology, (side, side))
        wrist = (mesh.keypoints[:, 0] + shift)[:, 2, None, None]
        depth[known] = torch.where(fragments.mask, fragments.depth - wrist, torch.nan)
        return depth
