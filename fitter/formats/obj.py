"""Wavefront OBJ with its materials and textures; positions are those of the camera frame.

Vertices keep the order of the hand model, one `v` line each: a face names a vertex, a texture
coordinate and a normal apart, so nothing is split at the seams of the atlas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitter.formats.hand_asset import HandAsset


def obj(hands: Sequence[HandAsset], stem: str, alone: bool = True) -> dict[str, bytes]:
    """The files of hands: OBJ, its materials, and PNGs for each hand that has a texture.

    Args:
        hands: at least one; their names differ.
        stem: of the files' names.
        alone: whether files beside it hold a hand each, as this one does. Otherwise the textures'
            names say whose they are, even of a hand that is alone in its file, so that those of
            another stem, such as ``stem.right``, never have the same.

    Returns:
        File name -> content, ``stem.obj`` last, since it points at the others. ``.measured.png`` is
        `HandSkin.weight_png`, for textures that were made from pictures. Hands without a
        texture have their colours behind their positions (linear RGB is encoded as sRGB), which
        trimesh, MeshLab and Blender read.
    """
    files: dict[str, bytes] = {}
    lines = [f"mtllib {stem}.mtl"]
    materials: list[str] = []
    starts = np.zeros(3, np.int64)
    for hand in hands:
        png = hand.skin.png()
        texture = None
        if png is not None:
            own = stem if alone else f"{stem}.{hand.name}"
            texture = f"{own}.png"
            files[texture] = png
            weight = hand.skin.weight_png()
            if weight is not None:
                files[f"{own}.measured.png"] = weight
        materials += _material(hand, texture)
        lines += [f"o {hand.name}", f"usemtl {hand.name}"]
        more, counts = _shape(hand, starts)
        lines += more
        starts = starts + counts
    files[f"{stem}.mtl"] = _text(materials)
    files[f"{stem}.obj"] = _text(lines)
    return files


def _material(hand: HandAsset, texture: str | None) -> list[str]:
    lines = [f"newmtl {hand.name}", "Kd 1 1 1", "Ks 0 0 0", "illum 1"]
    return lines if texture is None else [*lines, f"map_Kd {texture}"]


def _shape(hand: HandAsset, starts: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Lines of a hand's vertices and faces, and how many v, vt and vn lines they are.

    Args:
        hand: the hand.
        starts: (3,) v, vt and vn lines before it.
    """
    from fitter.formats.skin import encoded

    data = hand.data
    with_texture = hand.skin.texture is not None and data.uv is not None
    rows = hand.vertices
    if not with_texture:
        rows = np.concatenate([rows, encoded(hand.skin.colours) / 255], axis=1)
    lines = _numbered("v", rows)
    uv_count = 0
    corners = [data.faces + 1 + starts[0]]
    if with_texture and data.uv is not None and data.uv_faces is not None:
        lines += _numbered("vt", data.uv)
        uv_count = len(data.uv)
        corners.append(data.uv_faces + 1 + starts[1])
    lines += _numbered("vn", hand.normals)
    corners.append(data.faces + 1 + starts[2])
    between = "/" if with_texture else "//"
    for face in np.stack(corners, axis=-1).tolist():
        lines.append("f " + " ".join(between.join(map(str, corner)) for corner in face))
    return lines, np.array([len(hand.vertices), uv_count, len(hand.vertices)])


def _numbered(kind: str, rows: np.ndarray) -> list[str]:
    # Nine digits are all that a float32 has.
    return [f"{kind} " + " ".join(f"{value:.9g}" for value in row) for row in rows.tolist()]


def _text(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
