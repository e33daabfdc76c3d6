"""Whether hands that are fitted together tell the focal length of the camera that they share.

    python benchmarks/shared_focal.py --seed 52 --kept FOLDER --json FILE

The rendered pairs of `touching_hands.py` of which both hands are found, where K is not known: its
focal length is assumed to be the true one times `--off`, or that of the default field of view. Each
group is fitted with the focal length that is assumed, and then with some multiples of it, with what
is seen of both hands held: masks, who is nearer. Hands begin as far away as they look as large.

alone, together
    with the assumed focal length.
profiled
    with the multiple that costs least, its prior included: a normal distribution of the logarithm,
    of the standard deviation `--spread`, at the temperature of the objective as in
    `relative_places`.
nearest
    with the multiple that is nearest to the truth: what knowing the focal length would bring.

Columns are those of `touching_hands.py`; beside them the median of how far the logarithm of the
focal length is off.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from measuring import parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table
from torch import Tensor
from touching_hands import COLUMNS
from touching_hands_data import SIZE, BothWays, FoundPair, RenderedPairs, matched, measured

from fitter.config.options import Config, load_config
from fitter.energies.scene import SceneParams
from fitter.interaction.group_problem import flat, grouped
from fitter.interaction.group_scene import GroupScene
from fitter.interaction.joint_stage import JointStage
from fitter.interaction.pictured import Bucket, HandsOfPictures
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.refiner import Refiner

FACTORS = (-0.45, -0.3, -0.15, 0.0, 0.15, 0.3, 0.45)
"""Logarithms of the multiples of a focal length that are tried."""

Choice = Callable[[Tensor, np.ndarray, float], Tensor]
"""From costs (G, F), numbers of the pictures (G,) and the weight of a squared shape coefficient:
(G,) int64 which multiple."""


@dataclass(frozen=True)
class ProfiledScene(GroupScene):
    """Groups whose cameras' focal lengths are found by trying some.

    Attributes:
        choice: which is taken.
    """

    choice: Choice

    @classmethod
    def beside(cls, scene: GroupScene, choice: Choice) -> Self:
        """The same groups with a choice."""
        return cls(**vars_of(scene), choice=choice)

    def fitted(self, params: SceneParams) -> list[tuple[SceneParams, Tensor]]:
        """As of the assumed focal length, and the last round with the one that is chosen."""
        params, diverged = super().fitted(params)[-1]
        known = self._kept_shapes(params)
        scene = replace(self, task=self.task.of_known_shape(known))
        problem, count = scene.problem(params), self.bucket.count
        size = self.task.model.fit.size
        costs, ends = [], []
        for factor in FACTORS:
            moved = self._zoomed(params, factor)
            own = problem.own
            assert isinstance(own, LeastSquaresObjective)
            weight = own.task.view.mask_weight
            task = replace(scene.task, view=replace(scene.task.view, mask_weight=weight))
            own = LeastSquaresObjective.of(task, self.refiner.least_squares[-1], moved)
            start = grouped(moved.hand.to(torch.float64), count)
            result = self._solved(replace(problem, own=own), start)
            costs.append(result.cost)
            hand = known.sized(size, flat(result.params))
            ends.append(moved.with_hand(hand.to(moved.transl.dtype)))
        pictures = self.hands.picture[self.bucket.places[:, 0].cpu().numpy()]
        best = self.choice(torch.stack(costs, 1), pictures, problem.shape_prior)
        index = best.repeat_interleave(count)
        hands = torch.arange(len(index), device=index.device)
        whole = {
            name: torch.stack([getattr(end, name) for end in ends])[index, hands]
            for name in vars(params)
        }
        return [(replace(params, **whole), diverged)]

    def _zoomed(self, params: SceneParams, factor: float) -> SceneParams:
        """Hands as large in the picture with a focal length exp(factor) times as long."""
        middle = self.task.model.hand(params.hand).vertices[..., 2].mean(1)
        transl = params.transl.clone()
        transl[:, 2] += middle * math.expm1(factor)
        return replace(params, transl=transl, log_focal=params.log_focal + factor)


def vars_of(scene: GroupScene) -> dict[str, Any]:
    """Its fields, without what is kept of them."""
    return {name: getattr(scene, name) for name in GroupScene.__dataclass_fields__}


class ProfiledStage(JointStage):
    """A joint stage over `ProfiledScene`."""

    def __init__(self, refiner: Refiner, config: Config, choice: Choice) -> None:
        super().__init__(refiner, config.interaction)
        self.choice = choice

    def scene(self, hands: HandsOfPictures, bucket: Bucket) -> GroupScene:
        """With a choice."""
        return ProfiledScene.beside(super().scene(hands, bucket), self.choice)


class Chosen:
    """Chooses the cheapest multiple, or the one nearest to the truth; which is kept in `log`, by
    picture."""

    def __init__(self, spread: float, truth: Sequence[float] | None = None) -> None:
        self.spread, self.truth = spread, truth
        self.log: dict[int, float] = {}

    def __call__(self, costs: Tensor, pictures: np.ndarray, shape_prior: float) -> Tensor:
        """See `Choice`."""
        factors = torch.tensor(FACTORS, dtype=costs.dtype)
        if self.truth is None:
            # A prior of weight w of the squared coefficients has their variance 1.
            best = (costs + shape_prior * (factors / self.spread).square()).argmin(1)
        else:
            true = torch.tensor([self.truth[picture] for picture in pictures], dtype=costs.dtype)
            best = (factors - true[:, None]).abs().argmin(1)
        self.log |= dict(zip(pictures.tolist(), factors[best].tolist(), strict=True))
        return best


def assumed(pair: FoundPair, off: float | None, degrees: float) -> np.ndarray:
    """(3, 3) K of a pair with its focal length times `off`, or of a field of view in degrees."""
    if off is not None:
        return pair.seen.intrinsics * np.array([[off, off, 1], [off, off, 1], [1, 1, 1]])
    focal = 0.5 * SIZE / math.tan(0.5 * math.radians(degrees))
    return np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])


def compared(pairs: Sequence[FoundPair], off: float | None, options: Any) -> dict[str, Any]:
    """Figures of every way to fit, by its name."""
    config = options.config
    cameras = [assumed(pair, off, config.camera.default_fov_degrees) for pair in pairs]
    true = [
        math.log(p.seen.intrinsics[0, 0] / K[0, 0]) for p, K in zip(pairs, cameras, strict=True)
    ]
    engine = BothWays(config)
    choices = {"profiled": Chosen(options.spread), "nearest": Chosen(options.spread, true)}
    for way, choice in choices.items():
        engine.ways[way] = ProfiledStage(engine.refiner, config, choice)
    images = [
        replace(pair.detected, intrinsics=K, intrinsics_source="default")
        for pair, K in zip(pairs, cameras, strict=True)
    ]
    found: dict[str, Any] = {}
    for way, rows in engine.both(images).items():
        told = []
        for pair, row in zip(pairs, rows, strict=True):
            hands = [row.hands[k] for k in matched(pair.seen.hands, pair.detected) if k is not None]
            told.append(measured(pair.seen.hands, hands, engine))
        log = choices[way].log if way in choices else {}
        errors = [abs(wanted - log.get(k, 0.0)) for k, wanted in enumerate(true)]
        found[way] = {
            name: [float(np.mean(values)), float(np.median(values))]
            for name in COLUMNS
            if (values := [row[name] for row in told])
        } | {"log_focal": float(np.median(errors)), "chosen": sorted(log.values())}
    return found


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__ or "")
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--count", type=positive, default=60, help="pairs (default: 60)")
    options.add_argument("--seed", type=int, default=52, help="of the pairs (default: 52)")
    options.add_argument("--kept", type=Path, metavar="FOLDER", help="as of touching_hands.py")
    options.add_argument(
        "--off",
        type=float,
        nargs="*",
        default=[0.7, 1.0, 1.4],
        help="assumed focal lengths over the true ones (default: 0.7 1 1.4)",
    )
    options.add_argument("--spread", type=float, default=0.3, help="(default: 0.3)")
    given = options.parse_args()
    use_threads(given.threads)
    given.config = load_config(None, ["run.batch_size=4096"])
    source = RenderedPairs(given.seed, given.config, True, given.kept)
    pairs = [source.pair(number) for number in range(given.count)]
    pairs = [pair for pair in pairs if None not in matched(pair.seen.hands, pair.detected)]
    asked = {"seed": given.seed, "count": given.count, "spread": given.spread}
    found: dict[str, Any] = {}
    for off in [*given.off, None]:
        name = "default" if off is None else f"{off:g}"
        found[name] = compared(pairs, off, given)
        _print(name, found[name])
        write_json(given.json, {"asked": asked, "pairs": len(pairs), "assumed": found})


def _print(name: str, found: dict[str, Any]) -> None:
    table = Table(f"assumed: {name}", *COLUMNS.values(), "log focal off")
    for way, told in found.items():
        cells = [f"{told[column][0]:.1f} / {told[column][1]:.1f}" for column in COLUMNS]
        table.add_row(way, *cells, f"{told['log_focal']:.2f}")
    Console(width=160).print(table, "mean / median, mm")


if __name__ == "__main__":
    run_command(main)
