"""How good a `MeshNet` is on held-out crops, in the columns of Yu et al., Table 1: MPJPE, MPVPE,
edge and normal errors, of its non-parametric and of its parametric mesh.

Lengths are millimetres. "PA" is after a similarity alignment of each hand, by the points that are
compared; without it, wrists lie on each other. Which of both Table 1 has is not published. Edges
are compared as they are and normals after the alignment of the mesh, which is not published either.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from fitter.metrics import (
    edge_error,
    keypoint_2d_error,
    mpjpe,
    normal_error,
    pa_mpjpe,
    procrustes_aligned,
)
from init_net.mesh_records import MeshDraws, MeshInputs, MeshPredictions
from init_net.networks.parts import NOTHING
from init_net.posing import weak_projection
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.training.evaluation import crop_batches, standard_error
from init_net.training.mesh_truth import MeshTruth, TrueMeshes

if TYPE_CHECKING:
    from init_net.networks.mesh_net import MeshNet

FREE = "nonparametric_"
"""What the names of the non-parametric mesh's figures begin with; those of the parametric one,
which the network is asked for, have nothing before them."""


def mesh_inputs(crops: CropSamples) -> MeshInputs:
    """What the network sees of crops."""
    return MeshInputs(crops.image, crops.focal)


@dataclass(frozen=True)
class SurfaceErrors:
    """How far N hands are off; NaN where the truth is not known.

    Attributes:
        pa_mpjpe, mpjpe, pa_mpvpe, mpvpe: (N,) mm.
        edge: (N,) mm; normal: (N,) in [0, 1], see `fitter.metrics.normal_error`.
    """

    pa_mpjpe: np.ndarray
    mpjpe: np.ndarray
    pa_mpvpe: np.ndarray
    mpvpe: np.ndarray
    edge: np.ndarray
    normal: np.ndarray

    @classmethod
    def of(cls, joints: Tensor, vertices: Tensor, truth: MeshTruth, faces: np.ndarray) -> Self:
        """Compare hands.

        Args:
            joints: (B, 21, 3) metres, about any origin.
            vertices: (B, V, 3) metres, about the same origin.
            truth: of the same hands.
            faces: (F, 3) of the mesh.
        """
        found, mesh = (_array(each - joints[:, :1]) for each in (joints, vertices))
        true, true_mesh = _array(truth.joints), _array(truth.vertices)
        known = np.isfinite(true).all(-1)
        aligned = procrustes_aligned(mesh, true_mesh)
        return cls(
            pa_mpjpe=1000 * pa_mpjpe(found, true, known=known),
            mpjpe=1000 * mpjpe(found, true, known),
            pa_mpvpe=1000 * mpjpe(aligned, true_mesh),
            mpvpe=1000 * mpjpe(mesh, true_mesh),
            edge=1000 * edge_error(mesh, true_mesh, faces),
            normal=normal_error(aligned, true_mesh, faces),
        )

    @classmethod
    def together(cls, parts: list[Self]) -> Self:
        """Those of several batches, in order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def columns(self) -> dict[str, np.ndarray]:
        """Figures of every hand by their names."""
        return {
            "pa_mpjpe_mm": self.pa_mpjpe,
            "pa_mpvpe_mm": self.pa_mpvpe,
            "mpjpe_mm": self.mpjpe,
            "mpvpe_mm": self.mpvpe,
            "edge_mm": self.edge,
            "normal": self.normal,
        }


@dataclass(frozen=True)
class MeshErrors:
    """How far a network is off on N crops.

    Attributes:
        free: its non-parametric mesh, and the joints that are regressed from it.
        parametric: its parametric mesh.
        posing: (N,) mm, PA, the joints that pose the latter: those the JointVAE has refined.
        positions: (N,) pixels of the crop, where its camera sees the parametric joints.
    """

    free: SurfaceErrors
    parametric: SurfaceErrors
    posing: np.ndarray
    positions: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        network: MeshNet,
        held_out: Cropper,
        absent: frozenset[str] = NOTHING,
        truth: TrueMeshes | None = None,
    ) -> Self:
        """Measure a network in eval mode.

        Args:
            network: to be measured.
            held_out: of samples, whose keypoints are joints and fingertips (`Cropper.marks`).
            absent: parts of the network that are left out.
            truth: of the network's hand model, on its device; None to load it.
        """
        device = next(network.parameters()).device
        faces = network.faces.cpu().numpy()
        truth = truth or TrueMeshes(network.config, int(faces.max()) + 1, device)
        # Of random twists: the same whoever asks.
        generator = torch.Generator().manual_seed(0)
        parts = []
        for whole in crop_batches(held_out):
            crops = whole.to(device)
            draws = MeshDraws.drawn(len(crops.image), 0, generator).to(device)
            said = network(mesh_inputs(crops), absent, draws)
            parts.append(cls._of_batch(said, crops, truth(crops), faces))
        return cls(
            free=SurfaceErrors.together([part.free for part in parts]),
            parametric=SurfaceErrors.together([part.parametric for part in parts]),
            posing=np.concatenate([part.posing for part in parts]),
            positions=np.concatenate([part.positions for part in parts]),
        )

    @classmethod
    def _of_batch(
        cls, said: MeshPredictions, crops: CropSamples, truth: MeshTruth, faces: np.ndarray
    ) -> Self:
        joints = _array(truth.joints)
        known = np.isfinite(joints).all(-1)
        seen = _array(weak_projection(said.parametric_joints, said.camera))
        across = keypoint_2d_error(seen, _array(crops.positions))
        return cls(
            free=SurfaceErrors.of(said.regressed, said.vertices, truth, faces),
            parametric=SurfaceErrors.of(
                said.parametric_joints, said.parametric_vertices, truth, faces
            ),
            posing=1000 * pa_mpjpe(_array(said.joints), joints, known=known),
            positions=crops.image.shape[-1] * across,
        )

    def columns(self) -> dict[str, np.ndarray]:
        """Figures of every hand by their names."""
        free = {f"{FREE}{name}": column for name, column in self.free.columns().items()}
        said = {"posing_pa_mpjpe_mm": self.posing, "keypoints_2d_px": self.positions}
        return {**self.parametric.columns(), **free, **said}

    def figures(self) -> dict[str, float]:
        """Means over the hands of which something is known, and the number of hands."""
        known = {name: column[~np.isnan(column)] for name, column in self.columns().items()}
        means = {name: float(column.mean()) for name, column in known.items() if len(column)}
        return {**means, "hands": float(len(self.posing))}

    def standard_errors(self) -> dict[str, float]:
        """By how much those means would scatter over other hands of the same kind."""
        return {
            name: standard_error(column[~np.isnan(column)])
            for name, column in self.columns().items()
        }


def _array(points: Tensor) -> np.ndarray:
    return points.detach().double().cpu().numpy()
