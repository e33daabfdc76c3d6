"""Hands found in images with what is needed to fit them, and the steps that hands of one image and
hands of several views go through alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fitter.contact import PosedObject, object_gap
from fitter.energies.known_objects import KnownObjects
from fitter.fitted_hands import FittedHands
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Initializer, Predictions
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.motion import (
    PLACE,
    RIGID,
    ROTATION,
    HandMotion,
    PoseBasis,
    transl_at,
)
from fitter.meshes import HandMeshes
from fitter.quality.inputs import JudgedHands
from fitter.quality.judge import HandJudge
from fitter.quality.visibility import SceneHand, behind_others
from fitter.records import HandCrop, HandObservation, HandParams, IntrinsicsSource, NormalisedHands
from fitter.refinement.refiner import Refiner
from fitter.store.schema import HandRow, ImageRow, ImageStatus
from fitter.tracked_hands import ExpectedMotion, TrackedHand


@dataclass(frozen=True)
class Slot:
    """One hand found in an image with what is needed to fit it.

    Attributes:
        hand: as it was detected.
        crop: of it; None where there is none.
        image_size: (width, height) pixels.
        intrinsics: (3, 3) K of the image.
        intrinsics_source: where K came from.
        objects: known things in the image that the hand may touch, in its camera.
    """

    hand: HandObservation
    crop: HandCrop | None
    image_size: tuple[int, int]
    intrinsics: np.ndarray
    intrinsics_source: IntrinsicsSource
    objects: tuple[PosedObject, ...] = ()

    @classmethod
    def of(cls, image: DetectedImage, index: int) -> Slot:
        """That of one of an image's hands."""
        assert image.size is not None  # it has hands
        assert image.intrinsics is not None and image.intrinsics_source is not None
        crop = image.crops[index] if image.crops else None
        return cls(
            image.hands[index],
            crop,
            image.size,
            image.intrinsics,
            image.intrinsics_source,
            image.objects,
        )


def of_known_size(hand: HandObservation, everywhere: float | None) -> HandObservation:
    """The hand with its size, where the user knows it of this image's hands or of all."""
    return hand if hand.hand_size is not None else replace(hand, hand_size=everywhere)


def known_shapes(observations: Sequence[HandObservation], model: FitModel) -> KnownShape:
    """What is known of the shapes of B hands."""
    like = model.keypoints.joint_shapedirs
    sizes = [math.nan if hand.hand_size is None else hand.hand_size for hand in observations]
    unknown = np.full(like.shape[-1], np.nan)
    betas = [unknown if hand.shared is None else hand.shared.betas for hand in observations]
    return KnownShape.of(like.new_tensor(sizes), like.new_tensor(np.stack(betas)))


def expected_motion(
    observations: Sequence[HandObservation], basis: PoseBasis, like: Tensor
) -> HandMotion | None:
    """Where other frames expect B hands; None where they say nothing of any.

    Args:
        observations: of the hands.
        basis: of the poses that frames speak of.
        like: of the wanted dtype and device.
    """
    said = [None if hand.tracked is None else hand.tracked.expected for hand in observations]
    if all(each is None for each in said):
        return None
    n, full = RIGID + basis.count, RIGID + len(basis.mean)
    nothing = ExpectedMotion(np.zeros(n), np.zeros((n, n)))
    mean = np.stack([(each or nothing).mean for each in said])
    information = np.stack([(each or nothing).information for each in said])
    to_coordinates = np.zeros((n, full))
    to_coordinates[:RIGID, :RIGID] = np.eye(RIGID)
    to_coordinates[RIGID:, RIGID:] = basis.forward
    return HandMotion(
        rotation=like.new_tensor(mean[:, ROTATION]),
        place=like.new_tensor(mean[:, PLACE]),
        pose=like.new_tensor(basis.mean + mean[:, RIGID:] @ basis.backward.T),
        information=like.new_tensor(to_coordinates.T @ information @ to_coordinates),
    )


def expected_hands(
    hands: Sequence[TrackedHand], basis: PoseBasis, size: HandSize, like: Tensor
) -> HandParams:
    """B right hands where their tracks have them.

    Args:
        hands: each with a shape and where it is expected.
        basis: of their poses.
        size: of the hand model.
        like: of the wanted dtype and device.
    """
    means, shapes = [], []
    for hand in hands:
        assert hand.expected is not None and hand.shared is not None  # else none is filled in
        means.append(hand.expected.mean)
        shapes.append(hand.shared.betas)
    mean, betas = like.new_tensor(np.stack(means)), like.new_tensor(np.stack(shapes))
    backward, middle = like.new_tensor(basis.backward), like.new_tensor(basis.mean)
    pose = middle + mean[:, RIGID:] @ backward.mT
    return HandParams(
        global_orient=mean[:, ROTATION],
        hand_pose=pose.unflatten(1, (-1, 3)),
        betas=betas,
        transl=transl_at(size, betas, mean[:, PLACE]),
    )


def known_objects(slots: Sequence[Slot], refiner: Refiner) -> KnownObjects | None:
    """What hands may touch, as right hands see it; None where nothing is known of that."""
    if not any(slot.objects for slot in slots):
        return None
    is_left = [slot.hand.side == "left" for slot in slots]
    return KnownObjects.of([slot.objects for slot in slots], is_left, refiner.model.closed_faces)


def beside_objects(row: HandRow, slot: Slot, meshes: HandMeshes, refiner: Refiner) -> HandRow:
    """The row of a hand of a slot, with how far it is from the known objects of its image."""
    if row.has_failed or not slot.objects:
        return row
    faces = refiner.model.closed_faces.cpu()
    # A left hand is mirrored, which turns triangles inside out.
    facing = faces if row.side == "right" else faces.flip(1)
    return replace(row, object_gap=object_gap(meshes.vertices(row), facing, slot.objects))


