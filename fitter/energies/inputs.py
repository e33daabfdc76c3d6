"""What energies look at.

`HandInputs`, `KeypointInputs` and `SceneInputs` hold it under the names by which energies declare
what they take (`fitter.energies.declare`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from fitter.config.options import FitConfig
from fitter.config.stages import StageConfig
from fitter.contact import HandParts
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.known_objects import KnownObjects
from fitter.energies.priors import PoseSpace
from fitter.energies.scene import Rendering, SceneParams, SceneView, focal_applied
from fitter.energies.surface import SurfaceGraph
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.keypoint_jacobian import by_finger
from fitter.hand_models.motion import HandMotion
from fitter.hand_models.texels import TexelGraph
from fitter.hand_models.vertex_jacobian import SurfaceJacobian
from fitter.raster import Fragments, MeshTopology
from fitter.records import HandParams

Given = TypeVar("Given")


@dataclass(frozen=True)
class HandInputs:
    """What the least-squares energies of parameters alone look at.

    Attributes:
        hand: parameters of B hands.
        space: anatomy and pose prior.
        size: of the hand model.
    """

    hand: HandParams
    space: PoseSpace
    size: HandSize


@dataclass(frozen=True)
class KeypointInputs:
    """What the least-squares energies of keypoints and parameters look at.

    Attributes:
        hand: parameters of B hands.
        points: (B, 5, 5, 3) metres, camera frame, the keypoints in the finger layout.
        targets: what is known of them.
        space: anatomy and pose prior.
        size: of the hand model.
        fit: the scales of the robust losses.
    """

    hand: HandParams
    points: Tensor
    targets: KeypointTargets
    space: PoseSpace
    size: HandSize
    fit: FitConfig

    @property
    def expected_motion(self) -> HandMotion:
        """What other frames expect."""
        return _given(self.targets.motion, "motion")


@dataclass(frozen=True)
class SurfaceInputs(KeypointInputs):
    """What the least-squares energies look at where one of them looks at the posed surface.

    Attributes:
        surface: vertices in the camera's frame and their derivatives.
        known_parts: closed faces (F, 3) of the hand model and its parts; None where no energy needs
            them.
        known_objects: of the hands' images; None where there are none, or no energy needs them.
        contact_reach: metres, see `StageConfig`.
    """

    surface: SurfaceJacobian
    known_parts: tuple[Tensor, HandParts] | None
    known_objects: KnownObjects | None
    contact_reach: float

    @property
    def objects(self) -> KnownObjects:
        """Of the hands' images."""
        return _given(self.known_objects, "known objects")

    @property
    def parts(self) -> tuple[Tensor, HandParts]:
        """Closed faces and parts."""
        return _given(self.known_parts, "parts of the hand")


@dataclass(frozen=True)
class OutlineInputs(SurfaceInputs):
    """What the least-squares energies look at where one of them compares silhouettes.

    Attributes:
        screen: (B, V, 3) the same vertices in pixels of the mask, and their depth.
        drawn: what `rasterize` made of `screen`, the topology, and the band in pixels.
        view: what is known of the hands, the masks among it.
    """

    screen: Tensor
    drawn: tuple[Fragments, MeshTopology, float]
    view: SceneView


