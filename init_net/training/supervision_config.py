"""The options that say what an autoencoder is told of its pictures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fitter.config.section import Section


class SupervisionConfig(Section):
    """What a `HandAutoencoder` is told of its pictures in training.

    Self-supervised, as S2HAND and half of Zhao's Table 3: ``keypoints: detected``. Weakly:
    ``annotated`` ones in 2D. Fully: losses in 3D count, too (`AutoencoderWeights`).
    """

    keypoints: Literal["detected", "annotated"] = Field(
        "detected", description="2D keypoints that are compared: the detector's, or the labels'"
    )
    confidence: bool = Field(
        True,
        description="each keypoint counts as far as the detector is sure of it; false: all alike "
        "that are known",
    )
    bone_confidence: bool | None = Field(
        None, description="the same of bones (Zhao, Table 3); null: as confidence says"
    )
    keypoint_beta: float = Field(
        0.02,
        gt=0,
        description="where SmoothL1 turns from quadratic to linear, sides of the crop (not "
        "published)",
    )
    picture_side: int | None = Field(
        None,
        ge=16,
        le=2048,
        description="side of the pictures that are drawn and compared, pixels; null: as the "
        "network's input",
    )
    silhouette: Literal["edge", "soft"] = Field(
        "edge",
        description="how the outline is drawn: a band along it, or the Soft Rasterizer's",
    )

    @property
    def of_bones(self) -> bool:
        """Whether each bone counts as far as the detector is sure of its ends."""
        return self.confidence if self.bone_confidence is None else self.bone_confidence
