"""Hands of a frame, which are in the rig's frame, as one of its cameras has them."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np

from fitter.records import Side
from fitter.rig import Rig, RigCamera
from fitter.store.frame_schema import FrameRow, ViewHandRow
from fitter.store.schema import HandRow

_SEEN = tuple(field.name for field in fields(ViewHandRow) if field.name != "view_weight")


def hands_in_view(row: FrameRow, view: int, rig: Rig) -> list[HandRow]:
    """All hands of a frame in the frame of a camera, with what it saw of them.

    Args:
        row: of the frame, in the rig's frame.
        view: number of the camera.
        rig: its cameras.
    """
    seen = row.views[view].hands or (ViewHandRow(),) * len(row.hands)
    pairs = zip(row.hands, seen, strict=True)
    return [hand_in_camera(hand, rig.cameras[view], own) for hand, own in pairs]


def hand_in_camera(hand: HandRow, camera: RigCamera, seen: ViewHandRow) -> HandRow:
    """A hand in a camera's frame; also one of which the camera saw nothing.

    With ``x_cam = R x_rig + t``, and the hand's own rotation Q about its root joint j0, the camera
    has the rotation ``R Q`` and ``transl' = R (j0 + transl) + t - j0`` (`fitter.conventions`).

    Args:
        hand: in the rig's frame, metres.
        camera: of the rig.
        seen: what the camera saw of the hand.
    """
    own = {name: getattr(seen, name) for name in _SEEN}
    if hand.has_failed or hand.global_orient is None:
        return replace(hand, **own)
    assert hand.joints_3d is not None and hand.transl is not None  # it was fitted
    R, t = camera.rotation, camera.translation
    root = hand.joints_3d[0].astype(np.float64)
    turned, _ = cv2.Rodrigues(R @ cv2.Rodrigues(hand.global_orient.astype(np.float64))[0])
    transl = R @ root + t - (root - hand.transl)
    offsets = hand.vertex_offsets
    return replace(
        hand,
        global_orient=_single(turned.ravel()),
        transl=_single(transl),
        vertex_offsets=None if offsets is None else _single(offsets @ R.T),
        joints_3d=_moved(hand.joints_3d, camera),
        keypoints_3d=_moved(hand.keypoints_3d, camera),
        vertices=_moved(hand.vertices, camera),
        lighting=None if hand.lighting is None else _lit(hand.lighting, R, hand.side),
        **own,
    )


def _moved(points: np.ndarray | None, camera: RigCamera) -> np.ndarray | None:
    """Points (N, 3) of the rig's frame in the camera's, metres."""
    return None if points is None else _single(points @ camera.rotation.T + camera.translation)


def _lit(lighting: np.ndarray, rotation: np.ndarray, side: Side | None) -> np.ndarray:
    """A hand's light (11,) or (27,) in the camera's axes; a left hand's is that of the mirrored
    rig, in the mirrored camera."""
    # PyTorch is only loaded for hands that have a light.
    import torch

    from fitter.rendering.turned_light import turned_light

    flip = np.array([-1.0, 1.0, 1.0]) if side == "left" else np.ones(3)
    own = torch.as_tensor(flip[:, None] * rotation * flip)
    return _single(
        turned_light(torch.as_tensor(lighting, dtype=own.dtype)[None], own[None])[0].numpy()
    )


def _single(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)
