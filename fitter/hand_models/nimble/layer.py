"""The whole of NIMBLE as a differentiable layer: skin, muscles, bones, joints, textures.

    v = W(T + B_S(beta) + B_P(theta), J(beta), theta, w)          Li et al. 2022, eq. 1, as SMPL's

with one set of blend shapes and weights for the vertices of all three tissues, and joints that are
regressed from the shaped bones. It is `HandModel` on all vertices at once, so the fit, which poses
the skin alone, and this layer are one computation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.nimble.collision import Columns, Separation, separate
from fitter.hand_models.nimble.files import NimbleGeometry, read_nimble
from fitter.hand_models.nimble.model_data import skin_data
from fitter.hand_models.nimble.textures import NimbleTextures, read_textures
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams, Side


@dataclass(frozen=True)
class NimbleMesh:
    """B posed hands, metres.

    Attributes:
        skin: (B, N, 3); muscles: (B, M, 3); bones: (B, K, 3) vertices.
        joints: (B, 25, 3) of the rig, see `NIMBLE_SKELETON`.
        keypoints: (B, 21, 3) canonical, regressed from the skin before it is moved out of muscles.
        depth: (B, N) how deep the skin was in the muscles, see `Separation`; None where nothing was
            moved.
    """

    skin: Tensor
    muscles: Tensor
    bones: Tensor
    joints: Tensor
    keypoints: Tensor
    depth: Tensor | None = None


class Nimble(torch.nn.Module):
    """A hand of skin, muscles and bones: parameters in, meshes out, batch first.

    Its arrays are buffers that follow `Module.to` but stay out of `state_dict`.

    Example:
        ```python
        import torch
        from fitter.hand_models import Nimble
        from fitter.records import HandParams

        hand = Nimble.load("nimble/")
        pose = hand.pose_from_components(torch.zeros(1, 30))  # the mean pose
        params = HandParams(torch.zeros(1, 3), pose, torch.zeros(1, 20), torch.zeros(1, 3))
        mesh = hand(params)  # mesh.skin, mesh.muscles, mesh.bones, mesh.joints: metres
        image = hand.textures.image(torch.zeros(1, 10))  # (1, 1024, 1024, 9)
        mano_vertices = hand.to_mano(mesh.skin)  # (1, 778, 3)
        ```

    Attributes:
        model: all vertices as one hand model.
        textures: its textures, on the CPU until moved by `NimbleTextures.to`; None if not loaded.
        skin_faces, muscle_faces, bone_faces: (F, 3) int64, counted within the tissue.
        surface: (N,) bool, the skin that is seen from outside.
        mano_map: (778, N) sparse.
    """

    skin_faces: Tensor
    muscle_faces: Tensor
    bone_faces: Tensor
    surface: Tensor
    mano_map: Tensor
    _smoothing_start: Tensor
    _smoothing_row: Tensor
    _smoothing_value: Tensor

    def __init__(
        self,
        geometry: NimbleGeometry,
        textures: NimbleTextures | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.geometry, self.textures = geometry, textures
        self.model = HandModel(whole_data(geometry), dtype)
        columns = Columns.of(geometry.smoothing, dtype)
        buffers = {
            "skin_faces": torch.from_numpy(geometry.skin_faces),
            "muscle_faces": torch.from_numpy(geometry.muscle_faces),
            "bone_faces": torch.from_numpy(geometry.bone_faces),
            "surface": torch.from_numpy(geometry.surface),
            "mano_map": _sparse(geometry.mano_map, dtype),
            **{f"_smoothing_{name}": tensor for name, tensor in vars(columns).items()},
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        textures: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> Nimble:
        """Read NIMBLE's files from a folder.

        Args:
            folder: where they are.
            textures: read those too: 380 MB of the published size.
            dtype: of the geometry; textures are float32.

        Raises:
            InputError: a file is missing, unsafe, cut off or inconsistent.
        """
        place = Path(folder)
        return cls(read_nimble(place), read_textures(place) if textures else None, dtype)

    @property
    def side(self) -> Side:
        """Which hand it is."""
        return self.model.data.side

    @property
    def smoothing(self) -> Columns:
        """(N, N) weights of `smoothing_weights`."""
        return Columns(self._smoothing_start, self._smoothing_row, self._smoothing_value)

    def pose_from_components(self, coefficients: Tensor) -> Tensor:
        """(B, 19, 3) `HandParams.hand_pose` of coefficients (B, n), n = 1..30, of unit variance;
        0 is the mean pose."""
        return self.model.pose_from_pca(coefficients, flat_hand_mean=False)

    def forward(self, params: HandParams, separated: bool = True) -> NimbleMesh:
        """Pose hands.

        Args:
            params: B hands; `global_orient` turns about the wrist's joint like any rotation.
            separated: move skin out of muscles.

        Returns:
            Meshes; differentiable in every field of `params`.
        """
        posed = self.model(params)
        geometry = self.geometry
        mesh = NimbleMesh(
            skin=posed.vertices[:, geometry.skin],
            muscles=posed.vertices[:, geometry.muscles],
            bones=posed.vertices[:, geometry.bones],
            joints=posed.joints,
            keypoints=posed.keypoints,
        )
        if not separated:
            return mesh
        apart = self.separate(mesh)
        return replace(mesh, skin=apart.skin, depth=apart.depth)

    def separate(self, mesh: NimbleMesh) -> Separation:
        """The skin of posed hands, moved out of their muscles."""
        return separate(
            mesh.skin,
            self.skin_faces,
            mesh.muscles,
            self.muscle_faces,
            self.smoothing,
            self.surface,
        )

    def to_mano(self, skin: Tensor) -> Tensor:
        """(B, 778, 3) MANO's vertices on skin (B, N, 3); linear."""
        mapped = torch.sparse.mm(self.mano_map, skin.transpose(0, 1).flatten(1))
        return mapped.unflatten(1, (-1, 3)).transpose(0, 1)


def whole_data(geometry: NimbleGeometry) -> HandModelData:
    """All vertices as one hand model: bones, muscles and skin in this order."""
    skin = skin_data(geometry)
    regressor = np.zeros((21, len(geometry.vertices)))
    regressor[:, geometry.skin] = skin.keypoint_regressor
    first = (geometry.bones.start, geometry.muscles.start, geometry.skin.start)
    faces = (geometry.bone_faces, geometry.muscle_faces, geometry.skin_faces)
    return replace(
        skin,
        v_template=geometry.vertices,
        faces=np.concatenate([f + start for f, start in zip(faces, first, strict=True)]),
        shapedirs=geometry.shapedirs,
        posedirs=geometry.posedirs,
        skin_weights=geometry.skin_weights,
        tip_vertices=tuple(tip + geometry.skin.start for tip in skin.tip_vertices),
        keypoint_regressor=regressor,
        layout=None,
    )


def _sparse(matrix: scipy.sparse.csr_matrix, dtype: torch.dtype) -> Tensor:
    """A SciPy matrix as a sparse tensor."""
    entries = matrix.tocoo()
    places = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
    values = torch.from_numpy(entries.data).to(dtype)
    return torch.sparse_coo_tensor(places, values, entries.shape, check_invariants=True).coalesce()
