"""A rendered video of two hands of which everything is known: where they are in every frame.

The hands move smoothly through poses of the sampler, slowly and fast; they cross, one in front of
the other, twice; the left one leaves the picture and comes back; both wave toward the camera and
across it several times a second. The video is written once, with the truth beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from datasets.poses import sample_mode_angles
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.records import SampleSpecs, ViewpointSpec
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.touching.pairs import assembled, one_arm
from fitter.hand_models import hand_pose_from_angles, load_hand_model, pose_keypoints
from fitter.hand_models.anatomy import anatomy_of
from fitter.records import HandParams

SIZE, FIELD_OF_VIEW = 384, 55.0
"""Pixels of the picture's side, and what they show, degrees."""

RATE = 25
"""Frames a second."""

MODES = ("open", "relaxed", "gesture", "point", "platform", "fist")
"""Of the sampler, those in which a detector sees most of the fingers."""

DEPTH = 0.62
"""Metres from the camera around which the hands move."""

SIDES = ("right", "left")


@dataclass(frozen=True)
class Clip:
    """What a video shows.

    Attributes:
        seconds: its length.
        seed: of poses, people and light.
        size: pixels of its side.
    """

    seconds: float
    seed: int
    size: int = SIZE

    @property
    def frames(self) -> int:
        """How many there are."""
        return round(self.seconds * RATE)

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) K."""
        focal = self.size / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW) / 2)
        return np.array([[focal, 0, self.size / 2], [0, focal, self.size / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Truth:
    """Of T frames: right hand first.

    Attributes:
        keypoints: (T, 2, 21, 3) metres, camera frame.
        seen: (T, 2) bool, whether all of the hand is in the picture.
        is_fast: (T, 2) bool, of hands that wave.
        intrinsics: (3, 3) K.
    """

    keypoints: np.ndarray
    seen: np.ndarray
    is_fast: np.ndarray
    intrinsics: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Truth:
        """What `write_clip` has written."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


def write_clip(clip: Clip, path: Path) -> Truth:
    """Render a video, and write the truth and K beside it; what is there already is kept."""
    truth = path.with_suffix(".npz")
    if not truth.exists():
        found: list[np.ndarray] = []
        _write_video(path, clip.size, _pictures(clip, found))
        keypoints = np.stack(found)
        image = keypoints @ clip.intrinsics.T
        image = image[..., :2] / image[..., 2:]
        seen = ((image > 2) & (image < clip.size - 2)).all((2, 3))
        times = np.arange(clip.frames) / RATE
        fast = np.stack([_waves(times, clip.seconds)] * 2, 1)
        np.savez(truth, keypoints=keypoints, seen=seen, is_fast=fast, intrinsics=clip.intrinsics)
    return Truth.read(truth)


