"""All that a `HandAutoencoder` is trained on, for one batch of crops: S2HAND 3.4 and Zhao 3.5.

    AutoencoderPredictions, CropSamples -> hands decoded, and drawn where a loss looks at pictures
      -> a value a hand of every loss that counts

Positions are in crop units, lengths in metres, both not published. Nearly every term is an energy
of `fitter.energies`; here is what each of them is given. A loss that does not count is not
computed, and nothing is drawn unless one that counts looks at pictures.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from fitter.energies import (
    PoseSpace,
    bone_orientation,
    camera_scale,
    iou_loss,
    joint_limits,
    pixel_l2,
    rgb_all_pixels,
    shape_norm,
    smooth_l1_keypoints,
    squared_norm,
    ssim_foreground,
    ssim_silhouette,
    texture_range,
)
from fitter.hand_models import anatomy_of, load_pose_prior
from fitter.raster import RasterSettings
from init_net.autoencoder_records import AutoencoderPredictions, DecodedHands, HandCode
from init_net.hand_pictures import HandPictures, draw_hands, shrunk
from init_net.networks.handnet import TYPICAL_SCALE
from init_net.samples.crop_samples import CropSamples
from init_net.training.loss_weights import PICTURED
from init_net.training.losses import known_error, normalised, squared_distances
from init_net.training.supervision_config import SupervisionConfig
from init_net.training.true_hands import TrueDepth

if TYPE_CHECKING:
    from init_net.hand_decoder import HandDecoder


@dataclass(frozen=True)
class Targets:
    """Keypoints in 2D that B hands are compared with.

    Attributes:
        positions: (B, 21, 2) crop units; 0 where they are not known.
        confidence: (B, 21) how far each counts, con_i of S2HAND eq. 3; 0 where it is not known.
        of_bones: (B, 21) the same for the bones that end there, eq. 4.
        marked: (B,) bool, they are where the detector marks keypoints; else joints and fingertips.
    """

    positions: Tensor
    confidence: Tensor
    of_bones: Tensor
    marked: Tensor

    @classmethod
    def of(cls, batch: CropSamples, supervision: SupervisionConfig) -> Self:
        """What a batch has of what is asked for."""
        if supervision.keypoints == "detected":
            positions = batch.keypoints / batch.image.shape[-1] - 0.5
            counts = (batch.confidence > 0).to(positions)
            marked = torch.ones_like(batch.is_marks)
        else:
            positions, counts, marked = batch.positions, batch.keypoint_weight, batch.is_marks
        known = positions.isfinite().all(-1)
        counts = torch.where(known, counts, 0)
        sure = counts * batch.confidence
        return cls(
            positions=torch.where(known[..., None], positions, 0),
            confidence=sure if supervision.confidence else counts,
            of_bones=sure if supervision.of_bones else counts,
            marked=marked,
        )


class AutoencoderTerms:
    """The terms of `init_net.training.loss_weights.AutoencoderWeights`, by name, (B,) each."""

    def __init__(self, decoder: HandDecoder, supervision: SupervisionConfig) -> None:
        """Take a decoder on the device of the batches."""
        self.decoder, self.supervision = decoder, supervision
        self.settings = RasterSettings(silhouette=supervision.silhouette)

    def __call__(
        self, said: AutoencoderPredictions, batch: CropSamples, asked: Collection[str]
    ) -> dict[str, Tensor]:
        """Those terms that are asked for.

        Args:
            said: of B crops, by a network that has the parts which say what is compared.
            batch: the crops, on the same device.
            asked: their names.
        """
        # Under mixed precision a hand would be posed in halves: off by up to two millimetres.
        with torch.autocast(batch.image.device.type, enabled=False):
            compared = Comparison(self, said, batch, frozenset(asked))
            return {name: getattr(compared, name)() for name in asked}

    @cached_property
    def pose_space(self) -> PoseSpace:
        """Axes and limits of the joints."""
        model = self.decoder.model
        return PoseSpace.of(anatomy_of(model.data), load_pose_prior(), model.v_template)

    @cached_property
    def true_depth(self) -> TrueDepth:
        """What draws the true hands."""
        return TrueDepth(self.decoder.faces.device)


class Comparison:
    """One batch beside what is said of it; a method a loss, by its name, each (B,)."""

    def __init__(
        self,
        terms: AutoencoderTerms,
        said: AutoencoderPredictions,
        batch: CropSamples,
        asked: frozenset[str],
    ) -> None:
        self._terms, self._said, self._batch, self._asked = terms, said, batch, asked
        self._decoder, self._beta = terms.decoder, terms.supervision.keypoint_beta
        self._side = terms.supervision.picture_side or batch.image.shape[-1]

    @cached_property
    def code(self) -> HandCode:
        """As it is said, but in no halves."""
        assert self._said.code is not None  # the 3D branch is there
        return self._said.code.map(_whole)

    @cached_property
    def estimated(self) -> Tensor:
        """(B, 21, 2) J^2d."""
        assert self._said.estimated is not None  # the 2D branch is there
        return _whole(self._said.estimated)

    @cached_property
    def decoded(self) -> DecodedHands:
        """The hands."""
        return self._decoder(self.code, self._batch.focal, self._batch.projection)

    @cached_property
    def targets(self) -> Targets:
        """What keypoints in 2D are compared with."""
        return Targets.of(self._batch, self._terms.supervision)

    @cached_property
    def projected(self) -> Tensor:
        """(B, 21, 2) J^pro in the targets' definition."""
        marked = self.targets.marked[:, None, None]
        return torch.where(marked, self.decoded.keypoints_2d, self.decoded.joints_2d)

    @cached_property
    def points(self) -> Tensor:
        """(B, 21, 3) J in the definition of the truth, metres, view frame."""
        return placed_points(self._decoder, self.code, self.decoded, self._batch)

    @cached_property
    def pictures(self) -> HandPictures:
        """The hands as they look, in their colours where some loss looks at these.

        One whose code is not finite is not drawn, which would cost nothing: it looks like NaN.
        """
        coloured = bool(self._asked & PICTURED)
        drawn = draw_hands(
            self._decoder, self.code, self.decoded, self._side, self._terms.settings, coloured
        )
        silhouette = drawn.silhouette + self.lost[:, None, None]
        image = None if drawn.image is None else drawn.image + self.lost[:, None, None, None]
        return replace(drawn, image=image, silhouette=silhouette)

    @cached_property
    def lost(self) -> Tensor:
        """(B,) NaN of hands whose code is not finite, else 0."""
        vertices = self.decoded.vertices
        nowhere = torch.full_like(vertices[:, 0, 0], torch.nan)
        return torch.where(vertices.isfinite().all(-1).all(-1), 0, nowhere)

    @cached_property
    def photograph(self) -> Tensor:
        """(B, S, S, 3) I, of the size of `pictures`."""
        return shrunk(self._batch.image, self._side)

    def location(self) -> Tensor:
        """S2HAND eq. 3, E_loc."""
        targets = self.targets
        return smooth_l1_keypoints(
            self.projected, targets.positions, targets.confidence, self._beta
        )

    def orientation(self) -> Tensor:
        """S2HAND eq. 4, E_ori; times 20 it is Zhao's L_bone."""
        return bone_orientation(self.projected, self.targets.positions, self.targets.of_bones)

    def pixel(self) -> Tensor:
        """S2HAND eq. 6, E_pixel, with con_sum as printed: 0 to 21.

        S^re has no gradient here: with one, the mean falls as the hand leaves what it differs from.
        It counts where the surface is seen: in the part of its edge beyond that nothing has a
        colour to compare.
        """
        foreground = _there(self.pictures.foreground)
        silhouette = self.pictures.silhouette.detach() * self.pictures.depth.isfinite()
        return pixel_l2(self.photograph, foreground, silhouette, self.targets.confidence.sum(1))

    def ssim(self) -> Tensor:
        """S2HAND eq. 7, E_SSIM."""
        image = _there(self.pictures.image)
        return ssim_foreground(self.photograph, image, self.pictures.silhouette)

    def shape(self) -> Tensor:
        """S2HAND 3.4.1, E_beta."""
        return shape_norm(self.code.betas)

    def texture(self) -> Tensor:
        """S2HAND 3.4.1, E_C."""
        return texture_range(_there(self._decoder.colours(self.code)))

    def scale(self) -> Tensor:
        """S2HAND 3.4.1, E_s: a perspective hand is to be of the model's size, an orthographic one
        as large in its crop as hands are (`TYPICAL_SCALE`)."""
        is_perspective = self._decoder.config.camera == "perspective"
        return camera_scale(self.code.scale, 1.0 if is_perspective else TYPICAL_SCALE)

    def limits(self) -> Tensor:
        """S2HAND 3.4.1, E_J."""
        pose = self._decoder.model.pose_from_pca(self.code.pose, flat_hand_mean=False)
        return joint_limits(pose, self._terms.pose_space)

    def estimator(self) -> Tensor:
        """S2HAND eq. 10, E_2d."""
        targets = self.targets
        return smooth_l1_keypoints(
            self.estimated, targets.positions, targets.confidence, self._beta
        )

    def consistency(self) -> Tensor:
        """S2HAND eq. 11, E_con: both branches move."""
        everywhere = torch.ones_like(self.targets.confidence)
        return smooth_l1_keypoints(self.projected, self.estimated, everywhere, self._beta)

    def joints_2d(self) -> Tensor:
        """Zhao 3.5, L_2d."""
        targets = self.targets
        distances = squared_distances(self.projected, targets.positions)
        return (targets.confidence * distances).sum(1)

    def joints_3d(self) -> Tensor:
        """Zhao 3.5, L_3d, in the camera's space: where hands are and how large they are counts (see
        his 4.5). Its frame is not published."""
        truth = self._batch.points + self._batch.wrist[:, None]
        return (self._batch.keypoint_weight * squared_distances(self.points, truth)).sum(1)

    def joints_3d_norm(self) -> Tensor:
        """Zhao 3.5, normalised L_3d."""
        distances = squared_distances(normalised(self.points), normalised(self._batch.points))
        return (self._batch.keypoint_weight * distances).sum(1)

    def rgb(self) -> Tensor:
        """Zhao 3.5, L_rgb; the hand is drawn before black."""
        return rgb_all_pixels(self.photograph, _there(self.pictures.image))

    def image_silhouette(self) -> Tensor:
        """Zhao 3.5, L_sil, as printed."""
        return ssim_silhouette(self.pictures.silhouette, self.photograph)

    def pose_l2(self) -> Tensor:
        """Zhao 3.5, ||theta||^2."""
        return squared_norm(self.code.pose)

    def shape_l2(self) -> Tensor:
        """Zhao 3.5, ||beta||^2."""
        return squared_norm(self.code.betas)

    def appearance_l2(self) -> Tensor:
        """Zhao 3.5, ||alpha||^2."""
        return squared_norm(_there(self.code.appearance))

    def mask(self) -> Tensor:
        """One minus the intersection over union of silhouette and mask, ours."""
        masks = shrunk(self._batch.mask[:, None], self._side)[..., 0]
        return iou_loss(self.pictures.silhouette, masks) * self._batch.has_mask

    def depth(self) -> Tensor:
        """Mean distance along the line of sight of the surfaces that hand and true hand show, each
        relative to the wrist of the labels, over the pixels that show both, ours; metres. 0 where
        there is none, as for a hand whose parameters are not known."""
        truth = self._terms.true_depth(self._batch, self._side)
        marked, jointed = self.decoded.wrists.T
        shift = torch.where(self._batch.is_marks, torch.zeros_like(marked), marked - jointed)
        found = self.pictures.depth + shift[:, None, None]
        seen = found.isfinite() & truth.isfinite()
        distance = known_error(torch.where(seen, found, 0), torch.where(seen, truth, torch.nan))
        return distance.abs().sum((1, 2)) / seen.sum((1, 2)).clamp_min(1) + self.lost


