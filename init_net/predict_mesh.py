"""A `MeshNet` at work: from crops to hands as the fit begins at them.

    crops -> `MeshNet` -> the parametric hand, camera -> `MeshHands` -> Prediction

What the fit takes is the parametric hand: its keypoints where the detector marks them, its
rotations and its shape. A weak-perspective camera says where it is; the picture's own sees its mean
depth at the camera's scale. The non-parametric mesh is not asked: the fit has a hand model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fitter.fitting.initializer import Prediction
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.records import HandCrop, NormalisedHands
from fitter.rotations import roma
from init_net.crop_inputs import some_at_once
from init_net.mesh_records import MeshDraws, MeshInputs, MeshPredictions
from init_net.placing import CropViews, PosedHands, placed
from init_net.stereo_fusion import wrist_place

if TYPE_CHECKING:
    from init_net.networks.mesh_net import MeshNet


class MeshHands:
    """What a trained network says of crops."""

    def __init__(self, network: MeshNet, device: torch.device) -> None:
        """Take a network in eval mode, on the device where it computes."""
        self._network, self._device = network, device
        # Where the detector marks keypoints, in double precision: the fit's own.
        self._marks = network.hand.model.keypoint_model().to(device, torch.float64)

    def __call__(self, crops: Sequence[HandCrop], usable: NormalisedHands) -> Prediction:
        """What is said of B hands.

        Args:
            crops: of them, at least one.
            usable: the same hands.
        """
        like = usable.view_direction
        views = CropViews.of(crops, like)
        parts = some_at_once(crops, self._network.config.input_size, self._device)
        focals = views.focal.to(self._device, torch.float32).split([len(p.image) for p in parts])
        generator = torch.Generator().manual_seed(0)
        hands = []
        for part, focal in zip(parts, focals, strict=True):
            draws = MeshDraws.drawn(len(focal), 0, generator).to(self._device)
            said = self._network(MeshInputs(part.image, focal), draws=draws)
            hands.append(self.posed(said, focal))
        together = (
            torch.cat([getattr(hand, name) for hand in hands]).to(like)
            for name in ("points", "wrist", "rotations", "betas")
        )
        return placed(PosedHands(*together), views, usable)

    def posed(self, said: MeshPredictions, focal: Tensor) -> PosedHands:
        """The parametric hands of B crops with focal lengths (B,), crop units; float64."""
        hand = said.hand.to(torch.float64)
        joints, camera = said.parametric_joints.double(), said.camera.double()
        # Both are relative to the wrist joint; the fit's keypoints have a wrist of their own.
        keypoints = pose_keypoints(self._marks, hand)[1]
        wrist = wrist_place(joints, camera, focal.double()) + keypoints[:, 0]
        vectors = torch.cat([hand.global_orient[:, None], hand.hand_pose], 1)
        rotations = roma.rotvec_to_rotmat(vectors)
        return PosedHands(keypoints - keypoints[:, :1], wrist, rotations, hand.betas)
