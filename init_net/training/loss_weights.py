"""How much each loss of a network counts: what papers print, what is chosen here, what a run asks.

The fields of a section are the names of the terms that functions of `init_net.training.losses`
give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fitter.config.section import Section
from fitter.errors import InputError
from init_net.networks.config import (
    AutoencoderConfig,
    HandNetConfig,
    MeshNetConfig,
    NetworkConfig,
)
from init_net.training.config import TrainConfig
from init_net.training.stage_config import StageConfig

Weight = Annotated[float, Field(ge=0)]

OF_MASKS = "mask_"
"""What the names of a HandNet's losses begin with that compare masks."""

OF_BOTH_VIEWS = "stereo_"
"""What the names of a StereoHandNet's losses begin with that compare the fused hand."""

MASK_PART = "segmentation"
"""The part without which a HandNet has no masks."""

_SEEN = frozenset({"image_front", "keypoint_front", "fusion", "tail"})
_HAND = _SEEN | {"head"}

ESTIMATOR_PART, TEXTURE_PART = "estimator", "texture"
"""Parts of an autoencoder that it may be without."""

_SHAPED = frozenset({"encoder", "geometry"})
_PAINTED = _SHAPED | {TEXTURE_PART}

PICTURED = frozenset({"pixel", "ssim", "rgb"})
"""An autoencoder's losses that compare the hand in its colours."""

COLOURED = frozenset({"texture", "appearance_l2"})
"""Those on its texture code alone."""

VAE_PART = "vae"
"""The part that a mesh network may be without."""

_MESHED = frozenset({"encoder", "decoder"})
_OF_PARAMETERS = frozenset({"shape", "twist", "shape_error", "twist_error"})
_REFINED = frozenset({"joints_refined", "joints_agreement", "kl"})
_PARAMETRIC = frozenset({"self_distillation", "parametric_joints", "parametric_vertices"})

OF_PAIRS = frozenset({"penetration"})
"""A mesh network's losses on two hands that touch."""


@dataclass(frozen=True)
class _Group:
    """Losses that compare the same.

    Attributes:
        said_by: parts that say together what they compare.
        made_of: parts that it is made of; any of them that learns learns from these losses.
        prefix: of their names; "" for those that have that of no other group.
        names: of them instead; None for those of the prefix.
    """

    said_by: frozenset[str]
    made_of: frozenset[str]
    prefix: str = ""
    names: frozenset[str] | None = None

    def among(self, names: list[str]) -> list[str]:
        """Those losses of a list that are of this group."""
        if self.names is not None:
            return [name for name in names if name in self.names]
        return [name for name in names if name.startswith(self.prefix)]


_GROUPS: dict[str, tuple[_Group, ...]] = {
    "handnet": (
        _Group(frozenset({MASK_PART}), _SEEN | {MASK_PART}, OF_MASKS),
        _Group(frozenset({"head"}), _HAND),
    ),
    "stereo": (
        _Group(frozenset({"stereo"}), _HAND | {"stereo"}, OF_BOTH_VIEWS),
        _Group(frozenset({"head"}), _HAND),
    ),
    "autoencoder": (
        _Group(frozenset({ESTIMATOR_PART}), frozenset({ESTIMATOR_PART}), "estimator"),
        _Group(_SHAPED | {ESTIMATOR_PART}, _SHAPED | {ESTIMATOR_PART}, "consistency"),
        # A picture is of the hand's shape as well as of its colours.
        _Group(_PAINTED, _PAINTED, names=PICTURED),
        _Group(_PAINTED, frozenset({"encoder", TEXTURE_PART}), names=COLOURED),
        _Group(_SHAPED, _SHAPED),
    ),
    "mesh_net": (
        _Group(
            frozenset({"camera"}), frozenset({"encoder", "camera"}), names=frozenset({"camera"})
        ),
        _Group(_MESHED | {"camera"}, _MESHED | {"camera"}, names=frozenset({"mask"})),
        _Group(_MESHED | {VAE_PART}, _MESHED | {VAE_PART}, names=_REFINED),
        _Group(
            frozenset({"parameters"}), frozenset({"encoder", "parameters"}), names=_OF_PARAMETERS
        ),
        _Group(
            _MESHED | {"parameters"},
            _MESHED | {"parameters", VAE_PART},
            names=_PARAMETRIC | OF_PAIRS,
        ),
        _Group(_MESHED, _MESHED),
    ),
}
"""Kind of network -> its losses by what they compare; those of other kinds compare all alike."""


