"""The stored hands' keypoints in the definition that an evaluation asks for, and their meshes."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, cast, get_args

import numpy as np
import xarray as xr

from fitter.conventions import KeypointDefinitionName
from fitter.errors import InputError
from fitter.store.reader import StoreReader, decode_flags

if TYPE_CHECKING:
    import torch

    from fitter.meshes import HandMeshes
    from fitter.records import HandParams

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


class PosedHands:
    """Poses the hands of a store from their parameters.

    The model is loaded when it is first needed.
    """

    def __init__(self, store: StoreReader) -> None:
        """Take the hands' store."""
        self.store = store

    @cached_property
    def meshes(self) -> HandMeshes:
        """The hand model that was fitted.

        Raises:
            InputError: it is not where the store says, or is another one.
        """
        from fitter.results import Results

        return Results(self.store).meshes

    def keypoints(self, results: xr.Dataset, name: str) -> np.ndarray:
        """(image, hand, 21, 3) keypoints in metres, camera frame, NaN where there is no valid hand.

        Args:
            results: some of the store's images.
            name: of the definition.

        Raises:
            InputError: there is no such definition; or see `meshes`.
        """
        check_definition(name)
        if name == stored_definition(self.store):
            return results.keypoints_3d.values
        from fitter.hand_models.keypoint_definitions import KeypointDefinition

        known = cast(KeypointDefinitionName, name)  # since `check_definition`
        definition = KeypointDefinition.of(self.meshes.right, known)
        found = np.full(results.keypoints_3d.shape, np.nan)
        params, is_left = _right_hands(results)
        self._fill(found, results, [definition.keypoints(p) for p in params], is_left)
        return found

    def vertices(self, results: xr.Dataset) -> np.ndarray:
        """(image, hand, V, 3) float64 vertices in metres, camera frame, NaN where there is no valid
        hand: those stored, or posed with the stored offsets added.

        Raises:
            InputError: see `meshes`.
        """
        if "vertices" in results:
            return results.vertices.values.astype(float)
        model = self.meshes.right
        valid = results.valid
        found = np.full((*valid.shape, len(model.v_template), 3), np.nan)
        params, is_left = _right_hands(results)
        self._fill(found, results, [model(p).vertices for p in params], is_left)
        if "vertex_offsets" in results:
            found += np.nan_to_num(results.vertex_offsets.values)
        return found

    @staticmethod
    def _fill(
        found: np.ndarray, results: xr.Dataset, posed: list[torch.Tensor], is_left: torch.Tensor
    ) -> None:
        """Write points of right hands into the valid places, those of left hands mirrored."""
        import torch

        from fitter.records import mirror_where

        if posed:
            found[results.valid.values] = mirror_where(is_left, torch.cat(posed)).numpy()


def _right_hands(results: xr.Dataset) -> tuple[list[HandParams], torch.Tensor]:
    """The valid hands as right ones, `_CHUNK` at a time, and (N,) bool which are left ones."""
    import torch

    from fitter.records import HandParams

    valid = results.valid.values
    is_left = torch.from_numpy(decode_flags(results.side).values[valid] == "left")
    params = HandParams(
        *(torch.from_numpy(results[f.name].values[valid]).double() for f in fields(HandParams))
    )
    right = params.mirrored_where(is_left)
    chunks = range(0, len(is_left), _CHUNK)
    return [right[start : start + _CHUNK] for start in chunks], is_left
