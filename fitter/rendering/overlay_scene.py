"""Hands and known objects of one image rendered as one scene, and blended into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from fitter.camera import in_front, project
from fitter.numba_kernels import compile_kernel
from fitter.raster import rasterize
from fitter.raster.types import Fragments
from fitter.rendering.overlay_hand import OverlayHand, OverlayMesh
from fitter.rendering.shading import AmbientDirectionalLight, interpolate, vertex_normals

_LIGHT = AmbientDirectionalLight(
    direction=torch.tensor([-0.35, -0.6, -1.0]),
    diffuse=torch.tensor([0.75]),
    ambient=torch.tensor([0.3]),
)
_LARGEST_RENDERING = 4_000_000
"""Supersampled pixels above which a pixel is sampled once: its steps are then too fine to see."""

_BAND = 256
"""Rows that are blended at once, so that a large photograph needs little memory."""


@dataclass(frozen=True)
class Scene:
    """What is seen of all meshes in a part of the image, so that depth is mutual.

    Attributes:
        meshes: of hands and objects, at least one.
        box: x0, y0, x1, y1 of the part, pixels; everything seen is inside.
        scale: samples along a pixel's side.
        fragments: (1, scale * (y1 - y0), scale * (x1 - x0)) samples; faces count through all.
    """

    meshes: Sequence[OverlayMesh]
    box: tuple[int, int, int, int]
    scale: int
    fragments: Fragments

    @cached_property
    def faces(self) -> np.ndarray:
        """(F, 3) vertices of the faces of all meshes, which count through all meshes."""
        return _joined_faces(self.meshes)

    @property
    def covered(self) -> np.ndarray:
        """(sH, sW) bool, the samples that show a mesh."""
        return self.fragments.mask[0].numpy()

    @cached_property
    def mesh_index(self) -> np.ndarray:
        """(sH, sW) int16, the mesh that a sample shows; -1 for none."""
        last = np.cumsum([len(mesh.faces) for mesh in self.meshes])
        seen = self.fragments.face_index[0].numpy()
        mesh_of_face = np.searchsorted(last, np.arange(last[-1]), side="right").astype(np.int16)
        return np.where(seen < 0, np.int16(-1), mesh_of_face[seen])

    def normals(self) -> np.ndarray:
        """(sH, sW, 3) unit normals of the surface, interpolated between vertices; 0 for none."""
        normals = torch.from_numpy(np.concatenate([normals_of(mesh) for mesh in self.meshes]))
        faces = torch.from_numpy(self.faces.astype(np.int64))
        # Between the vertices of a coarse mesh the mean of unit vectors is shorter than one.
        return torch.nn.functional.normalize(interpolate(self.fragments, faces, normals), dim=-1)[
            0
        ].numpy()

    def part(self, image: np.ndarray) -> np.ndarray:
        """The part of the image, (y1 - y0, x1 - x0, 3), to be written to."""
        x0, y0, x1, y1 = self.box
        return image[y0:y1, x0:x1]

    def of_mesh(self, number: int) -> Fragments:
        """The N samples (1, 1, N) that show one mesh, its faces counted from 0."""
        first = sum(len(mesh.faces) for mesh in self.meshes[:number])
        mine = torch.from_numpy(self.mesh_index == number)[None]
        seen = self.fragments
        return Fragments(
            face_index=(seen.face_index[mine] - first)[None, None],
            barycentrics=seen.barycentrics[mine][None, None],
            depth=seen.depth[mine][None, None],
        )


def render_scene(
    shape: tuple[int, ...],
    meshes: Sequence[OverlayMesh],
    screens: Sequence[np.ndarray],
    margin: int = 0,
) -> Scene | None:
    """Render meshes as one scene; None where no part of the image shows one.

    Args:
        shape: (H, W, ...) of the image.
        meshes: to render.
        screens: of each the (V, 3) x px, y px, depth m of its vertices.
        margin: pixels around all that is seen, as far as the image goes.
    """
    box = bounds(np.concatenate(screens), shape, margin) if meshes else None
    if box is None:
        return None
    x0, y0, x1, y1 = box
    scale = 2 if 4 * (x1 - x0) * (y1 - y0) <= _LARGEST_RENDERING else 1
    screen = (np.concatenate(screens) - [x0, y0, 0]) * [scale, scale, 1]
    fragments = rasterize(
        torch.from_numpy(screen.astype(np.float32))[None],
        torch.from_numpy(_joined_faces(meshes).astype(np.int64)),
        ((y1 - y0) * scale, (x1 - x0) * scale),
    )
    return Scene(meshes, box, scale, fragments)


def _joined_faces(meshes: Sequence[OverlayMesh]) -> np.ndarray:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return np.concatenate([mesh.faces + o for mesh, o in zip(meshes, offsets, strict=False)])


def projected(mesh: OverlayMesh, intrinsics: np.ndarray) -> np.ndarray:
    """(V, 3) x px, y px, depth m of a mesh's vertices; NaN for those not in front of the camera."""
    points = torch.from_numpy(np.asarray(mesh.vertices, dtype=np.float64))[None]
    matrix = np.array(intrinsics, dtype=np.float64)
    matrix[:2, :2] *= mesh.focal_scale
    pixels = project(points, torch.from_numpy(matrix)[None])
    screen = torch.cat([pixels, points[..., 2:]], dim=-1)
    return torch.where(in_front(points)[..., None], screen, torch.nan)[0].numpy()


