"""How long a rendered stereo pair takes beside a single image, processor time on one thread.

python benchmarks/pairs.py --size 224 --count 32
"""

from __future__ import annotations

import argparse
import time

import torch

from datasets.synthetic import RigEngine, SyntheticEngine, SyntheticSettings, stereo_rig


def main() -> None:
    """Print milliseconds a sample: sampled, and rendered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--count", type=int, default=32, help="samples")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = SyntheticSettings(view="egocentric")
    engine = SyntheticEngine(options.size, settings, supersampling=1)
    pair = RigEngine(engine, stereo_rig(0.1, (1280, 1280)), crops=True)
    numbers = range(options.count)
    for name, source in (("single image", engine), ("pair", pair)):
        source.batch(0, range(2))  # compiles and fills caches
        start = time.process_time()
        samples = source.sample(0, numbers)
        sampled = time.process_time()
        source.render(samples)
        ends = sampled - start, time.process_time() - sampled
        first, second = (1e3 * seconds / options.count for seconds in ends)
        print(f"{name}: {first:.1f} ms to sample, {second:.1f} ms to render")


if __name__ == "__main__":
    main()
