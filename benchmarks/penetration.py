"""Milliseconds a pair of hands of signed distances and penetration, and what the grid misses.

python benchmarks/penetration.py --pairs 24 --json benchmarks/results/penetration/cpu.json
python benchmarks/penetration.py --batch-sizes 1 16 64 --device cuda --pairs 0

Pairs are open hands in random poses, a right one and a left one of another person, that touch: the
left hand comes along a random direction until its deepest vertex is at a given depth in the right
one, or one of the right in it. Times are of such pairs, 4 mm deep; processor time is what counts on
a machine that is shared. "grid" is phi of Yu et al., eq. 5, on 32^3 cells; it is sampled anew for
each pair, as hands move. What a grid says of depths is compared with exact ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from measuring import (
    Seconds,
    median_seconds,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table
from torch import Tensor

from datasets.poses import sample_hand_angles
from fitter.contact import (
    Surface,
    attraction,
    closed,
    contacts,
    penetration,
    self_penetration,
    signed_distance,
)
from fitter.device import choose_device
from fitter.energies.touching import gap_quadratic
from fitter.hand_models import anatomy_of, hand_pose_from_angles, load_hand_model
from fitter.hand_models.hand_parts import hand_parts
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.metrics import penetration_depth
from fitter.records import HandParams

DEPTHS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
"""Metres of the deepest vertex."""
TIMED = 0.004
REACH = 0.005
_STEPS = 30


@dataclass(frozen=True)
class Cost:
    """What one energy costs, milliseconds a pair (of self-penetration a hand).

    Attributes:
        name: of it.
        batch: pairs at once.
        value: wall and processor milliseconds of the value, or of value, gradient and Hessian.
        both: of value and gradient by both hands' vertices; None where there is no such thing.
    """

    name: str
    batch: int
    value: tuple[float, float]
    both: tuple[float, float] | None


@dataclass(frozen=True)
class Agreement:
    """The grid beside exact depths, means over the pairs.

    Attributes:
        depth: mm, the deepest vertex of each pair.
        pairs: number of them.
        cells: of the grid along each axis.
        deepest: mm, the same as the grid has it.
        average: mm, exact, and average_grid: over the vertices of both hands.
        inside: vertices inside, exact, and inside_grid.
        missed: share of pairs in which the grid sees no vertex inside.
        direction: mean cosine between the two gradients of eq. 6 by the first hand's vertices.
    """

    depth: float
    pairs: int
    cells: int
    deepest: float
    average: float
    average_grid: float
    inside: float
    inside_grid: float
    missed: float
    direction: float


@dataclass(frozen=True)
class Hands:
    """Right open hands: parameters and closed meshes."""

    params: HandParams
    surface: Surface


def hands(count: int, rng: np.random.Generator) -> Hands:
    """Hands in random poses and attitudes, their middle joints' base in the origin."""
    model = load_hand_model("open_hand", "right", torch.float64)
    angles = torch.as_tensor(sample_hand_angles(rng, count))
    shapes = model.data.shapedirs.shape[-1]
    params = HandParams(
        global_orient=torch.as_tensor(rng.normal(scale=1.5, size=(count, 3))),
        hand_pose=hand_pose_from_angles(angles, anatomy_of(model.data).axes),
        betas=torch.as_tensor(rng.normal(scale=0.7, size=(count, shapes))),
        transl=torch.zeros(count, 3, dtype=torch.float64),
    )
    params.transl[:] = -model(params).vertices.mean(1)
    faces = closed(model.faces, len(model.v_template))
    return Hands(params, Surface(model(params).vertices, faces))


def touching(count: int, depth: float, seed: int) -> tuple[Surface, Surface]:
    """Pairs of hands (B, V, 3) whose deepest vertex is that deep, by bisection."""
    rng = np.random.default_rng(seed)
    first, second = hands(count, rng).surface, hands(count, rng).surface
    mirrored = second.vertices * torch.tensor([-1.0, 1, 1])
    second = Surface(mirrored, second.faces.flip(1))
    away = torch.nn.functional.normalize(torch.as_tensor(rng.normal(size=(count, 3))), dim=1)
    low = torch.zeros(count, dtype=torch.float64)
    # From where hands are apart on, the first touch is looked for.
    for step in torch.linspace(0.4, 0, 41).tolist():
        deep = _deepest(first, second, step * away) > depth
        low = torch.where(deep & (low == 0), step, low)
    high = low + 0.01
    for _ in range(_STEPS):
        middle = (low + high) / 2
        deep = _deepest(first, second, middle[:, None] * away) > depth
        low, high = torch.where(deep, middle, low), torch.where(deep, high, middle)
    return first, Surface(second.vertices + (high[:, None] * away)[:, None], second.faces)


def _deepest(first: Surface, second: Surface, place: Tensor) -> Tensor:
    moved = Surface(second.vertices + place[:, None], second.faces)
    return torch.from_numpy(penetration_depth(first, moved, None).maximum)


