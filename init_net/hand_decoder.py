"""`HandDecoder`: from the codes of hands to hands in space and in the image.

S2HAND (Chen et al. 2021) 3.2 and 3.3 for a perspective camera, Zhao 3.2 and 3.3 for an orthographic
one. It is made of a hand model, open hand, MANO or NIMBLE's skin, and learns nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from fitter.camera import NEAR, project
from fitter.colours import srgb_from_linear
from fitter.hand_models import KeypointDefinition
from fitter.hand_models.appearance import Appearance, SurfaceMaps
from fitter.hand_models.appearance_loading import load_appearance
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.raster import MeshTopology
from fitter.records import HandParams
from fitter.rendering.textured import TexturedFaces
from init_net.autoencoder_records import DecodedHands, HandCode
from init_net.hand_model_id import network_hand_model, require_components
from init_net.networks.config import AutoencoderConfig
from init_net.view_frame import view_camera

NOT_DRAWN = NEAR / 2
"""Depth, metres, of vertices that cannot be drawn: the rasteriser leaves out faces with one of
them, since they are nearer than its near plane."""


class HandDecoder(nn.Module):
    """`HandCode` to `DecodedHands`, batch first; without parameters, and nothing of it is stored
    with a network.

    Attributes:
        config: as given.
        model: the right hand that it poses.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """Load the hand model, in float32 on the CPU.

        Raises:
            InputError: see `init_net.hand_model_id.network_hand_model`.
        """
        super().__init__()
        self.config = config
        self.model = network_hand_model(config.hand_model, config.betas)
        data = self.model.data
        available = {"pose_components": data.hands_components, "betas": data.shapedirs[0, 0]}
        for option, array in available.items():
            require_components(data, option, len(array), getattr(config, option))
        self._joints = KeypointDefinition.of(self.model, "mano").reduced

    @property
    def faces(self) -> Tensor:
        """(F, 3) int64 vertices, counter-clockwise seen from outside."""
        return self.model.faces

    @cached_property
    def _jointed(self) -> KeypointModel:
        """The model's joints and fingertips, on the decoder's device and in its dtype."""
        like = self.model.v_template
        return self._joints.to(like.device, like.dtype)

    @cached_property
    def topology(self) -> MeshTopology:
        """Faces and edges of the mesh."""
        return MeshTopology(self.faces)

    @cached_property
    def texture_faces(self) -> TexturedFaces:
        """Where the faces lie in the texture: f and v of Zhao 3.4."""
        return TexturedFaces.of(self.model.data, self.model.v_template)

    @property
    def is_textured(self) -> bool:
        """Whether hands are drawn with the maps of their skin: NIMBLE's, of coefficients."""
        return self.config.appearance == "components" and self.appearance.is_mapped

    @cached_property
    def appearance(self) -> Appearance:
        """The model's skin, on the decoder's device and in its dtype; read when first asked for.

        Raises:
            InputError: its file cannot be read, or it has fewer components than the code.
        """
        like = self.model.v_template
        skin = load_appearance(self.model.data).to(like.device).to(like.dtype)
        if self.config.appearance == "components":
            wanted = self.config.appearance_components
            require_components(self.model.data, "appearance_components", skin.count, wanted)
        return skin

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What was made on another device or in another dtype is made again.
        for name in ("topology", "texture_faces", "appearance", "_jointed"):
            self.__dict__.pop(name, None)
        return super()._apply(fn, recurse)

    def forward(
        self, code: HandCode, focal: Tensor, projection: Tensor | None = None
    ) -> DecodedHands:
        """Pose B hands and see them with their cameras.

        Perspective (S2HAND 3.2, 3.3): ``M = s M0 R + T``, the same of joints, and ``Pi(M)`` by the
        camera of the crop. Orthographic (Zhao 3.3): ``J2d = s Pi(J0 R) + t``, Pi leaving z away.
        M0 and J0 are relative to the wrist keypoint that the detector marks, so T and t are its
        places. R is printed behind points, which are rows there: ``(M0 R)_v = R^T M0_v`` in
        columns; here R is what turns columns, as in `HandParams.global_orient`.

        Zhao prints ``M = s M0 R + t`` and ``J = s J0 R + t`` besides, with the same s and t. That
        is not built: the same s and t cannot be of metres, which L_3d compares, and of the image,
        which L_2d compares, at once. An orthographic hand is M0 R in space, as large as its shape
        has it; s says how large it is seen and t where, both in the image. Who needs its place
        takes that where a perspective camera would see it so, ``f / s`` away
        (`init_net.training.autoencoder_terms.place`).

        A hand whose code is not finite is NaN and cannot be drawn; it gives no gradient, and no
        other hand sees it. One behind the camera is decoded as `fitter.camera.project` says, and
        not drawn.

        Args:
            code: of B hands.
            focal: (B,) of the crop's view frame, crop units, as in `AutoencoderInputs.focal`.
            projection: (B, 3, 3) the crop's own camera, see `CropSamples.projection`; None for one
                that looks at the crop's middle with that focal length. A focal length of the
                network's own stretches what it shows about the crop's middle. An orthographic hand
                has no use for it.

        Returns:
            The hands, in the dtype of the code, which is the decoder's.

        Raises:
            InputError: there are more coefficients than the model has.
        """
        # Under mixed precision a hand would be posed in halves: off by up to two millimetres.
        with torch.autocast(focal.device.type, enabled=False):
            code, focal, usable = _calmed(code, focal)
            seen_by = view_camera(focal)
            if projection is not None:
                seen_by = torch.where(_beside(usable, projection), projection, seen_by)
            decoded = self._decode(code, focal * code.log_focal.exp(), _stretched(seen_by, code))
            known = decoded.map(lambda f: torch.where(_beside(usable, f), f, torch.nan))
            # Where it cannot be drawn, a hand still has places for the rasteriser.
            return replace(known, screen=drawable(known.screen))

    def colours(self, code: HandCode) -> Tensor:
        """(B, V, 3) sRGB reflectance of the vertices: the texture code of S2HAND 3.2 as it is, or
        the model's skin of the coefficients of Zhao 3.1; the mean skin where there is neither."""
        if code.colours is not None:
            return code.colours
        return srgb_from_linear(self.appearance.vertex_colours(self._coefficients(code)))

    def maps(self, code: HandCode, size: int | None = None) -> SurfaceMaps:
        """The texture I_tex of Zhao 3.4 for coefficients of the skin, linear light; it is drawn
        with `texture_faces`. The mean skin where there are no coefficients.

        Args:
            code: of B hands.
            size: texels a side; None for as many as there are.
        """
        return self.appearance.maps(self._coefficients(code), size)

    def _coefficients(self, code: HandCode) -> Tensor:
        """(B, N) of all components of the skin; those that a code does not speak of are 0."""
        count = self.appearance.count
        if code.appearance is None:
            return code.pose.new_zeros(len(code.pose), count)
        return functional.pad(code.appearance, (0, count - code.appearance.shape[1]))

    def _decode(self, code: HandCode, focal: Tensor, projection: Tensor) -> DecodedHands:
        vertices, keypoints, joints = self._posed(code)
        scale, shift = code.scale[:, None, None], code.transl[:, None]
        if self.config.camera == "orthographic":
            flat = [
                scale * each[..., :2] + shift[..., :2] for each in (vertices, keypoints, joints)
            ]
            # The rasteriser's depths are metres: at this distance a small length parallel to the
            # image is as large as it is here. What it interpolates with them is off by the depth
            # of a face over that distance.
            away = (focal / code.scale)[:, None]
            depth = away + vertices[..., 2]
            wrists = away + torch.stack([keypoints[:, 0, 2], joints[:, 0, 2]], 1)
        else:
            vertices, keypoints, joints = (
                scale * each + shift for each in (vertices, keypoints, joints)
            )
            seen = [each @ projection.mT for each in (vertices, keypoints, joints)]
            plain = torch.eye(3).to(focal).expand(len(focal), -1, -1)
            flat = [project(each, plain) for each in seen]
            depth = seen[0][..., 2]
            wrists = torch.stack([seen[1][:, 0, 2], seen[2][:, 0, 2]], 1)
        screen = torch.cat([flat[0], depth[..., None]], -1)
        return DecodedHands(vertices, keypoints, joints, flat[1], flat[2], screen, wrists)

    def _posed(self, code: HandCode) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices, keypoints and joints of M0 R, metres, relative to the wrist keypoint."""
        pose = self.model.pose_from_pca(code.pose, flat_hand_mean=False)
        params = HandParams(code.global_orient, pose, code.betas, torch.zeros_like(code.transl))
        mesh = self.model(params)
        _, joints = pose_keypoints(self._jointed, params)
        wrist = mesh.keypoints[:, :1]
        return mesh.vertices - wrist, mesh.keypoints - wrist, joints - wrist


def _stretched(projection: Tensor, code: HandCode) -> Tensor:
    """(B, 3, 3) cameras with the codes' own focal lengths."""
    own = code.log_focal.exp()
    return torch.stack([own, own, torch.ones_like(own)], -1)[..., None] * projection


