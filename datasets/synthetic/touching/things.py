"""Things to hold, as closed meshes."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.synthetic.arms import Mesh


@dataclass(frozen=True)
class Thing:
    mesh: Mesh
