"""From photographs to result rows: the one module that knows every other record.

ImageEntry -> `look_at` -> SeenImage -> `Engine.fit` -> ImageRow, a block of images at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.images import ImageEntry, read_image, read_image_and_exif
from datasets.intrinsics import Intrinsics
from datasets.keypoint_files import KeypointFiles
from fitter.camera import project
from fitter.config import Config
from fitter.detect import Detector
from fitter.energies.priors import PoseSpace
from fitter.hand_models import HandModel, ManoOptions, load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.hand_models.skinning import pose_keypoints
from fitter.keypoint_fit import LEAST_EXTENT, FitModel, ObservationBatch, fit_keypoints
from fitter.overlay import OverlayHand, write_overlay
from fitter.quality import rms_error, trust
from fitter.records import HandObservation, HandParams, ImageRecord, InputError
from fitter.rows import FitStatus, HandRow, ImageRow
from fitter.solvers import Status

log = logging.getLogger(__name__)

_FIT_STATUS: dict[Status, FitStatus] = {
    Status.CONVERGED: "converged",
    Status.STALLED: "stalled",
    Status.MAX_ITERATIONS: "max_iterations",
    Status.DIVERGED: "diverged",
}


_LONGEST_NAME = 255
"""Bytes that file systems allow in one file name."""


@dataclass(frozen=True)
class Sources:
    """Where a run's pictures and what is known about them come from.

    Attributes:
        entries: the pictures, in the order of the store.
        intrinsics: how to come by each picture's K.
        keypoints: keypoints given by the user in place of the detector's, or None.
    """

    entries: Sequence[ImageEntry]
    intrinsics: Intrinsics
    keypoints: KeypointFiles | None = None


@dataclass(frozen=True)
class SeenImage:
    """What the first half of the pipeline knows of one picture; its pixels are gone by then.

    Attributes:
        size: (width, height) pixels, upright, or None for an unreadable picture.
        intrinsics: (3, 3) K, or None for an unreadable picture.
        intrinsics_source: where K came from.
        hands: at most `max_hands` observations.
        error: why the picture failed, or an empty text.
    """

    size: tuple[int, int] | None = None
    intrinsics: np.ndarray | None = None
    intrinsics_source: str | None = None
    hands: Sequence[HandObservation] = field(default_factory=tuple)
    error: str = ""


def look_at(sources: Sources, index: int, detector: Detector | None, max_hands: int) -> SeenImage:
    """Read one picture and find its hands; whatever goes wrong stays inside this picture.

    Args:
        sources: of the run.
        index: which picture.
        detector: not needed where keypoints are given.
        max_hands: hands kept at the most: the detector's surest, or the first of the user's file.
    """
    entry = sources.entries[index]
    try:
        pixels, exif = read_image_and_exif(entry.path)
        size = (pixels.shape[1], pixels.shape[0])
        matrix, source = sources.intrinsics.intrinsics_for(entry, index, size, exif)
        if sources.keypoints is not None:
            hands = sources.keypoints.hands_for(entry, index)
        else:
            image = ImageRecord(entry.name, entry.path, pixels, matrix, source)
            hands = detector.detect(image)
        return SeenImage(size, matrix, source, tuple(hands[:max_hands]))
    except InputError as error:
        # The row stands beside the picture's name: what was typed before it says nothing more, and
        # would make the rows depend on where the pictures lie.
        return SeenImage(error=str(error).removeprefix(f"{entry.path}: "))
    except Exception as error:
        # A fault of ours or of a library must not stop the other pictures of a long run.
        log.exception("unexpected error in %s", entry.path)
        return SeenImage(error=f"unexpected {type(error).__name__}: {error}")


class Engine:
    """A hand model ready to be fitted to observations, on one device."""

    def __init__(self, config: Config) -> None:
        """Load the model.

        Args:
            config: of the run.

        Raises:
            InputError: the model's file or the device is not usable.
        """
        self.config = config
        self.device = choose_device(config.run.device)
        source = config.model.path or config.model.name
        tips = config.model.fingertips
        mano = ManoOptions(
            fingertips=tips if isinstance(tips, str) else tuple(tips),
            fix_left_shapedirs=config.model.fix_left_shapedirs,
        )
        right = load_hand_model(source, "right", torch.float64, mano).to(self.device)
        self.models: Mapping[str, HandModel] = {"right": right, "left": right.mirrored()}
        like = torch.zeros((), dtype=torch.float64, device=self.device)
        pose_space = PoseSpace.of(anatomy_of(right.data), load_pose_prior(), like)
        self.fit_model = FitModel(right.keypoint_model(), pose_space)

    def fit(self, images: Sequence[SeenImage]) -> list[ImageRow]:
        """Fit every hand of the images, `batch_size` hands at a time; one row an image."""
        slots = [(i, hand) for i, image in enumerate(images) for hand in image.hands]
        rows: list[list[HandRow]] = [[] for _ in images]
        size = self.config.run.batch_size
        for start in range(0, len(slots), size):
            batch = slots[start : start + size]
            fitted = self._fit_batch(
                [hand for _, hand in batch], [images[i].intrinsics for i, _ in batch]
            )
            for (i, _), row in zip(batch, fitted, strict=True):
                rows[i].append(row)
        return [_image_row(image, hands) for image, hands in zip(images, rows, strict=True)]

    def vertices(self, row: HandRow) -> np.ndarray:
        """(V, 3) float32 mesh of a fitted hand in metres, camera frame."""
        params = HandParams(
            *(
                torch.as_tensor(value, dtype=torch.float64, device=self.device)[None]
                for value in (row.global_orient, row.hand_pose, row.betas, row.transl)
            )
        )
        return self.models[row.side](params).vertices[0].float().cpu().numpy()

    def _fit_batch(
        self, hands: Sequence[HandObservation], intrinsics: Sequence[np.ndarray]
    ) -> list[HandRow]:
        like = self.fit_model.keypoints.joint_template
        observed = ObservationBatch.of(hands, intrinsics, like)
        result = fit_keypoints(self.fit_model, observed, self.config.fit)
        # Everything stored follows from the parameters as they are stored, in single precision,
        # so that a reader who poses the model gets the stored joints back.
        params = result.params.to(torch.float32).to(torch.float64)
        joints, keypoints = self._pose(params, observed.is_left)
        arrays = {
            "global_orient": params.global_orient,
            "hand_pose": params.hand_pose,
            "betas": params.betas,
            "transl": params.transl,
            "joints_3d": joints,
            "keypoints_3d": keypoints,
            "keypoints_2d": project(keypoints, observed.intrinsics),
        }
        arrays = {name: tensor.float().cpu().numpy() for name, tensor in arrays.items()}
        status, iterations, cost = (
            tensor.cpu().numpy() for tensor in (result.status, result.iterations, result.cost)
        )
        rows = []
        for i, hand in enumerate(hands):
            fit = {name: array[i] for name, array in arrays.items()}
            solved = {
                "fit_status": _FIT_STATUS[Status(int(status[i]))],
                "iterations": int(iterations[i]),
                "final_cost": float(cost[i]),
            }
            rows.append(self._hand_row(hand, fit, solved))
        return rows

    def _pose(self, params: HandParams, is_left: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, 16, 3) and keypoints (B, 21, 3) of left and right hands, camera frame."""
        right = params.mirrored_where(is_left)
        joints, keypoints = pose_keypoints(self.fit_model.keypoints, right)
        mirror = torch.where(is_left[:, None], -1.0, 1.0).to(joints)
        axes = torch.cat([mirror, torch.ones_like(mirror), torch.ones_like(mirror)], -1)[:, None]
        return joints * axes, keypoints * axes

    def _hand_row(
        self, hand: HandObservation, fit: Mapping[str, np.ndarray], solved: Mapping[str, object]
    ) -> HandRow:
        finite = all(np.isfinite(array).all() for array in fit.values())
        valid = finite and solved["fit_status"] != "diverged"
        detected = {
            "side": hand.side,
            "side_score": hand.side_score,
            "detection_score": hand.score,
            "box": hand.box,
            "keypoints_2d_detected": hand.keypoints,
            "keypoint_confidence": hand.confidence,
            "detector_relative_depth": hand.relative_depth,
            "detector_relative_xyz": hand.relative_xyz,
        }
        if not valid:
            return HandRow(valid=False, fit_error=_why_failed(hand), **detected, **solved)
        error = np.linalg.norm(fit["keypoints_2d"] - hand.keypoints, axis=-1)
        residual, score = rms_error(hand, error), trust(hand, error)
        row = HandRow(valid=True, residual_px=residual, score=score, **detected, **solved, **fit)
        if self.config.output.save_vertices:
            return replace(row, vertices=self.vertices(row))
        return row