def placed_points(
    decoder: HandDecoder, code: HandCode, decoded: DecodedHands, batch: CropSamples
) -> Tensor:
    """(B, 21, 3) keypoints in front of the camera, metres, in the definition of the labels."""
    points = torch.where(batch.is_marks[:, None, None], decoded.keypoints, decoded.joints)
    return points + place(decoder, code, batch.focal)[:, None]


def place(decoder: HandDecoder, code: HandCode, focal: Tensor) -> Tensor:
    """Where hands are that are decoded relative to the wrist keypoint: (B, 3) metres, view frame.

    A perspective hand is decoded where it is, so that is 0. An orthographic one is as far away as
    it would have to be for the picture's camera to see it at its scale, ``Z = f / s``, which is not
    published.

    Args:
        decoder: of the hands.
        code: of B hands.
        focal: (B,) crop units.
    """
    if decoder.config.camera == "perspective":
        return torch.zeros_like(code.transl)
    return torch.cat([code.transl[:, :2], focal[:, None]], 1) / code.scale[:, None]


def _there(value: Tensor | None) -> Tensor:
    """What a loss that counts is of."""
    assert value is not None  # `loss_weights` counts no loss on a code without it
    return value


def _whole(value: Tensor) -> Tensor:
    """A tensor of halves in float32, another as it is."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
