"""Where the hands of an export go that are written for the Rerun viewer: one recording.

    world                      axes of the camera: x right, y down, z forward
    world/camera               K, and below it the picture with the keypoints in it
    world/hands/NAME           a hand: `mesh`, `keypoints`, `facts`; NAME is its track or its slot

The timeline `image` is the image's place in the results. Frames of a video have a timeline of the
video's name, too, in seconds. The recording grows on the disk and not in memory.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from fitter.conventions import BONES, KEYPOINT_NAMES
from fitter.errors import InputError
from fitter.export.selection import ImageHands
from fitter.export.sinks import Sink, Source
from fitter.formats.hand_asset import HandAsset
from fitter.formats.hand_record import HandRecord
from fitter.formats.skin import encoded
from fitter.inputs.frame_names import video_of
from fitter.inputs.photographs import Photographs
from fitter.inputs.through_lens import taken_through
from fitter.rendering.overlay_hand import SIDE_COLOURS
from fitter.store.files import refused_as
from fitter.store.schema import SIDES, ImageRow
from fitter.system.files import whole_file

if TYPE_CHECKING:
    import rerun as rr

_QUALITY = 90
"""Of pictures, JPEG's 0 to 100."""

_PLANE = 0.5
"""Metres at which the Rerun viewer hangs pictures before their camera."""

_JOINT = 0.003
"""Metres, the radius of keypoints."""


class RecordingSink(Sink):
    """Rerun's recording."""

    def __init__(self, source: Source, recording: rr.RecordingStream) -> None:
        """Begin the recording."""
        import rerun as rr

        super().__init__(source)
        self._rr, self._recording = rr, recording
        images = source.request.images
        self._photographs = None if images is None else Photographs(images)
        self._fixed: set[str] = set()
        self._textures: dict[str, bytes] = {}
        self._shown: set[str] = set()
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)
        recording.log("world", rr.ViewCoordinates.RDF, static=True)
        recording.log("world", rr.AnnotationContext(_classes(rr)), static=True)

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        row = image.image
        if not isinstance(row, ImageRow):
            return  # not reached yet
        self._begin(image.name, image.place, row)
        before, self._shown = self._shown, set()
        if row.intrinsics is not None and row.image_width is not None:
            self._add_camera(image.name, row)
        fitted = [record for record in image.hands if not record.hand.has_failed]
        self.source.summary.without_mesh += len(image.hands) - len(fitted)
        for record in fitted:
            self._add_hand(record)
        for entity in sorted(before - self._shown):
            self._recording.log(entity, self._rr.Clear(recursive=False))
            self._textures.pop(entity, None)
        self.count(len(fitted))

    def finish(self) -> None:
        """See `Sink.finish`."""
        seen = self._photographs
        if seen is not None and seen.unread + seen.other_size:
            self.source.summary.unseen = seen.unread + seen.other_size

    def _log(self, entity: str, *said: Any) -> None:
        """Say something of an entity, which stands until the next image does not say it."""
        self._shown.add(entity)
        self._recording.log(entity, *said)

    def _begin(self, name: str, place: int, row: ImageRow) -> None:
        self._recording.reset_time()
        self._recording.set_time("image", sequence=place)
        video = video_of(name)
        if video is not None and row.time is not None and np.isfinite(row.time):
            self._recording.set_time(video[0], duration=float(row.time))

    def _add_camera(self, name: str, row: ImageRow) -> None:
        rr = self._rr
        assert row.image_width is not None and row.image_height is not None
        size = (row.image_width, row.image_height)
        camera = rr.Pinhole(
            image_from_camera=row.intrinsics,
            resolution=size,
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=_PLANE,
        )
        self._log("world/camera", camera)
        self._log("world/camera/name", rr.TextDocument(name))
        pixels = None
        if self._photographs is not None:
            through = taken_through(row.lens, row.intrinsics, size)
            pixels = self._photographs.of(name, size, through)
        if pixels is not None:
            jpeg = _jpeg(pixels)
            self._log(
                "world/camera/picture", rr.EncodedImage(contents=jpeg, media_type="image/jpeg")
            )

    def _add_hand(self, record: HandRecord) -> None:
        rr, hand = self._rr, record.hand
        assert hand.side is not None  # it was fitted
        track = record.track
        name = f"hand_{record.slot}" if track is None else f"track_{track}"
        name, kind = f"{name}_{hand.side}", SIDES.index(hand.side)
        self._add_mesh(f"world/hands/{name}/mesh", record)
        numbers = np.arange(len(KEYPOINT_NAMES))
        if hand.keypoints_3d is not None:
            points = rr.Points3D(
                hand.keypoints_3d, radii=_JOINT, class_ids=kind, keypoint_ids=numbers
            )
            self._log(f"world/hands/{name}/keypoints", points)
        if hand.keypoints_2d is not None:
            flat = rr.Points2D(hand.keypoints_2d, class_ids=kind, keypoint_ids=numbers)
            self._log(f"world/camera/picture/{name}", flat)
        facts = {"score": hand.score, "residual_px": hand.residual_px, "hand_size": hand.hand_size}
        numbers_said = {key: float(value) for key, value in facts.items() if value is not None}
        self._log(f"world/hands/{name}/facts", rr.AnyValues(side=hand.side, **numbers_said))

    def _add_mesh(self, entity: str, record: HandRecord) -> None:
        rr = self._rr
        asset = HandAsset.of(record.hand, self.source.results.meshes, "hand")
        corners, skin = asset.corners, asset.skin
        has_texture = skin.texture is not None and corners.uv is not None
        if entity not in self._fixed:  # what no frame changes is written once
            self._fixed.add(entity)
            fixed: dict[str, Any] = {"triangle_indices": corners.faces.astype(np.uint32)}
            if corners.uv is not None:
                # Their origin is the upper left corner of the picture.
                fixed["vertex_texcoords"] = (corners.uv * [1, -1] + [0, 1]).astype(np.float32)
            self._recording.log(entity, rr.Mesh3D.from_fields(**fixed), static=True)
        moving: dict[str, Any] = {
            "vertex_positions": asset.vertices[corners.vertices].astype(np.float32),
            "vertex_normals": asset.normals[corners.vertices].astype(np.float32),
        }
        if has_texture and skin.texture is not None:
            moving |= self._texture(entity, encoded(skin.texture))
        else:
            moving["vertex_colors"] = encoded(skin.colours)[corners.vertices]
        self._log(entity, rr.Mesh3D.from_fields(**moving))

    def _texture(self, entity: str, texels: np.ndarray) -> dict[str, Any]:
        """A texture (T, T, 3) uint8, where it is another one than the hand's last."""
        content = texels.tobytes()
        digest = hashlib.sha256(content).digest()
        if self._textures.get(entity) == digest:
            return {}
        self._textures[entity] = digest
        height, width = texels.shape[:2]
        kind = self._rr.components.ImageFormat(
            width, height, color_model="RGB", channel_datatype="U8"
        )
        return {"albedo_texture_buffer": content, "albedo_texture_format": kind}