def rest_offsets(hands: Sequence[HandObservation], refiner: Refiner) -> Tensor | None:
    """(B, V, 3) offsets that are known, NaN of hands whose are not; None where none are."""
    found = [None if hand.shared is None else hand.shared.offsets for hand in hands]
    if all(offsets is None for offsets in found):
        return None
    like = refiner.model.hand.v_template
    unknown = np.full(like.shape, np.nan, np.float32)
    stacked = np.stack([unknown if offsets is None else offsets for offsets in found])
    return torch.as_tensor(stacked, dtype=like.dtype, device=like.device)


def predicted(
    initializer: Initializer | None, hands: NormalisedHands, crops: Sequence[HandCrop | None]
) -> Predictions:
    """What networks say of B hands, where they are asked."""
    if initializer is None:
        return Predictions({}, [None] * len(crops))
    return initializer(hands, crops)


def hidden_weighed(
    judge: HandJudge,
    hands: NormalisedHands,
    right: HandParams,
    predictions: Predictions,
    least: float,
) -> NormalisedHands:
    """Fitted right hands with less confidence, down to the share `least`, in keypoints that their
    mesh and networks take for hidden: a detector places those by habit."""
    if least == 1:
        return hands
    seen = judge.seen_by_mesh(right, hands, predictions)
    return replace(hands, confidence=hands.confidence * (least + (1 - least) * seen))


def judged_hands(
    slots: Sequence[Slot], hands: NormalisedHands, predictions: Predictions, fitted: FittedHands
) -> JudgedHands:
    """What is to be judged of B hands, each in its image."""
    masks, mask_iou, refined = {}, {}, fitted.refined
    if refined is not None:
        places = refined.index.tolist()
        masks = {
            place: mask
            for place, mask in zip(places, refined.result.masks, strict=True)
            if mask is not None
        }
        mask_iou = dict(zip(places, refined.result.mask_iou.tolist(), strict=True))
    sizes = [slot.image_size for slot in slots]
    return JudgedHands(
        observed=[slot.hand for slot in slots],
        crops=[slot.crop for slot in slots],
        hands=hands,
        predictions=predictions,
        fit=fitted.fit,
        right=fitted.right,
        offsets=fitted.right_offsets,
        log_focal=fitted.log_focal,
        image_keypoints=fitted.image_keypoints,
        image_sizes=torch.tensor(sizes).to(fitted.image_keypoints),
        masks=masks,
        mask_iou=mask_iou,
    )


def beside_others(
    meshes: HandMeshes,
    rows: list[HandRow],
    intrinsics: np.ndarray | None,
    unseen: Sequence[HandRow] = (),
) -> list[HandRow]:
    """The hands of an image, with keypoints that lie behind another of them less visible.

    Args:
        meshes: of the hands.
        rows: of all hands of an image, in its camera.
        intrinsics: (3, 3) K of the image.
        unseen: fitted hands that nothing of was found in the image, in its camera, which may hide
            others all the same.
    """
    fitted = [place for place, row in enumerate(rows) if not row.has_failed]
    if not fitted or len(fitted) + len(unseen) < 2:
        return rows
    assert intrinsics is not None  # it has hands
    hands = [SceneHand.of(rows[k], *_mesh(meshes, rows[k])) for k in fitted]
    for row in unseen:
        points = row.keypoints_3d
        if points is not None and (points[:, 2] > 0).all():
            image = points @ intrinsics.T
            hands.append(SceneHand(*_mesh(meshes, row), points, image[:, :2] / image[:, 2:]))
    hidden = behind_others(hands, intrinsics)
    for place, free in zip(fitted, hidden[: len(fitted)], strict=True):
        seen = rows[place].keypoint_visibility
        assert seen is not None
        rows[place] = replace(rows[place], keypoint_visibility=seen * free)
    return rows


def _mesh(meshes: HandMeshes, row: HandRow) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) vertices and (F, 3) faces of a fitted hand."""
    assert row.side is not None
    return meshes.vertices(row), meshes.faces(row.side)


def batches_of(images: Sequence[DetectedImage], size: int) -> Iterator[list[DetectedImage]]:
    """Images with hands, those of about `size` hands together; all hands of an image stay in one
    batch."""
    shown = [image for image in images if image.hands]
    count = sum(len(image.hands) for image in shown)
    # As many as needed, of one size: a last batch of a few hands would cost almost a whole one.
    batches = math.ceil(count / size)
    before = itertools.accumulate((len(image.hands) for image in shown), initial=0)
    numbered = zip(shown, (hands * batches // count for hands in before), strict=False)
    for _, batch in itertools.groupby(numbered, key=lambda each: each[1]):
        yield [image for image, _ in batch]


def image_row(image: DetectedImage, hands: Sequence[HandRow]) -> ImageRow:
    """The row of an image with those of its hands; a failed one's where it has no size, or an empty
    one's where it was left out."""
    size, changed = image.file or (None, None)
    row = ImageRow(
        image_status="failed",
        file_size=size,
        file_time=changed,
        inputs_digest=image.inputs_digest,
        time=image.time,
    )
    if image.size is None:
        status: ImageStatus = "no_hand" if image.is_left_out else "failed"
        return replace(row, image_status=status, image_error=image.error)
    return replace(
        row.with_lens(image.lens),
        image_status="ok" if hands else "no_hand",
        image_width=image.size[0],
        image_height=image.size[1],
        intrinsics=image.intrinsics,
        intrinsics_source=image.intrinsics_source,
        intrinsics_note=image.intrinsics_note,
        hands_beyond=image.hands_beyond,
        hands_left_out=image.hands_left_out,
        detections=image.detections,
        hands=tuple(hands),
    )
