"""Render `docs/open_hand.png`: the open hand at rest, in four poses, and its shape components."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fitter.conventions import FINGERS  # noqa: E402
from fitter.hand_models import (  # noqa: E402
    HandModel,
    anatomy_of,
    hand_pose_from_angles,
    load_open_hand,
)
from fitter.hand_models.anatomy import finger_joints  # noqa: E402
from fitter.hand_models.open_hand import read_open_hand  # noqa: E402
from fitter.raster import rasterize  # noqa: E402
from fitter.records import HandParams  # noqa: E402
from fitter.rendering import AmbientDirectionalLight, interpolate, vertex_normals  # noqa: E402

TILE = (300, 340)
"""Width and height of a tile in pixels."""
SUPERSAMPLING = 3
METRES_PER_TILE = 0.235
SKIN = (0.86, 0.66, 0.54)
LIGHT = AmbientDirectionalLight(
    direction=torch.tensor([-0.5, -0.7, -1.0]),
    diffuse=torch.tensor([0.75]),
    ambient=torch.tensor([0.3]),
)

VIEWS = {"back": (0.0, 0.0), "palm": (180.0, 0.0), "side": (110.0, 0.0), "oblique": (-40.0, 25.0)}
"""Turn about the hand's long axis, then about the horizontal, in degrees; 0 shows the back."""

CURL = (85.0, 100.0, 65.0)
POSES: dict[str, dict[str, tuple]] = {
    "rest": {},
    "fist": {
        "index": (80, 100, 60),
        "middle": (85, 100, 65),
        "ring": (85, 100, 65),
        "little": (85, 98, 65),
        "thumb": ((30, 30, -25), (45, 0, 0), (55, 0, 0)),
    },
    "point": {
        "middle": CURL,
        "ring": CURL,
        "little": CURL,
        "thumb": ((25, 30, -25), (40, 0, 0), (50, 0, 0)),
    },
    "pinch": {
        "index": (52, 50, 25),
        "middle": (25, 30, 15),
        "ring": (18, 25, 12),
        "little": (12, 20, 10),
        "thumb": ((20, 25, -20), (15, 0, 0), (22, 0, 0)),
    },
    "spread": {
        "index": ((0, 12, 0), (0, 0, 0), (0, 0, 0)),
        "ring": ((0, 10, 0), (0, 0, 0), (0, 0, 0)),
        "little": ((0, 15, 0), (0, 0, 0), (0, 0, 0)),
        "thumb": ((-15, 20, 0), (-5, 0, 0), (-10, 0, 0)),
    },
}
"""Degrees: the flexion of a finger's three joints, or (flexion, abduction, twist) of each."""


def pose_angles(pose: dict[str, tuple]) -> torch.Tensor:
    """Anatomical angles (15, 3) in radians."""
    angles = np.zeros((15, 3))
    for finger in FINGERS:
        values = np.array(pose.get(finger, (0, 0, 0)), float)
        if values.ndim == 1:
            angles[finger_joints(finger), 0] = values
        else:
            angles[finger_joints(finger)] = values
    return torch.tensor(np.deg2rad(angles), dtype=torch.float32)


def view_rotation(turn: float, tilt: float) -> torch.Tensor:
    """Rotation (3, 3) from the model's frame to camera axes, fingers up."""
    a, b = np.deg2rad([turn, tilt])
    upright = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return torch.tensor(about_x @ about_y @ upright, dtype=torch.float32)


def render(
    vertices: torch.Tensor, faces: torch.Tensor, colours: torch.Tensor, view: str
) -> Image.Image:
    """Orthographic image of the vertices (V, 3) in the model's frame, middle of the tile."""
    points = vertices @ view_rotation(*VIEWS[view]).T
    middle = (points.amax(0) + points.amin(0)) / 2
    width, height = (SUPERSAMPLING * side for side in TILE)
    pixels_per_metre = height / METRES_PER_TILE
    screen = (points - middle) * pixels_per_metre + torch.tensor([width / 2, height / 2, 0.0])
    screen[:, 2] = (points - middle)[:, 2] + 1.0
    fragments = rasterize(screen[None], faces, (height, width))
    normals = vertex_normals(points[None], faces)
    shaded = colours * LIGHT.irradiance(normals[0])
    rendered = interpolate(fragments, faces, shaded)[0]
    rendered = torch.where(fragments.mask[0, ..., None], rendered, torch.ones(3))
    image = Image.fromarray((rendered.clamp(0, 1) * 255).round().byte().numpy())
    return image.resize(TILE, Image.Resampling.LANCZOS)


def main() -> None:
    """Render the figure of the shipped model, or of the file named on the command line."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "open_hand.png"
    data = read_open_hand(source) if source else load_open_hand()
    model, anatomy = HandModel(data), anatomy_of(data)
    cases = [("rest, back", "rest", {}, "back"), ("rest, palm", "rest", {}, "palm")]
    cases += [("rest, side", "rest", {}, "side")]
    for name in ("fist", "point", "pinch", "spread"):
        cases += [(f"{name}, {view}", name, {}, view) for view in ("back", "palm", "oblique")]
    for component in range(3):
        for sign in (-2, 2):
            cases.append(
                (f"shape {component + 1}: {sign:+d} sd", "rest", {component: sign}, "back")
            )
    columns = 7
    rows = -(-len(cases) // columns)
    sheet = Image.new("RGB", (columns * TILE[0], rows * TILE[1]), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for number, (label, pose, shape, view) in enumerate(cases):
        betas = torch.zeros(1, 10)
        for component, value in shape.items():
            betas[0, component] = value
        hand_pose = hand_pose_from_angles(pose_angles(POSES[pose])[None], anatomy.axes)
        params = HandParams(torch.zeros(1, 3), hand_pose, betas, torch.zeros(1, 3))
        vertices = model(params).vertices[0].detach()
        colours = torch.tensor(SKIN).expand(len(vertices), 3)
        corner = (number % columns * TILE[0], number // columns * TILE[1])
        sheet.paste(render(vertices, model.faces, colours, view), corner)
        pen.text((corner[0] + 10, corner[1] + 8), label, "black", font)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    main()