@contextmanager
def recording_sink(source: Source) -> Iterator[Sink]:
    """The sink of a recording, which gets its name when the block ends without an error.

    Raises:
        InputError: rerun-sdk is not installed (`export.no_rerun`), or the file cannot be written
            (`output.cannot_write`).
    """
    if importlib.util.find_spec("rerun") is None:
        raise InputError("export.no_rerun", file="--format rrd")
    import rerun as rr

    out = source.request.out
    # One identity for one store, so that another export of it takes its place in the Rerun viewer.
    identity = source.results.store.path.resolve().name
    recording = rr.RecordingStream("fit-hands", recording_id=identity)
    with refused_as("output.cannot_write", out), whole_file(out) as partial:
        recording.save(partial)
        sink = RecordingSink(source, recording)
        yield sink
        sink.finish()
        source.require_hands()
        recording.flush()
        recording.disconnect()
        source.summary.files = 1


def _classes(rr: Any) -> list[Any]:
    """What the two sides are called, and which of their keypoints are joined."""
    points = [rr.AnnotationInfo(id=k, label=name) for k, name in enumerate(KEYPOINT_NAMES)]
    return [
        rr.ClassDescription(
            info=rr.AnnotationInfo(id=number, label=side, color=SIDE_COLOURS[side]),
            keypoint_annotations=points,
            keypoint_connections=list(BONES),
        )
        for number, side in enumerate(SIDES)
        if side in SIDE_COLOURS
    ]


def _jpeg(pixels: np.ndarray) -> bytes:
    done, content = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return content.tobytes()