@dataclass(frozen=True)
class SceneInputs:
    """What energies look at for first-order solvers; lengths are in the stage's unit of length.

    Attributes:
        params: of B hands.
        start: the parameters that the stage began with.
        view: what is known of the hands.
        given_targets: what is known of their keypoints, with the K that was given, in the dtype of
            `params`.
        space: anatomy and pose prior in the dtype of `params`.
        size: of the hand model, likewise.
        rendering: what `params` render.
        graph: neighbours on the mesh; None where no energy needs them.
        fit: the scales of the robust losses.
        stage: the stage's options.
        texel_graph: neighbours in the texture; None where no energy needs them.
        known_parts, known_objects: as in `SurfaceInputs`.
    """

    params: SceneParams
    start: SceneParams
    view: SceneView
    given_targets: KeypointTargets
    space: PoseSpace
    size: HandSize
    rendering: Rendering
    graph: SurfaceGraph | None
    fit: FitConfig
    stage: StageConfig
    texel_graph: TexelGraph | None = None
    known_parts: tuple[Tensor, HandParts] | None = None
    known_objects: KnownObjects | None = None

    @property
    def hand(self) -> HandParams:
        """Pose, shape and place."""
        return self.params.hand

    @property
    def offsets(self) -> Tensor:
        """(B, V, 3) of the vertices."""
        return self.params.offsets / self.stage.length_unit

    @property
    def vertices(self) -> Tensor:
        """(B, V, 3) with offsets."""
        return self.rendering.vertices / self.stage.length_unit

    @property
    def bare_vertices(self) -> Tensor:
        """(B, V, 3) without offsets."""
        return self.rendering.bare / self.stage.length_unit

    @property
    def neighbours(self) -> SurfaceGraph:
        """Of vertices and faces."""
        return _given(self.graph, "mesh neighbours")

    @property
    def texels(self) -> TexelGraph:
        """Of the texture's texels."""
        return _given(self.texel_graph, "texture neighbours")

    @property
    def parts(self) -> tuple[Tensor, HandParts]:
        """Closed faces of the hand model, and its parts."""
        return _given(self.known_parts, "parts of the hand")

    @property
    def objects(self) -> KnownObjects:
        """Of the hands' images."""
        found = _given(self.known_objects, "known objects")
        return found.in_unit(self.stage.length_unit)

    @property
    def contact_reach(self) -> float:
        """The stage's."""
        return self.stage.contact_reach / self.stage.length_unit

    @property
    def camera_scale(self) -> Tensor:
        """(B,) S2HAND's: true focal length over that of the given K, over depth, 1 / metres."""
        return _camera_scale(self.params)

    @property
    def expected_camera_scale(self) -> Tensor:
        """(B,) that of the start."""
        return _camera_scale(self.start)

    @property
    def points(self) -> Tensor:
        """(B, 5, 5, 3) metres, see `KeypointInputs.points`."""
        return by_finger(self.rendering.points)

    @property
    def targets(self) -> KeypointTargets:
        """With the focal length as fitted; the line of sight stays that of the given K."""
        intrinsics = focal_applied(self.given_targets.intrinsics, self.params.log_focal)
        return replace(self.given_targets, intrinsics=intrinsics)

    @property
    def expected_motion(self) -> HandMotion:
        """What other frames expect."""
        return _given(self.given_targets.motion, "motion")

    @property
    def projected(self) -> Tensor:
        """(B, 21, 2) the keypoints, in sides of the crop."""
        return self.rendering.keypoints / self.view.size

    @property
    def detected(self) -> Tensor:
        """(B, 21, 2) sides of the crop."""
        return self.view.keypoints / self.view.size

    @property
    def confidence_sum(self) -> Tensor:
        """(B,)."""
        return self.view.confidence.sum(-1)

    @property
    def alpha(self) -> Tensor:
        """(B, S, S) the rendered silhouette."""
        return _given(_given(self.rendering.fragments, "silhouette").alpha, "silhouette")

    @property
    def alpha_in_image(self) -> Tensor:
        """(B, S, S) the silhouette within the photograph."""
        return self.alpha * self.view.image_weight

    @property
    def fixed_alpha(self) -> Tensor:
        """(B, S, S) `alpha_in_image` without a gradient, which would shrink the hand away from
        pixels that differ."""
        return self.alpha.detach() * self.view.image_weight

    @property
    def skin_alpha(self) -> Tensor:
        """(B, S, S) `fixed_alpha` of pixels that look like skin."""
        return self.fixed_alpha * self.view.skin_weight

    @property
    def colours(self) -> Tensor:
        """(B, V, 3) the skin without light, or (B, T, T, 3) its texture."""
        return _given(self.rendering.colours, "colours")

    @property
    def foreground(self) -> Tensor:
        """(B, S, S, 3) the shaded hand."""
        return _given(self.rendering.foreground, "colours")

    @property
    def rendered(self) -> Tensor:
        """(B, S, S, 3) the shaded hand over black, black beyond the photograph's border as the crop
        is."""
        return _given(self.rendering.picture, "colours") * self.view.image_weight[..., None]


def _given(value: Given | None, need: str) -> Given:
    if value is None:
        raise ValueError(f"an energy takes what it does not declare to need: {need}")
    return value


def _camera_scale(params: SceneParams) -> Tensor:
    """`transl`'s z stands for the root's depth. The two differ by the z of the root in the rest
    pose: nothing in the open hand, millimetres in MANO, and the same in both scales but for the
    shape."""
    return params.log_focal.exp() / params.transl[:, 2].clamp_min(1e-6)
