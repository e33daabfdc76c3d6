"""What is a fit worth in which the held object is known?

synth-hands --count 300 --out work/grasps --interaction objects --size 512 --seed 90211
python benchmarks/grasps.py work/grasps --json benchmarks/results/grasps/held_out.json

Fits rendered hands that hold something, found by the real detector, twice: the object unknown, and
its mesh and pose given (`--objects`). Of both: M-PD, the deepest vertex of hand or object in the
other (Yu et al., CVPR 2023, section 4.3), and the share of hands with more than 1 mm of it;
precision and recall of contact within 3 mm; the error of keypoints after Procrustes, and as they
are in the camera. The truth's own M-PD stands beside them. What is measured of a grasp is a line of
a file in FOLDER, named by the configuration and the code that fits, so that a run that was stopped
goes on, and no other one does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import BenchmarkError, parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table

import fitter
from datasets.annotations import AnnotatedHand, AnnotatedImage
from datasets.readers import open_dataset
from fitter import HandFitter, metrics
from fitter.contact import PosedObject, Surface, closed
from fitter.fitted_hand import FittedHand
from fitter.hand_models import HandModel, load_hand_model
from fitter.inputs.seen_objects import annotated_object
from fitter.records import HandParams

ARMS = ("unknown", "known")
"""Of the object."""
CONTACT = 0.003
"""Metres within which surfaces touch, of `metrics.contact_scores`."""
DEEP = 1.0
"""Millimetres of penetration that can be seen."""
DEEPER = (5.0, 10.0)
"""Of penetration that is wrong, of which hands are counted."""


@dataclass(frozen=True)
class Measured:
    """One hand of one arm; lengths are millimetres, NaN where there is none.

    Attributes:
        name: of the image.
        arm: see `ARMS`.
        found: whether the detector found the hand.
        depth: M-PD; true_depth: that of the truth.
        precision, recall: of contact.
        aligned, raw: errors of the keypoints.
    """

    name: str
    arm: str
    found: bool
    depth: float = np.nan
    true_depth: float = np.nan
    precision: float = np.nan
    recall: float = np.nan
    aligned: float = np.nan
    raw: float = np.nan


class Grasps:
    """The rendered grasps and who fits them."""

    def __init__(self, folder: Path, config: str) -> None:
        self.images = open_dataset("synthetic", folder)
        self.fitter = HandFitter(device="cpu", max_hands=2, config=config)
        self.model: HandModel = load_hand_model("open_hand", dtype=torch.float64)
        self.faces = closed(self.model.faces, len(self.model.v_template))

    @property
    def digest(self) -> str:
        """Of what fits: of the configuration, and of the code of `fitter`."""
        root = Path(fitter.__file__).parent
        code = [path.read_bytes() for path in sorted(root.rglob("*.py"))]
        said = json.dumps(self.fitter.config.model_dump(mode="json"), sort_keys=True).encode()
        return hashlib.sha256(b"".join([said, *code])).hexdigest()[:16]

    def measured(self, place: int, arms: Sequence[str] = ARMS) -> Iterator[Measured]:
        """Of image `place` a line for each of some arms."""
        sample = self.images[place]
        name = sample.annotation.name
        # To measure with; the fit takes its own from the sample.
        objects = [annotated_object(seen, "", name) for seen in sample.annotation.objects]
        (truth,) = sample.annotation.hands
        for arm in arms:
            hands = self.fitter(sample, use=("objects",) if arm == "known" else ())
            own = _own(hands, truth)
            if own is None:
                yield Measured(name, arm, False)
            else:
                yield self._compared(sample, arm, own, objects)

    def _compared(
        self, sample: AnnotatedImage, arm: str, hand: FittedHand, objects: Sequence[PosedObject]
    ) -> Measured:
        (truth,) = sample.annotation.hands
        thing = objects[0]
        body = Surface(torch.from_numpy(thing.vertices)[None], torch.from_numpy(thing.mesh.faces))
        fitted, true = (
            Surface(torch.as_tensor(np.asarray(v, np.float64))[None], self.faces)
            for v in (hand.vertices, self._true_vertices(truth))
        )
        depths = [metrics.penetration_depth(one, body, None) for one in (fitted, true)]
        touch = metrics.contact_scores((fitted, body), (true, body), CONTACT)
        points = (hand.keypoints_3d[None], truth.keypoints_3d[None])
        return Measured(
            sample.annotation.name,
            arm,
            True,
            *(1000 * float(one.maximum[0]) for one in depths),
            float(touch.precision[0]),
            float(touch.recall[0]),
            1000 * float(metrics.pa_mpjpe(*points)[0]),
            1000 * float(metrics.mpjpe(*points)[0]),
        )

    def _true_vertices(self, truth: AnnotatedHand) -> np.ndarray:
        """(V, 3) metres."""
        said = truth.parameters
        assert said is not None  # it was rendered
        values = (said.global_orient, said.hand_pose, said.betas, said.translation)
        found = self.model(HandParams(*(torch.as_tensor(v)[None].double() for v in values)))
        return found.vertices[0].numpy()


def _own(hands: Sequence[FittedHand], truth: AnnotatedHand) -> FittedHand | None:
    """The fit of the annotated hand: of its side, and in its place by half of the hand's size."""
    size = np.ptp(truth.keypoints_2d, axis=0).max()
    near = [
        (float(np.abs(hand.keypoints_2d - truth.keypoints_2d).mean()), k)
        for k, hand in enumerate(hands)
        if hand.valid and hand.side == truth.side
    ]
    off, k = min(near, default=(np.inf, -1))
    return hands[k] if off < 0.5 * size else None


