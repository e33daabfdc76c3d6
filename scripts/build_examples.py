"""Build the example images and their ground truth: `python scripts/build_examples.py`.

Every image is rendered with the open hand by this project's own rasteriser, so that the true
parameters are known and the images may be used by anyone for anything. The result depends on
nothing but this code and the recipes in `example_recipes.py`.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from example_geometry import CLOTH, SKIN, ArmMesh, build_arm, rest_frame
from example_light import VertexLight, light_vertices
from example_recipes import RECIPES, HandRecipe, ImageRecipe
from example_skin import Paint, Samples, paint_cloth, paint_skin, to_linear
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.synthetic.painted_backgrounds import sample_background
from fitter.camera import project
from fitter.hand_models import HandModel, hand_pose_from_angles, load_hand_model
from fitter.hand_models.anatomy import joint_limits
from fitter.raster import rasterize
from fitter.records import HandParams
from fitter.rendering import vertex_normals

FOLDER = Path(__file__).resolve().parents[1] / "examples"
GROUND_TRUTH = "ground_truth.json"
INTRINSICS = "intrinsics.json"
"""Image name -> K, as `fit-hands --intrinsics` reads it."""
WIDTH, HEIGHT, FOCAL = 640, 480, 620.0
SUPERSAMPLING = 2
JPEG_QUALITY = 92


@dataclass(frozen=True)
class PosedHand:
    """One hand of an image: its recipe, its parameters as a RIGHT hand (the mirrored hand of a
    left one), and where it is in the image."""

    recipe: HandRecipe
    params: HandParams


def main() -> None:
    """Write all images and the ground truth, or only those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="pictures to build; all of them by default")
    parser.add_argument("--output", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    model = load_hand_model("open_hand", dtype=torch.float64)
    records = []
    for recipe in RECIPES:
        hands = pose_hands(model, recipe)
        if not arguments.names or recipe.name in arguments.names:
            (arguments.output / f"{recipe.name}.jpg").write_bytes(render(model, recipe, hands))
            print(f"{recipe.name}.jpg")
        records += [ground_truth(recipe, hand) for hand in hands]
    truth = {"model": "open_hand", "model_sha256": model.data.sha256, "hands": records}
    (arguments.output / GROUND_TRUTH).write_text(_json(truth))
    cameras = {f"{recipe.name}.jpg": intrinsics().tolist() for recipe in RECIPES}
    (arguments.output / INTRINSICS).write_text(_json(cameras))


def _json(truth: dict) -> str:
    """JSON with one line for each array's innermost row."""
    text = json.dumps(truth, indent=1)
    inner = re.compile(r"\[[^\[\]{}]*\]")
    return inner.sub(lambda row: re.sub(r"\s+", " ", row.group()), text) + "\n"


def intrinsics() -> np.ndarray:
    """(3, 3) K that all images share, pixels."""
    return np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])


def pose_hands(model: HandModel, recipe: ImageRecipe) -> list[PosedHand]:
    """Parameters of an image's hands; depends on the recipe alone."""
    generator = np.random.default_rng([recipe.seed, 0])
    return [PosedHand(hand, _pose(model, hand, generator)) for hand in recipe.hands]


