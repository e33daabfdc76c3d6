"""Axes, units, joint orders: the one page every other module refers to.

Frames and units
    Lengths are metres. Camera axes are OpenCV's: x right, y down, z forward (away from the camera).
    Image positions are pixels, and the centre of the top-left pixel is (0.5, 0.5), so an image of
    width W spans x in [0, W]. `K` is the 3x3 intrinsics matrix in pixels of the image it stands
    beside. Angles are radians; rotations are axis-angle vectors at every module's boundary.

Model to camera
    A hand model rotates about its root joint j0 (the wrist), as MANO does:
    ``x_cam = R (x_model - j0) + j0 + transl``, in other words ``x_cam = R x_model + t`` with
    ``t = transl + j0 - R j0``. `transl` is stored, because that is what MANO layers take.

Hands
    21 keypoints, wrist first, then thumb, index, middle, ring, little, each from palm to tip
    (the order of OpenPose, FreiHAND, DexYCB and MediaPipe). 16 joints in MANO's order inside the
    models: wrist, index x3, middle x3, little x3, ring x3, thumb x3.
    A left hand is the mirror image (x negated) of a right one.
"""

from pathlib import Path
from typing import Literal

FINGERS = ("thumb", "index", "middle", "ring", "little")
MODEL_FINGERS = ("index", "middle", "little", "ring", "thumb")
"""The order in which MANO lists the fingers."""

KEYPOINT_NAMES = (
    "wrist",
    "thumb_cmc",
    "thumb_mcp",
    "thumb_ip",
    "thumb_tip",
    *(
        f"{finger}_{joint}"
        for finger in ("index", "middle", "ring", "little")
        for joint in ("mcp", "pip", "dip", "tip")
    ),
)
"""Names of the 21 keypoints in canonical order."""

JOINT_NAMES = (
    "wrist",
    *(
        f"{finger}_{joint}"
        for finger in ("index", "middle", "little", "ring")
        for joint in ("mcp", "pip", "dip")
    ),
    "thumb_cmc",
    "thumb_mcp",
    "thumb_ip",
)
"""Names of the 16 model joints in MANO's order."""

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each of the 16 joints in MANO's kinematic tree; the root's is -1."""

MODEL_TO_KEYPOINTS = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""Canonical keypoint k is entry MODEL_TO_KEYPOINTS[k] of [16 joints, then the tips of thumb,
index, middle, ring, little]."""

BONES = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1)
    for finger in range(5)
    for joint in range(4)
)
"""The 20 bones of the 21 keypoints as (palm side, tip side) pairs."""

FINGERTIP_VERTICES = {
    "smplx": (744, 320, 443, 554, 671),
    "freihand": (744, 320, 443, 555, 672),
    "ho3d": (744, 333, 444, 555, 672),
    "manopth_right": (745, 317, 444, 556, 673),
    "manopth_left": (745, 317, 445, 556, 673),
}
"""Vertices that public code takes for MANO's fingertips: thumb, index, middle, ring, little."""

KEYPOINT_ORDERS: dict[str, tuple[int, ...]] = {
    "canonical": tuple(range(21)),
    "mano_tips": MODEL_TO_KEYPOINTS,
    "rhd": (0, *(4 * finger + offset for finger in range(5) for offset in (4, 3, 2, 1))),
    "interhand": (20, *(4 * finger + offset for finger in range(5) for offset in (3, 2, 1, 0))),
}
"""``canonical = foreign[..., KEYPOINT_ORDERS[name], :]`` for one hand of each order in the wild."""

BODY_HANDS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    # InterHand2.6M: right hand, then left, each in the order "interhand".
    "interhand_pair": (
        42,
        tuple(21 + k for k in KEYPOINT_ORDERS["interhand"]),
        KEYPOINT_ORDERS["interhand"],
    ),
    # COCO-WholeBody: 17 of the body, 6 of the feet, 68 of the face, left hand, right hand.
    "coco_wholebody": (133, tuple(range(91, 112)), tuple(range(112, 133))),
    # Halpe full body: 26 of the body, 68 of the face, left hand, right hand.
    "halpe": (136, tuple(range(94, 115)), tuple(range(115, 136))),
    # Hand4Whole and OSX: 25 of the body, wrists among them, 20 of each hand, 72 of the face.
    "hand4whole": (137, (12, *range(25, 45)), (13, *range(45, 65))),
}
"""Keypoints of whole people, by the name of their set: how many there are, and which of them are
the 21 canonical keypoints of the left and of the right hand. No two sets have the same number."""

MIRROR_AXIS_ANGLE = (1.0, -1.0, -1.0)
"""Mirroring x turns the axis-angle vector w into w * MIRROR_AXIS_ANGLE."""

HAND_SIZES = (0.08, 0.26)
"""Metres from the wrist's joint along the bones to the middle fingertip, least and largest that a
user may give: no child's and no adult's hand lies beyond, a length in another unit does."""

KeypointDefinitionName = Literal["mediapipe", "mano", "openpose", "freihand", "ho3d"]
"""What 21 keypoints of a hand may be, see `fitter.hand_models.keypoint_definitions`."""

NIMBLE_FILES = (
    "NIMBLE_DICT_9137.pkl",
    "NIMBLE_MANO_VREG.pkl",
    "NIMBLE_TEX_FUV.pkl",
    "NIMBLE_TEX_DICT.pkl",
)
"""What the folder of a NIMBLE model holds: geometry, the map to MANO's vertices, texture
coordinates and textures."""

ModelName = Literal["open_hand", "mano", "nimble"]
"""The hand models that there are."""


def model_name(source: str | Path) -> ModelName:
    """Which hand model a name, file or folder is taken for: "open_hand" by its name, NIMBLE where
    it is a folder, else MANO."""
    if str(source) == "open_hand":
        return "open_hand"
    return "nimble" if Path(source).is_dir() else "mano"