def costs(batch: int, repeats: int, device: str, seed: int) -> list[Cost]:
    """Of all energies on a batch of pairs."""
    first, second = (
        Surface(mesh.vertices.to(device), mesh.faces.to(device))
        for mesh in touching(batch, TIMED, seed)
    )
    parts = hand_parts(load_hand_model("open_hand", "right", torch.float64)).to(device)

    def distances(a: Surface, b: Surface) -> Tensor:
        one, other = signed_distance(a.vertices, b), signed_distance(b.vertices, a)
        return one.distance.sum(1) + other.distance.sum(1)

    measured: dict[str, Callable[[Surface, Surface], Tensor]] = {
        "signed_distance, all vertices both ways": distances,
        "penetration, printed": penetration,
        "penetration, squared": lambda a, b: penetration(a, b, "squared"),
        "penetration, grid": lambda a, b: penetration(a, b, "grid"),
        f"attraction, {1e3 * REACH:.0f} mm": lambda a, b: attraction(a, b, REACH),
        "self_penetration": lambda a, _: self_penetration(a, parts),
    }

    def wait(value: Tensor) -> None:
        float(value.sum())

    found = []
    for name, energy in measured.items():

        def both(energy: Callable[[Surface, Surface], Tensor] = energy) -> None:
            free = [mesh.vertices.clone().requires_grad_() for mesh in (first, second)]
            value = energy(Surface(free[0], first.faces), Surface(free[1], second.faces)).sum()
            wait(torch.autograd.grad(value, free, allow_unused=True)[0])

        with torch.no_grad():
            value = median_seconds(lambda energy=energy: wait(energy(first, second)), repeats)
        found.append(
            Cost(name, batch, _ms(value, batch), _ms(median_seconds(both, repeats), batch))
        )
    return [*found, least_squares(batch, repeats, device, seed)]


def least_squares(batch: int, repeats: int, device: str, seed: int) -> Cost:
    """Of value, gradient and Hessian by both hands' parameters, of right hands in each other."""
    model = load_hand_model("open_hand", "right", torch.float64).to(device)
    kinematics = SurfaceKinematics.of(model)
    rng = np.random.default_rng(seed)
    pairs = [hands(batch, rng) for _ in range(2)]
    pairs[1].params.transl[:, 0] += 0.07
    faces = pairs[0].surface.faces.to(device)

    def work() -> None:
        one, other = (kinematics(p.params.map(lambda value: value.to(device))) for p in pairs)
        a, b = (Surface(jacobian.vertices, faces) for jacobian in (one, other))
        there = gap_quadratic(contacts(a, b, 0.0), one, other)
        back = gap_quadratic(contacts(b, a, 0.0), other, one)
        float(there.hessian.sum() + back.hessian.sum())

    with torch.inference_mode():
        seconds = median_seconds(work, repeats)
    return Cost("contacts, Gauss-Newton by both hands", batch, _ms(seconds, batch), None)


def _ms(seconds: Seconds, batch: int) -> tuple[float, float]:
    return 1e3 * seconds.wall / batch, 1e3 * seconds.cpu / batch


def agreement(depth: float, count: int, cells: int, seed: int) -> Agreement:
    """Of pairs of one depth."""
    first, second = touching(count, depth, seed)
    exact = penetration_depth(first, second, None)
    grid = penetration_depth(first, second, cells)
    slopes = []
    for form in ("printed", "grid"):
        vertices = first.vertices.clone().requires_grad_()
        value = penetration(Surface(vertices, first.faces), second, form).sum()
        slopes.append(torch.autograd.grad(value, vertices)[0].sum(1))
    cosine = torch.nn.functional.cosine_similarity(*slopes, dim=1)
    return Agreement(
        depth=1e3 * depth,
        pairs=count,
        cells=cells,
        deepest=1e3 * float(grid.maximum.mean()),
        average=1e3 * float(exact.average.mean()),
        average_grid=1e3 * float(grid.average.mean()),
        inside=float(exact.inside.mean()),
        inside_grid=float(grid.inside.mean()),
        missed=float((grid.inside == 0).mean()),
        direction=float(cosine[torch.from_numpy(grid.inside > 0)].mean()),
    )


def show(found: list[Cost], compared: list[Agreement]) -> None:
    table = Table(title="ms a pair: wall, processor")
    for heading in ("energy", "batch", "value", "CPU", "with gradient", "CPU"):
        table.add_column(heading, justify="left" if heading == "energy" else "right")
    for cost in found:
        both = ("", "") if cost.both is None else [f"{ms:.2f}" for ms in cost.both]
        table.add_row(cost.name, str(cost.batch), *(f"{ms:.2f}" for ms in cost.value), *both)
    Console(width=110).print(table)
    table = Table(title="the grid beside exact depths, mm")
    headings = ("deepest", "cells", "by the grid", "average", "by the grid", "inside",
                "by the grid", "missed", "cosine")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for a in compared:
        numbers = (a.deepest, a.average, a.average_grid)
        deepest, average, average_grid = (f"{number:.3f}" for number in numbers)
        inside = (f"{a.inside:.0f}", f"{a.inside_grid:.0f}")
        shares = (f"{100 * a.missed:.0f} %", f"{a.direction:.2f}")
        row = (f"{a.depth:g}", str(a.cells), deepest, average, average_grid, *inside, *shares)
        table.add_row(*row)
    Console(width=110).print(table)


def main() -> None:
    options = parser((__doc__ or "").splitlines()[0])
    options.add_argument("--batch-sizes", type=positive, nargs="*", default=[1, 16])
    options.add_argument("--cells", type=positive, nargs="*", default=[32])
    options.add_argument("--pairs", type=int, default=40, help="of each depth; 0 compares nothing")
    options.add_argument("--repeats", type=positive, default=5, help="runs, the median counts")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--seed", type=int, default=0, help="of the hands")
    arguments = options.parse_args()
    use_threads(arguments.threads)
    device = choose_device(arguments.device).type
    found = [
        cost
        for batch in arguments.batch_sizes
        for cost in costs(batch, arguments.repeats, device, arguments.seed)
    ]
    compared = [
        agreement(depth, arguments.pairs, cells, arguments.seed + 1)
        for cells in arguments.cells
        for depth in (DEPTHS if arguments.pairs else ())
    ]
    show(found, compared)
    write_json(arguments.json, {"costs": found, "agreement": compared})


if __name__ == "__main__":
    run_command(main)
