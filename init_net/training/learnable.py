"""Whether data sets have what the losses of a run compare, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedHand, AnnotatedImages
from fitter.errors import InputError
from init_net.networks.config import (
    AutoencoderConfig,
    HandNetConfig,
    JointVAEConfig,
    LifterConfig,
    MeshNetConfig,
    SegmentationConfig,
)
from init_net.samples.annotated import OWN_MODEL
from init_net.samples.config import DatasetConfig, SamplesConfig
from init_net.training.config import StoredConfig, TrainConfig
from init_net.training.loss_weights import OF_MASKS, loss_weights
from init_net.training.sources import annotated_source

_SHOWN = 64
"""Pictures of a data set that are asked what it has."""

_IN_THE_IMAGE = ("mano_joints_2d", "mano_camera", "geometric_joints_2d", "geometric_bone")
"""Losses of a HandNet that compare positions in the image: keypoints in 2D are enough."""


@dataclass(frozen=True)
class Contents:
    """What a data set says of its hands, as far as its first pictures tell.

    Attributes:
        keypoints_2d, keypoints_3d: of some hand.
        camera: K of some picture.
        placed: keypoints in 3D have a place in the camera, not relative to the wrist alone.
        parameters: rotations and shape of the open hand.
        masks: of some hand.
        marks: keypoints are those that the detector marks, or can be posed so.
        confidence: of some hand's keypoints, which it tells apart.
    """

    keypoints_2d: bool
    keypoints_3d: bool
    camera: bool
    placed: bool
    parameters: bool
    masks: bool
    marks: bool
    confidence: bool

    @property
    def in_space(self) -> bool:
        """Keypoints in 3D with the camera that saw them."""
        return self.keypoints_3d and self.camera

    @classmethod
    def of(cls, images: AnnotatedImages) -> Contents:
        """What a data set has."""
        if images.is_detected:
            return FOUND
        hands: list[AnnotatedHand] = []
        camera = masks = False
        for place in range(min(_SHOWN, len(images))):
            try:
                annotation = images.annotation(place)
                if annotation.hands and not masks:
                    masks = images.masks(place) is not None
            except InputError:
                continue  # said when it is converted; others are used
            hands += annotation.hands
            camera |= annotation.intrinsics is not None
        deep = [hand for hand in hands if np.isfinite(hand.keypoints_3d).any()]
        parameters = any(
            hand.parameters is not None and hand.parameters.model == OWN_MODEL for hand in hands
        )
        return cls(
            keypoints_2d=any(np.isfinite(hand.keypoints_2d).any() for hand in hands),
            keypoints_3d=bool(deep),
            camera=camera,
            placed=bool(deep) and not any(hand.is_root_relative for hand in deep),
            parameters=parameters,
            masks=masks,
            marks=parameters or images.definition == "mediapipe",
            confidence=any(map(_tells_apart, hands)),
        )


def _tells_apart(hand: AnnotatedHand) -> bool:
    """Whether some of a hand's keypoints are surer than others."""
    if hand.confidence is None:
        return False
    known = hand.confidence[np.isfinite(hand.keypoints_2d).all(1)]
    return bool(known.size) and bool(np.ptp(known) > 0)


FOUND = Contents(
    keypoints_2d=True,
    keypoints_3d=False,
    camera=True,
    placed=False,
    parameters=False,
    masks=False,
    marks=True,
    confidence=True,
)
"""Of pictures whose hands the detector finds. Their camera is that of EXIF or of a usual lens."""


def require_pictures_enough(config: TrainConfig, pictures: Path) -> None:
    """Refuse to learn from pictures alone what needs more than our detector finds in them.

    Args:
        config: of a run that learns from them alone.
        pictures: their folder, for the message.

    Raises:
        InputError: `training.needs_more`: a loss compares what nobody says of them.
    """
    for stage in config.stages or [None]:
        weights = loss_weights(config, stage)
        lacking = _lacking(config, weights, FOUND)
        lost = [] if lacking else _lost(config, weights, FOUND)
        if config.supervision is not None and config.supervision.keypoints == "annotated":
            lost.append("annotated keypoints (supervision.keypoints; detected ones would do)")
        if lacking or lost:
            raise InputError(
                "training.needs_more",
                file=f"--data {pictures}",
                network=config.network.kind,
                expected=lacking or " and ".join(lost),
            )


