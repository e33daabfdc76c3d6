"""The figure of docs/appearance.md: renders, and the hands that were fitted to them.

python scripts/figure_appearance_fit.py     # docs/images/appearance_fit.jpg, under a minute

From above: the image; the hand as the stages of the outline leave it; with skin and light; with a
texture of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fitter.config.options import Config, load_config
from fitter.config.stages import StageConfig
from fitter.raster import RasterSettings
from fitter.refinement import draw

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from appearance import Bench, image_stages
from appearance_data import render_scenes

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "appearance_fit.jpg"

FIRST, COUNT = 2, 6


def rendered(bench: Bench, stages: dict[str, StageConfig], config: Config) -> Tensor:
    """(B, S, S, 3) the images with the hands after some stages drawn over them."""
    params, model, _ = bench.refined(stages, config)
    view = bench.view
    with torch.no_grad():
        drawing = draw(model, params, view, RasterSettings(silhouette="edge"), shaded=True)
    assert drawing.fragments is not None and drawing.foreground is not None
    seen = drawing.fragments.mask[..., None]
    return torch.where(seen, drawing.foreground.clamp(0, 1), view.image)


def main() -> None:
    """Draw the figure."""
    torch.set_num_threads(1)
    bench = Bench.of(render_scenes(COUNT, FIRST))
    config = load_config("textured")
    stages = image_stages(config)
    skin = {name: stages[name] for name in ("skin", "colour")}
    rows = [bench.view.image, *(rendered(bench, part, config) for part in ({}, skin, stages))]
    grid = torch.cat([torch.cat(list(row), dim=1) for row in rows])
    Image.fromarray((255 * grid).round().byte().numpy()).save(FIGURE, quality=88)


if __name__ == "__main__":
    main()
