"""The options of the stages that refine a hand against its image, typed, frozen, with units."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fitter.config.energies import DECLARATIONS, EnergyName, Need
from fitter.config.section import Section, mistake

Free = Literal[
    "global_orient",
    "pose",
    "shape",
    "camera",
    "focal",
    "offsets",
    "appearance",
    "vertex_colours",
    "texture",
    "lighting",
]
"""Groups of parameters that a stage may free."""

LEAST_SQUARES_FREE: frozenset[str] = frozenset({"global_orient", "pose", "shape", "camera"})
"""The parameters that Levenberg-Marquardt frees, all together."""


NotNegative = Annotated[float, Field(ge=0)]


class StageConfig(Section):
    """One stage: what moves, what is minimised, by which solver and for how long."""

    solver: Literal["lm", "adam", "sgd"] = Field(
        description="lm: Levenberg-Marquardt; adam; sgd: gradient descent with momentum"
    )
    iterations: int = Field(ge=0, description="most steps per hand")
    free: list[Free] = Field(min_length=1, description="groups of parameters that move")
    energies: dict[EnergyName, NotNegative] = Field(
        min_length=1, description="weights of the energies that are minimised"
    )
    silhouette: Literal["edge", "soft"] = Field(
        default="edge", description="how outlines are rendered, see docs/rasteriser.md"
    )
    sigma: float = Field(
        default=1e-4,
        gt=0,
        description="softness of soft outlines, squared normalised device coordinates",
    )
    band: float = Field(
        default=1.0, gt=0, description="half width of edge outlines, pixels of the crop"
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="step size of adam and sgd; null if rates names every free group",
    )
    rates: dict[Free, NotNegative] = Field(
        default_factory=dict,
        description="factors of the learning rate for groups of parameters, 1 where not given; "
        "without a learning rate the step sizes themselves",
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd")
    patience: int = Field(
        default=0,
        ge=0,
        description="adam and sgd: steps without gain after which a hand stops, 0 for never",
    )
    tolerance: float = Field(
        default=1e-4, ge=0, description="a gain below this share of the cost counts as none"
    )
    length_unit: float = Field(
        default=1.0, gt=0, description="metres of the unit in which adam and sgd measure lengths"
    )
    camera_unit: float | None = Field(
        default=None,
        gt=0,
        description="metres of the unit in which adam and sgd measure the hand's translation, null "
        "for length_unit",
    )
    pixel_unit: float = Field(
        default=1.0,
        gt=0,
        description="adam and sgd: side in pixels of the square that is silhouette_l2's unit of "
        "area; 1 gives a sum over pixels, refine.resolution their mean",
    )
    normal_reduction: Literal["sum", "mean"] = Field(
        default="sum", description="how normal_consistency and normal_change reduce over faces"
    )
    view_reduction: Literal["sum", "mean"] = Field(
        default="sum",
        description="how what several views of one hand show reduces over them; the other energies "
        "count once a hand",
    )
    contact_reach: float = Field(
        default=0.01,
        gt=0,
        description="metres from a known object within which object_attraction pulls",
    )
    out_of_objects: bool = Field(
        default=False,
        description="lm alone: hands that end more than 2 mm in a known object are fitted again "
        "from six places along their line of sight, and what costs least is kept",
    )
    photometric_scale: float = Field(
        default=16.0,
        gt=0,
        description="colour distance at which photometric_robust counts a pixel for a quarter, in "
        "medians of the hand's own pixels",
    )
    keypoint_beta: float = Field(
        default=0.02,
        gt=0,
        description="where SmoothL1 becomes linear, sides of the crop",
    )

    def rate(self, group: Free) -> float:
        """Step size of a free group for adam and sgd."""
        return (self.learning_rate or 1.0) * self.rates.get(group, 1.0)

    @property
    def touching(self) -> bool:
        """Whether an energy looks at known objects."""
        return any(Need.OBJECTS in DECLARATIONS[name].needs for name in self._weighted)

    @property
    def masked(self) -> list[str]:
        """The energies that compare with a mask."""
        return [name for name in self._weighted if DECLARATIONS[name].uses_mask]

    @property
    def only_masked(self) -> bool:
        """Whether nothing but a mask ties a hand to its image in this stage."""
        tied = [name for name in self._weighted if DECLARATIONS[name].uses_image]
        return bool(tied) and tied == self.masked

    @property
    def _weighted(self) -> list[str]:
        return [name for name, weight in self.energies.items() if weight > 0]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.solver == "lm":
            self._fits_least_squares()
        if self.out_of_objects and "object_penetration" not in self._weighted:
            raise mistake("stages.not_out_of_objects")
        if self.out_of_objects and self.solver != "lm":
            raise mistake("stages.out_of_objects_solver", found=self.solver)
        if twice := sorted(name for name in set(self.free) if self.free.count(name) > 1):
            raise mistake("stages.free_twice", found=twice[0])
        if strange := sorted(set(self.rates) - set(self.free)):
            raise mistake("stages.rate_not_free", found=strange[0])
        unknown = sorted(set(self.free) - set(self.rates))
        # None suits all: a step goes with the unit of a group and the weights of the energies.
        if self.solver != "lm" and self.learning_rate is None and unknown:
            raise mistake("stages.no_step", solver=self.solver, group=unknown[0])
        return self

    def _fits_least_squares(self) -> None:
        known = {name for name, energy in DECLARATIONS.items() if energy.least_squares}
        if strange := sorted(set(self.energies) - known):
            raise mistake("stages.lm_energy", found=strange[0])
        if set(self.free) != LEAST_SQUARES_FREE:
            expected, found = (", ".join(sorted(x)) for x in (LEAST_SQUARES_FREE, self.free))
            raise mistake("stages.lm_free", expected=expected, found=found)
        if self.iterations == 0:
            raise mistake("stages.lm_iterations", found=0)
        if self.silhouette != "edge":
            raise mistake("stages.lm_silhouette", found=self.silhouette)


class RefineConfig(Section):
    """The stages after the keypoint fit, which compare the hand with the image."""

    resolution: int = Field(
        default=128, ge=32, le=512, description="side of the square crop that is compared, pixels"
    )
    margin: float = Field(
        default=1.4,
        ge=1,
        description="side of that crop divided by the longer side of the keypoints' box",
    )
    segmentation: Literal["network", "grabcut", "none"] = Field(
        default="network",
        description="how hands without a given mask are segmented: by a network, by GrabCut around "
        "the mesh that was fitted to the keypoints, or not at all",
    )
    snap_masks: bool = Field(
        default=True, description="move the border of a given mask onto the image's edges"
    )
    spare_hidden: bool = Field(
        default=False,
        description="pixels of unknown things in front of a hand, found by what they hide of the "
        "fitted mesh, count as nobody's and not as background",
    )
    max_pull: float = Field(
        0.04,
        gt=0,
        description="a mask is rejected if it raises the keypoints' distance by more than this "
        "share of the longer side of their box",
    )
    hidden_weight: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="weight of a 2D keypoint that the fitted mesh and the networks take for "
        "hidden, beside 1 of one that is seen; 1 makes no difference between them",
    )
    light: Literal["ambient_directional", "spherical_harmonics"] = Field(
        default="spherical_harmonics", description="model of the light"
    )
    linear_light: bool = Field(
        default=True,
        description="multiply colours and light in linear light, then encode as sRGB",
    )
    texture_size: int = Field(
        default=128,
        ge=16,
        le=1024,
        description="texels along a side of a free texture, and of the skin's maps where the model "
        "has some of normals and highlights",
    )
    stages: dict[str, StageConfig] = Field(
        default_factory=lambda: dict(DEFAULT_STAGES), description="the stages, in order"
    )

    @property
    def uses_objects(self) -> bool:
        """Whether any stage looks at known objects."""
        return any(stage.touching for stage in self.stages.values())

    @property
    def uses_masks(self) -> bool:
        """Whether any stage compares with a mask."""
        return any(stage.masked for stage in self.stages.values())

    @model_validator(mode="after")
    def _has_what_it_smooths(self) -> Self:
        """There are texels only where a stage frees the texture."""
        stages = self.stages.values()
        named = [name for stage in stages for name in stage.energies]
        of_texels = [name for name in named if Need.TEXELS in DECLARATIONS[name].needs]
        if of_texels and not any("texture" in stage.free for stage in stages):
            raise mistake("stages.no_texture", found=of_texels[0])
        return self


def _contour(
    band: float, penetration: float, reach: float, out_of_objects: bool = False
) -> StageConfig:
    return StageConfig(
        solver="lm",
        iterations=15,
        free=["global_orient", "pose", "shape", "camera"],
        energies={
            "keypoints": 2.0,
            "relative_depth": 0.3,
            "bone_directions": 0.03,
            "silhouette_l2": 1000.0,
            "limits": 1.5,
            "pose_prior": 0.13,
            "shape_prior": 0.2,
            "size_prior": 0.2,
            "object_penetration": penetration,
            "object_attraction": 3e4,
            "motion_prior": 1.0,
        },
        contact_reach=reach,
        out_of_objects=out_of_objects,
        band=band,
        tolerance=1e-3,
    )


DEFAULT_STAGES: dict[str, StageConfig] = {
    # A wide band sees the mask's outline from afar, a narrow one follows it. A known object draws a
    # hand from afar, too, then what is right before it. What is stuck in one is fitted again before
    # that, when the hand is nearly where it stays.
    "coarse": _contour(6.0, 1e6, 0.06),
    "middle": _contour(3.0, 1e6, 0.06, out_of_objects=True),
    "contour": _contour(1.5, 1e7, 0.005),
}
"""What `default.yaml` holds."""
