"""The configuration: every option of a run, typed, frozen, with its unit.

A configuration comes from a YAML file, or from the defaults below where there is none, and from
single overrides on top (``fit.max_iterations=10``). A key that is not known is an error, never
ignored. `Config.resolved` is what a run stores beside its results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from fitter.config.detection import DetectorConfig
from fitter.config.energies import EnergyName
from fitter.config.files import ConfigKind, Flag, find_preset, load_kind
from fitter.config.interaction import InteractionConfig
from fitter.config.networks import (
    NetworkOffer,
    NetworkOptions,
    OfferedNetwork,
    load_offer,
    offer_with,
)
from fitter.config.people import PeopleConfig
from fitter.config.section import Section
from fitter.config.stages import RefineConfig
from fitter.config.tracks import TracksConfig
from fitter.conventions import HAND_SIZES, KeypointDefinitionName, model_name
from fitter.errors import InputError

__all__ = ["FIT", "Config", "Flag", "find_config", "load_config", "model_flags"]


class CameraConfig(Section):
    """What is assumed of a camera that nothing is known about."""

    default_fov_degrees: float = Field(
        60.0,
        gt=1,
        lt=179,
        description="field of view along the image's longer side, degrees; used where neither "
        "the user nor the file tells the camera",
    )


FingertipConvention = Literal["smplx", "freihand", "ho3d", "manopth_right", "manopth_left"]
"""The names in `fitter.conventions.FINGERTIP_VERTICES`."""


class ModelConfig(Section):
    """The hand model that is fitted."""

    name: str = Field("open_hand", min_length=1, description="name of the hand model")
    path: str | None = Field(
        None,
        min_length=1,
        description="file of a MANO model or folder of a NIMBLE model, which do not ship with the "
        "project",
    )
    mano: str | None = Field(
        None,
        min_length=1,
        description="file of a MANO model by whose joint regressor and fingertip vertices NIMBLE's "
        "keypoints are found; null for NIMBLE's own regressor",
    )
    fingertips: FingertipConvention | list[int] = Field(
        "smplx",
        description="which vertices of MANO are its fingertips: the name of a convention, or five "
        "vertices, thumb to little, for another mesh in MANO's layout",
    )
    children: bool = Field(
        False,
        description="fit the open hand with the shape component that leads to children's hands; "
        "of adults a fit of one image then knows size and distance less well",
    )
    fix_left_shapedirs: bool = Field(
        True, description="correct the known sign error in the shape space of MANO_LEFT.pkl"
    )


class InitConfig(Section):
    """What networks predict of a hand before it is fitted.

    Beside the options below it has those of the networks that `networks` names, under their own
    names (`init.lifter`): see `fitter.config.networks`.
    """

    model_config = ConfigDict(extra="allow")

    source: Literal["keypoints", "network", "both"] = Field(
        "network",
        description="where initialisations come from: typical poses placed on the keypoints, "
        "predictions of networks, or both; the one with the lowest cost after a few iterations is "
        "kept",
    )
    networks: str = Field(
        "init_net",
        min_length=1,
        description="which package's networks: the name of an entry point in the group "
        "fit_hands.initializers",
    )

    @property
    def offer(self) -> NetworkOffer:
        """Where the networks come from."""
        return load_offer(self.networks)

    @property
    def options(self) -> NetworkOptions:
        """Those that the offer adds, as its own type."""
        return self.offer.options.model_validate(self.model_extra or {})

    @property
    def wanted(self) -> tuple[OfferedNetwork, ...]:
        """The networks of the offer that the options name weights for."""
        options = self.options
        return tuple(
            each for each in self.offer.networks if getattr(options, each.name) is not None
        )

    @model_validator(mode="before")
    @classmethod
    def _with_offered_options(cls, values: Any) -> Any:
        """Validate what the offer adds, and put its defaults in.

        Raises:
            InputError: no installed package offers networks by that name.
        """
        name = (
            values.get("networks", cls.model_fields["networks"].default)
            if isinstance(values, dict)
            else None
        )
        if not isinstance(name, str) or not name:
            return values  # the fields below say what is wrong
        own = {key: value for key, value in values.items() if key in cls.model_fields}
        added = {key: value for key, value in values.items() if key not in own}
        options = load_offer(name).options
        for key in added:
            if key not in options.model_fields:
                other = offer_with(key)
                if other is not None:
                    raise InputError(
                        "network.of_others", file=f"init.{key}", expected=other, found=name
                    )
                known = [*cls.model_fields, *options.model_fields]
                fault = PydanticCustomError("extra_forbidden", "unknown option", {"known": known})
                raise ValidationError.from_exception_data(
                    cls.__name__, [InitErrorDetails(type=fault, loc=(key,), input=added[key])]
                )
        return own | dict(options.model_validate(added))


KnownSize = Annotated[float, Field(ge=HAND_SIZES[0], le=HAND_SIZES[1])]
"""Metres, see `fitter.conventions.HAND_SIZES`."""


class FitConfig(Section):
    """The objective and the budget of the keypoint fit.

    A crop unit is the side of the square crop around the hand. Each `scale` is where that term's
    robust loss leaves the quadratic: relative depth and bone directions become linear there, the
    2D keypoints level off (see `fitter.energies.residuals`).
    """

    max_iterations: int = Field(
        30,
        ge=0,
        description="most linearisations per hand; 0 leaves it as its best initialisation is, "
        "without any iteration: of networks that pose a hand model themselves, as they say it",
    )
    num_initialisations: int = Field(4, ge=1, description="initialisations tried per hand")
    initialisation_iterations: int = Field(
        3, ge=0, description="iterations of every initialisation before the best one is kept"
    )
    keypoint_weight: float = Field(1.0, ge=0, description="weight of the 2D keypoints")
    keypoint_scale: float = Field(
        0.05, gt=0, description="robust scale of the 2D keypoints, crop units"
    )
    bone_direction_weight: float = Field(
        0.045, ge=0, description="weight of the detector's weak 3D bone directions"
    )
    bone_direction_scale: float = Field(
        0.08, gt=0, description="robust scale of the bone directions, length of a unit vector"
    )
    relative_depth_weight: float = Field(
        0.06, ge=0, description="weight of the detector's weak relative depth"
    )
    relative_depth_scale: float = Field(
        0.15, gt=0, description="robust scale of the relative depth, crop units"
    )
    relative_depth_gain: float = Field(
        1.25, gt=0, description="true depth per unit of the detector's relative depth"
    )
    network_depth_confidence: float = Field(
        1.0, ge=0, description="weight of the networks' relative depth beside the detector's"
    )
    network_direction_confidence: float = Field(
        1.0, ge=0, description="weight of the networks' bone directions beside the detector's"
    )
    network_max_confidence: float = Field(
        30.0, gt=0, description="upper bound of a prediction's weight, (scale / its std)^2"
    )
    network_position_share: float = Field(
        1.0, ge=0, le=1, description="share of the networks' positions in the 2D keypoints"
    )
    network_position_weight: float = Field(
        8.0, gt=0, description="factor on the weight of 2D keypoints that a network has corrected"
    )
    detector_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share that the detector's depth and bone directions keep of their weight "
        "where a network has seen them",
    )
    limit_weight: float = Field(1.5, ge=0, description="weight of the anatomical joint limits")
    pose_prior_weight: float = Field(0.13, ge=0, description="weight of the prior of the pose")
    shape_prior_weight: float = Field(0.1, ge=0, description="weight of the prior of the shape")
    size_prior_weight: float = Field(
        0.1,
        ge=0,
        description="weight of the prior of the hand's size, which no image shows",
    )
    motion_prior_weight: float = Field(
        1.0, ge=0, description="weight of what the other frames of a video say of the hand"
    )
    # not published, as is `view_sureness`
    view_noise: float = Field(
        0.015,
        gt=0,
        description="noise of keypoints for which the weights are, as a share of a hand's length; "
        "where several views agree better than that, keypoints weigh more",
    )
    view_sureness: float = Field(
        30.0,
        ge=1,
        description="most that keypoints weigh more by for the agreement of several views",
    )
    hand_size: KnownSize | None = Field(
        None,
        description="metres from the wrist's joint along the bones to the middle fingertip, of "
        "every hand whose size is not given otherwise; null where it is not known",
    )

    @property
    def energies(self) -> dict[EnergyName, float]:
        """The weights by the names of the energies, as a stage has them."""
        return {
            "keypoints": self.keypoint_weight,
            "relative_depth": self.relative_depth_weight,
            "bone_directions": self.bone_direction_weight,
            "motion_prior": self.motion_prior_weight,
            "limits": self.limit_weight,
            "pose_prior": self.pose_prior_weight,
            "shape_prior": self.shape_prior_weight,
            "size_prior": self.size_prior_weight,
        }


class RunConfig(Section):
    """How the work is split and where it runs."""

    device: Literal["cpu", "cuda", "auto"] = Field(
        "auto", description="where the fit runs; auto takes a GPU where there is one"
    )
    batch_size: int = Field(
        64, ge=1, description="images detected and fitted together, and hands fitted at once"
    )
    block_size: int = Field(
        0,
        ge=0,
        description="images per block, which is computed, written and repeated as a whole; 0 "
        "chooses by the number of images",
    )


class OutputConfig(Section):
    """What the result store keeps."""

    save_vertices: bool = Field(False, description="store every hand's mesh, 12 bytes a vertex")
    keypoint_definition: KeypointDefinitionName = Field(
        "mediapipe",
        description="what keypoints_3d are: the detector's marks, or what public code takes for "
        "the keypoints of a hand, see docs/hand_size.md",
    )
    min_quality: float = Field(
        0.0, ge=0, le=1, description="hands of a lower score are stored as not valid, with a reason"
    )


class Config(Section):
    """Everything a run can be told."""

    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    camera: CameraConfig = Field(default_factory=CameraConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    init: InitConfig = Field(default_factory=InitConfig)
    fit: FitConfig = Field(default_factory=FitConfig)
    refine: RefineConfig = Field(default_factory=RefineConfig)
    interaction: InteractionConfig = Field(default_factory=InteractionConfig)
    people: PeopleConfig = Field(default_factory=PeopleConfig)
    tracks: TracksConfig = Field(default_factory=TracksConfig)
    run: RunConfig = Field(default_factory=RunConfig)
    output: OutputConfig = Field(default_factory=OutputConfig)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as nested JSON-able dictionaries."""
        return self.model_dump(mode="json")

    def with_absolute_paths(self) -> Config:
        """The same for a process that works in another folder."""

        def absolute(given: str | None) -> str | None:
            return None if given is None else str(Path(given).absolute())

        networks = dict(self.init.options.with_absolute_paths())
        return self.model_copy(
            update={
                "detector": self.detector.model_copy(
                    update={
                        "task": absolute(self.detector.task),
                        "onnx_model": absolute(self.detector.onnx_model),
                    }
                ),
                "model": self.model.model_copy(
                    update={
                        "path": absolute(self.model.path),
                        "mano": absolute(self.model.mano),
                    }
                ),
                "init": self.init.model_copy(update=networks),
            }
        )

    @property
    def asked_networks(self) -> tuple[OfferedNetwork, ...]:
        """The networks that the run needs, of those that it may use."""
        masks = self.refine.segmentation == "network" and self.refine.uses_masks
        uses = {"initialisation": self.init.source != "keypoints", "mask": masks}
        return tuple(network for network in self.init.wanted if uses[network.gives])

    @property
    def finds_masks(self) -> bool:
        """Whether masks are found for hands that nobody gives one for."""
        networks = (network.gives for network in self.asked_networks)
        return self.refine.segmentation == "grabcut" or "mask" in networks

    @property
    def needs_crops(self) -> bool:
        """Whether anything looks at images of hands after they are found."""
        return bool(self.refine.stages) or any(each.sees_images for each in self.asked_networks)


FIT = ConfigKind(Config, "", "--config", "fit", "fit.num_initialisations=2")
"""What `fit-hands` reads."""


def model_flags(typed: str, given: str) -> dict[str, Flag]:
    """What a model's name, file or folder says of the configuration.

    Args:
        typed: how it was given, for errors.
        given: "open_hand", the path of a MANO file, or the folder of a NIMBLE model.
    """
    name = model_name(given)
    path = None if name == "open_hand" else given
    return {"model.name": Flag(typed, name), "model.path": Flag(typed, path)}


def load_config(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Flag] | None = None,
) -> Config:
    """Read a configuration.

    Args:
        path: YAML file, or the name of a preset, see `find_config`; options it leaves out keep
            their defaults. None for all defaults.
        overrides: ``section.option=value`` each, applied in order; the value is a YAML scalar.
        flags: ``section.option`` -> what a flag says of it, applied before the overrides.

    Raises:
        InputError: the file cannot be read, a key is unknown or a value has the wrong type.
    """
    return load_kind(FIT, path, overrides, flags)


def find_config(given: str | Path) -> Path:
    """The file that is meant by a path, or by the name of a preset; see `find_preset`."""
    return find_preset(given, FIT)
