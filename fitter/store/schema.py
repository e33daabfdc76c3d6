"""What a result store keeps: every variable's name, dimensions, type, unit and meaning, once.

`ImageRow` and `HandRow` are that table. A field's name is the variable's name, and its metadata
say everything the store needs to lay it out; a field left at None is stored as the fill value
(NaN, empty text, False, or the flag with code 0), which is also what an empty slot holds.
"""

# The defaults below are dataclass fields, made by a function that only adds their metadata:
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fitter.conventions import KEYPOINT_NAMES
from fitter.lens import Lens, LensModel
from fitter.records import FitStatus, HandSizeSource, IntrinsicsSource, MaskSource, Side
from fitter.store.lens_fields import fields_of, lens_of
from fitter.store.variables import Variable, declared, stored

CAMERA = "camera: x right, y down, z forward, origin at the optical centre"
IMAGE = "full image: x right, y down, centre of the top-left pixel at (0.5, 0.5)"
MODEL = (
    "model: axis-angle relative to the flat rest pose, parent joint's frame; a left hand's is that "
    "of the model mirrored in x"
)

SIDES = ("none", "left", "right")
IMAGE_STATUS = ("pending", "ok", "no_hand", "failed")
LENS_MODELS = ("none", "pinhole", "fisheye")
INTRINSICS_SOURCES = ("none", "given", "exif", "default")
FIT_STATUS = ("none", "converged", "max_iterations", "diverged", "stalled")
HAND_SIZE_SOURCES = ("none", "fitted", "given")
MASK_SOURCES = ("none", "given", "grabcut", "rejected", "network")
INTERACTION_STATUS = ("none", "joint", "alone")
INITIALISATION_SOURCES = ("none", "keypoints")
"""Texts of the flag variables; a text's position is its stored code, and code 0 means empty. The
last table goes on with the networks that are offered, see `with_initialisations`."""

TRACK_INITIALISATION = "track"
"""Where fits may also start from in a store of tracks: where the other frames have the hand."""

ImageStatus = Literal["ok", "no_hand", "failed"]
InteractionStatus = Literal["joint", "alone"]

DIMENSION_LABELS: dict[str, tuple[str, ...]] = {
    "keypoint": KEYPOINT_NAMES,
    "xy": ("x", "y"),
    "xyz": ("x", "y", "z"),
    "rgb": ("red", "green", "blue"),
    "corner": ("x0", "y0", "x1", "y1"),
}
"""Dimensions whose entries have names; the store writes them as coordinates. So it does with those
of `JOINT_DIMENSIONS`, whose names are those of the model's joints."""

JOINT_DIMENSIONS = ("joint", "pose_joint")
"""All joints of the model, and those beside the root that rotate."""