def _calmed(code: HandCode, focal: Tensor) -> tuple[HandCode, Tensor, Tensor]:
    """The code and the focal length, ones in the place of those of a hand where any of them is not
    finite, and (B,) bool, of which hands all are."""
    names = ("pose", "betas", "scale", "global_orient", "transl", "log_focal")
    geometry = {name: getattr(code, name) for name in names}
    usable = focal.isfinite()
    for field in geometry.values():
        usable = usable & field[..., None].isfinite().flatten(1).all(1)
    # What is computed and then not taken has to have finite derivatives too.
    calm = {name: torch.where(_beside(usable, f), f, 1) for name, f in geometry.items()}
    return replace(code, **calm), torch.where(usable, focal, 1), usable


def _beside(usable: Tensor, field: Tensor) -> Tensor:
    """(B,) flags in a shape that goes with a field (B, ...)."""
    return usable.view(-1, *[1] * (field.dim() - 1))


def drawable(screen: Tensor) -> Tensor:
    """(B, V, 3) `DecodedHands.screen` of positions and depths, whatever these are."""
    seen = screen.isfinite().all(-1) & (screen[..., 2] >= NEAR)
    hidden = screen.new_tensor([0, 0, NOT_DRAWN])
    return torch.where(seen[..., None], screen, hidden)
