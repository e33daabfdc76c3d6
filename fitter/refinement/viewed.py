"""Scenes of hands that several cameras see, as what each camera sees of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from fitter.config.energies import DECLARATIONS
from fitter.config.stages import StageConfig
from fitter.energies.scene import SceneParams
from fitter.hand_models.known_shape import KnownShape
from fitter.rendering.turned_light import turned_light
from fitter.views.rows import RigRows, RootJoint


@dataclass(frozen=True)
class ViewedScenes:
    """Which cameras see which hands.

    Skin, texture and offsets are the hand's. So is the light: one in the rig's frame, turned into
    each camera. A light for each camera would take up what cameras' exposures differ in, but also
    the shading that tells where the surface faces.

    Attributes:
        rows: N rows of B hands, mirrored where these are left ones.
        known: of the B hands' shapes.
        root: the joint about which hands turn.
    """

    rows: RigRows
    known: KnownShape
    root: RootJoint

    def select(self, index: Tensor) -> tuple[Self, Tensor]:
        """Those of the hands at `index` (n,), and the places (N',) of their rows."""
        rows, places = self.rows.select(index)
        return replace(self, rows=rows, known=self.known[index]), places

    def seen(self, params: SceneParams) -> SceneParams:
        """B scenes in the rig's frame as the N rows that the cameras see; differentiable."""
        rows, like = self.rows, params.transl
        rotation = rows.rotation.to(like)
        repeated = params[rows.hand]
        hand = rows.in_views(params.hand, self.root.to(like))
        return replace(
            repeated.with_hand(hand),
            offsets=repeated.offsets @ rotation.mT,
            lighting=turned_light(repeated.lighting, rotation),
        )

    def begun(self, params: SceneParams) -> SceneParams:
        """B scenes that begin, with a light that does not depend on the rig's axes.

        A light that is to shine along the line of sight does so along those of all cameras: along
        the mean of them, the weaker the less they have in common, and for the rest from everywhere.
        """
        lighting, rows = params.lighting, self.rows
        if lighting.shape[-1] != 11:
            return params
        own = turned_light(lighting[rows.hand], rows.rotation.mT.to(lighting))[:, 8:]
        mean = rows.weighted_mean(own)
        length = mean.norm(dim=-1, keepdim=True)
        direction = torch.where(length > 1e-3, mean / length.clamp_min(1e-3), own[rows.first])
        light = lighting[:, 4:5]
        lit = [lighting[:, :1] + (1 - length) * light, lighting[:, 1:4], length * light]
        return replace(params, lighting=torch.cat([*lit, lighting[:, 5:8], direction], -1))

    def reduced(self, name: str, values: Tensor, stage: StageConfig, has_mask: Tensor) -> Tensor:
        """(B,) an energy of hands, of its values (N,) in the rows.

        What looks at images is added up over the views by their weights, or their mean is taken, as
        Seeber et al. eq. 8 has it of two silhouettes: of those that have a mask, `has_mask` (N,)
        bool, where it looks at masks. What depends on the camera without looking at an image is
        averaged by their weights.
        """
        if not DECLARATIONS[name].uses_image:
            return self.rows.weighted_mean(values)
        rows = self.rows
        if DECLARATIONS[name].uses_mask:
            rows = rows.of_weight(rows.weight * has_mask)
        rows = rows.reduced(stage.view_reduction)
        return rows.sum(rows.weighted(values))

    def masked_share(self, has_mask: Tensor) -> Tensor:
        """(N,) what a mean over all rows of a hand has to be multiplied by to be that over those
        with a mask."""
        rows = self.rows
        every, masked = rows.sum(rows.weight), rows.sum(rows.weight * has_mask)
        return torch.where(masked > 0, every / masked.clamp_min(1e-12), 1.0)[rows.hand]
