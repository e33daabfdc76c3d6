"""How well a texture from pictures shows the hand in others: PSNR on held-out views.

python benchmarks/textures.py --people 6
python benchmarks/textures.py --people 2 --conditions known --fusions robust_mean exponential

People, pictures and what is true of them are those of `benchmarks/textures_data.py`. Of each
person 1, 3 and 10 pictures give a texture, and `HELD_OUT` other ones are rendered again with it.
Each condition knows the same of the pictures and of the held-out views:

known: mesh and light are true; the pictures have no shadows and no highlights.
geometry: the mesh is true, the light is estimated; shadows, highlights and noise.
fitted: K alone is known; detector, fit and stages find the hand, the light is estimated.

PSNR is that of sRGB in the hand's true mask where the mesh is rendered, too, in two ways: under
the view's true mesh and light, without shadows and highlights, where one gain of each colour is
free but for `known`; and as the condition knows the view, its light estimated with the texture as
the skin. The second is bounded by what is no fault of the texture: see the row of the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from measuring import parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.table import Table
from textures_data import Person, Photographer, Picture, render

import fitter
from fitter.rendering.fitted_light import light_of
from fitter.rendering.shading import linear_from_srgb, srgb_from_linear, vertex_normals
from fitter.textures import (
    FusionMethod,
    FusionOptions,
    HandTexture,
    HandView,
    TextureAtlas,
    TextureFusion,
    extract_texture,
    uniform_texture,
)
from fitter.textures.light import LightFit, SkinSamples, fit_light
from fitter.textures.views import see

COUNTS = (1, 3, 10)
HELD_OUT = 4
CONDITIONS = ("known", "geometry", "fitted")
FIRST_HELD_OUT = 100
"""Number of a person's first held-out picture; those for textures begin at 0."""
SPARE = 6
"""Pictures that may take the place of those in which no hand is found."""


@dataclass(frozen=True)
class Observed:
    """A picture with what a condition knows of it."""

    view: HandView
    picture: Picture
    hand: fitter.FittedHand | None = None


