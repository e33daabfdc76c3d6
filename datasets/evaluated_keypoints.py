"""The stored hands' keypoints in the definition that an evaluation asks for."""

from __future__ import annotations

from dataclasses import fields
from typing import cast, get_args

import numpy as np
import xarray as xr

from fitter.conventions import KeypointDefinitionName
from fitter.errors import InputError
from fitter.results import Results
from fitter.store.reader import StoreReader, decode_flags

DEFINITIONS: tuple[str, ...] = get_args(KeypointDefinitionName)

_CHUNK = 256
"""Hands that are posed at once."""


def stored_definition(store: StoreReader) -> str:
    """The definition that a store's `keypoints_3d` are in; stores from before there were several
    have the detector's marks."""
    output = store.configuration.get("output", {})
    return str(output.get("keypoint_definition", "mediapipe"))


def check_definition(name: str) -> None:
    """Make sure that there is such a definition.

    Raises:
        InputError: there is none.
    """
    if name not in DEFINITIONS:
        known = ", ".join(DEFINITIONS)
        raise InputError("definition.name", file="--keypoint-definition", known=known, found=name)


def keypoints_defined(store: StoreReader, results: xr.Dataset, name: str) -> np.ndarray:
    """(image, hand, 21, 3) keypoints in metres, camera frame, NaN where there is no valid hand.

    They are posed from the stored parameters, where the store has them in another definition.

    Args:
        store: of the hands.
        results: its dataset.
        name: of the definition.

    Raises:
        InputError: there is no such definition; or the hand model that was fitted is not where the
            store says, or is another one.
    """
    check_definition(name)
    if name == stored_definition(store):
        return results.keypoints_3d.values
    import torch

    from fitter.fitted_hands import mirror_where
    from fitter.hand_models.keypoint_definitions import KeypointDefinition
    from fitter.records import HandParams

    known = cast(KeypointDefinitionName, name)  # since `check_definition`
    definition = KeypointDefinition.of(Results(store).meshes.right, known)
    valid = results.valid.values
    is_left = torch.from_numpy(decode_flags(results.side).values[valid] == "left")
    params = HandParams(
        *(torch.from_numpy(results[f.name].values[valid]).double() for f in fields(HandParams))
    )
    right = params.mirrored_where(is_left)
    posed = [
        definition.keypoints(right[start : start + _CHUNK])
        for start in range(0, len(is_left), _CHUNK)
    ]
    found = np.full(results.keypoints_3d.shape, np.nan)
    if posed:
        found[valid] = mirror_where(is_left, torch.cat(posed)).numpy()
    return found