OTHER_MODEL = Contents(
    keypoints_2d=True,
    keypoints_3d=True,
    camera=True,
    placed=True,
    parameters=False,
    masks=True,
    marks=False,
    confidence=False,
)
"""What is said of hands that are rendered of another hand model than the open hand."""


def _shows_another(source: StoredConfig) -> bool:
    """Whether rendered hands are of another hand model than the open hand."""
    return isinstance(source, SamplesConfig) and source.hand_model != OWN_MODEL


def require_learnable(config: TrainConfig) -> dict[str, str]:
    """Refuse data sets, and renders of other hand models, that a network cannot learn from in one
    of its stages.

    Args:
        config: of the run, whose losses and sources are known to be there.

    Returns:
        Of each data set that lacks something: what is not learned from it, in words.

    Raises:
        InputError: `training.lacks`: a data set has not what the losses of a stage compare.
    """
    said: dict[str, str] = {}
    learned = {
        name: _as_learned(config, name, source)
        for name, source in config.stored.items()
        if isinstance(source, DatasetConfig) or _shows_another(source)
    }
    for stage in config.stages or [None]:
        given = None if stage is None else config.stages[stage]
        weights = loss_weights(config, stage)
        for name in config.shares_of(given):
            if name in learned:
                own = f"datasets.{name}" if name in config.datasets else name
                where = own if stage is None else f"stages.{stage}.sources.{name}"
                source = config.stored[name]
                _require(config, where, source, _lacking(config, weights, learned[name]))
                lost = _lost(config, weights, learned[name])
                if lost:
                    said[own] = " nor ".join(lost)
    any_stage = _ever(config)
    if _shows_another(config.validation) and "validation" in config.held_out_sets:
        lacking = _lacking(config, any_stage, OTHER_MODEL)
        _require(config, "validation", config.validation, lacking)
    for name, source in config.validation_datasets.items():
        contents = _contents(f"validation_datasets.{name}", source)
        lacking = _lacking(config, any_stage, contents)
        in_2d = isinstance(config.network, SegmentationConfig | AutoencoderConfig)
        if lacking is None and not in_2d and not contents.in_space:
            lacking = "keypoints in 3D and K, which its figures are of"
        _require(config, f"validation_datasets.{name}", source, lacking)
    return said


def without_confidence(config: TrainConfig) -> list[str]:
    """Names of data sets of keypoints in 2D alone that are to be weighted by confidence, and say of
    no keypoint how sure it is: all of theirs count alike."""
    return [
        f"datasets.{name}"
        for name, source in config.datasets.items()
        if name in config.learned_from and source.confidence and _are_alike(name, source)
    ]


def _are_alike(name: str, source: DatasetConfig) -> bool:
    contents = _contents(f"datasets.{name}", source)
    return not (contents.keypoints_3d or contents.confidence)


def _ever(config: TrainConfig) -> dict[str, float]:
    """The largest weight that each loss has in any stage."""
    stages = [loss_weights(config, stage) for stage in config.stages or [None]]
    return {name: max(weights[name] for weights in stages) for name in stages[0]}


def _contents(where: str, source: DatasetConfig) -> Contents:
    """What a data set says, whose errors name the option of its folder."""
    try:
        return Contents.of(annotated_source(source).images)
    except InputError as error:
        file = error.facts.get("file", source.folder)
        raise error.about(file=f"{where}.folder={source.folder}: {file}") from error


def _as_learned(config: TrainConfig, name: str, source: StoredConfig) -> Contents:
    """What a source says, and what is made of that (`DatasetConfig.parameters`)."""
    if not isinstance(source, DatasetConfig):
        return OTHER_MODEL
    contents = _contents(f"datasets.{name}", source)
    learns = isinstance(config.network, HandNetConfig | AutoencoderConfig | MeshNetConfig)
    if source.parameters == "fitted" and learns:
        return replace(contents, parameters=contents.parameters or contents.in_space)
    return contents


def _require(config: TrainConfig, where: str, source: StoredConfig, lacking: str | None) -> None:
    if lacking is not None:
        said = source.dataset if isinstance(source, DatasetConfig) else source.folder
        raise InputError(
            "training.lacks",
            file=f"{where} ({said})",
            network=config.network.kind,
            expected=lacking,
        )


