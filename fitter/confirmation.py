"""Hands that fewer cameras show than should see them and do not: most of them are none.

What a detector takes for a hand in one view is seen by hardly another; so is a hand that it puts
off its place or takes for one of the other side, beside the same hand as the other views have it.
Whether a camera should see a hand follows from where it was fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fitter.errors import sentence
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.undistortion import Undistortion
from fitter.meshes import HandMeshes
from fitter.quality.visibility import SceneHand, behind_others
from fitter.rig import RigCamera
from fitter.store.schema import HandRow
from fitter.views.matching import ViewedHand
from fitter.views.triangulation import HAND_LENGTH

BORDER = 0.25
"""Of the longer side of its box in an image, by which a hand has to be away from the border: so far
it may lie beside its place where one view alone tells its distance."""

LEAST_SIZE = 0.5
"""Of its longer side in the view that shows it: a hand that is smaller elsewhere may be missed."""

MOST_HIDDEN = 0.2
"""Share of its keypoints that other hands may hide before it may be missed."""

SAME_PLACE = 0.3
"""Mean distance of their keypoints, in `HAND_LENGTH`, below which two hands are one that was found
twice: of hands that clasp each other the keypoints are farther apart."""

LEAST_SILENT = 2
"""Cameras that have to contradict a hand. One against one says nothing: in pairs of rendered views
the detector misses as many hands in one view as it makes up in the other."""


def without_unconfirmed(
    frame: DetectedFrame,
    matched: Sequence[ViewedHand],
    rows: Sequence[HandRow],
    meshes: HandMeshes,
) -> list[HandRow]:
    """The rows of a frame's hands; not valid where fewer cameras show one than contradict it.

    A camera contradicts a hand that it does not show and should see: one in front of it, well
    inside its image, not much smaller than where it is seen, and not behind another hand that this
    camera shows, unless that one is the same hand, found by more cameras. A camera whose image has
    more hands than slots is not asked. Hands that somebody gave, or whose network tells no
    presence, are as they were.

    Args:
        frame: the frame.
        matched: its H hands.
        rows: of the same, in the rig's frame.
        meshes: of the hands.
    """
    scene = _Scene(frame, matched, rows, meshes)
    found = []
    for place, row in enumerate(rows):
        if row.valid and scene.is_detected(place):
            shown, silent = len(matched[place].places), scene.silent(place)
            if silent >= LEAST_SILENT and silent > shown:
                facts = {"shown": shown, "found": silent}
                row = replace(row, valid=False, fit_error=sentence("fit.unconfirmed", facts))
        found.append(row)
    return found


def without_few_views(
    matched: Sequence[ViewedHand], rows: Sequence[HandRow], least: int
) -> list[HandRow]:
    """The rows of a frame's hands; not valid where fewer than `least` cameras show one."""
    found = []
    for hand, row in zip(matched, rows, strict=True):
        shown = len(hand.places)
        if row.valid and shown < least:
            facts = {"least": least, "found": shown}
            row = replace(row, valid=False, fit_error=sentence("fit.few_views", facts))
        found.append(row)
    return found


@dataclass(frozen=True)
class _Scene:
    """See `without_unconfirmed`."""

    frame: DetectedFrame
    matched: Sequence[ViewedHand]
    rows: Sequence[HandRow]
    meshes: HandMeshes

    def is_detected(self, place: int) -> bool:
        """Whether a detector that tells its presence has found a hand in all of its views."""
        images = [(self.frame.views[v], k) for v, k in self.matched[place].places.items()]
        return all(image is not None and image.hands[k].presence is not None for image, k in images)

    def silent(self, place: int) -> int:
        """How many cameras should see a hand and do not show it."""
        own = self.matched[place].places
        least = LEAST_SIZE * min(self._extent(self._positions(place, view)) for view in own)
        return sum(
            view not in own
            and image is not None
            and image.size is not None
            and not image.hands_beyond
            and self._should_see(place, view, image, least)
            for view, image in enumerate(self.frame.views)
        )

    def _should_see(self, place: int, view: int, image: DetectedImage, least: float) -> bool:
        camera = self.frame.rig.cameras[view]
        if not (self._points(place, camera)[:, 2] > 0).all():
            return False
        positions = self._positions(place, view)
        extent = self._extent(positions)
        room = np.minimum(positions, np.array(image.size) - positions).min()
        if extent < least or room < BORDER * extent or not self._shown(camera, image, positions):
            return False
        hiding = [
            other
            for other, hand in enumerate(self.matched)
            if other != place
            and view in hand.places
            and not self.rows[other].has_failed
            and not self._is_same(place, other)
        ]
        hands = [self._hand(each, view) for each in (place, *hiding)]
        assert image.intrinsics is not None  # it has a size
        return bool(1 - behind_others(hands, image.intrinsics)[0].mean() <= MOST_HIDDEN)

    def _is_same(self, place: int, other: int) -> bool:
        """Whether another hand, of more views, is where a hand is: it does not hide it then."""
        points = [self.rows[each].keypoints_3d for each in (place, other)]
        assert points[0] is not None and points[1] is not None  # they were fitted
        apart = np.linalg.norm(points[0] - points[1], axis=1).mean()
        is_more = len(self.matched[other].places) > len(self.matched[place].places)
        return bool(is_more and apart < SAME_PLACE * HAND_LENGTH)

    def _points(self, place: int, camera: RigCamera) -> np.ndarray:
        """(21, 3) metres, a hand's keypoints in a camera's frame."""
        points = self.rows[place].keypoints_3d
        assert points is not None  # it was fitted
        return np.asarray(points @ camera.rotation.T + camera.translation)

    def _positions(self, place: int, view: int) -> np.ndarray:
        """(21, 2) pixels of a view."""
        image = self.frame.views[view]
        assert image is not None and image.intrinsics is not None
        pixels = self._points(place, self.frame.rig.cameras[view]) @ image.intrinsics.T
        return np.asarray(pixels[:, :2] / pixels[:, 2:])

    def _hand(self, place: int, view: int) -> SceneHand:
        row, camera = self.rows[place], self.frame.rig.cameras[view]
        assert row.side is not None
        vertices = self.meshes.vertices(row) @ camera.rotation.T + camera.translation
        return SceneHand(
            vertices,
            self.meshes.faces(row.side),
            self._points(place, camera),
            self._positions(place, view),
        )

    @staticmethod
    def _shown(camera: RigCamera, image: DetectedImage, positions: np.ndarray) -> bool:
        """Whether the lens shows positions (21, 2) within the image, which is without distortion
        and black where it shows nothing."""
        assert image.size is not None
        straightened = Undistortion.of(camera, image.size)
        if straightened is None or straightened.inside is None:
            return True
        x, y = np.floor(positions).astype(int).T
        return bool(straightened.inside[y, x].all())

    @staticmethod
    def _extent(positions: np.ndarray) -> float:
        """The longer side of the box around positions (21, 2), in their unit."""
        return float(np.ptp(positions, axis=0).max())
