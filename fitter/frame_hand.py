"""One hand that several cameras have seen, as a user gets it, from the Python door or a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fitter.errors import InputError
from fitter.fitted_hand import FittedHand
from fitter.formats.hand_record import HandRecord
from fitter.posed_hand import PosedHand
from fitter.rig import FrameNames, Rig, RigCamera
from fitter.store.frame_schema import FrameRow, ViewHandRow, ViewStatus
from fitter.store.schema import HandRow, ImageRow

if TYPE_CHECKING:
    from fitter.meshes import HandMeshes


@dataclass(frozen=True, kw_only=True, eq=False)
class HandInView(ViewHandRow):
    """What one camera saw of a hand. Positions are pixels of its image without distortion.

    Attributes:
        camera: of the rig.
        image_name: of its image; empty where it has none of the frame.
        view_status: "ok", "no_hand", "failed" or "missing".
        image_size: (width, height) of the image, pixels; None where it was not read.
        intrinsics: (3, 3) float64 K, pixels; None likewise.
        view_weight: how far the view counted: 1 in full, 0 where it does not show the hand.
        detection_score: how sure the detector is that this is a hand, in [0, 1].
        side_score: probability of the hand's side, in [0.5, 1].
        box: (4,) x0, y0, x1, y1 around the detected keypoints, pixels.
        keypoints_2d_detected: (21, 2) keypoints as detected, pixels.
        keypoint_confidence: (21,) of the detected keypoints, in [0, 1].
        keypoints_2d: (21, 2) projection of the fitted hand's, pixels.
        residual_px: root mean square distance of the two, pixels.
        keypoint_visibility: (21,) probability that each keypoint is seen in the image.
        mask_source: where the mask came from: "given", "network", "grabcut", or "rejected".
        mask_agreement: how far the mask agreed with keypoints and mesh, in [0, 1].
        mask_iou: intersection over union of the fitted mesh and the mask.
    """

    camera: RigCamera
    image_name: str
    view_status: ViewStatus | None
    image_size: tuple[int, int] | None
    intrinsics: np.ndarray | None

    def undistorted(self, image: np.ndarray) -> np.ndarray:
        """The camera's image without its lens's distortion, to which all positions belong.

        Args:
            image: (H, W, 3) uint8 RGB as the camera took it.

        Returns:
            (H, W, 3) uint8 RGB, black where the lens showed nothing.

        Raises:
            InputError: it is no image (`array.*`), or has another size than the camera's
                (`view.size`).
        """
        from fitter.inputs.arrays import check_pixels
        from fitter.inputs.view_files import without_distortion

        return without_distortion(check_pixels(image, "image"), self.camera, "image")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FrameHand(PosedHand):
    """A hand that one camera or several of a rig have seen at one moment.

    Lengths are metres in the rig's frame; fields have the names and shapes of `FittedHand`, and
    what belongs to one image (box, keypoints in pixels, masks) stands in `views`.

    Attributes:
        frame_name: of the frame.
        rig: the cameras.
        views: what each camera saw of the hand, by the camera's name, for all cameras of the rig.
    """

    frame_name: str
    rig: Rig
    views: Mapping[str, HandInView]

    @classmethod
    def of(cls, names: FrameNames, row: FrameRow, slot: int, rig: Rig, meshes: HandMeshes) -> Self:
        """A hand of a frame that was read, with its mesh.

        Args:
            names: of the frame and its images.
            row: of the frame.
            slot: place of the hand among the row's.
            rig: the cameras.
            meshes: the model it was fitted with.
        """
        hand = row.hands[slot]
        assert hand.side is not None
        values = {field.name: getattr(hand, field.name) for field in fields(HandRow)}
        if not hand.has_failed:
            values["vertices"] = meshes.vertices(hand)
        views = {}
        for camera, view, image in zip(rig.cameras, row.views, names.images, strict=True):
            seen = view.hands[slot] if view.hands else ViewHandRow()
            width, height = view.image_width, view.image_height
            size = (width, height) if width and height else None  # a store has 0 for none
            views[camera.name] = HandInView(
                **{field.name: getattr(seen, field.name) for field in fields(ViewHandRow)},
                camera=camera,
                image_name=image,
                view_status=view.view_status,
                image_size=size,
                intrinsics=view.intrinsics,
            )
        return cls(
            **values,
            frame_name=names.name,
            rig=rig,
            views=views,
            faces=meshes.faces(hand.side),
            meshes=meshes,
        )

    @property
    def title(self) -> str:
        """See `PosedHand`."""
        return self.frame_name

    @property
    def seen_by(self) -> list[str]:
        """Names of the cameras whose views counted."""
        return [name for name, view in self.views.items() if view.view_weight]

    def in_view(self, camera: str) -> FittedHand:
        """The hand as a `FittedHand` of a camera's image, in the camera's frame, for overlays and
        textures; also where the camera saw nothing of it.

        The image is the one without distortion, see `HandInView.undistorted`.

        Args:
            camera: its name.

        Raises:
            InputError: there is no such camera, or it has no image of the frame
                (`views.no_image`).
        """
        view = self.views.get(camera)
        if view is None or view.image_size is None or view.intrinsics is None:
            known = ", ".join(n for n, v in self.views.items() if v.image_size is not None)
            raise InputError("views.no_image", file=self.title, expected=known, found=camera)
        from fitter.views.camera_hands import hand_in_camera

        own = ViewHandRow(**{f.name: getattr(view, f.name) for f in fields(ViewHandRow)})
        hand = hand_in_camera(self, view.camera, own)
        row = HandRow(**{f.name: getattr(hand, f.name) for f in fields(HandRow)})
        width, height = view.image_size
        image = ImageRow(
            image_width=width,
            image_height=height,
            intrinsics=view.intrinsics,
            intrinsics_source="given",
        )
        return FittedHand.of(view.image_name, image, row, self.meshes)

    def to_dict(self) -> dict[str, Any]:
        """See `PosedHand.to_dict`; `views` as mappings of the same kind, `rig` left out."""
        found = super().to_dict()
        del found["rig"]
        found["views"] = {name: _plain(view) for name, view in self.views.items()}
        return found

    def _record(self) -> HandRecord:
        return HandRecord(self.frame_name, None, None, ImageRow(), self, self.views)


def _plain(view: HandInView) -> dict[str, Any]:
    values = {field.name: getattr(view, field.name) for field in fields(view)}
    del values["camera"]
    return {name: value for name, value in values.items() if value is not None}
