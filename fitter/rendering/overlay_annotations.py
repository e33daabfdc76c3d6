"""What is drawn over a hand besides its surface: the skeleton of its keypoints, and a caption."""

from __future__ import annotations

import cv2
import numpy as np

from fitter.conventions import BONES
from fitter.rendering.overlay_hand import SIDE_COLOURS, OverlayHand
from fitter.rendering.overlay_scene import bounds

FINGER_COLOURS = ((235, 64, 52), (250, 176, 5), (64, 192, 87), (34, 139, 230), (190, 75, 219))
"""RGB of the skeleton's thumb, index, middle, ring and little finger."""


def render_skeleton(
    image: np.ndarray, keypoints: np.ndarray, visibility: np.ndarray | None, unit: float
) -> None:
    """Draw 20 bones and 21 joints in place, with sub-pixel positions; joints that are hidden as
    rings."""
    hidden = np.zeros(len(keypoints), bool) if visibility is None else visibility < 0.5
    shift = 4
    limit = 8 * max(image.shape)  # keeps OpenCV's fixed-point numbers in range
    usable = np.isfinite(keypoints).all(axis=-1)
    # OpenCV puts the centre of the top-left pixel at 0.
    safe = np.clip(np.where(usable[:, None], keypoints, 0.0) - 0.5, -limit, limit)
    points = np.round(safe * 2**shift).astype(int).tolist()
    # Lines of a small hand stay thin enough to leave its mesh to be seen.
    extent = np.ptp(keypoints[usable], axis=0).max() if usable.any() else 0.0
    unit = min(unit, extent / 160)
    width = max(1, round(1.4 * unit))
    for palm_side, tip_side in BONES:
        if usable[palm_side] and usable[tip_side]:
            colour = FINGER_COLOURS[(tip_side - 1) // 4]
            cv2.line(image, points[palm_side], points[tip_side], colour, width, cv2.LINE_AA, shift)
    radius = round(max(1.0, 2.6 * unit) * 2**shift)
    for index in np.flatnonzero(usable):
        colour = (255, 255, 255) if index == 0 else FINGER_COLOURS[(index - 1) // 4]
        line = max(1, round(0.8 * unit)) if hidden[index] else cv2.FILLED
        cv2.circle(image, points[index], radius, colour, line, cv2.LINE_AA, shift)


def write_caption(image: np.ndarray, hand: OverlayHand, screen: np.ndarray, unit: float) -> None:
    """Write side and score above the hand, or inside the image where there is no room above."""
    points = screen if hand.keypoints is None else np.vstack([screen[:, :2], hand.keypoints])
    box = bounds(points[:, :2], image.shape)
    if box is None:
        return
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.35, 0.5 * unit)
    width = max(1, round(1.2 * unit))
    (text_width, text_height), _ = cv2.getTextSize(hand.caption, font, scale, width)
    margin = round(max(3, 4 * unit))
    x = int(np.clip(box[0], margin, max(margin, image.shape[1] - text_width - margin)))
    y = int(np.clip(box[1] - margin, text_height + margin, image.shape[0] - margin))
    for colour, thickness in (((0, 0, 0), width + 2), (SIDE_COLOURS[hand.side], width)):
        cv2.putText(image, hand.caption, (x, y), font, scale, colour, thickness, cv2.LINE_AA)
