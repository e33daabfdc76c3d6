"""What the appearance of a hand is worth: PSNR, SSIM, colour and mesh, before and after the fit.

python benchmarks/appearance.py --count 100
python benchmarks/appearance.py --count 8 --covered 0.3 --plain     # with things before the hands
python benchmarks/appearance.py --count 24 --sweep            # weights of the regularisers
python benchmarks/appearance.py --count 8 --model nimble/     # hands and skin of a NIMBLE model
python benchmarks/appearance.py --count 40 --preset textured my.yaml --stages

The hands are those of `benchmarks/appearance_data.py`. All fits begin where the stages of
`default.yaml` left them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from appearance_data import Scenes, covered, render_scenes
from appearance_mesh import colliding, folded
from fit import load_fit_model
from measuring import (
    Seconds,
    Stopwatch,
    add_set,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fitter import metrics
from fitter.config.options import Config, load_config
from fitter.config.stages import StageConfig
from fitter.energies import SceneParams, SceneView
from fitter.energies.structural import SsimSettings, ssim_map
from fitter.fitting.crops import crop_hands
from fitter.fitting.fit_model import FitModel
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.observations import normalise
from fitter.hand_models import HandModel, load_hand_model
from fitter.raster import RasterSettings
from fitter.records import HandCrop, HandParams
from fitter.refinement import Refiner, SceneModel, draw
from fitter.rendering import sample_texture
from fitter.solvers.status import Status

FIGURES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "colour": "colour %",
    "tint": "colour but for light %",
    "iou": "IoU",
    "vertex_mm": "vertex mm",
    "pa_vertex_mm": "PA-vertex mm",
    "folded": "folded %",
    "colliding": "colliding %",
}
"""Figures of a hand and their headings."""


@dataclass(frozen=True)
class Row:
    """One line of the table: means over the hands, and the seconds of the stages of all."""

    name: str
    mean: dict[str, float]
    diverged: int
    seconds: Seconds


@dataclass(frozen=True)
class Bench:
    """B hands at the end of the stages of the outline, and what they are compared with."""

    scenes: Scenes
    crops: Sequence[HandCrop]
    bare: Tensor
    config: Config
    hands: HandParams
    fit: FitModel
    hand: HandModel

    @classmethod
    def of(cls, scenes: Scenes, source: str = "open_hand") -> Bench:
        """Take the hands through the stages of the outline.

        Args:
            scenes: the hands.
            source: name or file of the model that is fitted, the one that was rendered.
        """
        config = load_config("default")
        side, margin = config.refine.resolution, config.refine.margin
        crops, bare = [], []
        for number, seen in enumerate(scenes.hands):
            looked = (scenes.images[number], scenes.intrinsics[number], [seen])
            (crop,) = crop_hands(*looked, scenes.masks[number], (side, margin))
            (truth,) = crop_hands(*looked, scenes.true_masks[number] > 0.5, (side, margin))
            assert crop is not None and truth is not None and truth.given_share is not None
            crops.append(crop)
            bare.append(truth.given_share)
        fit = load_fit_model(source, torch.device("cpu"))
        hand = load_hand_model(source, dtype=torch.float64)
        start = fit_observations(fit, scenes.observed, config.fit).params
        bench = cls(scenes, crops, torch.from_numpy(np.stack(bare)), config, start, fit, hand)
        params, _, _ = bench.refined(config.refine.stages)
        return replace(bench, hands=params.hand.to(torch.float64))

    def refined(
        self, stages: Mapping[str, StageConfig], config: Config | None = None
    ) -> tuple[SceneParams, SceneModel, int]:
        """Where stages put the hands from here, and how many of them diverged."""
        # Without a stage that looks at colours, the model's skin is not even read.
        looked_at = {"seen": LIGHT_ALONE.model_copy(update={"iterations": 0}), **stages}
        chosen = (config or self.config).refine.model_copy(update={"stages": looked_at})
        refiner = Refiner(self.hand, self.fit, chosen, self.config.fit)
        observed = normalise(self.scenes.observed).with_depth_gain(
            self.config.fit.relative_depth_gain
        )
        known = torch.zeros(len(self.crops))
        found = refiner(self.hands, self.crops, [None] * len(self.crops), observed, known)
        return found.params, refiner.model, int((found.status == Status.DIVERGED).sum())

    @property
    def view(self) -> SceneView:
        """What is seen of the hands."""

        def stacked(name: str) -> Tensor:
            arrays = [np.asarray(getattr(crop, name), np.float32) for crop in self.crops]
            return torch.from_numpy(np.stack(arrays))

        return SceneView(
            image=stacked("pixels") / 255,
            mask=self.bare,
            mask_weight=torch.zeros_like(self.bare),
            image_weight=stacked("inside_share"),
            intrinsics=stacked("intrinsics"),
            keypoints=stacked("keypoints"),
            confidence=stacked("confidence"),
            focal_unknown=torch.zeros(len(self.crops)),
        )

    def figures(self, params: SceneParams, model: SceneModel) -> dict[str, np.ndarray]:
        """`FIGURES` of every hand: name -> (B,)."""
        view = self.view
        with torch.no_grad():
            settings = RasterSettings(silhouette="edge")
            rendering = draw(model, params, view, settings, shaded=True)
        assert rendering.fragments is not None and rendering.foreground is not None
        seen = rendering.fragments.mask & (view.mask > 0.99)
        inside = seen[..., None]
        picture = torch.where(inside, rendering.foreground.clamp(0, 1), view.image)
        error = ((picture - view.image) ** 2).sum((1, 2, 3)) / (3 * seen.sum((1, 2)))
        windows = ssim_map(view.image, picture, SsimSettings(stride=1)).mean(1)
        centres = seen[:, 5:-5, 5:-5]
        ssim = (windows * centres).sum((1, 2)) / centres.sum((1, 2))
        vertices, true = rendering.vertices.double().numpy(), self.scenes.vertices
        faces = model.hand.faces.numpy()
        raw, but_for_light = self._colour_error(params, model, rendering.fragments.face_index)
        return {
            "psnr": (-10 * error.log10()).numpy(),
            "ssim": ssim.numpy(),
            "colour": 100 * raw,
            "tint": 100 * but_for_light,
            "iou": metrics.mask_iou(rendering.fragments.mask.numpy(), view.mask.numpy() > 0.5),
            "vertex_mm": 1e3 * metrics.mpjpe(vertices, true),
            "pa_vertex_mm": 1e3 * metrics.pa_mpjpe(vertices, true),
            "folded": 100 * folded(vertices, rendering.bare.double().numpy(), faces),
            "colliding": 100 * colliding(vertices, faces),
        }

    def _colour_error(
        self, params: SceneParams, model: SceneModel, face_index: Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B,) relative error of the reflectance of the vertices that are seen, root mean square
        over the true mean: as it is, and after the best factor for each of red, green and blue.

        An image shows the product of light and reflectance alone. The three factors are what that
        leaves open.
        """
        appearance = model.appearance
        with torch.no_grad():
            if model.texture_size:
                data, maps = model.hand.data, model.maps(params)
                assert data.uv is not None and data.uv_faces is not None
                row = np.zeros(len(data.v_template), int)
                row[data.faces.ravel()] = data.uv_faces.ravel()
                uv = torch.from_numpy(data.uv[row]).float().expand(len(face_index), -1, 2)
                found = sample_texture(maps.diffuse, uv).numpy()
            else:
                found = appearance.vertex_colours(params.appearance).numpy()
        true = self.scenes.reflectance(appearance)
        raw, but_for_light = np.empty(len(true)), np.empty(len(true))
        for hand, faces in enumerate(face_index.flatten(1)):
            seen = np.unique(model.hand.faces[faces[faces >= 0].long()].numpy())
            ours, theirs = found[hand, seen], true[hand, seen]
            factor = (ours * theirs).sum(0) / (ours**2).sum(0)
            raw[hand] = np.sqrt(((ours - theirs) ** 2).mean()) / theirs.mean()
            but_for_light[hand] = np.sqrt(((factor * ours - theirs) ** 2).mean()) / theirs.mean()
        return raw, but_for_light


