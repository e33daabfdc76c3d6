"""Textures of real hands, to be looked at: no figure says what is wrong with them.

HAND_REAL_DATA=... python benchmarks/textures_real.py --out looked_at --hands 5 --frames 60

The folder has `photos/*.jpg` and `video/*.mp4`. For the surest hands of the photographs, and for
the first frames of each video as pictures of one hand, a PNG shows the hand with its texture where
the camera saw it and from two other sides, and another one the texture and what of it is measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from measuring import BenchmarkError, parser, positive, run_command, use_threads
from PIL import Image

import fitter
from fitter.inputs import read_image
from fitter.rendering.shading import srgb_from_linear
from fitter.textures import HandTexture, TextureFusion


def frames(path: Path, count: int) -> Iterator[np.ndarray]:
    """The first images of a video, (H, W, 3) uint8 RGB."""
    video = cv2.VideoCapture(str(path))
    for _ in range(count):
        is_there, image = video.read()
        if not is_there:
            break
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    video.release()


def write(
    out: Path, name: str, pixels: np.ndarray, hand: fitter.FittedHand, texture: HandTexture
) -> None:
    """The two PNGs of a hand."""
    box = np.asarray(hand.box)
    middle, half = 0.5 * (box[:2] + box[2:]), 0.8 * (box[2:] - box[:2]).max()
    low = np.maximum(middle - half, 0).astype(int)
    high = np.minimum(middle + half, hand.image_size).astype(int)
    drawn = hand.overlay(pixels, "appearance", 1.0, ["side", "back"], texture=texture)
    width = pixels.shape[1]
    seen = drawn[low[1] : high[1], low[0] : high[0]]
    beside = drawn[:, width:]
    height = 512
    parts = [pixels[low[1] : high[1], low[0] : high[0]], seen, beside]
    scaled = [cv2.resize(p, (max(1, p.shape[1] * height // p.shape[0]), height)) for p in parts]
    Image.fromarray(np.hstack(scaled)).save(out / f"{name}.png")
    colours = srgb_from_linear(torch.from_numpy(texture.colours)).numpy()
    certain = np.repeat(np.minimum(texture.weight, 1)[..., None], 3, 2)
    both = np.hstack([colours, certain])
    Image.fromarray((255 * both).round().astype(np.uint8)).save(out / f"{name}-texture.png")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--hands", type=positive, default=5)
    options.add_argument("--frames", type=positive, default=60)
    options.add_argument("--texels", type=positive, default=512)
    runs = options.parse_args()
    use_threads(runs.threads)
    folder = os.environ.get("HAND_REAL_DATA")
    if folder is None:
        raise BenchmarkError("expected the folder of the real pictures in HAND_REAL_DATA")
    runs.out.mkdir(parents=True, exist_ok=True)
    with fitter.HandFitter() as found:
        images = {path: read_image(path) for path in sorted(Path(folder).glob("photos/*.jpg"))}
        hands = {path: found(pixels) for path, pixels in images.items()}
        surest = sorted(
            ((path, hand) for path, each in hands.items() for hand in each if hand.valid),
            # The surest of those that are not too small to be looked at.
            key=lambda pair: (
                -pair[1].score * min(1, np.ptp(pair[1].keypoints_2d, axis=0).max() / 150)
            ),
        )
        for number, (path, hand) in enumerate(surest[: runs.hands]):
            texture = hand.extract_texture(images[path], size=runs.texels, others=hands[path])
            write(runs.out, f"{path.stem}-{number}", images[path], hand, texture)
            print(path.name, hand.side, f"measured {texture.measured.mean():.2f}")
        for path in sorted(Path(folder).glob("video/*.mp4")):
            fusion, last = None, None
            for pixels in frames(path, runs.frames):
                each = found(pixels, keypoints=None)
                for hand in each[:1]:
                    if not hand.valid:
                        continue
                    fusion = fusion or TextureFusion(hand.meshes.atlas(runs.texels))
                    fusion.add(hand.extract_texture(pixels, size=runs.texels, others=each))
                    last = (pixels, hand)
            if fusion is not None and last is not None:
                texture = fusion.result()
                write(runs.out, path.stem.replace(".", "-"), *last, texture)
                print(
                    path.name, f"{fusion.pictures} frames, measured {texture.measured.mean():.2f}"
                )


if __name__ == "__main__":
    run_command(main)