def summary(lines: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """By arm: counts, means, medians and shares over the hands that both arms have found; "nearer"
    is how much nearer to the truth hands lie in the camera than those of the first arm."""
    arms = {arm: {one.name: one for one in lines if one.arm == arm} for arm in ARMS}
    both = [
        name
        for name, one in arms[ARMS[0]].items()
        if one.found and name in arms[ARMS[1]] and arms[ARMS[1]][name].found
    ]
    found: dict[str, dict[str, float]] = {}
    for arm, by_name in arms.items():
        own = [by_name[name] for name in both]

        def over(
            average: Callable[[np.ndarray], np.floating], what: str, own: Sequence[Measured] = own
        ) -> float:
            values = np.array([getattr(one, what) for one in own], float)
            return float(average(values)) if np.isfinite(values).any() else float("nan")

        mean, median = partial(over, np.nanmean), partial(over, np.nanmedian)
        unknown = [arms[ARMS[0]][name] for name in both]
        nearer = np.array([one.raw - other.raw for one, other in zip(unknown, own, strict=True)])

        found[arm] = {
            "grasps": len(by_name),
            "found": sum(one.found for one in by_name.values()),
            "M-PD": mean("depth"),
            "M-PD, median": median("depth"),
            "deep share": float(np.mean([one.depth > DEEP for one in own])) if own else np.nan,
            **{f"over {depth:g} mm": sum(one.depth > depth for one in own) for depth in DEEPER},
            "true M-PD": mean("true_depth"),
            "precision": mean("precision"),
            "recall": mean("recall"),
            "touching": int(sum(np.isfinite(one.precision) for one in own)),
            "PA": mean("aligned"),
            "PA, median": median("aligned"),
            "raw": mean("raw"),
            "raw, median": median("raw"),
            "nearer": float(nearer.mean()) if own else np.nan,
            "nearer, se": float(nearer.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else np.nan,
            "nearer, share": float((nearer > 0).mean()) if own else np.nan,
        }
    return found


def read(path: Path) -> list[Measured]:
    """What is measured already; a last line that broke off does not count."""
    if not path.exists():
        return []
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [Measured(**json.loads(line)) for line in whole]


def run(grasps: Grasps, path: Path, count: int) -> list[Measured]:
    """Measure what is not measured yet."""
    lines = read(path)
    path.write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines))
    done = {(line.name, line.arm) for line in lines}
    for place in range(min(count, len(grasps.images))):
        left = [arm for arm in ARMS if (grasps.images.names[place], arm) not in done]
        with path.open("a") as file:
            for line in grasps.measured(place, left) if left else ():
                lines.append(line)
                file.write(json.dumps(asdict(line)) + "\n")
    return lines


def table(found: dict[str, dict[str, float]]) -> Table:
    """The figures of both arms."""
    made = Table("object", *found)
    for name in next(iter(found.values())):
        made.add_row(name, *(f"{figures[name]:.4g}" for figures in found.values()))
    return made


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="of synth-hands --interaction objects")
    options.add_argument("--count", type=positive, default=300, help="images, from the first on")
    options.add_argument("--config", default="default", help="preset or file")
    given = options.parse_args()
    use_threads(given.threads)
    grasps = Grasps(given.folder, given.config)
    if not len(grasps.images):
        raise BenchmarkError(f"{given.folder}: expected rendered grasps, found none")
    first = grasps.images[0].annotation
    if len(first.hands) != 1 or not first.objects:
        found = f"{len(first.hands)} and {len(first.objects)}"
        raise BenchmarkError(f"{first.name}: expected one hand and objects, found {found}")
    lines = run(grasps, given.folder / f"{grasps.digest}.jsonl", given.count)
    found = summary(lines)
    Console().print(table(found))
    write_json(given.json, {"folder": given.folder.name, "config": given.config, "arms": found})


if __name__ == "__main__":
    run_command(main)
