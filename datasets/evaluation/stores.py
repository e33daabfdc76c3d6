"""The hands of a result store, as an evaluation sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import xarray as xr

from datasets.annotations import AnnotatedImages, Annotation
from datasets.evaluation.matching import places_in_dataset
from datasets.evaluation.posed import PosedHands, check_definition, stored_definition
from datasets.evaluation.records import ABSENT, EstimatedHand, EstimatedImage, Estimates, Fate
from fitter.errors import InputError
from fitter.records import Side
from fitter.store.reader import StoreReader, decode_flags
from fitter.store.schema import IMAGE_STATUS

DEPTH_GAIN = 1.3
"""True depth per unit of the detector's image depth, in the model-free reference."""

_VARIABLES = (
    "valid",
    "side",
    "detection_score",
    "image_status",
    "keypoints_3d",
    "keypoints_2d",
    "keypoints_2d_detected",
    "detector_relative_depth",
    "detector_relative_xyz",
)
_PARAMETERS = ("global_orient", "hand_pose", "betas", "transl")


class StoreEstimates(Estimates):
    """The valid hands of a store that `fit-hands` wrote."""

    def __init__(
        self,
        store: StoreReader,
        images: AnnotatedImages,
        definition: str | None = None,
    ) -> None:
        """Find the data set's images in the store.

        Args:
            store: open for reading.
            images: the data set.
            definition: of the keypoints to score; None for the store's own.

        Raises:
            InputError: there is no such definition; the store holds none of the images, or two of
                one name.
        """
        stored = stored_definition(store)
        self.path = store.path
        self.made_of = store.dataset_place
        self.definition = stored if definition is None else definition
        check_definition(self.definition)
        self.is_posed = self.definition != stored
        self.rows = places_in_dataset(store.path, store.names, images)
        self._results = store.dataset()
        self._posed = PosedHands(store)
        self.iterations = self._mean_iterations()

    def faces(self, side: Side) -> np.ndarray | None:
        """(F, 3) faces of the fitted model's mesh; see `Estimates.faces`."""
        return self._posed.meshes.faces(side)

    def images(
        self, places: Sequence[int], annotations: Sequence[Annotation], with_meshes: bool
    ) -> list[EstimatedImage]:
        """Of some images of the data set; see `Estimates.images`."""
        rows = [self.rows.get(place) for place in places]
        there = sorted({row for row in rows if row is not None})
        if not there:
            return [ABSENT] * len(rows)
        results = self._loaded(there, with_meshes)
        read = dict(zip(there, self._read(results, with_meshes), strict=True))
        return [ABSENT if row is None else read[row] for row in rows]

    def _read(self, results: xr.Dataset, with_meshes: bool) -> list[EstimatedImage]:
        assert self.definition is not None
        valid = results.valid.values
        # As `HandRow.is_refused`: what has a score was fitted.
        refused = np.zeros(valid.shape, bool)
        if "score" in results:
            refused = ~valid & np.isfinite(results.score.values)
        sides = decode_flags(results.side).values
        scores = np.nan_to_num(results.detection_score.values, nan=0.0)
        keypoints = self._posed.keypoints(results, self.definition).astype(float)
        marks = results.keypoints_2d.values.astype(float)
        depth = DEPTH_GAIN * results.detector_relative_depth.values.astype(float)[..., None]
        detected = results.keypoints_2d_detected.values.astype(float)
        references = {
            "detector_world": results.detector_relative_xyz.values.astype(float),
            "detector_xyz": np.concatenate([detected, depth], axis=-1),
        }
        vertices = self._posed.vertices(results) if with_meshes else None
        focal = np.ones(valid.shape)
        if "focal_scale" in results:
            focal = np.nan_to_num(results.focal_scale.values.astype(float), nan=1.0)
        return [
            EstimatedImage(
                cast(Fate, IMAGE_STATUS[int(status)]),
                tuple(
                    EstimatedHand(
                        keypoints[i, slot],
                        marks[i, slot],
                        sides[i, slot],
                        float(scores[i, slot]),
                        None if vertices is None else vertices[i, slot],
                        float(focal[i, slot]),
                        {name: points[i, slot] for name, points in references.items()},
                    )
                    for slot in np.flatnonzero(valid[i])
                ),
                int(refused[i].sum()),
            )
            for i, status in enumerate(results.image_status.values)
        ]

    def _loaded(self, rows: Sequence[int], with_meshes: bool) -> xr.Dataset:
        """Some of the store's images, with what is scored read from the disk."""
        names = [*_VARIABLES, *(name for name in ("score", "focal_scale") if name in self._results)]
        if self.is_posed or with_meshes:
            names += _PARAMETERS
        if with_meshes:
            names += [name for name in ("vertices", "vertex_offsets") if name in self._results]
        chosen = self._results[names].isel(image=np.array(rows))
        for name in names:
            try:
                chosen[name].load()
            except Exception as error:
                # What a cut chunk raises is up to the codec and is of many types.
                raise InputError(
                    "store.damaged_variable", file=self.path, variable=name, reason=str(error)
                ) from error
        return chosen

    def _mean_iterations(self) -> float | None:
        """Mean of the valid hands' iterations after the keypoints; 0 for hands without any."""
        if "refine_iterations" not in self._results:
            return None
        valid = self._results.valid.values
        return float(self._results.refine_iterations.values[valid].mean()) if valid.any() else None
