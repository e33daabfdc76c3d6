"""Which hands are found, which things are taken for hands, and what looking costs.

    python benchmarks/recall.py --search fast standard thorough
    python benchmarks/recall.py --real FOLDER --renders 1000 --search standard
    python benchmarks/recall.py --renders 0 --empty 0 --limit 75

FOLDER (default: the variable HAND_REAL_DATA; without either only renders are measured) holds
``photos/`` with ``hands.json``, boxes around the hands that a person sees, and ``dev/``, annotated
images in FreiHAND's layout. Rows of the table:

photos
    Found is a box in whose middle part a valid hand's keypoints have their middle, of about its
    size; each hand serves one box. The rule is that of `found_boxes`. Phantoms are hands that serve
    none.
dev, renders
    As they are, and changed as `recall_data.variants` names it. Found is a hand whose keypoints are
    less than 0.3 hand sizes from the true ones in the mean. "of unchanged" is the share found of
    the hands that are found in the unchanged image.
without hands
    Free images in installed packages, faces of packages, and renders of backgrounds and objects.
    Every hand is a phantom.

A hand counts where its fit is valid; "sure" are those whose `score` is 0.3 or more. CPU time is
that of detection, without reading, fitting and storing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from measuring import BenchmarkError, add_set, parser, run_command, use_threads, write_json
from recall_data import (
    Photo,
    Scene,
    annotated,
    package_pictures,
    photos,
    read,
    rendered,
    variants,
    without_hands,
)
from rich.console import Console
from rich.table import Table

from fitter.config.options import Config, load_config
from fitter.engine import Engine
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.intrinsics import centred_intrinsics
from fitter.records import ImageRecord
from fitter.workers.image_detector import ImageDetector, find_hands

SURE = 0.3
"""Least score of a hand that counts as sure."""

SAME_HAND = 0.3
"""Mean distance of keypoints over hand size below which a hand is the true one."""

RENDER_SEED = 41000
"""Of the renders; another than those that networks learn from and policies are chosen on."""


@dataclass(frozen=True)
class Found:
    """Hands of one image: (N, 21, 2) keypoints, (N,) scores of the fits; CPU time in seconds."""

    keypoints: np.ndarray
    scores: np.ndarray
    seconds: float


@dataclass
class Row:
    """A row of the table: counts of hands over some images."""

    search: str
    images: str
    count: int = 0
    hands: int = 0
    found: int = 0
    sure: int = 0
    phantoms: int = 0
    sure_phantoms: int = 0
    kept: float | None = None
    seconds: float = 0.0

    def add(self, found: Found, of_truth: Sequence[int | None]) -> None:
        """Count an image: for each true hand the number of the hand found, or None."""
        hits = [number for number in of_truth if number is not None]
        rest = np.delete(found.scores, hits)
        self.count += 1
        self.hands += len(of_truth)
        self.found += len(hits)
        self.sure += int((found.scores[hits] >= SURE).sum())
        self.phantoms += len(rest)
        self.sure_phantoms += int((rest >= SURE).sum())
        self.seconds += found.seconds


class HandFinder:
    """Detector and fit, one image at a time."""

    def __init__(self, config: Config) -> None:
        self.config, self.engine = config, Engine(config)
        self.detector = ImageDetector(config, detects=True).detector
        self.field_of_view = np.deg2rad(config.camera.default_fov_degrees)

    def __call__(self, name: str, pixels: np.ndarray) -> Found:
        size = (pixels.shape[1], pixels.shape[0])
        focal_length = 0.5 * max(size) / np.tan(0.5 * self.field_of_view)
        matrix = centred_intrinsics((focal_length, focal_length), size)
        image = ImageRecord(name, Path(name), pixels, matrix, "default")
        start = time.process_time()
        detected = find_hands(image, None, None, self.detector, self.config)
        seconds = time.process_time() - start
        rows = [hand for hand in self._fit(detected) if hand.valid]
        keypoints = [hand.keypoints_2d_detected for hand in rows]
        return Found(
            np.array(keypoints, float).reshape(-1, 21, 2),
            np.array([hand.score for hand in rows], float),
            seconds,
        )

    def _fit(self, detected: DetectedImage) -> Sequence:
        return self.engine.fit([detected])[0].hands if detected.hands else ()


def found_boxes(found: Found, boxes: np.ndarray) -> list[int | None]:
    """For each box (N, 4) the hand that it shows: the one of the best score, each hand once."""
    free, result = set(range(len(found.scores))), []
    low, high = found.keypoints.min(axis=1), found.keypoints.max(axis=1)
    middle, size = (low + high) / 2, (high - low).max(axis=1)
    for x0, y0, x1, y1 in boxes:
        extent = max(x1 - x0, y1 - y0)
        margin = 0.1 * extent
        fits = [
            number
            for number in free
            if x0 - margin <= middle[number, 0] <= x1 + margin
            and y0 - margin <= middle[number, 1] <= y1 + margin
            and 0.5 < size[number] / extent < 2
        ]
        best = max(fits, key=lambda number: found.scores[number], default=None)
        free -= {best}
        result.append(best)
    return result


def found_hands(found: Found, scene: Scene) -> list[int | None]:
    """For each true hand the one found that lies on it: the nearest, each hand once."""
    free, result = set(range(len(found.scores))), []
    for truth in scene.hands:
        size = np.ptp(truth, axis=0).max()
        distance = np.linalg.norm(found.keypoints - truth, axis=2).mean(axis=1) / size
        near = [number for number in free if distance[number] < SAME_HAND]
        best = min(near, key=lambda number: distance[number], default=None)
        free -= {best}
        result.append(best)
    return result


def photo_row(search: str, finder: HandFinder, given: Sequence[Photo]) -> Row:
    row = Row(search, "photos")
    for photo in given:
        found = finder(photo.path.name, read(photo.path))
        row.add(found, found_boxes(found, photo.boxes))
    return row


def scene_rows(
    search: str,
    finder: HandFinder,
    name: str,
    scenes: Iterable[Scene],
    changes: dict[str, Callable[[Scene], Scene]],
) -> list[Row]:
    """A row for each change; what was found unchanged is what the others are compared with."""
    rows = {change: Row(search, f"{name}, {change}") for change in changes}
    kept = dict.fromkeys(changes, 0)
    for scene in scenes:
        was_found = {}
        for change, function in changes.items():
            changed = function(scene)
            found = finder(scene.name, changed.pixels)
            of_truth = found_hands(found, changed)
            rows[change].add(found, of_truth)
            was_found[change] = of_truth[0] is not None
        for change in changes:
            kept[change] += was_found[change] and was_found["unchanged"]
    for change, row in rows.items():
        row.kept = kept[change] / max(1, rows["unchanged"].found)
    return list(rows.values())


def empty_row(search: str, finder: HandFinder, scenes: Sequence[Scene]) -> Row:
    row = Row(search, "without hands")
    for scene in scenes:
        row.add(finder(scene.name, scene.pixels), [])
    return row


def show(rows: Sequence[Row]) -> None:
    table = Table(title=f"sure: score of at least {SURE}")
    for heading in ("search", "images"):
        table.add_column(heading)
    for heading in (
        "count",
        "hands",
        "found",
        "sure",
        "of unchanged",
        "phantoms",
        "sure",
        "CPU ms",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.search,
            row.images,
            str(row.count),
            str(row.hands),
            str(row.found),
            str(row.sure),
            "" if row.kept is None else f"{100 * row.kept:.1f} %",
            str(row.phantoms),
            str(row.sure_phantoms),
            f"{1000 * row.seconds / max(1, row.count):.1f}",
        )
    Console(width=120).print(table)


def main() -> None:
    options = parser("Which hands are found, which things are taken for hands, and the CPU time.")
    options.add_argument("--real", type=Path, default=os.environ.get("HAND_REAL_DATA") or None)
    options.add_argument("--limit", type=int, help="take only so many images of dev")
    options.add_argument("--renders", type=int, default=200, help="default: 200")
    options.add_argument("--empty", type=int, default=100, help="images without hands")
    options.add_argument("--search", nargs="*", default=[], help="values of detector.search")
    options.add_argument("--changes", nargs="*", help="some of the changes alone")
    add_set(options)
    arguments = options.parse_args()
    use_threads(arguments.threads)
    behind = [scene.pixels for scene in package_pictures()]
    changes = variants(behind)
    if unknown := set(arguments.changes or ()) - set(changes):
        raise BenchmarkError(f"expected some of {', '.join(changes)}, found {min(unknown)}.")
    wanted = {"unchanged", *(changes if arguments.changes is None else arguments.changes)}
    changes = {name: function for name, function in changes.items() if name in wanted}
    empty = without_hands(arguments.empty, RENDER_SEED) if arguments.empty else []
    rows: list[Row] = []
    for search in arguments.search or ["as configured"]:
        asked = [f"detector.search={search}"] if arguments.search else []
        finder = HandFinder(load_config(None, ["run.device=cpu", *asked, *arguments.set]))
        finder("warm up", np.zeros((64, 64, 3), np.uint8))
        if arguments.real is not None:
            rows.append(photo_row(search, finder, photos(Path(arguments.real) / "photos")))
            dev = annotated(Path(arguments.real) / "dev", arguments.limit)
            rows += scene_rows(search, finder, "dev", dev, changes)
        if arguments.renders:
            scenes = rendered(arguments.renders, RENDER_SEED)
            rows += scene_rows(search, finder, "renders", scenes, changes)
        if empty:
            rows.append(empty_row(search, finder, empty))
    show(rows)
    write_json(arguments.json, {"rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    run_command(main)