class ManoWeights(Section):
    """Weights of `mano_terms`: lambda_1 to lambda_5 as Seeber 3.6 prints them."""

    pose: Weight = Field(10.0, description="lambda_1")
    shape: Weight = Field(1.0, description="lambda_2")
    joints_2d: Weight = Field(100.0, description="lambda_3")
    shape_norm: Weight = Field(0.5, description="lambda_4")
    camera: Weight = Field(1e-5, description="lambda_5")


class GeometricWeights(Section):
    """Weights of `geometric_terms`; Zhao 3.5 prints none."""

    joints_3d: Weight = Field(1.0, description="w_3d")
    joints_2d: Weight = Field(1.0, description="w_2d")
    joints_3d_norm: Weight = Field(1.0, description="w_3d,norm")
    bone: Weight = Field(1.0, description="w_bone")
    pose: Weight = Field(1.0, description="w_pose")
    shape: Weight = Field(1.0, description="w_shape")


class ViewWeights(Section):
    """Weights of the terms of a hand in one view (`HandNetTerms`), chosen so that none of them
    drowns the others; those that the papers print are in ``configs/train/handnet_published.yaml``.
    """

    mano_pose: Weight = Field(0.0, description="Seeber eq. 9, of rotations")
    mano_pose_axis_angle: Weight = Field(
        0.0, description="Seeber eq. 9 as printed, of 48 axis-angle numbers"
    )
    mano_shape: Weight = Field(0.05, description="Seeber eq. 9")
    mano_joints_2d: Weight = Field(1000.0, description="Seeber eq. 9")
    mano_shape_norm: Weight = Field(0.01, description="Seeber eq. 9")
    mano_camera: Weight = Field(1e-5, description="Seeber eq. 9")
    geometric_joints_3d: Weight = Field(500.0, description="Zhao 3.5, L_3d")
    geometric_joints_2d: Weight = Field(0.0, description="Zhao 3.5, L_2d")
    geometric_joints_3d_norm: Weight = Field(0.0, description="Zhao 3.5, normalised L_3d")
    geometric_bone: Weight = Field(0.5, description="Zhao 3.5, L_bone")
    geometric_pose: Weight = Field(0.0, description="Zhao 3.5, L_reg")
    geometric_shape: Weight = Field(0.0, description="Zhao 3.5, L_reg")
    global_rotation: Weight = Field(1.0, description="squared chord of the wrist's rotation")
    joint_rotations: Weight = Field(2.0, description="squared chords of the other joints, mean")


class HandNetWeights(ViewWeights):
    """Weights of a `HandNet`'s terms: those of its hands, and of its masks."""

    mask_bce: Weight = Field(1.0, description="Seeber eq. 10, of a network with a decoder")
    mask_dice: Weight = Field(0.0, description="of the Dice loss of its masks")


class StereoWeights(ViewWeights):
    """Weights of a `StereoHandNet`'s terms: those of its views, and of the fused hand. The lambdas
    of eq. 11 are not published: they count errors in centimetres."""

    stereo_vertices: Weight = Field(1e4, description="Seeber eq. 11, lambda_1")
    stereo_joints_3d: Weight = Field(1e4, description="Seeber eq. 11, lambda_2")


