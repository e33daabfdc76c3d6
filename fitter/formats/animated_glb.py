"""GLB of a hand in motion: the skeleton of `fitter.formats.glb`, with an animation of a track.

Joints turn along the shorter way between frames, as glTF's linear interpolation has it. In gaps of
the track the hand is scaled to nothing, so that it is not seen.
"""

from __future__ import annotations

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from fitter.formats.glb import GlbScene
from fitter.formats.hand_asset import HandAsset
from fitter.formats.motion import HandMotion


def animated_glb(hand: HandAsset, motion: HandMotion) -> bytes:
    """A GLB file of a hand with an animation.

    Args:
        hand: with the skeleton and the shape of the motion, in any of its poses.
        motion: of the hand; a single frame is no animation.

    Returns:
        The file. The animation begins at 0 seconds; the mesh's extras hold `HandAsset.facts`.
    """
    scene = GlbScene()
    joints = scene.add(hand)
    if len(motion.frames) > 1:
        _animate(scene, joints, motion)
    return scene.content()


def _animate(scene: GlbScene, joints: list[int], motion: HandMotion) -> None:
    """Add the animation.

    Args:
        scene: with the hand.
        joints: the nodes of its joints; the camera's node is the one before them.
        motion: of the hand.
    """
    animation = gltf.Animation(name=motion.name)
    times = scene.numbers((motion.times - motion.times[0]).astype(np.float32), with_bounds=True)

    def add(node: int, path: str, values: np.ndarray, how: str = gltf.ANIM_LINEAR) -> None:
        output = scene.numbers(np.ascontiguousarray(values, np.float32))
        target = gltf.AnimationChannelTarget(node=node, path=path)
        channel = gltf.AnimationChannel(sampler=len(animation.samplers), target=target)
        sampler = gltf.AnimationSampler(input=times, output=output, interpolation=how)
        animation.channels.append(channel)
        animation.samplers.append(sampler)

    add(joints[0], "translation", motion.roots)
    for joint in (0, *motion.skeleton.rotating):
        add(joints[joint], "rotation", _quaternions(motion.rotations[:, joint]))
    if motion.gaps:
        shown = motion.is_there[:, None] * np.ones(3)
        add(joints[0] - 1, "scale", shown, gltf.ANIM_STEP)
    scene.root.animations.append(animation)


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """(F, 4) x y z w, each on the side of the one before it: of a quaternion and its negative,
    which are one rotation, readers would else go the longer way."""
    found = Rotation.from_matrix(rotations).as_quat()
    turned = np.sum(found[1:] * found[:-1], axis=1) < 0
    return found * np.where(np.cumsum([0, *turned]) % 2, -1.0, 1.0)[:, None]
