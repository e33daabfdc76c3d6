"""Hands of one picture that touch, fitted together.

    touching        which hands those are
    occlusion       who stands in front of whom, drawn
    contact_points  where surfaces meet
    shared_shape    what shapes they keep
    pair_terms      what two hands say of each other, as residuals
    group_problem   the objective of all hands of a group
    things          pixels in which known things stand in front of hands
    group_scene     groups of one size from round to round
    joint_stage     the stage, `JointStage`
    relative_place  what is stored of it

Hands are right hands here, each in its own frame: of a left hand that is the picture's camera with
x negated. [docs/interaction.md](docs/interaction.md) says what is done and what it brings.
"""

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.interaction.joint_stage import JointStage
    from fitter.interaction.pictured import HandsOfPictures
    from fitter.interaction.records import Interaction

__all__ = ["HandsOfPictures", "Interaction", "JointStage"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "HandsOfPictures": "fitter.interaction.pictured",
        "Interaction": "fitter.interaction.records",
        "JointStage": "fitter.interaction.joint_stage",
    },
)
