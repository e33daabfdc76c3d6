"""How deep a `MeshNet`'s hands are in each other, in the columns of Yu et al., Table 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from fitter.metrics.penetration import PenetrationDepths, penetration_depth
from init_net.mesh_records import MeshDraws
from init_net.networks.parts import NOTHING
from init_net.samples.crop_samples import Cropper
from init_net.training.evaluation import standard_error
from init_net.training.mesh_evaluation import SurfaceErrors, mesh_inputs
from init_net.training.mesh_truth import TrueMeshes
from init_net.training.touching_hands import HandPairs, PairSurfaces

if TYPE_CHECKING:
    from init_net.networks.mesh_net import MeshNet

_BATCH = 16
"""Pairs that are looked at at once."""


@dataclass(frozen=True)
class PairErrors:
    """Of N pairs; their parametric meshes are placed where their wrists truly are, so that a shape
    or a pose that is wrong is what goes into the other hand.

    Attributes:
        mpvpe: (2 N,) mm, of each hand, after a similarity alignment.
        a_pd, m_pd: (N,) mm, A-PD and M-PD, see `penetration_depth`.
        true_a_pd, true_m_pd: (N,) the same of the true hands; NaN where they are not known.
    """

    mpvpe: np.ndarray
    a_pd: np.ndarray
    m_pd: np.ndarray
    true_a_pd: np.ndarray
    true_m_pd: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(cls, network: MeshNet, pairs: HandPairs, absent: frozenset[str] = NOTHING) -> Self:
        """Measure a network in eval mode.

        Args:
            network: to be measured.
            pairs: at least one.
            absent: parts of the network that are left out.
        """
        config, faces = network.config, network.faces
        device, count = faces.device, int(faces.max()) + 1
        cropper = Cropper(pairs.samples, config.input_size, config.margin, None, marks=False)
        truth, surfaces = TrueMeshes(config, count, device), PairSurfaces(faces, count)
        generator = torch.Generator().manual_seed(0)
        columns: list[tuple[np.ndarray, ...]] = []
        for rows in _batches(pairs):
            crops, views = cropper.crop_with_views(rows, (0,))
            crops, views = crops.to(device), views.to(device)
            draws = MeshDraws.drawn(len(rows), 0, generator).to(device)
            said = network(mesh_inputs(crops), absent, draws)
            true = truth(crops)
            errors = SurfaceErrors.of(
                said.parametric_joints, said.parametric_vertices, true, faces.cpu().numpy()
            )
            found = penetration_depth(*surfaces(said.parametric_vertices, views))
            wanted = penetration_depth(*surfaces(true.vertices, views))
            columns.append((errors.pa_mpvpe, *_millimetres(found), *_millimetres(wanted)))
        return cls(*(np.concatenate(values) for values in zip(*columns, strict=True)))

    def figures(self) -> dict[str, float]:
        """Means over what is known."""
        known = {name: column[~np.isnan(column)] for name, column in self._columns().items()}
        means = {name: float(column.mean()) for name, column in known.items() if len(column)}
        return {**means, "pairs": float(len(self.m_pd))}

    def standard_errors(self) -> dict[str, float]:
        """By how much those means would scatter over other pairs of the same kind."""
        return {
            name: standard_error(column[~np.isnan(column)])
            for name, column in self._columns().items()
        }

    def _columns(self) -> dict[str, np.ndarray]:
        return {
            "pairs_pa_mpvpe_mm": self.mpvpe,
            "a_pd_mm": self.a_pd,
            "m_pd_mm": self.m_pd,
            "true_a_pd_mm": self.true_a_pd,
            "true_m_pd_mm": self.true_m_pd,
        }


def _batches(pairs: HandPairs) -> Iterator[np.ndarray]:
    """Samples of some pairs at a time."""
    numbers = np.arange(len(pairs.pairs))
    for some in np.array_split(numbers, -(-len(numbers) // _BATCH)):
        yield pairs.rows(some)


def _millimetres(depths: PenetrationDepths) -> tuple[np.ndarray, np.ndarray]:
    return 1000 * depths.average, 1000 * depths.maximum
