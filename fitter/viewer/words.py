"""What a viewer says of an image and of a hand, as HTML in which no name of a store is markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from fitter.hand_models.skeleton import Skeleton
from fitter.posed_hand import PosedHand
from fitter.viewer.scene import Scene, SceneHand

_STATUS = {
    "ok": "",
    "no_hand": "no hand was found",
    "failed": "failed",
    "pending": "not reached yet",
}


def scene_words(scene: Scene, count: int) -> str:
    """An image or frame: its name, place, status, and what is shown of it.

    Args:
        scene: that is shown.
        count: of the store's images or frames.
    """
    facts = [f"{scene.place + 1:,} of {count:,}"]
    if scene.time is not None and np.isfinite(scene.time):
        facts.append(f"{scene.time:.3f} s")
    for camera in scene.cameras:
        missing = "" if camera.pixels is not None else ", no picture"
        label = "" if camera.rig_name is None else f"{camera.rig_name}: "
        facts.append(f"{label}{camera.size[0]} x {camera.size[1]} pixels{missing}")
    said = _STATUS[scene.status]
    if said:
        facts.append(said if scene.error is None else f"{said}: {scene.error}")
    elif scene.others:
        facts.append(f"hands not shown: {scene.others}")
    return _paragraph(f"<b>{escape(scene.name)}</b><br>" + "<br>".join(map(escape, facts)))


def hand_words(seen: SceneHand | None) -> str:
    """The parameters of a hand; None for no hand."""
    if seen is None:
        return _paragraph("Click a hand to see its parameters.")
    rows = [*_facts(seen), *_pose(seen.hand, seen.hand.meshes.data.skeleton)]
    cells = "".join(
        f"<tr><td style='padding-right:1em;vertical-align:top'>{escape(name)}</td>"
        f"<td>{escape(value)}</td></tr>"
        for name, value in rows
    )
    return _paragraph(f"<b>{escape(seen.title)}</b><table>{cells}</table>")


def _paragraph(content: str) -> str:
    return f"<div style='padding:0 0.6em;font-size:85%;line-height:1.4'>{content}</div>"


def _facts(seen: SceneHand) -> list[tuple[str, str]]:
    hand = seen.hand
    status = "valid" if hand.valid else f"not valid: {hand.fit_error}"
    millimetres = None if hand.hand_size is None else 1000 * hand.hand_size
    found: list[tuple[str, Any, str]] = [
        ("status", status, ""),
        ("score", hand.score, ".3f"),
        ("expected error, mm", hand.predicted_error_mm, ".1f"),
        ("side", hand.side, ""),
        ("side's probability", hand.side_score, ".2f"),
        ("track", seen.track, ""),
        ("person", hand.person, ""),
        ("detection score", hand.detection_score, ".2f"),
        ("size, mm", millimetres, ".1f"),
        ("size from", hand.hand_size_source, ""),
        ("residual, pixels", hand.residual_px, ".2f"),
        ("mask IoU", hand.mask_iou, ".2f"),
        ("fit", hand.fit_status, ""),
        ("stages", hand.refine_status, ""),
        ("started from", hand.initialisation_source, ""),
    ]
    rows = [(name, format(value, how)) for name, value, how in found if value is not None]
    vectors = [
        ("wrist, m", None if hand.keypoints_3d is None else hand.keypoints_3d[0], 3),
        ("transl, m", hand.transl, 3),
        ("global_orient, rad", hand.global_orient, 2),
        ("betas", hand.betas, 2),
    ]
    return rows + [(name, _numbers(v, digits)) for name, v, digits in vectors if v is not None]


def _pose(hand: PosedHand, skeleton: Skeleton) -> list[tuple[str, str]]:
    """The rotations of the joints, axis-angle in radians."""
    if hand.hand_pose is None:
        return []
    names: Sequence[str] = skeleton.pose_names
    pairs = zip(names, hand.hand_pose, strict=True)
    return [(f"{name}, rad", _numbers(vector, 2)) for name, vector in pairs]


def _numbers(values: np.ndarray, digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in np.asarray(values, np.float64).ravel())
