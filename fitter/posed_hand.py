"""What fitted hands have in common, whether one image shows them or several cameras do."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitter.errors import InputError
from fitter.lens import Lens
from fitter.store.schema import HandRow

if TYPE_CHECKING:
    import trimesh

    from fitter.formats.hand_record import HandRecord
    from fitter.meshes import HandMeshes
    from fitter.textures import HandTexture


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PosedHand(HandRow):
    """A hand with its mesh, which can be written to files.

    Attributes:
        faces: (F, 3) int64 triangles of `vertices`, counter-clockwise seen from outside.
        meshes: the model that was fitted, one for all hands of a fitter or a store: what textures
            and exports need beside the hand itself. A pickled hand brings how to load it, not the
            model.
    """

    faces: np.ndarray
    meshes: HandMeshes

    @property
    @abstractmethod
    def title(self) -> str:
        """What to call what shows the hand, in messages."""

    @abstractmethod
    def _record(self) -> HandRecord:
        """The hand as files take it."""

    def __repr__(self) -> str:
        score = "not fitted" if self.score is None else f"score {self.score:.2f}"
        return f"{type(self).__name__}({self.side} hand in {self.title}, {score})"

    def to_dict(self) -> dict[str, Any]:
        """Every field that is not None, by name: NumPy arrays, numbers and texts, a lens
        as a dictionary, no `meshes`."""
        names = (field.name for field in fields(self) if field.name != "meshes")
        values = {name: getattr(self, name) for name in names}
        return {
            name: value.as_json() if isinstance(value, Lens) else value
            for name, value in values.items()
            if value is not None
        }

    @property
    def person_texture(self) -> HandTexture | None:
        """The texture that was made of all images of the hand's person (`people.textures`), which
        `save`, `overlay`, reports and exports show; None where none was made.

        Raises:
            InputError: it is damaged.
        """
        return self.meshes.texture_of(self)

    def mesh(self) -> trimesh.Trimesh:
        """The hand as a mesh in metres, in the frame of `vertices`, without colours; `save` writes
        those too.

        Raises:
            InputError: the fit failed (`hand.not_fitted`).
        """
        import trimesh

        return trimesh.Trimesh(self.fitted_vertices(), self.faces, process=False)

    def save(self, path: str | Path, texture: HandTexture | None = None) -> None:
        """Write the hand to a file, which is replaced if it is there.

        Args:
            path: its ending says what it becomes: ".glb" (texture or colours, normals, a skeleton
                in the fitted pose; y up), ".obj" (with a .mtl and, for a texture, a .png beside
                it), ".ply", both in the frame of `vertices`, ".json" or ".csv". See docs/export.md.
            texture: of the hand, in place of its fitted skin; ".json" and ".csv" have none.

        Raises:
            InputError: the fit failed (`hand.not_fitted`), the ending is none of these
                (`export.ending`), or the file cannot be written (`output.cannot_write`).
        """
        from fitter.formats.files import save_hand

        self.fitted_vertices()
        save_hand(self._record(), self.meshes, Path(path), texture)

    def fitted_vertices(self) -> np.ndarray:
        """(V, 3) metres.

        Raises:
            InputError: the fit failed (`hand.not_fitted`).
        """
        if self.vertices is None:
            raise InputError("hand.not_fitted", file=self.title, reason=self.fit_error)
        return self.vertices