def image_stages(config: Config) -> dict[str, StageConfig]:
    """The stages of a preset after those of the outline."""
    return {name: s for name, s in config.refine.stages.items() if s.solver != "lm"}


def without_photometric(stages: Mapping[str, StageConfig]) -> dict[str, StageConfig]:
    """The same stages with nothing that compares colours; those that compare nothing else are left
    out."""
    kept = {}
    for name, stage in stages.items():
        energies = {e: w for e, w in stage.energies.items() if not e.startswith("photometric")}
        changed = stage.model_copy(update={"energies": energies})
        if changed.energies and any(e in energies for e in ("keypoints", "silhouette_l2")):
            kept[name] = changed
    return kept


LIGHT_ALONE = StageConfig(
    solver="adam",
    iterations=40,
    free=["lighting"],
    energies={"photometric_pixel": 0.05},
    learning_rate=0.05,
)
"""What is to be had with the mean skin."""


def row_of(
    bench: Bench, name: str, stages: Mapping[str, StageConfig], config: Config | None = None
) -> Row:
    """Run some stages and measure the hands."""
    watch = Stopwatch()
    with watch.part("stages"):
        params, model, diverged = bench.refined(stages, config)
    figures = bench.figures(params, model)
    mean = {key: float(np.nanmean(figures[key])) for key in FIGURES}
    return Row(name, mean, diverged, watch.parts["stages"])


REGULARISERS = (
    *("limits", "pose_prior", "shape_prior", "size_prior", "appearance_prior"),
    *("laplacian_change", "edge_length_change", "vertex_offset"),
    *("texture_smoothness", "texture_prior"),
)
"""Energies that know nothing of the image."""

FACTORS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
"""By which the sweep multiplies the weights of all of them, unless told others."""


