"""Joints as a regressor finds them on posed meshes, beside those that posed the meshes: what a
`JointVAE` learns from (Yu et al. 3.2), without images.

A hand model's matrix of joints is made for its mesh at rest, `J(beta) = J T(beta, theta)`. Applied
to a posed mesh it gives other joints than those that posed it: the gap that the network is to
close.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models import HandModel, KeypointDefinition, pose_keypoints
from fitter.hand_models.keypoint_model import KeypointModel
from fitter.records import TensorBatch
from init_net.networks.hand_layer import joint_regressor
from init_net.samples.random_hands import RandomHands


@dataclass(frozen=True)
class JointSamples(TensorBatch):
    """B right hands, metres, relative to the wrist joint that poses them.

    Attributes:
        regressed: (B, 21, 3) J_hat, of the posed mesh by the regressor, with what noise is asked
            for.
        joints: (B, 21, 3) J, the joints and fingertips that are true.
        code_noise: (B, latent) of a standard normal distribution, for the code of a VAE.
    """

    regressed: Tensor
    joints: Tensor
    code_noise: Tensor


class PosedJoints:
    """Draws them for one hand model."""

    def __init__(self, model: HandModel, shapes: int, noise: float = 0.0) -> None:
        """Prepare the model.

        Args:
            model: a right hand of any kind, its anatomy known.
            shapes: coefficients that vary, as many as a network says.
            noise: metres, by how much the joints of a decoder's mesh scatter about those of the
                hand model's at most: each hand has a standard deviation between 0 and this, of all
                its numbers (not published: the paper trains on whatever its decoder says).
        """
        self._hands, self._noise = RandomHands(model, shapes), noise
        self._true = KeypointDefinition.of(model, "mano").reduced.to(torch.float32)
        self._regressor = regressed_model(model)

    def sample(self, count: int, latent: int, seed: tuple[int, ...]) -> JointSamples:
        """Draw hands.

        Args:
            count: number B.
            latent: numbers of a code.
            seed: all that decides about them, non-negative numbers.
        """
        numpy_generator = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(numpy_generator.integers(2**62)))
        params, _ = self._hands.draw(count, numpy_generator, generator)
        joints = pose_keypoints(self._true, params)[1]
        regressed = pose_keypoints(self._regressor, params)[1]
        wrist = joints[:, :1]
        spread = self._noise * torch.rand(count, 1, 1, generator=generator)
        scattered = spread * torch.randn(count, 21, 3, generator=generator)
        return JointSamples(
            regressed=regressed - wrist + scattered,
            joints=joints - wrist,
            code_noise=torch.randn(count, latent, generator=generator),
        )


def regressed_model(model: HandModel) -> KeypointModel:
    """What poses keypoints that are Yu eq. 2 of the posed mesh, the matrix of joints and the
    fingertips' vertices, without the mesh; float32.

    Keypoints that already are combinations of vertices, as NIMBLE's, stay what they are.
    """
    data = model.data
    if data.keypoint_regressor is not None:
        return model.keypoint_model().to(torch.float32)
    rows = joint_regressor(model)
    return HandModel(replace(data, keypoint_regressor=rows, keypoint_offsets=None)).keypoint_model()
