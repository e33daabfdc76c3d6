"""PLY, binary, with normals and colours; positions are those of the camera frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitter.formats.hand_asset import HandAsset
from fitter.formats.skin import encoded


def ply(hands: Sequence[HandAsset]) -> bytes:
    """A PLY file of hands, one behind the other.

    Args:
        hands: at least one.

    Returns:
        The file: float32 x, y, z in metres, nx, ny, nz, and 8-bit sRGB at each vertex.
    """
    import trimesh
    from trimesh.exchange.ply import export_ply

    starts = np.cumsum([0, *(len(hand.vertices) for hand in hands)])
    mesh = trimesh.Trimesh(
        np.concatenate([hand.vertices for hand in hands]),
        np.concatenate(
            [hand.data.faces + start for hand, start in zip(hands, starts, strict=False)]
        ),
        vertex_normals=np.concatenate([hand.normals for hand in hands]),
        vertex_colors=np.concatenate([encoded(hand.skin.colours) for hand in hands]),
        process=False,
    )
    return export_ply(mesh, vertex_normal=True)