def _write_video(path: Path, size: int, pictures: Iterator[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16"})
        stream.pix_fmt, stream.width, stream.height = "yuv420p", size, size
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _pictures(clip: Clip, found: list[np.ndarray]) -> Iterator[np.ndarray]:
    """(S, S, 3) uint8 of each frame; the keypoints of its hands are added to `found`."""
    engine = SyntheticEngine(clip.size, SyntheticSettings(second_hand_share=1.0))
    base = engine.sample(clip.seed, [0])
    hands = _Hands(clip, base.hand.betas)
    view = _whole(clip)
    for frame in range(clip.frames):
        right, left = (hands.params(side, frame) for side in range(2))
        second = (left, replace(base.second.arm, bend=0 * base.second.arm.bend))
        arm = replace(one_arm(base), bend=0 * base.arm.bend)
        specs: SampleSpecs = assembled(base, right, arm, view, second)
        shift = (specs.lens.noise_shift + 37 * frame) % 64
        specs = replace(specs, lens=replace(specs.lens, noise_shift=shift))
        batches = engine.render_hands(specs)
        found.append(np.stack([batch.keypoints_3d[0].numpy() for batch in batches]))
        yield batches[0].image[0].numpy()


def _whole(clip: Clip) -> ViewpointSpec:
    side = torch.tensor([float(clip.size)], dtype=torch.float64)
    middle = torch.stack([side, side], 1) / 2
    return ViewpointSpec(
        torch.from_numpy(clip.intrinsics)[None], middle, side, torch.tensor([False])
    )


def _bump(times: np.ndarray, start: float, stop: float, ramp: float) -> np.ndarray:
    """0 before, 1 between, 0 after, by smooth steps."""

    def step(at: float) -> np.ndarray:
        share = ((times - at) / ramp).clip(0, 1)
        return share**3 * (10 - 15 * share + 6 * share**2)

    return step(start) - step(stop)


def _waves(times: np.ndarray, seconds: float) -> np.ndarray:
    """(T,) bool: when the hands wave."""
    return (times > 0.74 * seconds) & (times < 0.94 * seconds)


class _Hands:
    """How the two hands move, as right hands; the left one is the mirror image."""

    def __init__(self, clip: Clip, betas: torch.Tensor) -> None:
        self.model = load_hand_model("open_hand").double()
        self.keypoints = self.model.keypoint_model()
        self.betas = betas.double()
        times = np.arange(clip.frames) / RATE
        rngs = [np.random.default_rng([clip.seed, side, 18]) for side in range(2)]
        self.pose = [self._poses(rng, times) for rng in rngs]
        self.turn = [self._turns(rng, times) for rng in rngs]
        self.place = [self._places(rng, side, times, clip) for side, rng in enumerate(rngs)]

    def params(self, side: int, frame: int) -> HandParams:
        """Of one hand in one frame."""
        pose = torch.from_numpy(self.pose[side][frame])[None]
        turn = torch.from_numpy(self.turn[side][frame])[None]
        params = HandParams(turn, pose, self.betas, torch.zeros(1, 3, dtype=torch.float64))
        knuckle = pose_keypoints(self.keypoints, params)[1][:, 9]
        return replace(params, transl=torch.from_numpy(self.place[side][frame])[None] - knuckle)

    def _poses(self, rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        keys = _key_times(rng, times, 0.35, 1.4)
        angles = np.concatenate([sample_mode_angles(rng, str(rng.choice(MODES)), 1) for _ in keys])
        smooth = _eased(keys, angles.reshape(len(keys), -1), times).reshape(-1, 15, 3)
        axes = anatomy_of(self.model.data).axes
        return hand_pose_from_angles(torch.from_numpy(smooth), axes).numpy()

    def _turns(self, rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        from datasets.synthetic.poses import PoseModel

        frame = PoseModel.of(self.model).frame
        forward, palmar = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])
        facing = np.stack([np.cross(forward, palmar), forward, palmar]).T @ frame
        keys = _key_times(rng, times, 0.5, 1.6)
        shaken = np.deg2rad(rng.normal(0, 25, (len(keys), 3)).clip(-45, 45))
        spline = RotationSpline(keys, Rotation.from_rotvec(shaken) * Rotation.from_matrix(facing))
        return spline(times).as_rotvec()

    def _places(
        self, rng: np.random.Generator, side: int, times: np.ndarray, clip: Clip
    ) -> np.ndarray:
        """(T, 3); of the left hand mirrored."""
        seconds = clip.seconds
        keys = _key_times(rng, times, 0.5, 1.8)
        free = rng.normal(0, [0.025, 0.03, 0.05], (len(keys), 3)).clip(-0.08, 0.08)
        place = np.array([0.13, 0.02, DEPTH]) + CubicSpline(keys, free)(times)
        if side == 0:
            place[:, 0] *= -1  # a right hand is on the picture's left, palm to the camera
        crossing = _bump(times, 0.2 * seconds, 0.34 * seconds, 0.04 * seconds)
        inward = (-1.0 if side else 1.0) * 0.26 * crossing
        away = (0.09 if side else -0.09) * crossing
        wave = _bump(times, 0.74 * seconds, 0.93 * seconds, 0.4)
        fast = wave * np.sin(2 * np.pi * (2.6 if side else 2.1) * times)
        push = wave * np.sin(2 * np.pi * (1.7 if side else 2.3) * times + 1)
        gone = _bump(times, 0.45 * seconds, 0.62 * seconds, 0.5) if side else 0 * times
        place[:, 0] += inward + 0.05 * fast + 0.55 * gone
        place[:, 1] += 0.03 * push
        place[:, 2] += away + 0.07 * push
        return place * ([-1.0, 1.0, 1.0] if side else [1.0, 1.0, 1.0])


def _key_times(
    rng: np.random.Generator, times: np.ndarray, least: float, most: float
) -> np.ndarray:
    found = [0.0]
    while found[-1] <= times[-1]:
        found.append(found[-1] + rng.uniform(least, most))
    return np.array(found)


def _eased(keys: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """From key to key with no jump in speed or acceleration (Flash, Hogan, "The coordination of
    arm movements", 1985: minimum jerk), so that nothing lies beyond its two keys."""
    at = np.searchsorted(keys, times, side="right") - 1
    share = (times - keys[at]) / (keys[at + 1] - keys[at])
    share = (share**3 * (10 - 15 * share + 6 * share**2))[:, None]
    return values[at] * (1 - share) + values[at + 1] * share