def _why_failed(hand: HandObservation) -> str:
    x0, y0, x1, y1 = hand.box
    extent = max(x1 - x0, y1 - y0)
    if not np.isfinite(hand.keypoints).all() or not np.isfinite(hand.confidence).all():
        return "expected finite keypoints, found some that are not"
    if extent < LEAST_EXTENT:
        return f"expected keypoints that span at least {LEAST_EXTENT:g} pixels, found {extent:.2g}"
    return "found no hand in front of the camera that explains these keypoints with this K"


def _image_row(image: SeenImage, hands: Sequence[HandRow]) -> ImageRow:
    if image.size is None:
        return ImageRow(image_status="failed", image_error=image.error)
    return ImageRow(
        image_status="ok" if hands else "no_hand",
        image_width=image.size[0],
        image_height=image.size[1],
        intrinsics=image.intrinsics,
        intrinsics_source=image.intrinsics_source,
        hands=tuple(hands),
    )


def overlay_name(name: str) -> str:
    """Path of an image's overlay in the folder of overlays: the image's own, with .jpg behind it,
    so that no two images share one. What is too long for a file system is cut and numbered."""
    folders, slash, last = name.rpartition("/")
    if len(last.encode()) > _LONGEST_NAME - len(".jpg"):
        digest = hashlib.sha256(last.encode()).hexdigest()[:16]
        last = last.encode()[: _LONGEST_NAME - 40].decode(errors="ignore") + "-" + digest
    return folders + slash + last + ".jpg"


def draw_results(folder: Path, entry: ImageEntry, row: ImageRow, engine: Engine) -> None:
    """Write the overlay of one fitted picture into `folder`; nothing for a failed picture.

    The overlay appears whole or not at all, so that one that is there need not be drawn again.

    Raises:
        InputError: the picture or the folder is gone, or cannot be written.
    """
    if row.image_status == "failed":
        return
    hands = [
        OverlayHand(
            vertices=engine.vertices(hand),
            faces=engine.models[hand.side].data.faces,
            side=hand.side,
            keypoints=hand.keypoints_2d,
            score=hand.score,
        )
        for hand in row.hands
        if hand.valid
    ]
    path = folder / overlay_name(entry.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    unfinished = path.with_name(f".unfinished-{os.getpid()}.jpg")
    try:
        write_overlay(unfinished, read_image(entry.path), hands, row.intrinsics)
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"cannot write the overlay {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def choose_device(name: str) -> torch.device:
    """The device that `--device` asks for.

    Raises:
        InputError: there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device {name!r}: expected a CUDA GPU that this PyTorch can use, found none; "
            "use --device cpu"
        )
    return torch.device(name)
