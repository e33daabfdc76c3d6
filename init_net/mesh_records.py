"""What `MeshNet` takes and says, as typed batches of B right hands.

    MeshInputs -> MeshNet -> MeshPredictions

WSIM 3D Hand (Yu et al. 2023), section 3: z -> mesh -> joints -> JointVAE -> joints -> twist and
swing -> parameters -> mesh. Frames and units are those of `init_net.records`: metres, the view
frame of a crop, and crop units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fitter.records import HandParams, TensorBatch


@dataclass(frozen=True)
class MeshInputs(TensorBatch):
    """What `MeshNet` sees.

    Attributes:
        image: (B, 3, S, S) sRGB in [0, 1], black outside the image.
        focal: (B,) of the crop's view frame (`init_net.view_frame.view_focal`), crop units.
    """

    image: Tensor
    focal: Tensor


@dataclass(frozen=True)
class MeshDraws(TensorBatch):
    """What is drawn at random for a `MeshNet`, by whoever calls it: a network has no generator, so
    that each hand's numbers can be its own, whichever process it is computed by.

    Attributes:
        code: (B, latent) of a standard normal distribution, for the VAE's code in training.
        twist: (B, 15) radians in [0, 1), for random twists (Yu Table 4).
    """

    code: Tensor
    twist: Tensor

    @classmethod
    def drawn(cls, count: int, latent: int, generator: torch.Generator) -> Self:
        """Of `count` hands, on the generator's device.

        Args:
            count: B.
            latent: size of the VAE's code; 0 without one.
            generator: draws ``B latent`` numbers, then 15 B.
        """
        device = generator.device
        code = torch.randn(count, latent, generator=generator, device=device)
        return cls(code, torch.rand(count, 15, generator=generator, device=device))


@dataclass(frozen=True)
class RefinedJoints(TensorBatch):
    """What a `JointVAE` says of B hands' joints.

    Attributes:
        joints: (B, 21, 3) refined, of the unit and about the origin of its input.
        mean, log_variance: (B, latent) of the code's normal distribution.
    """

    joints: Tensor
    mean: Tensor
    log_variance: Tensor


@dataclass(frozen=True)
class MeshPredictions:
    """All that a `MeshNet` says of B crops.

    Attributes:
        vertices: (B, V, 3) M_np, metres, view axes, relative to the wrist joint.
        regressed: (B, 21, 3) Yu eq. 2: the hand model's regressor applied to `vertices` (its joints
            and fingertips as data sets label them), likewise.
        refined: what the JointVAE makes of them; None without one, and `joints` are `regressed`.
        betas: (B, S) of the hand model.
        twist: (B, 15) radians of the joints' bones, see `fitter.hand_models.twist_angles`: what the
            network says, whichever twists `MeshNetConfig.twist` has the hand posed with.
        hand: theta = f(twist, joints) with `betas` (Yu 3.3), wrist joint at the origin.
        parametric_vertices: (B, V, 3) of `hand`, metres, relative to its wrist joint.
        parametric_joints: (B, 21, 3) likewise.
        camera: (B, 3) crop units a metre, and the wrist in crop units about the crop's middle:
            where a weak-perspective camera sees it (not published; the paper compares relative to
            the wrist).
    """

    vertices: Tensor
    regressed: Tensor
    refined: RefinedJoints | None
    betas: Tensor
    twist: Tensor
    hand: HandParams
    parametric_vertices: Tensor
    parametric_joints: Tensor
    camera: Tensor

    @property
    def joints(self) -> Tensor:
        """(B, 21, 3) those that pose the hand."""
        return self.regressed if self.refined is None else self.refined.joints