def _pose(model: HandModel, hand: HandRecipe, generator: np.random.Generator) -> HandParams:
    """Parameters of the right hand that the recipe describes (mirrored for a left hand)."""
    shape = generator.normal(0, 0.7, (1, model.shapedirs.shape[-1]))
    betas = torch.from_numpy(np.clip(shape, -1.5, 1.5))
    zero = torch.zeros(1, 3, dtype=torch.float64)
    zeros = HandParams(zero, zero.expand(15, 3)[None], betas, zero)
    rest = model(zeros)
    tips = rest.vertices[0, model.tip_vertices].numpy()
    frame = rest_frame(rest.joints[0].numpy(), tips)
    angles = np.deg2rad(hand.angles() + generator.normal(0, 2.0, (15, 3)) * [1, 0.5, 0])
    angles = np.clip(angles, *joint_limits())
    pose = hand_pose_from_angles(torch.from_numpy(angles)[None], frame.axes)

    mirror = -1.0 if hand.side == "left" else 1.0
    yaw, pitch, roll = np.deg2rad(hand.rotation) * [mirror, 1, mirror]
    # A right palm that faces the camera with the fingers up: radial right, forward up, palmar near.
    facing = np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]).T
    # The hand turns about the vertical first, about the line of sight last.
    rotation = Rotation.from_euler("yxz", [yaw, pitch, roll]).as_matrix()
    rotation = rotation @ facing @ np.stack([frame.radial, frame.forward, frame.palmar])
    orient = torch.from_numpy(Rotation.from_matrix(rotation).as_rotvec())[None]
    turned = model(HandParams(orient, pose, betas, zeros.transl))
    points = turned.keypoints[0].numpy()
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    x, y, depth = hand.place
    x = WIDTH - x if hand.side == "left" else x  # the hand is mirrored later
    target = np.array([(x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL, 1.0]) * depth
    return HandParams(orient, pose, betas, torch.from_numpy(target - middle)[None])


def ground_truth(recipe: ImageRecipe, hand: PosedHand) -> dict:
    """What is true of one hand: parameters for `load_hand_model("open_hand", side)`, keypoints."""
    side = hand.recipe.side
    # Rounded first, so that what is written is exactly what the keypoints are computed from.
    params = hand.params.map(lambda tensor: torch.round(tensor, decimals=9))
    params = params.mirrored() if side == "left" else params
    model = load_hand_model("open_hand", side, dtype=torch.float64)
    keypoints = model(params).keypoints
    pixels = project(keypoints, torch.from_numpy(intrinsics())[None])[0]
    return {
        "image": f"{recipe.name}.jpg",
        "side": side,
        "seed": recipe.seed,
        "global_orient": params.global_orient[0].tolist(),
        "hand_pose": params.hand_pose[0].tolist(),
        "betas": params.betas[0].tolist(),
        "transl": params.transl[0].tolist(),
        "K": intrinsics().tolist(),
        "keypoints_3d": [[round(v, 7) for v in point] for point in keypoints[0].tolist()],
        "keypoints_2d": [[round(v, 4) for v in point] for point in pixels.tolist()],
    }


def render(model: HandModel, recipe: ImageRecipe, hands: list[PosedHand]) -> bytes:
    """One image as JPEG bytes."""
    generator = np.random.default_rng([recipe.seed, 1])
    size = (HEIGHT * SUPERSAMPLING, WIDTH * SUPERSAMPLING)
    background = sample_background(recipe.theme, size, generator)
    linear = to_linear(background) * recipe.background_light
    arms = [build_arm(model, hand.params, hand.recipe.arm, generator) for hand in hands]
    _shade(linear, recipe, hands, arms, generator)
    developed = develop(linear * recipe.exposure)
    small = cv2.resize(developed, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 0.55)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    corner = ((x / WIDTH - 0.5) ** 2 + (y / HEIGHT - 0.5) ** 2) * 2
    small *= (1 - 0.14 * corner**1.5)[..., None]
    grain = cv2.GaussianBlur(generator.normal(0, 1, small.shape), (0, 0), 0.6)
    small += grain * recipe.noise + generator.normal(0, 0.5, (*small.shape[:2], 1)) * recipe.noise
    buffer = io.BytesIO()
    pixels = np.clip(np.round(small), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def develop(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0-255 with a shoulder that keeps highlights from clipping."""
    knee = 0.75
    over = np.maximum(linear - knee, 0)
    soft = np.minimum(linear, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee)))
    encoded = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * soft ** (1 / 2.4) - 0.055)
    return encoded * 255


def _mirrored(arm: ArmMesh, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Camera-frame vertices and outward faces of an arm of the given side."""
    if side == "right":
        return arm.vertices, arm.faces
    return arm.vertices * [-1.0, 1.0, 1.0], arm.faces[:, ::-1]


def _shade(
    linear: np.ndarray,
    recipe: ImageRecipe,
    hands: list[PosedHand],
    arms: list[ArmMesh],
    generator: np.random.Generator,
) -> None:
    """Render all arms over the linear background (H, W, 3) in place, supersampled."""
    parts = [_mirrored(arm, hand.recipe.side) for arm, hand in zip(arms, hands, strict=True)]
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    faces = np.concatenate([faces + o for (_, faces), o in zip(parts, offsets, strict=False)])
    scaled = intrinsics() * [[SUPERSAMPLING], [SUPERSAMPLING], [1]]
    points = torch.from_numpy(vertices)[None]
    screen = torch.cat([project(points, torch.from_numpy(scaled)[None]), points[..., 2:]], -1)
    fragments = rasterize(screen, torch.from_numpy(faces), linear.shape[:2])
    face_index = fragments.face_index[0].numpy().ravel()
    weights = fragments.barycentrics[0].numpy().reshape(-1, 3)
    normals = _normals(vertices, faces)
    first_face = np.cumsum([0, *(len(f) for _, f in parts)])
    flat = linear.reshape(-1, 3)
    for index, (hand, arm) in enumerate(zip(hands, arms, strict=True)):
        focus = parts[index][0][(arm.weights[:, 0] < 0.9) & (arm.material == SKIN)].mean(axis=0)
        light = light_vertices(vertices, normals, faces, recipe.light, focus)
        own = (face_index >= first_face[index]) & (face_index < first_face[index + 1])
        pixels = np.flatnonzero(own)
        corners = faces[face_index[pixels]] - offsets[index]
        part = slice(offsets[index], offsets[index + 1])
        light = VertexLight(light.diffuse[part], light.specular[part], light.openness[part])
        flat[pixels] = surface_colours(corners, weights[pixels], hand.recipe, arm, light, generator)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals."""
    return vertex_normals(torch.from_numpy(vertices)[None], torch.from_numpy(faces))[0].numpy()


def surface_colours(
    corners: np.ndarray,
    weights: np.ndarray,
    hand: HandRecipe,
    arm: ArmMesh,
    light: VertexLight,
    generator: np.random.Generator,
) -> np.ndarray:
    """(N, 3) linear light that N visible points send to the camera.

    Args:
        corners: (N, 3) vertices of each point's face, weights: (N, 3) its barycentrics.
        hand: says skin and cloth.
        arm: the mesh, light: what reaches its vertices.
        generator: of the skin's and the cloth's details.
    """

    def at(attribute: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nk...->n...", weights, attribute[corners])

    colours = np.zeros((len(corners), 3))
    is_cloth = arm.material[corners[:, 0]] == CLOTH
    samples = Samples(at(arm.rest), at(arm.rest_normals), at(arm.weights), at(arm.along))
    diffuse, specular = at(light.diffuse), at(light.specular)
    openness = at(light.openness)[:, None]
    for chosen, material in ((~is_cloth, SKIN), (is_cloth, CLOTH)):
        part = Samples(*(getattr(samples, name)[chosen] for name in Samples.__dataclass_fields__))
        if material == SKIN:
            paint: Paint = paint_skin(part, arm, hand.tone, generator)
        else:
            paint = paint_cloth(part, hand.cloth, generator)
        # Creases between fingers are darker than the light maps are fine enough to show.
        crevice = 1 - 0.35 * (1 - openness[chosen]) ** 2
        shiny = np.einsum("nk,nkc->nc", paint.gloss, specular[chosen]) * 0.028
        colours[chosen] = paint.albedo * diffuse[chosen] * paint.relief[:, None] * crevice + shiny
    return colours


if __name__ == "__main__":
    main()
