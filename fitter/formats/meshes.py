"""The files of meshes: which there are, and all of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from fitter.formats.hand_asset import HandAsset

MeshFormat = Literal["glb", "obj", "ply"]
MESH_FORMATS: tuple[MeshFormat, ...] = get_args(MeshFormat)


def mesh_files(
    kind: MeshFormat, hands: Sequence[HandAsset], stem: str, alone: bool = True
) -> dict[str, bytes]:
    """Hands as a file of meshes, and what belongs to it.

    Args:
        kind: of file.
        hands: at least one; their names differ.
        stem: of the files' names, without an ending.
        alone: whether a file is for one hand, see `fitter.formats.obj.obj`.

    Returns:
        File name -> content; the file itself, ``stem.kind``, is the last one.
    """
    if kind == "obj":
        from fitter.formats.obj import obj

        return obj(hands, stem, alone)
    if kind == "ply":
        from fitter.formats.ply import ply

        return {f"{stem}.ply": ply(hands)}
    from fitter.formats.glb import glb

    return {f"{stem}.glb": glb(hands)}
