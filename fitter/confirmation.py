"""Hands that one camera shows alone although others should see them: most of them are none.

What a detector takes for a hand in one view is seen by no other; so is a hand that it puts far off
its place. Whether another camera should see it follows from the fitted hand.
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

BORDER = 0.5
"""Of the longer side of its box in an image, by which a hand has to be away from the border: so far
it may lie beside its place where one view alone tells its distance."""

LEAST_SIZE = 0.5
"""Of its longer side in the view that shows it: a hand that is smaller elsewhere may be missed."""

MOST_HIDDEN = 0.2
"""Share of its keypoints that other hands may hide before it may be missed."""


def without_unconfirmed(
    frame: DetectedFrame,
    matched: Sequence[ViewedHand],
    rows: Sequence[HandRow],
    meshes: HandMeshes,
) -> list[HandRow]:
    """The rows of a frame's hands; not valid where one camera shows what others should see.

    A camera should see a hand that lies in front of it, well inside its image, not much smaller
    than where it is seen, and not behind another hand that this camera shows. One whose image has
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
        silent = scene.silent(place) if row.valid and scene.is_alone(place) else 0
        if silent:
            (view,) = matched[place].places
            facts = {"camera": frame.rig.cameras[view].name, "found": silent}
            row = replace(row, valid=False, fit_error=sentence("fit.unconfirmed", facts))
        found.append(row)
    return found


@dataclass(frozen=True)
class _Scene:
    """See `without_unconfirmed`."""

    frame: DetectedFrame
    matched: Sequence[ViewedHand]
    rows: Sequence[HandRow]
    meshes: HandMeshes

    def is_alone(self, place: int) -> bool:
        """Whether one view shows a hand, by a detector that tells its presence."""
        places = self.matched[place].places
        if len(places) > 1:
            return False
        ((view, number),) = places.items()
        image = self.frame.views[view]
        return image is not None and image.hands[number].presence is not None

    def silent(self, place: int) -> int:
        """How many cameras should see a hand and do not."""
        (own,) = self.matched[place].places
        least = LEAST_SIZE * self._extent(self._positions(place, own))
        return sum(
            view != own
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
            if other != place and view in hand.places and not self.rows[other].has_failed
        ]
        hands = [self._hand(each, view) for each in (place, *hiding)]
        assert image.intrinsics is not None  # it has a size
        return bool(1 - behind_others(hands, image.intrinsics)[0].mean() <= MOST_HIDDEN)

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