class AutoencoderWeights(Section):
    """Weights of `init_net.training.autoencoder_terms.AutoencoderTerms`. Each counts in the whole
    sum, so w_geo w_ori of S2HAND is one number. None is printed by either paper."""

    location: Weight = Field(1.0, description="S2HAND eq. 3, E_loc")
    orientation: Weight = Field(0.0, description="S2HAND eq. 4, E_ori; Zhao 3.5, L_bone")
    pixel: Weight = Field(0.0, description="S2HAND eq. 6, E_pixel")
    ssim: Weight = Field(0.0, description="S2HAND eq. 7, E_SSIM")
    shape: Weight = Field(0.0, description="S2HAND 3.4.1, E_beta")
    texture: Weight = Field(0.0, description="S2HAND 3.4.1, E_C")
    scale: Weight = Field(0.0, description="S2HAND 3.4.1, E_s")
    limits: Weight = Field(0.0, description="S2HAND 3.4.1, E_J")
    estimator: Weight = Field(0.0, description="S2HAND eq. 10, E_2d")
    consistency: Weight = Field(0.0, description="S2HAND eq. 11, E_con")
    joints_2d: Weight = Field(0.0, description="Zhao 3.5, L_2d")
    joints_3d: Weight = Field(0.0, description="Zhao 3.5, L_3d")
    joints_3d_norm: Weight = Field(0.0, description="Zhao 3.5, normalised L_3d")
    rgb: Weight = Field(0.0, description="Zhao 3.5, L_rgb")
    image_silhouette: Weight = Field(
        0.0, description="Zhao 3.5, L_sil as printed: SSIM between picture and silhouette"
    )
    pose_l2: Weight = Field(0.0, description="Zhao 3.5, w_pose")
    shape_l2: Weight = Field(0.0, description="Zhao 3.5, w_shape")
    appearance_l2: Weight = Field(0.0, description="Zhao 3.5, w_ap")
    mask: Weight = Field(0.0, description="ours: rendered silhouette against a mask")
    depth: Weight = Field(0.0, description="ours: rendered depth against the true hand's")


class MaskWeights(Section):
    """Weights of `mask_terms`; that of eq. 10 alone is Seeber's."""

    bce: Weight = Field(1.0, description="of the binary cross entropy, Seeber eq. 10")
    dice: Weight = Field(1.0, description="of the Dice loss")


class LifterWeights(Section):
    """Weights of `lifter_terms` (not published)."""

    keypoints: Weight = Field(1.0, description="of the keypoints' negative log-likelihood")
    rotation: Weight = Field(1.0, description="of the rotations")
    shape: Weight = Field(0.1, description="of the shape coefficients")
    visibility: Weight = Field(0.2, description="of the keypoints' visibility")
    size: Weight = Field(0.1, description="of the size's negative log-likelihood")


class JointVAEWeights(Section):
    """Weights of L_joint (Yu et al. eq. 3) where a JointVAE learns alone, of given J_hat. What it
    is trained on before "we apply this pretrained JointVAE in our pipeline" (4.2) is not published.
    """

    joints_refined: Weight = Field(1.0, description="||J_tilde - J||")
    joints_agreement: Weight = Field(
        0.0,
        description="||J_hat - J_tilde||; as large as joints_refined it leaves nothing to learn: "
        "whatever lies between J_hat and J costs the same",
    )
    kl: Weight = Field(0.001, description="lambda_1")


class MeshWeights(Section):
    """Weights of `init_net.training.mesh_terms.MeshTerms`: lambda_1 to lambda_6 as Yu et al. 4.1
    prints them. Each counts in the whole sum (eq. 8, 9)."""

    joints_regressed: Weight = Field(100.0, description="eq. 3, ||J_hat - J||: lambda_4")
    joints_refined: Weight = Field(100.0, description="eq. 3, ||J_tilde - J||: lambda_4")
    joints_agreement: Weight = Field(100.0, description="eq. 3, ||J_hat - J_tilde||: lambda_4")
    kl: Weight = Field(0.1, description="eq. 3, L_KL: lambda_4 lambda_1")
    shape: Weight = Field(10.0, description="eq. 4, L_shape: lambda_2")
    twist: Weight = Field(10.0, description="eq. 4, L_tw: lambda_3")
    self_distillation: Weight = Field(100.0, description="eq. 7, L_vert: lambda_5")
    penetration: Weight = Field(
        0.0, description="eq. 6, L_pene: lambda_6, printed 10, of a stage that learns from pairs"
    )
    vertices: Weight = Field(0.0, description="Table 1, GCN-Vert: true vertices")
    parametric_joints: Weight = Field(0.0, description="3.3, joints supervise the parameters")
    parametric_vertices: Weight = Field(0.0, description="3.3, vertices supervise the parameters")
    shape_error: Weight = Field(0.0, description="the first norm of L_shape alone")
    twist_error: Weight = Field(0.0, description="the first norm of L_tw alone")
    mask: Weight = Field(0.0, description="4.6, silhouette of the non-parametric mesh")
    camera: Weight = Field(
        10.0, description="ours: where the camera head sees joints (not published)"
    )


