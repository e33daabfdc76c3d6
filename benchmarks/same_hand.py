"""Is the shape that images of one hand share nearer to the truth than those of separate fits?

python benchmarks/same_hand.py work/
python benchmarks/same_hand.py work/ --people 8 --images 10 -- --set people.rounds=2

Renders some people's hands in many poses, from true shapes, and runs `fit-hands` over them with and
without `--people`, with and without the true size of the hand (`--person-size`). The error is the
mean distance of the vertices of the rest pose, centred, in millimetres: as it is, and with the best
scale, since an image does not show how large a hand is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import (
    fit_hands_command,
    parse_with_rest,
    parser,
    positive,
    remove_results,
    run_command,
    use_threads,
    write_json,
)
from PIL import Image
from processes import Running
from refine_data import observe  # noqa: F401, its import makes the folder of scripts known
from rich.console import Console
from rich.table import Table
from synthetic_scenes import render_scene

import fitter
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.hand_size import HandSize
from fitter.records import HandParams
from fitter.system.files import write_whole

FIRST_PERSON, FIRST_SEED = 100, 910000
"""Others than those on which the weights were chosen."""
CLIP = 2.0
"""Standard deviations that a shape's coefficients keep to."""


@dataclass(frozen=True)
class Error:
    """Mean errors of the shapes of all people, mm: as they are, and with the best scale."""

    name: str
    sized: bool
    raw: float
    scaled: float


def true_shape(person: int) -> np.ndarray:
    """(10,) coefficients."""
    return np.random.default_rng([7, person]).normal(0, 1, 10).clip(-CLIP, CLIP)


def draw_images(folder: Path, model: HandModel, people: int, images: int) -> None:
    """Render what is not there yet, with K, people and sizes beside it."""
    intrinsics = {}
    size = HandSize.of(model.keypoint_model())
    sizes = {}
    for person in range(people):
        betas = true_shape(FIRST_PERSON + person)
        place = folder / "images" / f"p{person:02d}"
        place.mkdir(parents=True, exist_ok=True)
        known = size(torch.from_numpy(betas)[None])
        sizes[f"p{person:02d}/*"] = float(known[0])
        for k in range(images):
            path, note = place / f"{k:03d}.png", place / f"{k:03d}.json"
            if not note.exists():
                seed = FIRST_SEED + 1000 * person + k
                scene = render_scene(model, seed, betas)
                picture = Image.fromarray(scene.image)
                write_whole(path, lambda file, p=picture: p.save(file, "png"), durable=False)
                note.write_text(json.dumps(scene.intrinsics.tolist()))
            intrinsics[f"p{person:02d}/{k:03d}.png"] = json.loads(note.read_text())
    (folder / "k.json").write_text(json.dumps(intrinsics))
    (folder / "sizes.json").write_text(json.dumps(sizes))
    lines = [f"p{person:02d}/*,{person:02d}" for person in range(people)]
    (folder / "people.csv").write_text("\n".join(["image,person", *lines]) + "\n")


def fitted_shapes(folder: Path, store: str, options: list[str]) -> dict[int, np.ndarray]:
    """(N, 10) shapes of each person's N hands, as one run of the command fitted them."""
    out = folder / store
    remove_results(out)
    words = [fit_hands_command(), folder / "images", "--out", out, "--max-hands", "1"]
    words += ["--intrinsics", folder / "k.json", "--device", "cpu", "-q", *options]
    with Running(words, folder / f"{store}.txt") as running:
        running.watch(until=3600.0)
    shapes: dict[int, list[np.ndarray]] = {}
    for name, hands in fitter.open_results(out).items():
        for hand in hands:
            # A hand taken for a left one is no hand of this person's.
            if hand.valid and hand.side == "right":
                shapes.setdefault(int(name[1:3]), []).append(hand.betas.astype(np.float64))
    return {person: np.array(found) for person, found in shapes.items()}


def rest_vertices(model: HandModel, betas: np.ndarray) -> np.ndarray:
    """(N, V, 3) mm, centred, of shapes (N, 10)."""
    count = len(betas)
    still = torch.zeros(count, 3, dtype=torch.float64)
    pose = torch.zeros(count, 15, 3, dtype=torch.float64)
    found = model(HandParams(still, pose, torch.from_numpy(betas), still)).vertices.numpy()
    return 1000 * (found - found.mean(1, keepdims=True))


def errors(
    model: HandModel,
    shapes: dict[int, np.ndarray],
    combine: Callable[[np.ndarray], np.ndarray] = lambda found: found,
) -> tuple[float, float]:
    """Mean over people of the mean over their shapes: as they are, and with the best scale."""
    raw, scaled = [], []
    for person, found in sorted(shapes.items()):
        mine = rest_vertices(model, combine(found))
        true = rest_vertices(model, true_shape(FIRST_PERSON + person)[None])
        scale = (mine * true).sum((1, 2)) / (mine**2).sum((1, 2))
        raw.append(np.linalg.norm(mine - true, axis=-1).mean())
        scaled.append(np.linalg.norm(scale[:, None, None] * mine - true, axis=-1).mean())
    return float(np.mean(raw)), float(np.mean(scaled))


def measure(folder: Path, people: int, images: int, options: list[str]) -> list[Error]:
    """All errors."""
    model = load_hand_model("open_hand", dtype=torch.float64)
    draw_images(folder, model, people, images)
    found = []
    for sized in (False, True):
        with_size = ["--person-size", str(folder / "sizes.json")] if sized else []
        alone = fitted_shapes(folder, "separate.zarr", [*with_size, *options])
        people_file = ["--people", str(folder / "people.csv")]
        joint = fitted_shapes(folder, "joint.zarr", [*with_size, *people_file, *options])
        nothing = {person: np.zeros((1, 10)) for person in alone}
        if not sized:
            found.append(Error("the model's mean hand", sized, *errors(model, nothing)))
        average = errors(model, alone, lambda found: found.mean(0, keepdims=True))
        found.append(Error("separate fits", sized, *errors(model, alone)))
        found.append(Error("their average", sized, *average))
        found.append(Error("joint", sized, *errors(model, joint)))
    return found


def show(found: list[Error]) -> None:
    table = Table("shape", "size known", "error, mm", "with the best scale, mm")
    for one in found:
        table.add_row(one.name, str(one.sized), f"{one.raw:.2f}", f"{one.scaled:.2f}")
    Console().print(table)


def main() -> None:
    options = parser("Errors of shapes of hands that many images show.")
    options.add_argument(
        "folder", type=Path, metavar="WORK_DIR", help="where everything is written"
    )
    options.add_argument("--people", type=positive, default=8, help="hands (default: 8)")
    options.add_argument("--images", type=positive, default=10, help="of each hand (default: 10)")
    arguments, rest = parse_with_rest(options)
    use_threads(arguments.threads)
    found = measure(arguments.folder, arguments.people, arguments.images, list(rest))
    show(found)
    figures = {"options": rest, "errors": [asdict(one) for one in found]}
    write_json(arguments.json, figures)


if __name__ == "__main__":
    run_command(main)
