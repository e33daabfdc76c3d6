"""What colours an exported hand has: a texture where there is one, and colours at its vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fitter.hand_models.model_data import HandModelData
from fitter.rendering.shading import linear_from_srgb, sample_texture, srgb_from_linear
from fitter.store.schema import HandRow

if TYPE_CHECKING:
    from fitter.meshes import HandMeshes
    from fitter.textures.texture import HandTexture


@dataclass(frozen=True)
class HandSkin:
    """Diffuse reflectance of a hand: its colours in even white light.

    Attributes:
        colours: (V, 3) float64 linear RGB at the vertices, in [0, 1].
        texture: (T, T, 3) float32 linear RGB in the model's atlas, row 0 at the top; None where the
            model has no atlas, or the colours were fitted at the vertices.
        normals: (T, T, 3) float32 in the same atlas, x along u, y along v, z out of the skin; None
            where the model has no such map.
        weight: (T, T) float32, how surely each texel of a texture made from pictures was measured,
            see `HandTexture.weight`; None for other skins.
    """

    colours: np.ndarray
    texture: np.ndarray | None = None
    normals: np.ndarray | None = None
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, row: HandRow, meshes: HandMeshes, texture: HandTexture | None = None) -> HandSkin:
        """The skin of a hand: its own texture, else what was fitted to it, else the mean skin.

        Colours that a stage added at the vertices are in the texture where there is one; the
        model's normals belong to every texture.

        Args:
            row: of the hand; its `texture`, `appearance` and `vertex_colours` count where they
                were fitted.
            meshes: the model it was fitted with.
            texture: of the hand, in the model's atlas, in place of the row's; None for none.
        """
        import torch

        appearance, data = meshes.appearance, meshes.data
        said = np.zeros(appearance.count) if row.appearance is None else row.appearance
        coefficients = torch.as_tensor(said, dtype=torch.float32)[None]
        added = row.vertex_colours if texture is None else None
        own = row.texture if texture is None else texture.colours
        if data.uv is None or (own is None and not appearance.is_mapped and added is not None):
            colours = appearance.vertex_colours(coefficients)[0].double().numpy()
            return cls(_with_added(colours, added, meshes.linear_light))
        normals = None
        if own is None or appearance.is_mapped:
            maps = appearance.maps(coefficients)
            normals = None if maps.normal is None else maps.normal[0].numpy()
            if own is None and added is None:
                colours = appearance.vertex_colours(coefficients)[0].double().numpy()
                # One colour needs no picture of it.
                one = maps.diffuse.shape[1] == 1
                return cls(colours) if one else cls(colours, maps.diffuse[0].numpy(), normals)
            own = maps.diffuse[0].numpy() if own is None else own
        if added is not None:
            atlas = meshes.atlas(len(own))
            own = _with_added(own, atlas.texture(atlas.at(added)), meshes.linear_light)
        own = own.astype(np.float32)
        weight = None if texture is None else texture.weight
        return cls(_at_vertices(data, own), own, normals, weight)

    def png(self) -> bytes | None:
        """The texture as a PNG of 8-bit sRGB, or None without one."""
        return None if self.texture is None else _png(encoded(self.texture))

    def weight_png(self) -> bytes | None:
        """Where the texture was measured, as a grey PNG, or None: 0 where a texel is filled in, 255
        where it was seen as well as by one picture straight on, or better."""
        if self.weight is None:
            return None
        grey = np.round(255 * self.weight.clip(0, 1))
        # What was seen at all, however badly, is not what was filled in.
        return _png(np.maximum(grey, self.weight > 0).astype(np.uint8))

    def normal_png(self) -> bytes | None:
        """The normals as a PNG that holds (n + 1) / 2 in 8 bits, as glTF has them, or None."""
        if self.normals is None:
            return None
        lengths = np.linalg.norm(self.normals, axis=-1, keepdims=True)
        unit = self.normals / np.where(lengths > 0, lengths, 1)
        return _png(np.round(255 * (unit + 1) / 2).astype(np.uint8))


def encoded(linear: np.ndarray) -> np.ndarray:
    """Linear colours (...) in [0, 1] as uint8 sRGB."""
    import torch

    srgb = srgb_from_linear(torch.as_tensor(linear, dtype=torch.float64)).numpy()
    return np.round(255 * srgb.clip(0, 1)).astype(np.uint8)


def _with_added(colours: np.ndarray, added: np.ndarray | None, linear_light: bool) -> np.ndarray:
    """Linear RGB (..., 3) in [0, 1] with colours (..., 3) added to it, in linear light or to its
    sRGB."""
    import torch

    if added is None:
        return colours
    linear = torch.as_tensor(np.asarray(colours, np.float64))
    more = torch.as_tensor(np.asarray(added, np.float64))
    total = linear + more if linear_light else linear_from_srgb(srgb_from_linear(linear) + more)
    return total.clamp(0, 1).numpy()


def _png(pixels: np.ndarray) -> bytes:
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV's order
    done, content = cv2.imencode(".png", bgr)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return content.tobytes()


def _at_vertices(data: HandModelData, texture: np.ndarray) -> np.ndarray:
    """(V, 3) a texture's colour at each vertex; on a seam, the mean of what its sides show."""
    import torch

    assert data.uv is not None and data.uv_faces is not None
    looked_up = sample_texture(torch.as_tensor(texture), torch.as_tensor(data.uv)).double().numpy()
    corners, texels = data.faces.ravel(), data.uv_faces.ravel()
    pairs = np.unique(np.stack([corners, texels], axis=1), axis=0)
    sums = np.zeros((len(data.v_template), 4))
    np.add.at(sums, pairs[:, 0], np.column_stack([looked_up[pairs[:, 1]], np.ones(len(pairs))]))
    return sums[:, :3] / np.maximum(sums[:, 3:], 1)
