"""The equations of S2HAND 3.4 and Zhao 3.5, plainly transcribed, hand by hand and number by
number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from fitter.conventions import BONES
from fitter.hand_models import anatomical_angles, anatomy_of
from init_net.autoencoder_records import AutoencoderPredictions, DecodedHands, HandCode
from init_net.hand_pictures import HandPictures, draw_hands
from init_net.networks.handnet import TYPICAL_SCALE
from init_net.samples.crop_samples import CropSamples
from init_net.training.autoencoder_terms import AutoencoderTerms
from tests.support.printed_ssim import ssim_as_printed

SIDE = 32


@dataclass(frozen=True)
class Case:
    """Hands beside crops, and all that losses are made of."""

    terms: AutoencoderTerms
    said: AutoencoderPredictions
    batch: CropSamples

    def value(self, name: str) -> np.ndarray:
        return self.terms(self.said, self.batch, [name])[name].numpy()

    @property
    def code(self) -> HandCode:
        assert self.said.code is not None
        return self.said.code

    @cached_property
    def decoded(self) -> DecodedHands:
        return self.terms.decoder(self.code, self.batch.focal, self.batch.projection)

    @cached_property
    def pictures(self) -> HandPictures:
        return draw_hands(self.terms.decoder, self.code, self.decoded, SIDE)


def smooth_l1(difference: np.ndarray, beta: float) -> float:
    size = np.abs(difference)
    return float(np.where(size < beta, size**2 / (2 * beta), size - beta / 2).sum())


@dataclass(frozen=True)
class Hand:
    """One of them, as arrays."""

    case: Case
    row: int

    def of(self, record: object, name: str) -> np.ndarray:
        return np.asarray(getattr(record, name)[self.row])

    @property
    def is_detected(self) -> bool:
        return self.case.terms.supervision.keypoints == "detected"

    @property
    def beta(self) -> float:
        return self.case.terms.supervision.keypoint_beta

    @property
    def wanted(self) -> np.ndarray:
        if self.is_detected:
            return self.of(self.case.batch, "keypoints") / SIDE - 0.5
        return self.of(self.case.batch, "positions")

    def confidence(self, weighs: bool) -> np.ndarray:
        seen = self.of(self.case.batch, "confidence")
        counts = self.of(self.case.batch, "keypoint_weight")
        if self.is_detected:
            counts = (seen > 0).astype(float)
        return counts * seen if weighs else counts

    @property
    def con(self) -> np.ndarray:
        return self.confidence(self.case.terms.supervision.confidence)

    @property
    def projected(self) -> np.ndarray:
        marked = self.is_detected or bool(self.case.batch.is_marks[self.row])
        return self.of(self.case.decoded, "keypoints_2d" if marked else "joints_2d")

    @property
    def points(self) -> np.ndarray:
        name = "keypoints" if bool(self.case.batch.is_marks[self.row]) else "joints"
        relative = self.of(self.case.decoded, name)
        if self.case.terms.decoder.config.camera == "perspective":
            return relative
        code, scale = self.case.code, float(self.case.code.scale[self.row])
        t = self.of(code, "transl")
        return relative + np.array([t[0], t[1], float(self.case.batch.focal[self.row])]) / scale

    @property
    def image(self) -> np.ndarray:
        return self.of(self.case.batch, "image").transpose(1, 2, 0)


def location(hand: Hand) -> float:
    return np.mean([
        c * smooth_l1(de - pro, hand.beta)
        for c, de, pro in zip(hand.con, hand.wanted, hand.projected, strict=True)
    ])  # fmt: skip


def orientation(hand: Hand) -> float:
    total = 0.0
    con = hand.confidence(hand.case.terms.supervision.of_bones)
    for first, second in BONES:
        bones = [points[second] - points[first] for points in (hand.wanted, hand.projected)]
        one, other = (bone / np.linalg.norm(bone) for bone in bones)
        total += con[first] * con[second] * ((one - other) ** 2).sum()
    return total / 20


def pixel(hand: Hand) -> float:
    pictures = hand.case.pictures
    total = area = 0.0
    for v in range(SIDE):
        for u in range(SIDE):
            if np.isnan(hand.of(pictures, "depth")[v, u]):
                continue  # beyond the surface
            share = hand.of(pictures, "silhouette")[v, u]
            colour = hand.of(pictures, "foreground")[v, u]
            total += share * np.linalg.norm(hand.image[v, u] - colour)
            area += share
    return hand.con.sum() / area * total


def ssim(hand: Hand) -> float:
    seen = hand.image * hand.of(hand.case.pictures, "silhouette")[..., None]
    return 1 - ssim_as_printed(seen, hand.of(hand.case.pictures, "image"), stride=2).mean()


def rgb(hand: Hand) -> float:
    drawn = hand.of(hand.case.pictures, "image")
    distance = np.linalg.norm(hand.image - drawn, axis=-1).mean()
    return distance + 1 - ssim_as_printed(hand.image, drawn, stride=2).mean()


def image_silhouette(hand: Hand) -> float:
    grey = np.repeat(hand.of(hand.case.pictures, "silhouette")[..., None], 3, -1)
    return 1 - ssim_as_printed(hand.image, grey, stride=2).mean()


def texture(hand: Hand) -> float:
    colours = np.asarray(hand.case.terms.decoder.colours(hand.case.code)[hand.row])
    return np.mean([max(c - 1, -c, 0) ** 2 for c in colours.ravel()])


def scale(hand: Hand) -> float:
    is_flat = hand.case.terms.decoder.config.camera == "orthographic"
    return np.log(hand.of(hand.case.code, "scale") / (TYPICAL_SCALE if is_flat else 1)) ** 2


def limits(hand: Hand) -> float:
    model = hand.case.terms.decoder.model
    anatomy = anatomy_of(model.data)
    pose = np.asarray(model.hands_mean + hand.case.code.pose @ model.hands_components[:30])
    angles = anatomical_angles(
        torch.from_numpy(pose[hand.row].reshape(1, -1, 3)), torch.from_numpy(anatomy.axes)
    )[0].numpy()
    pairs = zip(angles.ravel(), anatomy.lower.ravel(), anatomy.upper.ravel(), strict=True)
    return sum(max(a - up, low - a, 0) ** 2 for a, low, up in pairs)


def estimator(hand: Hand) -> float:
    return np.mean([
        c * smooth_l1(de - found, hand.beta)
        for c, de, found in zip(
            hand.con, hand.wanted, hand.of(hand.case.said, "estimated"), strict=True
        )
    ])  # fmt: skip


def consistency(hand: Hand) -> float:
    both = zip(hand.projected, hand.of(hand.case.said, "estimated"), strict=True)
    return np.mean([smooth_l1(pro - found, hand.beta) for pro, found in both])


def joints_2d(hand: Hand) -> float:
    return (hand.con * ((hand.wanted - hand.projected) ** 2).sum(1)).sum()


def joints_3d(hand: Hand) -> float:
    true = hand.of(hand.case.batch, "points") + hand.of(hand.case.batch, "wrist")
    weight = hand.of(hand.case.batch, "keypoint_weight")
    return (weight * ((true - hand.points) ** 2).sum(1)).sum()


def joints_3d_norm(hand: Hand) -> float:
    def normal(points: np.ndarray) -> np.ndarray:
        return (points - points[0]) / np.linalg.norm(points[9] - points[0])

    difference = normal(hand.of(hand.case.batch, "points")) - normal(hand.points)
    return (hand.of(hand.case.batch, "keypoint_weight") * (difference**2).sum(1)).sum()


def mask(hand: Hand) -> float:
    if not bool(hand.case.batch.has_mask[hand.row]):
        return 0.0
    drawn, true = hand.of(hand.case.pictures, "silhouette"), hand.of(hand.case.batch, "mask")
    return 1 - (drawn * true).sum() / (drawn + true - drawn * true).sum()


PRINTED: dict[str, Callable[[Hand], float]] = {
    "location": location,
    "orientation": orientation,
    "pixel": pixel,
    "ssim": ssim,
    "shape": lambda hand: np.linalg.norm(hand.of(hand.case.code, "betas")),
    "texture": texture,
    "scale": scale,
    "limits": limits,
    "estimator": estimator,
    "consistency": consistency,
    "joints_2d": joints_2d,
    "joints_3d": joints_3d,
    "joints_3d_norm": joints_3d_norm,
    "rgb": rgb,
    "image_silhouette": image_silhouette,
    "pose_l2": lambda hand: (hand.of(hand.case.code, "pose") ** 2).sum(),
    "shape_l2": lambda hand: (hand.of(hand.case.code, "betas") ** 2).sum(),
    "mask": mask,
}
