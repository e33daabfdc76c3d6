"""What the networks take and give, as typed batches of B right hands (left ones are mirrored).

Two frames and two units:

view frame
    The camera's frame turned by the least rotation that lays its z axis along the line of sight
    through the middle of the hand's square crop (`fitter.camera.rotation_to`). What a network
    says of a hand does not depend on where in the image the hand is.
crop units
    The side of the hand's square crop is 1; its middle is the origin of positions. A length at the
    wrist's distance Z has ``focal / Z`` crop units a metre, with the focal length in crop units.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fitter.records import TensorBatch


@dataclass(frozen=True)
class LifterInputs(TensorBatch):
    """What `HandLifter` sees.

    Attributes:
        positions: (B, 21, 2) keypoints as the view frame's camera sees them, crop units.
        confidence: (B, 21) in [0, 1], 0 for a keypoint that was not seen.
        depth: (B, 21) the detector's depth relative to the wrist, crop units; NaN where unknown.
        bones: (B, 20, 3) unit directions of `fitter.conventions.BONES` as the detector's weak 3D
            keypoints have them, view frame; NaN where unknown.
        focal: (B,) crop units.
        features: (B, 2, F) what the detector's landmark network read its landmarks off, see
            `NormalisedHands.features`; NaN where there was no such look.
    """

    positions: Tensor
    confidence: Tensor
    depth: Tensor
    bones: Tensor
    focal: Tensor
    features: Tensor


@dataclass(frozen=True)
class LiftedHands(TensorBatch):
    """What `HandLifter` says.

    Attributes:
        keypoints: (B, 21, 3) keypoints relative to the wrist, view frame, crop units:
            ``focal (X_k - X_wrist) / Z_wrist``.
        std: (B, 21, 2) standard deviation across (each of x and y) and along the line of sight,
            crop units, positive.
        rotations: (B, 16, 3, 3) of MANO's joints: the wrist's in the view frame, then each relative
            to its parent.
        betas: (B, S) of the open hand.
        visibility: (B, 21) logit that the keypoint is seen in the image.
        log_size: (B, 2) natural logarithm of the metres that a crop unit has at the wrist's
            distance, and its standard deviation.
    """

    keypoints: Tensor
    std: Tensor
    rotations: Tensor
    betas: Tensor
    visibility: Tensor
    log_size: Tensor


@dataclass(frozen=True)
class CropInputs(TensorBatch):
    """What `HandNet` and the segmentation see.

    Attributes:
        image: (B, 3, S, S) sRGB in [0, 1], black outside the image.
        keypoints: (B, 21, 2) pixels of the crop, the centre of its first pixel at (0.5, 0.5).
        confidence: (B, 21) in [0, 1]; a keypoint of confidence 0 leaves no trace.
    """

    image: Tensor
    keypoints: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class RegressedHands(TensorBatch):
    """What `HandNet` says.

    Attributes:
        rotations: (B, 16, 3, 3) of MANO's joints: the wrist's in the view frame, then each relative
            to its parent.
        betas: (B, S) of the open hand.
        camera: (B, 3) weak perspective: scale in crop units a metre, positive, and where the wrist
            keypoint lies, crop units. A point X (metres, view frame, relative to the wrist
            keypoint) is seen at ``scale X_xy + (t_x, t_y)``.
    """

    rotations: Tensor
    betas: Tensor
    camera: Tensor


@dataclass(frozen=True)
class CropPredictions:
    """All that a `HandNet` says of B crops.

    Attributes:
        hands: what `RegressedHands` holds; None where the part that says it is left out.
        mask_logits: (B, S, S) above 0 where the hand is likelier; None for a network without that
            decoder, or where it is left out.
        base: (B, F) the features that the last layer regresses the hands from; None likewise.
        pose: (B, 48) `RegressedHands.rotations` as axis-angle, radians, joint after joint (Seeber
            3.1: p). A network that says axis-angle vectors gives them as it says them, which may
            be longer than half a turn. None likewise.
    """

    hands: RegressedHands | None
    mask_logits: Tensor | None
    base: Tensor | None
    pose: Tensor | None = None


@dataclass(frozen=True)
class StereoInputs(TensorBatch):
    """What the stereo network sees of B right hands: two calibrated crops each.

    Attributes:
        left, right: the views, see `CropInputs`.
        rotation: (B, 3, 3) from the view frame of the left view to that of the right one.
        translation: (B, 3) metres, the left camera's optical centre in the right one's view frame.
            A point X of the left view frame is ``rotation X + translation`` in the right one.
        left_focal, right_focal: (B,) focal length of each view, crop units, as `view_focal` of
            `init_net.view_frame` gives it: a hand at depth Z is seen at the scale ``focal / Z``.
    """

    left: CropInputs
    right: CropInputs
    rotation: Tensor
    translation: Tensor
    left_focal: Tensor
    right_focal: Tensor

    @property
    def geometry(self) -> StereoGeometry:
        """How the two views lie to each other."""
        return StereoGeometry(self.rotation, self.translation, self.left_focal, self.right_focal)


@dataclass(frozen=True)
class StereoGeometry(TensorBatch):
    """How the two views of B hands lie to each other; see `StereoInputs`.

    Attributes:
        rotation: (B, 3, 3) from the view frame of the left view to that of the right one.
        translation: (B, 3) metres, likewise.
        left_focal, right_focal: (B,) crop units.
    """

    rotation: Tensor
    translation: Tensor
    left_focal: Tensor
    right_focal: Tensor


@dataclass(frozen=True)
class StereoPredictions:
    """All that a `StereoHandNet` says of B pairs.

    Attributes:
        right, left: what `HandNet` says of each view, in its own view frame; NaN for a hand whose
            view is not there.
        right_pose, left_pose: (B, 48) likewise, see `CropPredictions.pose`.
        weights: (B, 48) of the right view (Seeber eq. 6), row by row of 16 axis-angle vectors; None
            where the layer that says them is left out.
    """

    right: RegressedHands
    left: RegressedHands
    right_pose: Tensor
    left_pose: Tensor
    weights: Tensor | None


@dataclass(frozen=True)
class FusedHands(TensorBatch):
    """B hands as two views see them together, in the right one's view frame.

    Attributes:
        hands: their rotations, betas and the right view's camera, as `HandNet` would say them; NaN
            where neither view is there.
        points: (B, 21, 3) metres, keypoints relative to the wrist keypoint.
        wrist: (B, 3) metres, the wrist keypoint in front of the right view's camera; NaN where no
            view places the hand there.
    """

    hands: RegressedHands
    points: Tensor
    wrist: Tensor
