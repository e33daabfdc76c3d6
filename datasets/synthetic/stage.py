"""Posed scenes on their way to an image: what stands where, and what falls on its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from datasets.synthetic.arms import HIDDEN, Mesh, PosedArms
from datasets.synthetic.imaging import fall_off, infrared_reflectance
from datasets.synthetic.light import highlights
from datasets.synthetic.records import INFRARED, SampleSpecs, ViewpointSpec
from datasets.synthetic.reflectance import SurfacePoints
from datasets.synthetic.rigs import moved_points, turned
from fitter.camera import SquareCrop, crop_intrinsics
from fitter.raster import MeshTopology


@dataclass(frozen=True)
class Scene:
    """What one kind of scene consists of: one hand or two, and objects.

    `things` (N, 3) float64 metres, camera frame, are the vertices of an object's mesh of its own;
    None: the bodies that `ObjectSpec` describes.
    """

    mesh: Mesh
    topology: MeshTopology
    hands: int
    things: Tensor | None = None


@dataclass(frozen=True)
class Stage:
    """B posed scenes of one kind in the frame of a camera.

    `hands` are the one or two posed hands, a left one as it is, not mirrored; `vertices` (B, V, 3)
    float32 metres of all that is there; `normals` (B, V, 3); `skin` (B, V) 1 where light wraps
    around edges; `open_share` (B, V) of the sky. What is not there lies behind at the depth
    `HIDDEN`.
    """

    hands: tuple[PosedArms, ...]
    vertices: Tensor
    normals: Tensor
    skin: Tensor
    open_share: Tensor

    def moved(self, rotation: Tensor, translation: Tensor) -> Stage:
        """The same scenes in the frames of other cameras, see `moved_points`."""
        hidden = self.vertices[..., 2:] < 0.9 * HIDDEN
        vertices = moved_points(self.vertices.double(), rotation, translation).float()

        def there(points: Tensor) -> Tensor:
            return moved_points(points, rotation, translation).round(decimals=9)

        return replace(
            self,
            hands=tuple(hand.map(there) for hand in self.hands),
            vertices=torch.where(hidden, self.vertices, vertices),
            normals=turned(self.normals.double(), rotation).float(),
        )


@dataclass(frozen=True)
class Rays:
    """What falls on N pixels, and where they are seen from.

    `diffuse` (N, 3) and `shown` (N, SHADOWS) as in `Irradiance`; `to_eye` (N, 3) unit; `depth` (N,)
    metres.
    """

    diffuse: Tensor
    shown: Tensor
    to_eye: Tensor
    depth: Tensor


@dataclass(frozen=True)
class Surface:
    """What N pixels show: `colour` (N, 3) linear RGB, unit `normals` (N, 3), `gloss` (N, 2) and
    whether it is a glove, `gloved` (N,) bool."""

    colour: Tensor
    normals: Tensor
    gloss: Tensor
    gloved: Tensor


def image_intrinsics(view: ViewpointSpec, size: int) -> Tensor:
    """(B, 3, 3) float64 K in pixels of the squares of B views, `size` pixels wide."""
    return crop_intrinsics(view.intrinsics, SquareCrop(view.centre, view.side, size))


def lit_pixels(specs: SampleSpecs, points: SurfacePoints, rays: Rays, surface: Surface) -> Tensor:
    """(N, 3) linear light that pixels send to the camera's sensor."""
    colour, gloss = surface.colour, surface.gloss
    infrared = bool((specs.imaging.kind == INFRARED).any())
    if infrared:
        sensor = specs.imaging[points.row]
        colour, gloss = infrared_reflectance(colour, gloss, points.kind, surface.gloved, sensor)
    shine = highlights(surface.normals, rays.to_eye, rays.shown, specs.light, gloss, points.row)
    lit = colour * rays.diffuse + shine
    return lit * fall_off(rays.depth, sensor)[:, None] if infrared else lit


def to_eye(K: Tensor, pixels: tuple[Tensor, Tensor], fine: int, supersampling: int) -> Tensor:
    """(N, 3) unit vectors from pixels to the camera.

    Args:
        K: (B, 3, 3) of the images.
        pixels: (N,) numbers of finer pixels in all images, (N,) the images that they are in.
        fine: finer pixels of an image's side; supersampling: how much finer they are.
    """
    covered, row = pixels
    K = K.float()[row]
    x = ((covered % fine + 0.5) / supersampling - K[:, 0, 2]) / K[:, 0, 0]
    y = ((covered // fine % fine + 0.5) / supersampling - K[:, 1, 2]) / K[:, 1, 1]
    rays = torch.stack([x, y, torch.ones_like(x)], 1)
    return -torch.nn.functional.normalize(rays, dim=1)


def averaged(canvas: Tensor, size: int, supersampling: int) -> tuple[Tensor, Tensor]:
    """Means (B, S, S, 3) and (B, S, S) of the finer pixels (B * F * F, 4)."""
    ss = supersampling
    blocks = canvas.view(-1, size, ss, size, ss, 4)
    total = sum((blocks[:, :, y, :, x] for y in range(ss) for x in range(ss)),
                start=torch.zeros_like(blocks[:, :, 0, :, 0])) / (ss * ss)  # fmt: skip
    return total[..., :3], total[..., 3]