class Bench:
    """The photographer, the atlas, and the fitter of the condition `fitted`."""

    def __init__(self, texels: int) -> None:
        self.photographer = Photographer()
        self.atlas = TextureAtlas.of(self.photographer.data, texels)
        self.fitter = fitter.HandFitter(max_hands=1)

    def observe(self, picture: Picture, condition: str) -> Observed | None:
        """What a condition knows of a picture; None where no hand is found."""
        if condition == "known":
            view = HandView(
                picture.plain, picture.intrinsics, picture.vertices, "right", lighting=picture.light
            )
            return Observed(view, picture)
        if condition == "geometry":
            view = HandView(picture.image, picture.intrinsics, picture.vertices, "right")
            return Observed(view, picture)
        hands = self.fitter(picture.image, picture.intrinsics)
        if not hands or not hands[0].valid or hands[0].side != "right":
            return None
        hand = hands[0]
        return Observed(hand.as_view(picture.image), picture, hand)

    def observed(self, person: Person, condition: str, first: int, count: int) -> list[Observed]:
        """The first `count` pictures of a person in which the condition finds the hand."""
        found: list[Observed] = []
        for number in range(first, first + count + SPARE):
            seen = self.observe(self.photographer.picture(person, number), condition)
            if seen is not None:
                found.append(seen)
            if len(found) == count:
                break
        return found

    def psnr(self, seen: Observed, texture: HandTexture) -> tuple[float, float]:
        """Of a held-out view rendered with a texture: under its true geometry and light, and as the
        condition knows them."""
        picture, view = seen.picture, seen.view
        truly = light_of(picture.light, "right")
        plain = self._rendered(picture, texture, picture.vertices, LightFit(truly, np.zeros(0)))
        first = self._psnr(picture, plain, picture.plain, free_gain=view.lighting is None)
        as_known = self._rendered(picture, texture, view.vertices, self._light(view, texture))
        return first, self._psnr(picture, as_known, view.pixels)

    def skin(self, seen: Observed) -> HandTexture:
        """What the appearance basis can show of a held-out view that it is fitted to."""
        fit = self._light(seen.view, None)
        colours = self.atlas.texture(self.atlas.skin(fit.coefficients).astype(np.float32))
        return HandTexture(colours, uniform_texture(self.atlas, (0, 0, 0)).weight)

    def _rendered(
        self, picture: Picture, texture: HandTexture, vertices: np.ndarray, fit: LightFit
    ) -> tuple[np.ndarray, np.ndarray]:
        """Linear RGB and coverage."""
        points = np.asarray(vertices, np.float64)
        normals = vertex_normals(torch.from_numpy(points)[None], self.photographer.model.faces)
        light = np.maximum(fit.irradiance(normals[0].numpy()), 0)
        return render(self.photographer, texture.colours, points, picture.intrinsics, light)

    def _psnr(
        self,
        picture: Picture,
        rendered: tuple[np.ndarray, np.ndarray],
        pixels: np.ndarray,
        free_gain: bool = False,
    ) -> float:
        linear, alpha = rendered
        mask = cv2.erode(picture.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        mask &= alpha > 0.999
        shown, wanted = linear[mask], pixels[mask] / 255.0
        if free_gain:  # what no picture tells: how bright its light was, and of what colour
            goal = linear_from_srgb(torch.from_numpy(wanted)).numpy()
            shown = shown * np.exp(np.median(np.log((goal + 0.01) / (shown + 0.01)), axis=0))
        encoded = srgb_from_linear(torch.from_numpy(shown)).numpy().clip(0, 1)
        return float(-10 * np.log10(((encoded - wanted) ** 2).mean()))

    def _light(self, view: HandView, texture: HandTexture | None) -> LightFit:
        """The known light, or the one that a texture, or the appearance, is seen under."""
        seen = see(self.atlas, view)
        rows = np.flatnonzero(seen.weight > 0)[:: max(1, int((seen.weight > 0).sum() // 6000))]
        if texture is None:
            mean = self.atlas.mean_logits[rows].astype(np.float64)
            components = self.atlas.component_logits[:, rows].astype(np.float64)
        else:
            colours = self.atlas.rows(texture.colours)[rows].astype(np.float64).clip(1e-3, 0.999)
            mean, components = np.log(colours / (1 - colours)), np.zeros((0, len(rows), 3))
        samples = SkinSamples(
            seen.colours[rows], seen.normals[rows], seen.weight[rows], mean, components
        )
        return fit_light(
            samples, None if view.lighting is None else light_of(view.lighting, view.side)
        )


def measure(
    bench: Bench, person: Person, condition: str, fusions: Sequence[FusionMethod]
) -> dict[str, list[tuple[float, float]]]:
    """The two PSNRs of each held-out view by the kind of the texture."""
    shown = bench.observed(person, condition, 0, max(COUNTS))
    held_out = bench.observed(person, condition, FIRST_HELD_OUT, HELD_OUT)
    extracted = [extract_texture(bench.atlas, each.view) for each in shown]
    return {
        "appearance of that view": [bench.psnr(each, bench.skin(each)) for each in held_out],
        **{
            name: [bench.psnr(each, texture) for each in held_out]
            for name, texture in fused(bench, person, extracted, fusions).items()
        },
    }


def fused(
    bench: Bench,
    person: Person,
    extracted: Sequence[HandTexture],
    fusions: Sequence[FusionMethod],
) -> dict[str, HandTexture]:
    """Textures of 1, 3 and 10 pictures, and the true one in the same size."""
    size = (bench.atlas.size, bench.atlas.size)
    true = cv2.resize(person.skin, size, interpolation=cv2.INTER_LINEAR)
    textures = {"true texture": HandTexture(true, uniform_texture(bench.atlas, (0, 0, 0)).weight)}
    for method in fusions:
        fusion = TextureFusion(bench.atlas, FusionOptions(method))
        for number, texture in enumerate(extracted, 1):
            fusion.add(texture)
            if number in COUNTS:
                textures[f"{method}, {number}"] = fusion.result()
    return textures


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--people", type=positive, default=6)
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--texels", type=positive, default=512)
    options.add_argument("--conditions", nargs="+", default=CONDITIONS, choices=CONDITIONS)
    options.add_argument(
        "--fusions", nargs="+", default=["robust_mean"], choices=["robust_mean", "exponential"]
    )
    runs = options.parse_args()
    use_threads(runs.threads)
    bench = Bench(runs.texels)
    found: dict[str, dict[str, list]] = {each: {} for each in runs.conditions}
    for seed in range(runs.first_seed, runs.first_seed + runs.people):
        person = bench.photographer.person(seed)
        for condition in runs.conditions:
            for name, values in measure(bench, person, condition, runs.fusions).items():
                found[condition].setdefault(name, []).extend(values)
    table = Table("PSNR, dB", "true mesh and light", "as known", "views")
    for condition, rows in found.items():
        for name, values in rows.items():
            means = (f"{value:.2f}" for value in np.mean(values, axis=0))
            table.add_row(f"{condition}: {name}", *means, str(len(values)))
    Console(width=100).print(table)
    write_json(runs.json, {"psnr": found})


if __name__ == "__main__":
    run_command(main)
