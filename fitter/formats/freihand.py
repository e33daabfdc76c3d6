"""Hands as FreiHAND's submission has them: 21 keypoints and 778 vertices of one hand an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from fitter.formats.hand_record import plain
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.meshes import HandMeshes
from fitter.records import HandParams
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
        """A hand's 21x3 keypoints, as FreiHAND annotates them, and its 778x3 vertices; metres,
        camera frame, float32 as nested lists."""
        like = self.meshes.right.v_template
        values = (row.global_orient, row.hand_pose, row.betas, row.transl)
        params = HandParams(*(torch.as_tensor(value).to(like)[None] for value in values))
        is_left = row.side == "left"
        points = self._definition.keypoints(params.mirrored() if is_left else params)[0]
        xyz = points.float().cpu().numpy() * np.array([-1 if is_left else 1, 1, 1], np.float32)
        vertices = row.vertices if row.vertices is not None else self.meshes.vertices(row)
        return plain(xyz), plain(vertices)
