"""Render `docs/synthetic.jpg`: samples of the synthetic engine, and what is true of some."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from datasets.synthetic import SyntheticBatch, SyntheticEngine  # noqa: E402

SIZE = 160
COLUMNS, ROWS = 10, 6
EXPLAINED = 10
"""Samples of which mask, parts, depth and keypoints are shown as well."""
SEED = 2
MOST_BYTES = 400_000
BONES = [(0, 1 + 4 * f) for f in range(5)] + [
    (1 + 4 * f + k, 2 + 4 * f + k) for f in range(5) for k in range(3)
]
STATE_COLOURS = ("lime", "orange", "red", "grey")
PART_COLOURS = np.array(
    [
        [30, 30, 34],
        [226, 170, 138],
        [150, 104, 84],
        [84, 110, 170],
        [120, 180, 96],
        [200, 110, 180],
    ],
    np.uint8,
)


def depth_image(depth: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8: near is bright."""
    seen = depth > 0
    low, high = (depth[seen].min(), depth[seen].max()) if seen.any() else (0.0, 1.0)
    shade = 255 - 200 * (depth - low) / max(high - low, 1e-6)
    return np.repeat(np.where(seen, shade, 20)[..., None], 3, axis=2).astype(np.uint8)


def keypoint_image(batch: SyntheticBatch, row: int) -> np.ndarray:
    """(S, S, 3) uint8: the skeleton, each keypoint coloured by what hides it."""
    rendered = Image.fromarray((batch.image[row].numpy() * 0.6).astype(np.uint8))
    pen = ImageDraw.Draw(rendered)
    places = [tuple(place) for place in batch.keypoints_2d[row].tolist()]
    for first, second in BONES:
        pen.line([places[first], places[second]], "white")
    for (x, y), state in zip(places, batch.keypoint_state[row].tolist(), strict=True):
        pen.ellipse([x - 2.5, y - 2.5, x + 2.5, y + 2.5], STATE_COLOURS[state])
    return np.array(rendered)


def main() -> None:
    """Render the figure, at the place named on the command line if any."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "synthetic.jpg"
    torch.set_num_threads(1)
    batch = SyntheticEngine(SIZE).batch(SEED, range(COLUMNS * ROWS))
    tiles = list(batch.image.numpy())
    masks = (batch.mask * 255).round().to(torch.uint8).numpy()
    tiles += [np.repeat(mask[..., None], 3, axis=2) for mask in masks[:EXPLAINED]]
    tiles += [PART_COLOURS[parts] for parts in batch.parts.numpy()[:EXPLAINED]]
    tiles += [depth_image(depth) for depth in batch.depth.numpy()[:EXPLAINED]]
    tiles += [keypoint_image(batch, row) for row in range(EXPLAINED)]
    rows = [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]
    sheet = Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows]))
    for quality in range(88, 30, -4):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    target.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
