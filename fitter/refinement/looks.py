"""How hands look before any stage, where a network says it.

A network that draws hands multiplies its light with colours as they are stored, or draws skin in
even white light. Stages take over what it says where they would draw the same, and free it; half
of it, such as colours without their light, would be another picture.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from fitter.config.stages import Free, RefineConfig
from fitter.energies.scene import SceneParams
from fitter.fitting.initializer import Looks
from fitter.refinement.scene import SceneModel
from fitter.rendering.shading import linear_from_srgb, srgb_from_linear
from fitter.rendering.turned_light import turned_light
from fitter.shapes import check_shapes
from fitter.views.rows import RigRows


def taken_looks(looks: Looks, config: RefineConfig) -> Looks:
    """What the stages begin with, NaN of hands that begin with mean skin in white light.

    Of colours or coefficients in an ambient and a directional light: where `config.light` is
    `ambient_directional`, `config.linear_light` is false and stages free both. In even light: where
    `config.light` is `spherical_harmonics` and stages free colours or coefficients.

    Args:
        looks: of B hands.
        config: the stages.
    """
    freed: set[Free] = {group for stage in config.stages.values() for group in stage.free}
    looks = replace(
        looks,
        colours=_if("vertex_colours" in freed, looks.colours),
        appearance=_if("appearance" in freed, looks.appearance),
    )
    if config.light == "spherical_harmonics":
        return looks.only(looks.said & ~looks.has_lighting)
    taken = "lighting" in freed and not config.linear_light
    return looks.only(looks.said & looks.has_lighting & taken)


def begun_with(model: SceneModel, params: SceneParams, looks: Looks) -> SceneParams:
    """Scenes of B hands with what `taken_looks` gives, in the dtype of the model; those of which
    nothing is said as they were.

    Raises:
        ValueError: colours are of another number of vertices, or there are more coefficients than
            the skin has.
    """
    count, vertices = model.appearance.count, len(model.hand.v_template)
    appearance, colours = params.appearance, params.vertex_colours
    has_colours, has_appearance = looks.has_colours, looks.has_appearance
    looks = looks.to(params.transl.device, params.transl.dtype)
    if bool(has_appearance.any()):
        given = looks.appearance
        if given.shape[1] > count:
            raise ValueError(f"expected at most {count} coefficients, found {given.shape[1]}")
        given = pad(given, (0, count - given.shape[1])).nan_to_num()
        appearance = torch.where(has_appearance[:, None], given, appearance)
    if bool(has_colours.any()):
        check_shapes(colours=(looks.colours, ("B", vertices, 3)))
        added = added_colours(model, looks.colours, appearance)
        colours = torch.where(has_colours[:, None, None], added, colours)
    has_lighting = looks.has_lighting[:, None]
    lighting = params.lighting
    if bool(has_lighting.any()):
        lighting = torch.where(has_lighting, looks.lighting, lighting)
    return replace(params, appearance=appearance, vertex_colours=colours, lighting=lighting)


def added_colours(model: SceneModel, colours: Tensor, appearance: Tensor) -> Tensor:
    """(B, V, 3) `SceneParams.vertex_colours` that make skin look like colours (B, V, 3), sRGB, of
    coefficients (B, A)."""
    with torch.no_grad():
        skin = model.appearance.vertex_colours(appearance)
        if model.linear_light:
            return linear_from_srgb(colours) - skin
        return colours - srgb_from_linear(skin)


def rig_looks(rows: RigRows, looks: Looks) -> Looks:
    """What N rows say, as one of each of B hands: what is said in the view that counts most, its
    light in the rig's axes.

    Args:
        rows: N rows of B hands.
        looks: of the N rows, lights in their cameras' axes.
    """
    weight = torch.where(looks.said, rows.weight.to(looks.lighting), -1.0)
    order = weight.argsort(descending=True, stable=True)
    order = order[rows.hand[order].argsort(stable=True)]
    best = order[rows.first]
    found = looks[best]
    back = rows.rotation[best].mT
    return replace(found, lighting=turned_light(found.lighting, back))


def _if(wanted: bool, values: Tensor) -> Tensor:
    return values if wanted else torch.full_like(values, torch.nan)
