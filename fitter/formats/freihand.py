"""Hands as FreiHAND's submission has them: 21 keypoints and 778 vertices of one hand an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from fitter.formats.hand_record import plain
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.meshes import HandMeshes
from fitter.store.schema import HandRow

VERTICES = 778
"""MANO's, which FreiHAND's own evaluation compares."""


@dataclass(frozen=True)
class FreiHandEntries:
    """Makes entries of ``pred.json``, which is ``[xyz, verts]``, of hands that are MANO's.

    Attributes:
        meshes: MANO.
    """

    meshes: HandMeshes

    @cached_property
    def _definition(self) -> KeypointDefinition:
        return KeypointDefinition.of(self.meshes.right, "freihand")

    def __call__(self, row: HandRow) -> tuple[object, object]:
        """A hand's 21x3 keypoints, as FreiHAND annotates them, and its 778x3 vertices, which they
        are made of, offsets included; metres, camera frame, float32 as nested lists."""
        vertices = row.vertices if row.vertices is not None else self.meshes.vertices(row)
        like = self.meshes.right.v_template
        points = self._definition.keypoints_of(torch.as_tensor(vertices).to(like)[None])[0]
        return plain(points.float().cpu().numpy()), plain(vertices)
