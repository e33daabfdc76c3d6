"""Writes tar files of annotated images, as `datasets.readers.shards` describes them."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.hand_pairs import SIDES, HandPair, hand_pair
from tests.support.marked_files import VIEW, box_of, seen
from tests.support.shard_files import write_shard


def write_annotated_shards(folder: Path, models: Path) -> dict[str, HandPair]:
    """Two shards of two images with both hands, and one image without a hand.

    Returns:
        Name -> the hands, of the images with some.
    """
    folder.mkdir(parents=True)
    pairs = {}
    for shard in range(2):
        members = {}
        for image in range(2):
            pair = hand_pair(models, 2 * shard + image, VIEW)
            pairs[f"00{shard}.tar/s/{image}.png"] = pair
            members |= _sample(f"s/{image}", pair, SIDES)
        if shard:
            members |= _sample("s/none", pair, ())
        write_shard(folder / f"00{shard}.tar", members)
    return pairs


def _sample(key: str, pair: HandPair, sides: tuple[str, ...]) -> dict[str, bytes]:
    hands, labels = [], np.zeros(pair.image.shape[:2], np.uint8)
    for number, side in enumerate(sides, start=1):
        hand = pair.hands[side]
        labels[hand.mask] = number
        hands.append(
            {
                "side": side,
                "keypoints_2d": seen(hand).tolist(),
                "keypoints_3d": hand.keypoints.tolist(),
                "confidence": np.linspace(0.5, 1, 21).tolist(),
                "box": box_of(hand),
            }
        )
    said = {
        "K": VIEW.intrinsics.tolist(),
        "hands": hands,
        "definition": "mano",
        "size": list(VIEW.size),
    }
    return {
        f"{key}.png": _png(pair.image),
        f"{key}.json": json.dumps(said).encode(),
        f"{key}.mask.png": _png(labels),
    }


def _png(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "png")
    return written.getvalue()
