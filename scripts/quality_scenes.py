"""Pictures for the quality model: rendered hands as photographs show them, and pictures without.

Scene i depends on (seed, i) alone. A hand fills its picture or stands small in a larger one, and
is sharp, blurred, dark, grey, noisy or badly compressed. One scene in `EMPTY_EVERY` shows no hand:
a render without its hands, or a window of a background. Scenes are kept on disk in parts, because
rendering takes longer than anything after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from datasets.synthetic import SampleSpecs, SyntheticEngine, SyntheticSettings
from datasets.synthetic.backgrounds import load_bank

SIZE = 224
"""Side of a render in pixels."""
PART = 64
"""Scenes in a file."""
EMPTY_EVERY = 6
"""One scene of so many shows no hand."""
AS_RENDERED, WORSE = 0.45, 0.45
"""Probabilities that a render is the whole picture, and that the picture is made worse."""
SMALLEST, LARGEST_CANVAS = 0.16, 420
"""Least factor by which a render is shrunk into a larger picture, and its longest side, pixels."""
_STREAM = 91
"""Apart from what else a seed decides."""
_BEHIND = -5.0
"""Metres along z where a hand that is not to be seen is put."""


@dataclass(frozen=True)
class Scene:
    """One picture and what is true of it.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB.
        intrinsics: (3, 3) K, pixels.
        keypoints_3d: (21, 3) metres, camera frame, of the right hand; NaN where there is none.
        keypoints_2d: (21, 2) pixels; NaN likewise.
        states: (21,) uint8, VISIBLE ... OUTSIDE.
        other_hand: there is another hand, of which nothing is told.
    """

    pixels: np.ndarray
    intrinsics: np.ndarray
    keypoints_3d: np.ndarray
    keypoints_2d: np.ndarray
    states: np.ndarray
    other_hand: bool

    @property
    def is_empty(self) -> bool:
        """There is no hand."""
        return bool(np.isnan(self.keypoints_3d).any()) and not self.other_hand


def write_scenes(folder: Path, seed: int, count: int) -> None:
    """Write the scenes that are missing.

    Args:
        folder: of the parts; made where it is missing.
        seed: of the scenes.
        count: of the scenes, a multiple of `PART`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    engines: dict[str, SyntheticEngine] = {}
    banks = {name: load_bank(name) for name in ("procedural", "packages")}
    for start in range(0, count, PART):
        path = scene_file(folder, seed, start)
        if path.exists():
            continue
        # Painted and photographed backgrounds take turns.
        name = ("procedural", "packages")[start // PART % 2]
        if name not in engines:
            engines[name] = SyntheticEngine(
                SIZE, SyntheticSettings(backgrounds=name), supersampling=1
            )
        scenes = _scenes(engines[name], banks[name], seed, range(start, start + PART))
        partial = path.with_suffix(".tmp")
        with partial.open("wb") as file:
            np.savez(
                file,
                **{
                    f"{number}_{key}": value
                    for number, scene in enumerate(scenes)
                    for key, value in vars(scene).items()
                },
            )
        partial.rename(path)


def scene_file(folder: Path, seed: int, start: int) -> Path:
    """The file of `PART` scenes from number `start` on."""
    return folder / f"scenes-{seed}-{start:06d}.npz"


def read_scenes(path: Path) -> list[Scene]:
    """The scenes of a file, in order."""
    with np.load(path) as arrays:
        rows = [
            {key: arrays[f"{number}_{key}"] for key in Scene.__dataclass_fields__}
            for number in range(PART)
        ]
    return [Scene(**{**row, "other_hand": bool(row["other_hand"])}) for row in rows]


def _scenes(engine: SyntheticEngine, bank: np.ndarray, seed: int, indices: range) -> list[Scene]:
    specs = engine.sample(seed, indices)
    empty = specs.index % EMPTY_EVERY == EMPTY_EVERY - 1
    batch = engine.render(_without_hands(specs, empty))
    unknown = torch.where(empty[:, None, None], torch.nan, 0.0)
    rendered = [
        Scene(*(values[row].numpy() for values in columns), other)
        for row, other in enumerate((specs.second.present & ~empty).tolist())
        for columns in [
            (
                batch.image,
                batch.intrinsics,
                batch.keypoints_3d + unknown,
                batch.keypoints_2d + unknown,
                batch.keypoint_state,
            )
        ]
    ]
    return [
        _photographed(scene, bank, np.random.default_rng([seed, index, _STREAM]))
        for scene, index in zip(rendered, indices, strict=True)
    ]


def _without_hands(specs: SampleSpecs, empty: torch.Tensor) -> SampleSpecs:
    """The scenes with both hands and their arms behind the camera where `empty` (B,) is set."""
    moved = {}
    for name in ("hand", "second"):
        record = getattr(specs, name)
        hand = record if name == "hand" else record.hand
        transl = hand.transl.clone()
        transl[empty, 2] = _BEHIND
        hand = replace(hand, transl=transl)
        moved[name] = hand if name == "hand" else replace(record, hand=hand)
    return replace(specs, **moved)


def _photographed(scene: Scene, bank: np.ndarray, rng: np.random.Generator) -> Scene:
    if rng.random() > AS_RENDERED:
        scene = _placed(scene, bank, rng)
    if rng.random() < WORSE:
        return replace(scene, pixels=_worse(scene.pixels, rng))
    return scene


def _placed(scene: Scene, bank: np.ndarray, rng: np.random.Generator) -> Scene:
    """The picture shrunk and laid into a larger one."""
    factor = float(np.exp(rng.uniform(np.log(SMALLEST), 0)))
    side = max(16, round(SIZE * factor))
    factor = side / SIZE
    small = cv2.resize(scene.pixels, (side, side), interpolation=cv2.INTER_AREA)
    width, height = (int(rng.integers(max(side, SIZE), LARGEST_CANVAS)) for _ in range(2))
    canvas = _window(bank[rng.integers(len(bank))], (width, height), rng)
    x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    canvas[y : y + side, x : x + side] = small
    to_canvas = np.array([[factor, 0, x], [0, factor, y], [0, 0, 1.0]])
    return replace(
        scene,
        pixels=canvas,
        intrinsics=to_canvas @ scene.intrinsics,
        keypoints_2d=scene.keypoints_2d * factor + [x, y],
    )


def _window(image: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A part of an image of the bank at another size (W, H)."""
    side = int(rng.integers(len(image) // 2, len(image) + 1))
    x, y = (int(rng.integers(0, len(image) - side + 1)) for _ in range(2))
    part = image[y : y + side, x : x + side]
    return np.ascontiguousarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR))


def _worse(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture out of focus, darkened, grey, noisy or badly compressed; one or two of these."""
    ways = rng.permutation(5)[: 1 + int(rng.random() < 0.4)]
    image = pixels.astype(np.float32)
    if 0 in ways:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 3.5)))
    if 1 in ways:
        image = image * float(np.exp(rng.uniform(np.log(0.06), np.log(0.5))))
    if 2 in ways:
        image = np.repeat(image @ np.float32([0.299, 0.587, 0.114])[:, None], 3, axis=-1)
    if 3 in ways:
        image = image + rng.normal(0, rng.uniform(4, 25), image.shape)
    result = image.clip(0, 255).round().astype(np.uint8)
    if 4 in ways:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(6, 40))]
        result = cv2.imdecode(cv2.imencode(".jpg", result, quality)[1], cv2.IMREAD_COLOR)
    return result