@dataclass(frozen=True, kw_only=True)
class HandRow:
    """Everything stored about one hand; see each field's text for its meaning and unit.

    A detected hand whose fit failed keeps what the detector said, with `valid` False,
    `fit_status` and `fit_error`. One that was fitted and then refused keeps everything, with
    `valid` False and the reason in `fit_error`. `vertices` reach the disk only in a store that
    keeps them.
    """

    valid: bool = stored("the slot holds a hand whose fit can be used", dtype="bool")
    person: str | None = stored(
        "whose hand it is, of those that share a shape; empty for a hand fitted alone",
        dtype="string",
    )
    track: int | None = stored(
        "number, from 1 on, of the hand's track in its video, see the group tracks; 0 for a hand "
        "in no track",
        dtype="int32",
        units="1",
    )
    filled: bool = stored(
        "nothing of the hand was found in the frame: it is where its track has it", dtype="bool"
    )
    side: Side | None = stored("side of the hand", flags=SIDES)
    side_score: float | None = stored("probability of side, in [0.5, 1]", units="1")
    detection_score: float | None = stored(
        "the detector's confidence that this is a hand, in [0, 1]", units="1"
    )
    box: np.ndarray | None = stored(
        "box around the detected keypoints", "corner", units="pixel", frame=IMAGE
    )
    keypoints_2d_detected: np.ndarray | None = stored(
        "keypoints as detected", "keypoint xy", units="pixel", frame=IMAGE
    )
    keypoint_confidence: np.ndarray | None = stored(
        "confidence of the detected keypoints, in [0, 1]", "keypoint", units="1"
    )
    detector_relative_depth: np.ndarray | None = stored(
        "weak depth from the detector, relative to the wrist, positive away from the camera",
        "keypoint",
        units="pixel",
    )
    detector_relative_xyz: np.ndarray | None = stored(
        "weak 3D keypoints from the detector, camera axes, arbitrary origin",
        "keypoint xyz",
        units="m",
    )
    global_orient: np.ndarray | None = stored(
        "axis-angle of the wrist, model to camera", "xyz", units="radian", frame=CAMERA
    )
    hand_pose: np.ndarray | None = stored(
        "axis-angle of the joints after the wrist", "pose_joint xyz", units="radian", frame=MODEL
    )
    betas: np.ndarray | None = stored(
        "shape coefficients, each of unit variance", "shape_component", units="1"
    )
    transl: np.ndarray | None = stored(
        "translation, after the rotation about the root joint", "xyz", units="m", frame=CAMERA
    )
    joints_3d: np.ndarray | None = stored(
        "joints of the fitted model", "joint xyz", units="m", frame=CAMERA
    )
    keypoints_3d: np.ndarray | None = stored(
        "keypoints of the fitted hand, in the definition output.keypoint_definition",
        "keypoint xyz",
        units="m",
        frame=CAMERA,
    )
    keypoints_2d: np.ndarray | None = stored(
        "projection of the fitted hand's keypoints that correspond to the detected ones",
        "keypoint xy",
        units="pixel",
        frame=IMAGE,
    )
    hand_size: float | None = stored(
        "length from the wrist's joint along the bones to the middle fingertip", units="m"
    )
    hand_size_source: HandSizeSource | None = stored(
        "whether hand_size was fitted, or given by the user and kept", flags=HAND_SIZE_SOURCES
    )
    shape_information: np.ndarray | None = stored(
        "what the image says of the shape: upper triangle of a matrix, row by row, and a vector, "
        "see fitter.fitting.shape_information",
        "shape_information_entry",
        dtype="float64",
        units="1",
    )
    motion_information: np.ndarray | None = stored(
        "what the image says of where the hand is, see fitter.fitting.motion_information",
        "motion_information_entry",
        units="1",
    )
    vertices: np.ndarray | None = stored(
        "vertices of the fitted mesh", "vertex xyz", units="m", frame=CAMERA
    )
    vertex_offsets: np.ndarray | None = stored(
        "offsets added to the posed model's vertices", "offset_vertex xyz", units="m", frame=CAMERA
    )
    appearance: np.ndarray | None = stored(
        "coefficients of the skin's appearance, each of unit variance",
        "appearance_component",
        units="1",
    )
    vertex_colours: np.ndarray | None = stored(
        "added to the skin's colours at the vertices; linear light if refine.linear_light is true, "
        "else sRGB",
        "colour_vertex rgb",
        units="1",
    )
    lighting: np.ndarray | None = stored(
        "light: S2HAND's 11 numbers, or the coefficients of 9 real spherical harmonics of the "
        "radiance in red, green and blue; a left hand's is that of the image mirrored in x",
        "light_coefficient",
        units="1",
    )
    texture: np.ndarray | None = stored(
        "reflectance of the skin in linear light, in the model's texture coordinates, row 0 at the "
        "top; what the image does not show follows from what it shows",
        "texel_row texel_column rgb",
        dtype="float16",
        units="1",
    )
    focal_scale: float | None = stored(
        "fitted focal length divided by that of intrinsics", units="1"
    )
    initialisation_source: str | None = stored(
        "which initialisation the fit to the keypoints continued from: a typical pose placed on "
        "them, or the prediction of a network",
        flags=INITIALISATION_SOURCES,
    )
    fit_status: FitStatus | None = stored("how the fit to the keypoints ended", flags=FIT_STATUS)
    fit_error: str | None = stored("why the fit failed; empty otherwise", dtype="string")
    iterations: int | None = stored(
        "solver iterations of the fit to the keypoints", dtype="int32", units="1"
    )
    final_cost: float | None = stored("final value of the keypoint fit's objective", units="1")
    refine_status: FitStatus | None = stored(
        "how the last stage after the keypoints ended; a hand that diverged in a stage keeps its "
        "best state",
        flags=FIT_STATUS,
    )
    refine_iterations: int | None = stored(
        "solver iterations of the stages after the keypoints", dtype="int32", units="1"
    )
    mask_source: MaskSource | None = stored(
        "where the hand's mask came from; a rejected one contradicted its keypoints and was not "
        "used",
        flags=MASK_SOURCES,
    )
    mask_agreement: float | None = stored(
        "how far the mask agreed with keypoints and mesh before it was used, in [0, 1]", units="1"
    )
    mask_iou: float | None = stored(
        "intersection over union of the fitted mesh and the mask, where the mask has weight",
        units="1",
    )
    touch_group: int | None = stored(
        "number, from 1 on, of the group that the hand is in, of hands whose boxes touch in the "
        "image; 0 for a hand in no group, and where groups were not looked for",
        dtype="int32",
        units="1",
    )
    interaction_status: InteractionStatus | None = stored(
        "whether the hands of the group were fitted together, joint, or keep their own fits, alone",
        flags=INTERACTION_STATUS,
    )
    relative_place: np.ndarray | None = stored(
        "from the wrist's joint of the group's first hand, the one in the lowest slot, to that of "
        "this hand",
        "xyz",
        units="m",
        frame=CAMERA,
    )
    relative_place_std: np.ndarray | None = stored(
        "standard deviation of relative_place, of hands fitted together",
        "xyz",
        units="m",
        frame=CAMERA,
    )
    penetration_depth: float | None = stored(
        "how deep this hand and another of its group are still in each other",
        units="m",
    )
    object_gap: float | None = stored(
        "how far the hand is from the nearest known object of its image; negative, how deep they "
        "are in each other",
        units="m",
    )
    residual_px: float | None = stored(
        "root mean square distance of keypoints_2d from keypoints_2d_detected", units="pixel"
    )
    keypoint_visibility: np.ndarray | None = stored(
        "probability that each keypoint of the fitted hand is seen in the image",
        "keypoint",
        units="1",
    )
    predicted_error_mm: float | None = stored(
        "median of what the mean error of keypoints_3d is expected to be, aligned by a similarity",
        units="mm",
    )
    score: float | None = stored(
        "probability that it is a hand and this error is below 10 mm", units="1"
    )

    @property
    def is_refused(self) -> bool:
        """Whether it was fitted and then refused, for the reason in `fit_error`."""
        return not self.valid and self.score is not None

    @property
    def has_failed(self) -> bool:
        """Whether the fit failed."""
        return not self.valid and self.score is None


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """Everything stored about one image, and its hands in the order of their slots.

    The image's name is not here: the list of images is fixed when the store is made.
    """

    image_status: ImageStatus = stored("state of the image", flags=IMAGE_STATUS)
    image_error: str | None = stored("why the image failed; empty otherwise", dtype="string")
    image_width: int | None = stored("width, upright", dtype="int32", units="pixel")
    image_height: int | None = stored("height, upright", dtype="int32", units="pixel")
    intrinsics: np.ndarray | None = stored(
        "camera matrix K of the full image", "row column", "float64", "pixel", IMAGE
    )
    intrinsics_source: IntrinsicsSource | None = stored(
        "where the camera matrix came from", flags=INTRINSICS_SOURCES
    )
    lens_model: LensModel | None = stored(
        "OpenCV's model of the lens that took the image, where it distorts; all else, but for "
        "lens_*, is then as of the image without distortion",
        flags=LENS_MODELS,
    )
    lens_intrinsics: np.ndarray | None = stored(
        "camera matrix of the image as it was taken", "row column", "float64", "pixel", IMAGE
    )
    lens_distortion: np.ndarray | None = stored(
        "coefficients of lens_model in OpenCV's order, NaN after the last",
        "lens_coefficient",
        "float64",
        "1",
    )
    lens_width: int | None = stored("width as it was taken", dtype="int32", units="pixel")
    lens_height: int | None = stored("height as it was taken", dtype="int32", units="pixel")
    lens_scale: float | None = stored(
        "width as it was taken over that of the images that the lens was calibrated with",
        dtype="float64",
        units="1",
    )
    intrinsics_note: str | None = stored(
        "what the image's EXIF block says of the camera, and why it was or was not believed; empty "
        "where it says nothing or K was given",
        dtype="string",
    )
    file_size: int | None = stored(
        "size of the image's file when it was read", dtype="int64", units="byte"
    )
    file_time: float | None = stored(
        "time of the last change of the image's file, seconds since 1970, UTC",
        dtype="float64",
        units="s",
    )
    time: float | None = stored(
        "when the frame is shown, since the first frame of its video; NaN of what is no video",
        dtype="float64",
        units="s",
    )
    hands_beyond: int | None = stored(
        "hands found or given beyond the slots of the image, or where its lens is not taken to "
        "show anything, which are not stored",
        dtype="int32",
        units="1",
    )
    hands_left_out: int | None = stored(
        "hands given that are not stored, since their confidence is below detector.min_score or "
        "they lie outside the image",
        dtype="int32",
        units="1",
    )
    inputs_digest: int | None = stored(
        "digest of the camera matrix, keypoints and mask given for the image; 0 for none",
        dtype="int64",
        units="1",
    )
    detections: str | None = stored(
        "in `passes` alone, never in results: what the detector found, see fitter.kept_hands",
        dtype="string",
    )
    hands: tuple[HandRow, ...] = ()

    @property
    def lens(self) -> Lens | None:
        """The lens that took the image, where it distorts, with the size of the image as it was
        taken; None where it does not."""
        return lens_of(vars(self))

    def with_lens(self, lens: Lens | None) -> ImageRow:
        """The same row of an image that a lens took, whose size is known."""
        return self if lens is None else replace(self, **fields_of(lens))

    @property
    def status(self) -> ImageStatus:
        """`image_status`, by the name that rows of frames have for theirs, too."""
        return self.image_status

    @property
    def error(self) -> str | None:
        """`image_error`, likewise."""
        return self.image_error

    @property
    def is_left_out(self) -> bool:
        """Whether a pass had no use for the image, and has not even read it."""
        return self.image_status == "no_hand" and self.image_width is None


IMAGE_VARIABLES = declared(ImageRow, ("image",))
HAND_VARIABLES = declared(HandRow, ("image", "hand"))
VARIABLES = (*IMAGE_VARIABLES, *HAND_VARIABLES)


def with_initialisations(
    variables: Sequence[Variable], initialisations: Sequence[str]
) -> tuple[Variable, ...]:
    """The variables, where fits may start from what networks of these names say."""
    flags = (*INITIALISATION_SOURCES, *initialisations)
    return tuple(
        replace(variable, flags=flags) if variable.name == "initialisation_source" else variable
        for variable in variables
    )
