"""BVH: a hand's skeleton and its motion as text, which Blender, Maya and MotionBuilder read.

    HIERARCHY   a joint below its parent, with its place relative to it in the rest pose
    MOTION      the number of frames, the seconds between them, a line of numbers for each

Lengths are metres and angles degrees. The axes are glTF's: x right, y up, z toward the viewer. A
joint's rotation is relative to its parent; its channels are in the order in which the rotations are
multiplied, ``R = Rz Ry Rx``. The root has its place, too.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from fitter.conventions import FINGERS
from fitter.formats.glb import GLTF_FROM_CAMERA
from fitter.formats.motion import HandMotion

_PLACE = "Xposition Yposition Zposition"
_TURN = "Zrotation Yrotation Xrotation"
_EULER = "ZYX"
"""The same for scipy; capitals are rotations about the axes that turned with the joint."""


def bvh(motion: HandMotion) -> str:
    """The text of a motion; in gaps the hand holds still."""
    skeleton = motion.skeleton
    below = [
        [joint for joint, parent in enumerate(skeleton.parents) if parent == above]
        for above in range(skeleton.count)
    ]
    moving = {0, *skeleton.rotating}
    order: list[int] = []
    lines = ["HIERARCHY"]

    def write(joint: int, start: np.ndarray, depth: int) -> None:
        order.append(joint)
        pad, place = "\t" * depth, motion.rest_joints[joint]
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {skeleton.names[joint]}")
        lines.append(f"{pad}{{")
        lines.append(f"{pad}\tOFFSET {_numbers(place - start)}")
        channels = _TURN if depth else f"{_PLACE} {_TURN}"
        lines.append(f"{pad}\tCHANNELS {len(channels.split())} {channels}")
        for child in below[joint]:
            if child in moving:
                write(child, place, depth + 1)
            else:  # the end of a finger of a model whose ends are joints
                lines.extend(_end(motion.rest_joints[child] - place, depth + 1))
        if not below[joint]:
            lines.extend(_end(_tip(motion, joint) - place, depth + 1))
        lines.append(f"{pad}}}")

    write(0, motion.rest_joints[0], 0)
    lines += ["MOTION", f"Frames: {len(motion.frames)}", f"Frame Time: {motion.seconds:.9f}"]
    places = motion.roots @ GLTF_FROM_CAMERA.T
    angles = np.concatenate([_angles(motion, joint) for joint in order], axis=1)
    lines += [f"{_numbers(a)} {_numbers(b)}" for a, b in zip(places, angles, strict=True)]
    return "\n".join(lines) + "\n"


def frame_table(motion: HandMotion) -> str:
    """CSV beside a motion: of each of its lines the frame of the video, its time in seconds, and 1
    where the hand was found, 0 where it holds still in a gap."""
    rows = zip(motion.frames, motion.times, motion.is_there, strict=True)
    lines = [f"{frame},{time:.9g},{int(there)}" for frame, time, there in rows]
    return "\n".join(["frame,time,found", *lines]) + "\n"


def _angles(motion: HandMotion, joint: int) -> np.ndarray:
    """(F, 3) degrees about z, y, x, without leaps of whole turns."""
    rotations = motion.rotations[:, joint]
    if joint == 0:
        rotations = GLTF_FROM_CAMERA @ rotations
    with warnings.catch_warnings():
        # Where y turns by 90 degrees x and z are about one axis: one of them is 0, which is right.
        warnings.simplefilter("ignore", UserWarning)
        angles = Rotation.from_matrix(rotations).as_euler(_EULER, degrees=True)
    return np.unwrap(angles, axis=0, period=360.0)


def _tip(motion: HandMotion, joint: int) -> np.ndarray:
    """(3,) the end of the finger whose last joint this is."""
    finger = motion.skeleton.names[joint].partition("_")[0]
    return motion.tips[FINGERS.index(finger)]


def _end(offset: np.ndarray, depth: int) -> list[str]:
    pad = "\t" * depth
    return [f"{pad}End Site", f"{pad}{{", f"{pad}\tOFFSET {_numbers(offset)}", f"{pad}}}"]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
