"""What a viewer shows of one image or frame: cameras, pictures, hands, trails. No browser is here.

The scene's frame is the camera's, or the rig's where several cameras see a frame; metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from fitter.errors import InputError
from fitter.fitted_hand import FittedHand
from fitter.formats.hand_record import track_of
from fitter.frame_hand import FrameHand
from fitter.inputs.photographs import Photographs
from fitter.inputs.through_lens import taken_through
from fitter.inputs.view_files import without_distortion
from fitter.posed_hand import PosedHand
from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_style import OverlayStyle
from fitter.results import FrameResults
from fitter.viewer.cameras import SceneCamera
from fitter.viewer.rows import StoreRows
from fitter.viewer.trails import Trail, trails_of

_BEHIND = 1.1
"""How far behind the farthest point of the hands the pictures hang: their depth times this, up to
the next step of a ladder, so that pictures do not move with the hands of a video."""

_LADDER = 2**0.25
"""Ratio of neighbouring depths of that ladder."""

_NO_HAND = 0.5
"""Metres at which a picture without a hand hangs."""


@dataclass(frozen=True)
class SceneHand:
    """A hand of a scene.

    Attributes:
        slot: of the hand in its image or frame, from 0 on.
        hand: what was fitted, with its mesh.
        track: number of its track in its video; None for a hand of none.
    """

    slot: int
    hand: PosedHand
    track: int | None = None

    @property
    def title(self) -> str:
        """What to call it in its scene."""
        track = "" if self.track is None else f", track {self.track}"
        score = "" if self.hand.score is None else f", score {self.hand.score:.2f}"
        return f"hand {self.slot}, {self.hand.side}{track}{score}"


@dataclass(frozen=True)
class Scene:
    """One image or frame as it is looked at.

    Attributes:
        name: of the image or frame.
        place: in the store, from 0 on.
        status: "ok", "no_hand", "failed" or "pending".
        error: why it failed, or None.
        time: seconds since the start of its video; None for what is of none.
        cameras: one of an image, those that saw it of a frame; none where nothing is known.
        hands: those that are shown, by their slots.
        others: its hands that are not shown.
        trails: of the wrists of tracks.
    """

    name: str
    place: int
    status: str
    error: str | None = None
    time: float | None = None
    cameras: Sequence[SceneCamera] = ()
    hands: Sequence[SceneHand] = ()
    others: int = 0
    trails: Sequence[Trail] = ()

    @cached_property
    def depth(self) -> float:
        """Metres at which pictures hang, behind all hands."""
        far = 0.0
        for camera in self.cameras:
            for seen in self.hands:
                points = seen.hand.fitted_vertices() @ camera.rotation.T + camera.translation
                far = max(far, float(points[:, 2].max()))
        if far <= 0:
            return _NO_HAND
        return float(_LADDER ** np.ceil(np.log(_BEHIND * far) / np.log(_LADDER)))

    @property
    def middle(self) -> np.ndarray:
        """(3,) metres, what to look at: the middle of the hands, or of the pictures."""
        if self.hands:
            return np.mean([seen.hand.fitted_vertices().mean(axis=0) for seen in self.hands], 0)
        if self.cameras:
            return np.mean([camera.plane(self.depth).centre for camera in self.cameras], axis=0)
        return np.array([0.0, 0.0, _NO_HAND])

    def overlay(self, camera: SceneCamera, style: OverlayStyle) -> np.ndarray | None:
        """The hands over a camera's picture, as `fit-hands --overlays` draws them.

        Returns:
            (H, W, 3) uint8 RGB of the height of `camera.pixels`; None where there is no picture.
        """
        if camera.pixels is None:
            return None
        scale = camera.pixels.shape[1] / camera.size[0]
        shown = []
        for seen in self.hands:
            drawn = _in_camera(seen.hand, camera).as_overlay(style)
            keypoints = None if drawn.keypoints is None else drawn.keypoints * scale
            shown.append(replace(drawn, keypoints=keypoints))
        return render_overlay(camera.pixels, shown, camera.pixel_intrinsics(), style)


def _in_camera(hand: PosedHand, camera: SceneCamera) -> FittedHand:
    if isinstance(hand, FrameHand):
        assert camera.rig_name is not None
        return hand.in_view(camera.rig_name)
    assert isinstance(hand, FittedHand)
    return hand


@dataclass(frozen=True)
class HandFilter:
    """Which hands are shown.

    Attributes:
        min_score: that a hand needs; one without a score has 0.
        only_valid: leave out those that were refused.
    """

    min_score: float = 0.0
    only_valid: bool = True

    def takes(self, hand: PosedHand) -> bool:
        """Whether a hand is shown; one whose fit failed has nothing to show."""
        if hand.has_failed or (self.only_valid and not hand.valid):
            return False
        return (0.0 if hand.score is None else float(hand.score)) >= self.min_score


class SceneMaker:
    """Makes scenes of a store's rows, and reads their pictures."""

    def __init__(
        self, rows: StoreRows, photographs: Photographs | None, picture_side: int = 1280
    ) -> None:
        """Take what scenes are made of.

        Args:
            rows: of the store.
            photographs: where pictures are; None for scenes without.
            picture_side: see `ViewerOptions`.
        """
        self.rows, self._photographs, self._side = rows, photographs, picture_side

    def scene(self, place: int, chosen: HandFilter | None = None) -> Scene:
        """An image or frame.

        Args:
            place: in the store.
            chosen: which hands are shown; None is `HandFilter()`.

        Raises:
            InputError: the store is damaged, or its hand model is not there.
        """
        chosen, name, row = chosen or HandFilter(), self.rows.name(place), self.rows.row(place)
        if row is None:
            return Scene(name, place, "pending")
        hands = self.rows.hands(place)
        shown = [
            SceneHand(slot, hand, track_of(hand))
            for slot, hand in enumerate(hands)
            if chosen.takes(hand)
        ]
        return Scene(
            name=name,
            place=place,
            status=row.status,
            error=row.error,
            time=getattr(row, "time", None),
            cameras=self._cameras(place, row),
            hands=shown,
            others=len(hands) - len(shown),
            trails=trails_of(self.rows, place, [seen.track for seen in shown]),
        )

    def _cameras(self, place: int, row: Any) -> list[SceneCamera]:
        results = self.rows.results
        if isinstance(results, FrameResults):
            return self._rig_cameras(place, row, results)
        if row.intrinsics is None or row.image_width is None or row.image_height is None:
            return []
        name, size = self.rows.name(place), (row.image_width, row.image_height)
        pixels = None
        if self._photographs is not None:
            through = taken_through(row.lens, row.intrinsics, size)
            pixels = self._photographs.of(name, size, through)
        here = SceneCamera(name, row.intrinsics, size, np.eye(3), np.zeros(3))
        return [replace(here, pixels=self._reduced(pixels))]

    def _rig_cameras(self, place: int, row: Any, results: FrameResults) -> list[SceneCamera]:
        found = []
        names = self.rows.store.frame_images[place]
        for camera, view, name in zip(results.rig.cameras, row.views, names, strict=True):
            width, height = view.image_width, view.image_height
            if not width or not height or view.intrinsics is None:
                continue
            pixels = None
            if self._photographs is not None:
                pixels = self._photographs.of(name, (width, height))
            if pixels is not None:
                try:
                    pixels = without_distortion(pixels, camera, name)
                except InputError:  # another size than the rig's images: a picture of another rig
                    pixels = None
            found.append(
                SceneCamera(
                    name=name,
                    intrinsics=view.intrinsics,
                    size=(width, height),
                    rotation=camera.rotation,
                    translation=camera.translation,
                    pixels=self._reduced(pixels),
                    rig_name=camera.name,
                )
            )
        return found

    def _reduced(self, pixels: np.ndarray | None) -> np.ndarray | None:
        if pixels is None or max(pixels.shape[:2]) <= self._side:
            return pixels
        scale = self._side / max(pixels.shape[:2])
        size = (max(1, round(scale * pixels.shape[1])), max(1, round(scale * pixels.shape[0])))
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
