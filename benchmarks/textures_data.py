"""The images of `benchmarks/textures.py`: several pictures of one hand whose skin is known.

A person is a shape of the open hand and a skin painted as `scripts/build_appearance.py` paints,
with what the appearance basis leaves out: this person's course of lines and veins, mottling,
freckles and moles. Every picture shows it in another pose, view and light.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from datasets.poses import sample_hand_angles
from fitter.camera import project
from fitter.hand_models import HandModel, hand_pose_from_angles, load_hand_model
from fitter.raster import rasterize
from fitter.records import HandParams
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    interpolate,
    srgb_from_linear,
    texture_colours,
    vertex_normals,
)

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from build_examples import develop
from example_geometry import rest_frame
from example_light import LightDetail, light_vertices
from open_hand_skin import draw_layers, unfold
from open_hand_skin_population import CREASE, HAEMOGLOBIN, MELANIN, VEIN, paint, sample_person
from synthetic_scenes import _fingers_collide, _light

from datasets.synthetic.painted_backgrounds import THEMES, sample_background

SIZE, TEXELS, SUPERSAMPLING = 512, 512, 2
"""Sides of an image and of the true texture; samples along a pixel's side."""
MOLES, MOTTLING = 250, 0.12
"""How many spots a hand has, and by how much the blood in it varies from place to place."""
DETAIL = LightDetail(directions=112, map_size=256)
MOST_TILT = np.deg2rad(50)
"""Angle between the line of sight and the palm's or the back's normal."""


@dataclass(frozen=True)
class Person:
    """One hand: its shape (1, S), and its skin (T, T, 3) linear RGB."""

    seed: int
    betas: torch.Tensor
    skin: np.ndarray


@dataclass(frozen=True)
class Picture:
    """One picture of a hand.

    Attributes:
        plain: (H, W, 3) uint8 under `light` alone: what the shading of fits can explain.
        image: (H, W, 3) uint8 with soft shadows, bounce, highlights, background, noise.
        intrinsics: (3, 3) float64 K.
        vertices: (V, 3) float64 metres, camera frame.
        mask: (H, W) bool, the hand.
        light: (11,) S2HAND's numbers.
    """

    plain: np.ndarray
    image: np.ndarray
    intrinsics: np.ndarray
    vertices: np.ndarray
    mask: np.ndarray
    light: np.ndarray