_DEFAULTS: dict[str, type[Section]] = {
    "lifter": LifterWeights,
    "handnet": HandNetWeights,
    "segmentation": MaskWeights,
    "stereo": StereoWeights,
    "autoencoder": AutoencoderWeights,
    "joint_vae": JointVAEWeights,
    "mesh_net": MeshWeights,
}
"""Kind of network -> the weights of its losses."""


def loss_weights(config: TrainConfig, stage: str | None = None) -> dict[str, float]:
    """Weight of every loss of a configuration's network, by name; 0 for those that cannot count:
    where what they compare is not said, or nothing learns that it is made of.

    Args:
        config: of the run.
        stage: name of one of its stages; None for those of the run.

    Raises:
        InputError: the network has no such loss, none is to count, or none of those that are
            compares what is made of a part that learns.
    """
    weights: dict[str, float] = _DEFAULTS[config.network.kind]().model_dump()
    given = {"losses": config.losses}
    if stage is not None:
        given[f"stages.{stage}.losses"] = config.stages[stage].losses or {}
    for option, losses in given.items():
        for name in losses:
            if name not in weights:
                known = ", ".join(weights)
                raise InputError("training.unknown_loss", file=f"{option}.{name}", known=known)
        weights |= losses
    wanted = [name for name, weight in weights.items() if weight > 0]
    weights |= dict.fromkeys(_unasked(config, stage), 0.0)
    if stage is not None and wanted and not any(weights.values()):
        shown = ", ".join(wanted)
        raise InputError("training.idle_stage", file=f"stages.{stage}", losses=shown)
    if not any(weights.values()):
        raise InputError("training.no_loss", file=list(given)[-1])
    return weights


def _unasked(config: TrainConfig, stage: str | None) -> list[str]:
    """Losses that do not count: those of what a network does not say, in a stage or at all, and
    those of what nothing learns for."""
    network, groups = config.network, _GROUPS.get(config.network.kind, ())
    given = StageConfig(steps=1) if stage is None else config.stages[stage]
    there = {part for group in groups for part in group.made_of} - set(given.without)
    there -= _never_there(network)
    learns = there if given.trains is None else there & set(given.trains)
    left, unasked = [*_DEFAULTS[network.kind].model_fields], []
    for group in groups:
        names = group.among(left)
        left = [name for name in left if name not in names]
        if not group.said_by <= there or not learns & group.made_of:
            unasked += names
    return unasked + _impossible(network)


def _never_there(network: NetworkConfig) -> set[str]:
    """Parts that a network's options leave out."""
    parts: set[str] = set()
    if isinstance(network, HandNetConfig) and not network.decoder_channels:
        parts.add(MASK_PART)
    if isinstance(network, AutoencoderConfig):
        if network.estimator is None:
            parts.add(ESTIMATOR_PART)
        if network.appearance == "none" and network.light == "even":
            parts.add(TEXTURE_PART)
    if isinstance(network, MeshNetConfig) and network.vae is None:
        parts.add(VAE_PART)
    return parts


def _impossible(network: NetworkConfig) -> list[str]:
    """Losses of what the codes of an autoencoder do not have, or of twists that a mesh network does
    not say."""
    if isinstance(network, MeshNetConfig):
        return ["twist", "twist_error"] if network.twist != "predicted" else []
    if not isinstance(network, AutoencoderConfig):
        return []
    lacks = {"appearance_l2": network.appearance != "components",
             "texture": network.appearance == "none"}  # fmt: skip
    return [name for name, is_lacking in lacks.items() if is_lacking]
