"""Tracks of hands that move, and BVH read without any of our code, as its readers do."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from fitter.export.selection import ImageHands
from fitter.formats.hand_record import HandRecord
from fitter.inputs.frame_names import frame_name
from fitter.store.schema import HandRow, ImageRow
from tests.support.fitted_stores import image_row, posed_hand

GLTF = np.diag([1.0, -1.0, -1.0])
"""Takes the camera's axes to glTF's."""


@dataclass
class Bone:
    name: str
    parent: int
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: list[str] = field(default_factory=list)


@dataclass
class Bvh:
    """A file's skeleton, its channels' values (F, C), and the seconds of a frame."""

    bones: list[Bone]
    values: np.ndarray
    seconds: float

    @classmethod
    def read(cls, text: str) -> "Bvh":
        words = text.split()
        bones: list[Bone] = []
        stack: list[int] = []
        at = words.index("HIERARCHY") + 1
        while words[at] != "MOTION":
            word = words[at]
            if word in ("ROOT", "JOINT", "End"):
                name = words[at + 1] if word != "End" else f"{bones[stack[-1]].name}_end"
                bones.append(Bone(name, stack[-1] if stack else -1))
                at += 2
            elif word == "{":
                stack.append(len(bones) - 1)
                at += 1
            elif word == "}":
                stack.pop()
                at += 1
            elif word == "OFFSET":
                bones[-1].offset = np.array([float(w) for w in words[at + 1 : at + 4]])
                at += 4
            elif word == "CHANNELS":
                count = int(words[at + 1])
                bones[-1].channels = words[at + 2 : at + 2 + count]
                at += 2 + count
            else:
                raise AssertionError(word)
        assert words[at + 1] == "Frames:" and words[at + 3 : at + 5] == ["Frame", "Time:"]
        frames, seconds = int(words[at + 2]), float(words[at + 5])
        values = np.array([float(word) for word in words[at + 6 :]]).reshape(frames, -1)
        assert values.shape[1] == sum(len(bone.channels) for bone in bones)
        return cls(bones, values, seconds)

    def joints(self, frame: int) -> dict[str, np.ndarray]:
        """Where each joint and end stands in a frame."""
        rest = iter(self.values[frame])
        turns, places = [], []
        for bone in self.bones:
            place, turn = bone.offset.copy(), np.eye(3)
            for channel in bone.channels:
                value = next(rest)
                axis = "XYZ".index(channel[0])
                if channel.endswith("position"):
                    place[axis] += value
                else:
                    vector = np.zeros(3)
                    vector[axis] = np.radians(value)
                    turn = turn @ Rotation.from_rotvec(vector).as_matrix()
            if bone.parent >= 0:
                place = places[bone.parent] + turns[bone.parent] @ place
                turn = turns[bone.parent] @ turn
            places.append(place)
            turns.append(turn)
        return {bone.name: place for bone, place in zip(self.bones, places, strict=True)}


def tracked(seed: int, track: int, side: str = "right", shape: int = 0, **changes) -> HandRow:
    """A posed hand of a track; `shape` is the seed of its betas."""
    return posed_hand(seed, side, betas=posed_hand(shape).betas, track=track, **changes)


def frame_hands(video: str, number: int, place: int, *hands: HandRow, time=None) -> ImageHands:
    """A frame as exports go through it."""
    name, row = frame_name(video, number), image_row(*hands)
    row = ImageRow(**(vars(row) | {"time": time}))
    records = [HandRecord(name, place, slot, row, hand) for slot, hand in enumerate(hands)]
    return ImageHands(name, place, row, tuple(records))