class Photographer:
    """Makes people and takes pictures of their hands; the atlas is unfolded once."""

    def __init__(self) -> None:
        self.model: HandModel = load_hand_model("open_hand", dtype=torch.float64)
        self.data = self.model.data
        self.atlas = unfold(self.data, TEXELS)

    def person(self, seed: int) -> Person:
        """A person of a seed."""
        generator = np.random.default_rng([seed, 0])
        layers = draw_layers(self.atlas, generator)
        skin = paint(sample_person(generator), layers)
        # Beyond the basis: lines and veins of this hand alone, mottling, moles and freckles.
        lines = layers.palm_lines + layers.back_lines
        density = 0.5 * lines[:, None] * CREASE + 2 * layers.veins[:, None] * VEIN
        density = density + MOTTLING * layers.coarse[:, None] * HAEMOGLOBIN
        density = density + self._moles(generator)[:, None] * MELANIN
        skin = skin * np.exp(-density)
        shapes = self.model.shapedirs.shape[-1]
        betas = torch.from_numpy(generator.normal(0, 0.8, (1, shapes)).clip(-2, 2))
        return Person(seed, betas, skin[self.atlas.texel_rows].astype(np.float32))

    def _moles(self, generator: np.random.Generator) -> np.ndarray:
        """(M,) melanin of moles and freckles."""
        rest = np.stack([self.atlas.averaged(axis) for axis in self.atlas.samples.rest.T], 1)
        centres = rest[generator.integers(len(rest), size=MOLES)]
        radii, depths = generator.uniform(0.0005, 0.002, MOLES), generator.uniform(0.3, 1.2, MOLES)
        melanin = np.zeros(len(rest))
        for centre, radius, depth in zip(centres, radii, depths, strict=True):
            distance = np.linalg.norm(rest - centre, axis=1)
            spot = depth * (0.5 - 0.5 * np.tanh((distance - radius) / 0.0004))
            melanin = np.maximum(melanin, spot)
        return melanin

    def picture(self, person: Person, number: int) -> Picture:
        """One of a person's pictures; even ones show more of the palm, odd ones of the back."""
        generator = np.random.default_rng([person.seed, 1, number])
        vertices = self._posed(person, number, generator)
        intrinsics = _camera(vertices, generator)
        light = _plain_light(generator)
        plain, mask = self._plain(person, vertices, intrinsics, light)
        image = self._realistic(person, vertices, intrinsics, generator)
        return Picture(plain, image, intrinsics, vertices, mask, light)

    def _posed(self, person: Person, number: int, generator: np.random.Generator) -> np.ndarray:
        zero = torch.zeros(1, 3, dtype=torch.float64)
        still = self.model(HandParams(zero, zero.expand(15, 3)[None], person.betas, zero))
        tips = list(self.model.tip_vertices)
        frame = rest_frame(still.joints[0].numpy(), still.vertices[0, tips].numpy())
        for _ in range(200):
            angles = torch.from_numpy(sample_hand_angles(generator, 1))
            pose = hand_pose_from_angles(angles, frame.axes)
            posed = self.model(HandParams(zero, pose, person.betas, zero))
            points = np.concatenate([posed.joints[0], posed.vertices[0, tips]])
            if not _fingers_collide(points):
                break
        turn = _view(frame, number % 2 == 0, generator)
        points = posed.vertices[0].numpy() @ turn.T
        middle = 0.5 * (points.min(0) + points.max(0))
        return points - middle + [0, 0, generator.uniform(0.35, 0.7)]

    def _plain(
        self, person: Person, vertices: np.ndarray, intrinsics: np.ndarray, light: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        lit = AmbientDirectionalLight.of(torch.from_numpy(light)[None])
        points = torch.from_numpy(vertices)[None]
        shade = lit.irradiance(vertex_normals(points, self.model.faces))[0].numpy()
        linear, alpha = render(self, person.skin, vertices, intrinsics, shade)
        picture = srgb_from_linear(torch.from_numpy(linear)).numpy()
        return np.clip(np.round(255 * picture), 0, 255).astype(np.uint8), alpha > 0.5

    def _realistic(
        self,
        person: Person,
        vertices: np.ndarray,
        intrinsics: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        faces = self.model.faces.numpy()
        normals = vertex_normals(torch.from_numpy(vertices)[None], self.model.faces)[0].numpy()
        light = light_vertices(
            vertices, normals, faces, _light(generator), vertices.mean(0), DETAIL
        )
        shine = 0.028 * (light.specular * [[[0.5], [0.3]]]).sum(1)
        linear, alpha = render(self, person.skin, vertices, intrinsics, light.diffuse, shine)
        theme = str(generator.choice(list(THEMES)))
        behind = sample_background(theme, (SIZE, SIZE), generator).astype(np.float32) / 255
        behind = np.where(behind <= 0.04045, behind / 12.92, ((behind + 0.055) / 1.055) ** 2.4)
        linear = (linear + behind * (1 - alpha[..., None])) * generator.uniform(0.8, 1.2)
        encoded = develop(linear).astype(np.float32)
        encoded = cv2.GaussianBlur(encoded, (0, 0), generator.uniform(0.4, 0.8))
        grain = generator.normal(0, generator.uniform(0.5, 2), encoded.shape)
        return np.clip(np.round(encoded + grain), 0, 255).astype(np.uint8)


def render(
    photographer: Photographer,
    texture: np.ndarray,
    vertices: np.ndarray,
    intrinsics: np.ndarray,
    light: np.ndarray,
    shine: np.ndarray | None = None,
    supersampling: int = SUPERSAMPLING,
) -> tuple[np.ndarray, np.ndarray]:
    """A textured hand over black: (H, W, 3) linear RGB, and (H, W) how far it covers each pixel.

    Args:
        photographer: with the model.
        texture: (T, T, 3) linear RGB.
        vertices: (V, 3) metres, camera frame.
        intrinsics: (3, 3) K of the image of SIZE x SIZE pixels.
        light: (V, 3) that the texture is multiplied with; shine: (V, 3) that is added.
        supersampling: samples along a pixel's side.
    """
    model, fine = photographer.model, SIZE * supersampling
    points = torch.from_numpy(vertices)[None]
    scaled = torch.from_numpy(intrinsics * [[supersampling], [supersampling], [1]])[None]
    screen = torch.cat([project(points, scaled), points[..., 2:]], -1)
    fragments = rasterize(screen, model.faces, (fine, fine))
    uv = torch.from_numpy(photographer.data.uv).float()
    uv_faces = torch.from_numpy(photographer.data.uv_faces)
    colours = texture_colours(fragments, uv, uv_faces, torch.from_numpy(texture))
    picture = colours * interpolate(fragments, model.faces, torch.from_numpy(light).float())
    if shine is not None:
        picture = picture + interpolate(fragments, model.faces, torch.from_numpy(shine).float())
    drawn = torch.cat([picture, fragments.mask[..., None].float()], -1)[0].numpy()
    drawn = cv2.resize(drawn, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return drawn[..., :3], drawn[..., 3]


def _view(frame: object, palm: bool, generator: np.random.Generator) -> np.ndarray:
    """A rotation (3, 3) from the model to the camera that shows the palm, or the back, tilted, with
    the fingers in any direction."""
    toward = np.asarray(frame.palmar if palm else -np.asarray(frame.palmar))
    up = np.asarray(frame.forward) - (np.asarray(frame.forward) @ toward) * toward
    up /= np.linalg.norm(up)
    # Rows: the camera's x, y and z axes in the model's; the palm looks at the camera (-z).
    straight = np.stack([np.cross(up, toward), -up, -toward])
    if np.linalg.det(straight) < 0:
        straight[0] *= -1
    tilt, around = MOST_TILT * np.sqrt(generator.random()), generator.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(around), np.sin(around), 0.0])
    roll = np.array([0, 0, generator.uniform(-np.pi, np.pi)])
    return cv2.Rodrigues(roll)[0] @ cv2.Rodrigues(tilt * axis)[0] @ straight


def _camera(vertices: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """K that shows the hand at 60 to 80 % of the image's side."""
    rays = vertices[:, :2] / vertices[:, 2:]
    low, high = rays.min(0), rays.max(0)
    focal = SIZE * generator.uniform(0.6, 0.8) / (high - low).max()
    centre = SIZE / 2 - focal * (low + high) / 2 + generator.uniform(-20, 20, 2)
    return np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])


def _plain_light(generator: np.random.Generator) -> np.ndarray:
    """S2HAND's 11 numbers."""
    tint = 1 + generator.uniform(-0.12, 0.12, 3)
    direction = [*generator.uniform(-1, 1, 2), -1.0]
    return np.array([generator.uniform(0.25, 0.5), 1, 1, 1, generator.uniform(0.4, 0.8), *tint,
                     *direction])  # fmt: skip