def scaled(stages: Mapping[str, StageConfig], factor: float) -> dict[str, StageConfig]:
    """The stages with the weights of the regularisers multiplied by a factor."""
    return {
        name: stage.model_copy(
            update={
                "energies": {
                    e: w * (factor if e in REGULARISERS else 1) for e, w in stage.energies.items()
                }
            }
        )
        for name, stage in stages.items()
    }


def plain(stages: Mapping[str, StageConfig]) -> dict[str, StageConfig]:
    """The stages with S2HAND's colour distance in place of the robust one, at the same weight: the
    confidences of 21 keypoints add up to 21 here."""
    names = {"photometric_robust": "photometric_pixel"}
    return {
        name: stage.model_copy(
            update={
                "energies": {
                    names.get(e, e): w / 21 if e in names else w for e, w in stage.energies.items()
                }
            }
        )
        for name, stage in stages.items()
    }


def rows_of_preset(bench: Bench, name: str, config: Config, each_stage: bool) -> list[Row]:
    """A preset's stages after the outline, one more each time where that is asked for; and all but
    what sees colours."""
    stages = image_stages(config)
    names = list(stages)
    rows = []
    for count in range(1 if each_stage else len(names), len(names) + 1):
        kept = {stage: stages[stage] for stage in names[:count]}
        rows.append(row_of(bench, f"{name}: to {names[count - 1]}", kept, config))
    rows.append(row_of(bench, f"{name}: no colours", without_photometric(stages), config))
    return rows


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="means over the hands")
    table.add_column("stages")
    for heading in (*FIGURES.values(), "diverged", "CPU s"):
        table.add_column(heading, justify="right")
    for row in rows:
        values = (f"{row.mean[key]:.3f}" for key in FIGURES)
        table.add_row(row.name, *values, str(row.diverged), f"{row.seconds.cpu:.1f}")
    console.print(table)


def goals(rows: Sequence[Row]) -> dict[str, float | bool]:
    """What the last preset reached, against the mean skin in fitted light and against the same
    stages without colours."""
    light, end, blind = rows[1], rows[-2], rows[-1]
    gain = end.mean["psnr"] - light.mean["psnr"]
    rise = end.mean["vertex_mm"] / blind.mean["vertex_mm"] - 1
    aligned = end.mean["pa_vertex_mm"] / blind.mean["pa_vertex_mm"] - 1
    return {
        "psnr_gain_over_light_alone": gain,
        "psnr_enough": gain >= 3.0,
        "vertex_rise": rise,
        "pa_vertex_rise": aligned,
        "vertex_enough": max(rise, aligned) <= 0.02,
    }


def main() -> None:
    options = parser(
        "PSNR, SSIM, colour and mesh of hands before and after their appearance is fitted."
    )
    options.add_argument("--count", type=positive, default=100, help="hands (default: 100)")
    options.add_argument(
        "--first", type=int, default=0, help="number of the first; options are chosen from 1000 on"
    )
    options.add_argument(
        "--model", default="open_hand", metavar="DIR", help="a NIMBLE model (default: open_hand)"
    )
    options.add_argument(
        "--covered", type=float, default=0.0, metavar="SHARE", help="of each hand, 0 to 0.4"
    )
    options.add_argument("--preset", nargs="+", default=["textured"])
    options.add_argument(
        "--plain", action="store_true", help="a row with the distance that is not robust, too"
    )
    options.add_argument("--stages", action="store_true", help="a row after each stage")
    options.add_argument(
        "--sweep", action="store_true", help="the weights of the last preset's regularisers instead"
    )
    options.add_argument(
        "--factors", type=float, nargs="+", default=FACTORS, help="of the weights, for --sweep"
    )
    add_set(options)
    runs = options.parse_args()
    use_threads(runs.threads)
    scenes = render_scenes(runs.count, runs.first, runs.model)
    bench = Bench.of(covered(scenes, runs.covered) if runs.covered else scenes, runs.model)
    console = Console(width=max(Console().width, 170))
    rows = [row_of(bench, "mean skin", {}), row_of(bench, "light alone", {"l": LIGHT_ALONE})]
    if runs.sweep:
        config = load_config(runs.preset[-1], runs.set)
        stages = image_stages(config)
        rows += [
            row_of(bench, f"weights x {factor:g}", scaled(stages, factor), config)
            for factor in runs.factors
        ]
    else:
        for name in runs.preset:
            config = load_config(name, runs.set)
            if runs.plain:
                stages = plain(image_stages(config))
                rows.append(row_of(bench, f"{name}: photometric_pixel", stages, config))
            rows += rows_of_preset(bench, name, config, runs.stages)
    show(rows, console)
    found = {} if runs.sweep else goals(rows)
    console.print(found)
    write_json(
        runs.json,
        {
            "model": runs.model,
            "count": runs.count,
            "covered": runs.covered,
            "rows": rows,
            "goals": found,
        },
    )


if __name__ == "__main__":
    run_command(main)
