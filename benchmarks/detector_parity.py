"""The detector's networks as we run them beside MediaPipe's own graph, on rendered hands.

.venv/mediapipe/bin/python benchmarks/detector_parity.py --count 1000

Both look at each picture once, without search and second look. A hand is found by both where its
keypoints are less than a quarter of its size apart; the distance of such pairs is told in pixels of
a hand of 256.
"""

from __future__ import annotations

import numpy as np
from measuring import BenchmarkError, parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from fitter.detection.backend import Backend, load_backend
from fitter.detection.same_hand import hand_size, ordered_distance
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.records import HandObservation

BATCH = 20
SAME = 0.25
MIN_SCORE = 0.5


def pairs(
    ours: list[HandObservation], theirs: list[HandObservation]
) -> list[tuple[HandObservation, HandObservation]]:
    """Hands that both have found, the nearest first."""
    found, left = [], list(theirs)
    for hand in ours:
        nearest = min(left, key=lambda other: ordered_distance(hand, other), default=None)
        if nearest is not None and ordered_distance(hand, nearest) < SAME:
            left.remove(nearest)
            found.append((hand, nearest))
    return found


def compare(own: Backend, graph: Backend, count: int, size: int, seed: int) -> dict[str, object]:
    engine = SyntheticEngine(size, SyntheticSettings())
    hands = {"ours": 0, "MediaPipe": 0, "both": 0, "other side": 0}
    distances: list[float] = []
    for start in range(0, count, BATCH):
        for pixels in engine.batch(seed, range(start, min(start + BATCH, count))).image.numpy():
            picture = Picture(pixels)
            windows = [Window.whole(pixels)]
            (ours,), (theirs,) = own.find(picture, windows), graph.find(picture, windows)
            same = pairs(ours, theirs)
            hands["ours"] += len(ours)
            hands["MediaPipe"] += len(theirs)
            hands["both"] += len(same)
            for a, b in same:
                hands["other side"] += a.side != b.side
                away = np.linalg.norm(a.keypoints - b.keypoints, axis=1).mean()
                distances.append(256 * float(away) / hand_size(b))
    if not distances:
        raise BenchmarkError("expected hands that both find, found none: take more pictures.")
    names = ("median", "95 %", "99 %", "largest")
    values = np.percentile(distances, [50, 95, 99, 100])
    return {
        "pictures": count,
        "hands": hands,
        "distance": dict(zip(names, map(float, values), strict=True)),
    }


def show(figures: dict) -> None:
    table = Table(title=f"{figures['pictures']} pictures")
    for heading in (*figures["hands"], *figures["distance"]):
        table.add_column(heading, justify="right")
    counts = [str(n) for n in figures["hands"].values()]
    table.add_row(*counts, *(f"{each:.3f}" for each in figures["distance"].values()))
    Console().print(table)


def main() -> None:
    options = parser("Our run of MediaPipe's networks beside its own graph, on renders.")
    options.add_argument("--count", type=positive, default=1000, help="pictures (default: 1000)")
    options.add_argument("--size", type=positive, default=320, help="pixels of their side")
    options.add_argument("--seed", type=int, default=31, help="of the renders")
    arguments = options.parse_args()
    use_threads(arguments.threads)
    try:
        graph = load_backend("mediapipe", MIN_SCORE)
    except InputError as error:
        raise BenchmarkError(str(error)) from error
    own = load_backend("builtin", MIN_SCORE)
    figures = compare(own, graph, arguments.count, arguments.size, arguments.seed)
    show(figures)
    write_json(arguments.json, figures)


if __name__ == "__main__":
    run_command(main)
