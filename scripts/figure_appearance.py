"""Render `docs/images/appearance.jpg`: mean skin, three random ones, what components change."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fitter.hand_models import (  # noqa: E402
    load_appearance,
    load_hand_model,
)
from fitter.raster import rasterize  # noqa: E402
from fitter.records import HandParams  # noqa: E402
from fitter.rendering import (  # noqa: E402
    AmbientDirectionalLight,
    composite,
    interpolate,
    srgb_from_linear,
    texture_colours,
    vertex_normals,
)

TILE = (300, 330)
"""Width and height of a view in pixels; a tile shows the palm and the back beside each other."""
SUPERSAMPLING = 3
METRES_PER_TILE = 0.225
LIGHT = AmbientDirectionalLight(
    direction=torch.tensor([-0.6, -0.8, -1.0]),
    diffuse=torch.tensor([0.75, 0.72, 0.68]),
    ambient=torch.tensor([0.40, 0.41, 0.43]),
)
COLUMNS = 4
SEED = 3


def render(texture: torch.Tensor, palm: bool) -> Image.Image:
    """One view of the right hand at rest, fingers up, with a texture (T, T, 3) of reflectance."""
    model = load_hand_model()
    zero = torch.zeros(1, 3)
    vertices = model(HandParams(zero, zero.expand(15, 3)[None], torch.zeros(1, 10), zero)).vertices
    # Model axes: -x to the fingers, +y out of the back, +z to the thumb.
    across = vertices[..., 2] if palm else -vertices[..., 2]
    points = torch.stack(
        [across, vertices[..., 0], vertices[..., 1] if palm else -vertices[..., 1]], dim=-1
    )
    points = points - 0.5 * (points.amin(dim=1) + points.amax(dim=1))[:, None]
    width, height = (SUPERSAMPLING * side for side in TILE)
    scale = height / METRES_PER_TILE
    screen = points * torch.tensor([scale, scale, 1.0]) + torch.tensor([width / 2, height / 2, 1.0])
    fragments = rasterize(screen, model.faces, (height, width))
    normals = vertex_normals(points, model.faces)
    light = interpolate(fragments, model.faces, LIGHT.irradiance(normals))
    uv, uv_faces = torch.from_numpy(model.data.uv), torch.from_numpy(model.data.uv_faces)
    colours = texture_colours(fragments, uv, uv_faces, texture) * light
    rendered = composite(srgb_from_linear(colours), fragments, torch.ones(3))[0]
    image = Image.fromarray((rendered.clamp(0, 1) * 255).round().byte().numpy())
    return image.resize(TILE, Image.Resampling.LANCZOS)


def main() -> None:
    """Render the figure, at the place named on the command line if any."""
    default = ROOT / "docs" / "images" / "appearance.jpg"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    appearance = load_appearance(load_hand_model().data)
    generator = torch.Generator().manual_seed(SEED)
    cases = [("mean", torch.zeros(appearance.count))]
    for number in range(COLUMNS - 1):
        cases.append((f"random {number + 1}", torch.randn(appearance.count, generator=generator)))
    for component in range(appearance.count):
        for value in (-2, 2):
            coefficients = torch.zeros(appearance.count)
            coefficients[component] = value
            cases.append((f"{component + 1}: {value:+d} sd", coefficients))
    rows = -(-len(cases) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * 2 * TILE[0], rows * TILE[1]), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    textures = appearance.texture(torch.stack([coefficients for _, coefficients in cases]))
    for number, ((label, _), texture) in enumerate(zip(cases, textures, strict=True)):
        x, y = number % COLUMNS * 2 * TILE[0], number // COLUMNS * TILE[1]
        for side, palm in enumerate((True, False)):
            sheet.paste(render(texture, palm), (x + side * TILE[0], y))
        pen.text((x + 12, y + 8), label, "black", font)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=88)


if __name__ == "__main__":
    main()