def bounds(
    points: np.ndarray, shape: tuple[int, ...], margin: int = 0
) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of the image's part that finite points (N, 2+) span with a margin around
    them; None when empty."""
    finite = points[np.isfinite(points).all(axis=-1)]
    if not len(finite):
        return None
    size = (shape[1], shape[0])
    low = np.clip(np.floor(finite[:, :2].min(axis=0)) - margin, 0, size).astype(int)
    high = np.clip(np.ceil(finite[:, :2].max(axis=0)) + margin, 0, size).astype(int)
    return None if (low >= high).any() else (low[0], low[1], high[0], high[1])


def blend_meshes(image: np.ndarray, scene: Scene, opacity: float) -> None:
    """Blend the shaded meshes into the image (H, W, 3) in place."""
    colours = np.concatenate([mesh_colours(mesh) for mesh in scene.meshes])
    _composite(
        scene.part(image),
        scene.fragments.face_index[0].numpy(),
        scene.fragments.barycentrics[0].numpy(),
        colours[scene.faces],
        opacity,
    )


def blend_skins(image: np.ndarray, scene: Scene, opacity: float) -> None:
    """Blend the hands in their skin and light into the image (H, W, 3) in place.

    Raises:
        ValueError: a hand has no skin, or something is no hand.
    """
    colours = np.zeros((*scene.covered.shape, 3), np.float32)
    for number, hand in enumerate(scene.meshes):
        if not isinstance(hand, OverlayHand) or hand.skin is None:
            raise ValueError("expected the skin of every hand that is shown in it, found none")
        faces = torch.from_numpy(hand.faces.astype(np.int64))
        mine = scene.mesh_index == number
        colours[mine] = hand.skin.at_pixels(scene.of_mesh(number), faces)[0]
    blend_samples(scene.part(image), colours, scene.covered, scene.scale, opacity)


def blend_samples(
    image: np.ndarray, colours: np.ndarray, covered: np.ndarray, scale: int, opacity: float
) -> None:
    """Average the samples of every pixel and blend them into the image (H, W, 3) in place.

    Args:
        image: (H, W, 3) uint8.
        colours: (sH, sW, 3) RGB in 0-255 of the samples, or (3,) of one colour.
        covered: (sH, sW) bool, the samples that count.
        scale: s.
        opacity: of the samples.
    """
    share = opacity / scale**2
    for first in range(0, len(image), _BAND):
        pixels = image[first : first + _BAND]
        samples = slice(first * scale, (first + len(pixels)) * scale)
        here = covered[samples]
        if not here.any():
            continue
        colour = colours if colours.ndim == 1 else colours[samples]
        over = _summed(np.where(here[..., None], colour, np.float32(0)), scale)
        blended = (1 - share * _summed(here[..., None], scale)) * pixels + share * over
        pixels[:] = np.minimum(blended + 0.5, 255)


def _summed(samples: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, C) float32 sums over the samples (sH, sW, C) of each pixel."""
    height, width = len(samples) // scale, samples.shape[1] // scale
    return samples.reshape(height, scale, width, scale, -1).sum((1, 3), dtype=np.float32)


@compile_kernel
def _composite(
    image: np.ndarray,
    face_index: np.ndarray,
    barycentrics: np.ndarray,
    face_colours: np.ndarray,
    opacity: float,
) -> None:
    """Average the samples of every pixel and blend them into the image (H, W, 3) in place.

    Samples are (sH, sW) with a whole number s; face_colours is (F, 3 corners, RGB) in 0-255.
    """
    scale = face_index.shape[0] // image.shape[0]
    share = opacity / scale**2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            covered = 0
            red, green, blue = 0.0, 0.0, 0.0
            for y in range(row * scale, (row + 1) * scale):
                for x in range(column * scale, (column + 1) * scale):
                    face = face_index[y, x]
                    if face < 0:
                        continue
                    covered += 1
                    for corner in range(3):
                        weight = barycentrics[y, x, corner]
                        red += weight * face_colours[face, corner, 0]
                        green += weight * face_colours[face, corner, 1]
                        blue += weight * face_colours[face, corner, 2]
            if covered == 0:
                continue
            rest = 1.0 - share * covered
            colour = (red, green, blue)
            for channel in range(3):
                value = rest * image[row, column, channel] + share * colour[channel]
                image[row, column, channel] = np.uint8(min(value + 0.5, 255.0))


def mesh_colours(mesh: OverlayMesh) -> np.ndarray:
    """(V, 3) float32 RGB in 0-255: the mesh's colour under a fixed light from over the shoulder."""
    shade = _LIGHT.irradiance(torch.from_numpy(normals_of(mesh))).numpy()
    return np.minimum(shade * np.array(mesh.colour, dtype=np.float32), 255)


def normals_of(mesh: OverlayMesh) -> np.ndarray:
    """(V, 3) float32 unit normals, camera axes."""
    vertices = torch.from_numpy(np.asarray(mesh.vertices, dtype=np.float32))[None]
    return vertex_normals(vertices, torch.from_numpy(mesh.faces.astype(np.int64)))[0].numpy()
