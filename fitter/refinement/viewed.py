"""Scenes of hands that several cameras see, as what each camera sees of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

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

    def reduced(self, name: str, values: Tensor, stage: StageConfig) -> Tensor:
        """(B,) an energy of hands, of its values (N,) in the rows.

        What looks at images is added up over the views by their weights, or their mean is taken, as
        Seeber et al. eq. 8 has it of two silhouettes; what judges a hand alone counts once.
        """
        if not DECLARATIONS[name].uses_image:
            return self.rows.mean(values)
        rows = self.rows.reduced(stage.view_reduction)
        return rows.sum(rows.weighted(values))
