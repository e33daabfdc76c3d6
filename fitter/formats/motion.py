"""A hand in motion: one skeleton, and its pose in each frame of a track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fitter.formats.rig import local_rotations
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.skeleton import Skeleton
from fitter.store.schema import HandRow

if TYPE_CHECKING:
    from fitter.meshes import HandMeshes

FRAME_SECONDS = 1 / 30
"""Of a frame whose time is not known."""


@dataclass(frozen=True)
class MotionFrame:
    """What is kept of a hand in a frame of its track.

    Attributes:
        frame: number of the frame in its video, or in its sequence.
        time: seconds since the start of the video; None where it is not known.
        row: the hand: shape, pose, place and score, nothing else; None in a gap.
    """

    frame: int
    time: float | None
    row: HandRow | None = None

    @classmethod
    def of(cls, frame: int, time: float | None, hand: HandRow) -> MotionFrame:
        """Keep of a fitted hand what a motion needs."""
        kept = HandRow(
            valid=hand.valid,
            side=hand.side,
            score=hand.score,
            betas=hand.betas,
            global_orient=hand.global_orient,
            hand_pose=hand.hand_pose,
            transl=hand.transl,
        )
        return cls(frame, time, kept)


@dataclass(frozen=True, eq=False)
class HandMotion:
    """The skeleton of a hand with J joints, and F frames of it.

    Attributes:
        name: of the hand.
        skeleton: the tree of joints.
        rest_joints: (J, 3) float64 metres, the frame of the hand model: the hand at rest, of the
            shape that all frames share.
        tips: (5, 3) float64 metres, the ends of thumb, index, middle, ring and little finger at
            rest.
        rotations: (F, J, 3, 3) float64 of each joint relative to its parent, the root's relative to
            the camera; in a gap those of the frame before it.
        roots: (F, 3) float64 metres, the root joint in the camera's frame; likewise in a gap.
        frames: (F,) int64 their numbers.
        times: (F,) float64 seconds since the start of the video.
        is_there: (F,) bool, False in gaps.
        has_times: whether `times` are the video's; else frames follow each other at
            `FRAME_SECONDS`.
        betas: (S,) float64 the shape that all frames share.
        shape_error: metres, how far a joint of a frame is at most from where the frame's own shape
            has it, the root's place apart; 0 where all frames have one shape.
    """

    name: str
    skeleton: Skeleton
    rest_joints: np.ndarray
    tips: np.ndarray
    rotations: np.ndarray
    roots: np.ndarray
    frames: np.ndarray
    times: np.ndarray
    is_there: np.ndarray
    has_times: bool
    betas: np.ndarray
    shape_error: float

    @classmethod
    def of(cls, name: str, frames: Sequence[MotionFrame], meshes: HandMeshes) -> HandMotion:
        """The motion of a hand.

        The shape is the mean of its frames, which is theirs where a track shares one.

        Args:
            name: of the hand.
            frames: in order; the first one has the hand.
            meshes: the model that it was fitted with.
        """
        rows = [frame.row for frame in frames if frame.row is not None]
        side = rows[0].side
        assert side is not None  # it was fitted
        data = meshes.model(side).data
        own = np.stack([_betas(row) for row in rows])
        shared = own.mean(axis=0)
        rest = _rest_joints(data, shared)
        rotations = np.stack([local_rotations(data.skeleton, row) for row in rows])
        own_rests = [_rest_joints(data, betas) for betas in own]
        transl = np.stack([np.asarray(row.transl, np.float64) for row in rows])
        roots = transl + np.stack([joints[0] for joints in own_rests])
        errors = [np.linalg.norm((j - j[0]) - (rest - rest[0]), axis=1).max() for j in own_rests]
        is_there = np.array([frame.row is not None for frame in frames])
        held = np.cumsum(is_there) - 1  # the frame that a gap holds
        times = [frame.time for frame in frames]
        has_times = all(time is not None and np.isfinite(time) for time in times)
        return cls(
            name=name,
            skeleton=data.skeleton,
            rest_joints=rest,
            tips=_tips(data, shared),
            rotations=rotations[held],
            roots=roots[held],
            frames=np.array([frame.frame for frame in frames]),
            times=_times(times if has_times else None, len(frames)),
            is_there=is_there,
            has_times=has_times,
            betas=shared,
            shape_error=float(max(errors)),
        )

    @property
    def seconds(self) -> float:
        """Between neighbouring frames, the mean; `FRAME_SECONDS` of a single one."""
        if len(self.times) < 2:
            return FRAME_SECONDS
        return float((self.times[-1] - self.times[0]) / (len(self.times) - 1))

    @property
    def gaps(self) -> int:
        """Frames without the hand."""
        return int((~self.is_there).sum())


def _times(times: Sequence[float | None] | None, count: int) -> np.ndarray:
    if times is None:
        return FRAME_SECONDS * np.arange(count)
    return np.array(times, np.float64)


def _betas(row: HandRow) -> np.ndarray:
    assert row.betas is not None  # it was fitted
    return np.asarray(row.betas, np.float64)


def _rest_joints(data: HandModelData, betas: np.ndarray) -> np.ndarray:
    resting = data.rest_joints
    return resting.template + resting.shapedirs[:, :, : len(betas)] @ betas


def _tips(data: HandModelData, betas: np.ndarray) -> np.ndarray:
    """(5, 3) the fingertips of a shape at rest."""
    tips = list(data.tip_vertices)
    return data.v_template[tips] + data.shapedirs[tips][:, :, : len(betas)] @ betas