def _lost(config: TrainConfig, weights: Mapping[str, float], contents: Contents) -> list[str]:
    """What is not learned from a data set, in words."""
    match config.network:
        case SegmentationConfig():
            return []
        case LifterConfig():
            return [] if contents.parameters else ["rotations and shape"]
        case JointVAEConfig():
            return []
        case AutoencoderConfig() | MeshNetConfig():
            compared = _compared(config, weights, contents)
            return [words for words, is_there in compared.items() if not is_there]
        case HandNetConfig():
            pass
    counts = [name for name, weight in weights.items() if weight > 0]
    lost = []
    if any(not name.startswith(OF_MASKS) for name in counts):
        lost += [] if contents.in_space else ["keypoints in 3D"]
        lost += [] if contents.parameters else ["rotations and shape"]
    if any(name.startswith(OF_MASKS) for name in counts) and not contents.masks:
        lost.append("masks")
    return lost


def _lacking(config: TrainConfig, weights: Mapping[str, float], contents: Contents) -> str | None:
    """What a data set would have to have besides, in words; None for nothing."""
    if not contents.keypoints_2d:
        return "keypoints in 2D, which say where a hand is"
    match config.network:
        case SegmentationConfig():
            return None if contents.masks else "masks"
        case LifterConfig():
            if not (contents.in_space and contents.placed):
                return "keypoints in 3D in the camera, and K"
            if not contents.marks:
                return "keypoints as the detector marks them"
        case AutoencoderConfig() | MeshNetConfig():
            compared = _compared(config, weights, contents)
            if compared and not any(compared.values()):
                return " or ".join(compared)
        case HandNetConfig():
            counts = [name for name, weight in weights.items() if weight > 0]
            if all(name.startswith(OF_MASKS) for name in counts):
                return None if contents.masks else "masks"
            of_masks = contents.masks and any(name.startswith(OF_MASKS) for name in counts)
            in_the_image = any(name in _IN_THE_IMAGE for name in counts)
            if not (contents.in_space or in_the_image or of_masks):
                return "keypoints in 3D and K: no loss compares positions in the image"
    return None


_OF_PICTURES = ("pixel", "ssim", "rgb", "image_silhouette")
"""Losses of an autoencoder that compare with the picture itself."""

_OF_KEYPOINTS = ("location", "orientation", "joints_2d", "estimator")
"""Those that compare positions in the image."""


def _compared(
    config: TrainConfig, weights: Mapping[str, float], contents: Contents
) -> dict[str, bool]:
    """What the losses of an autoencoder or a mesh network that count compare with, in words, and
    whether a data set has it. What the detector sees, and what a picture shows, is always there."""
    counts = {name for name, weight in weights.items() if weight > 0}
    if isinstance(config.network, MeshNetConfig):
        return _compared_meshes(counts, contents)
    found: dict[str, bool] = {}
    if counts & {*_OF_PICTURES}:
        found["pictures"] = True
    if counts & {*_OF_KEYPOINTS}:
        is_detected = config.supervised.keypoints == "detected"
        found["keypoints in 2D"] = is_detected or contents.keypoints_2d
    if "joints_3d" in counts:
        found["keypoints in 3D in the camera, and K"] = contents.in_space and contents.placed
    if "joints_3d_norm" in counts:
        found["keypoints in 3D and K"] = contents.in_space
    if "mask" in counts:
        found["masks"] = contents.masks
    if "depth" in counts:
        found["rotations and shape"] = contents.parameters
    return found


_OF_JOINTS = ("joints_regressed", "joints_refined", "parametric_joints")
"""Losses of a mesh network that compare joints in 3D."""

_OF_TRUE_HANDS = ("shape", "twist", "shape_error", "twist_error", "vertices", "parametric_vertices")
"""Those that compare with the open hand's parameters, or its mesh."""


def _compared_meshes(counts: set[str], contents: Contents) -> dict[str, bool]:
    """The same of a mesh network; where its camera sees joints teaches it no mesh."""
    found: dict[str, bool] = {}
    if counts & {*_OF_JOINTS}:
        are_joints = contents.parameters or not contents.marks
        found["joints in 3D and K"] = contents.in_space and are_joints
    if counts & {*_OF_TRUE_HANDS}:
        found["rotations and shape"] = contents.parameters
    if "mask" in counts:
        found["masks"] = contents.masks
    return found
