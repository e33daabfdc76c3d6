"""Measure the synthetic engine: does MediaPipe find its hands, how many images a second, how deep
do fingers reach into each other. `python scripts/measure_synthetic.py [--count 400] [--seed 200]`
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from datasets.synthetic import SyntheticEngine, SyntheticSettings  # noqa: E402
from fitter.hand_models import load_hand_model  # noqa: E402
from tests.support.synthetic_checks import found_hands, penetration  # noqa: E402

SIZE = 224
"""Of the images that the detector gets: FreiHAND's."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    batch = SyntheticEngine(SIZE, SyntheticSettings.unoccluded()).batch(
        options.seed, range(options.count)
    )
    found, placed = found_hands(batch)
    egocentric = batch.specs.view.egocentric.numpy()
    print(f"MediaPipe reports a hand in {found.mean():.1%} of {options.count} pictures")
    print(
        f"and puts it where it is in {placed.mean():.1%}: {placed[egocentric].mean():.1%} of the "
        f"egocentric ones, {placed[~egocentric].mean():.1%} of the others"
    )
    model = load_hand_model(dtype=torch.float64)
    depths = 1000 * np.array([penetration(model, v.numpy()) for v in batch.vertices[:100]])
    shares = np.quantile(depths, [0.5, 0.9, 0.95, 0.99])
    print(f"fingers in fingers, mm at 50, 90, 95, 99 %: {np.round(shares, 1).tolist()}")
    for size, supersampling in ((128, 2), (128, 1), (224, 2)):
        engine = SyntheticEngine(size, supersampling=supersampling)
        engine.batch(0, range(16))
        start = time.process_time()
        specs = engine.sample(1, range(64))
        sampled = time.process_time()
        engine.render(specs)
        rendered = time.process_time()
        print(
            f"{size} pixels, rendered {supersampling} times finer, one thread: specs "
            f"{1000 * (sampled - start) / 64:.1f} ms, "
            f"image {1000 * (rendered - sampled) / 64:.1f} ms"
        )


if __name__ == "__main__":
    main()
