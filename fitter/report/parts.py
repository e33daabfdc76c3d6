"""The rows of a report, some images at a time: what the page shows of each hand, and thumbnails."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fitter.inputs.photographs import Photographs
from fitter.inputs.through_lens import taken_through
from fitter.rendering.overlay_hand import OverlayHand
from fitter.report.summary import ReportSummary
from fitter.report.thumbnails import Thumbnails
from fitter.results import Results
from fitter.store.layout import Block
from fitter.store.schema import HandRow, ImageRow
from fitter.store.variables import Variable

_IMAGES = 128
"""Images of a part: so many thumbnails are in memory at once."""


@dataclass
class Part:
    """Rows of consecutive images.

    Attributes:
        rows: JSON-able, a hand or an image without one each.
        thumbnails: base64 of WebP; a row's "thumbnail" is its place here.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    thumbnails: list[str] = field(default_factory=list)

    def add(self, row: dict[str, Any], thumbnail: bytes | None) -> None:
        """One more row; what is None in it is left out."""
        kept = {name: value for name, value in row.items() if value is not None}
        if thumbnail is not None:
            kept["thumbnail"] = len(self.thumbnails)
            self.thumbnails.append(base64.b64encode(thumbnail).decode("ascii"))
        self.rows.append(kept)


class PartMaker:
    """Makes the parts of a report of one store."""

    def __init__(
        self, results: Results, photographs: Photographs | None, thumbnails: Thumbnails
    ) -> None:
        """Take the store, its photographs where they are there, and how hands are shown."""
        self._results, self._photographs = results, photographs
        self._thumbnails = thumbnails

    def parts(self, summary: ReportSummary) -> Iterator[Part]:
        """All committed images in the order of the store; counted in the summary as they come.

        Raises:
            InputError: the store is damaged, or its hand model is not there.
        """
        store = self._results.store
        for block in store.committed_blocks():
            for start in range(block.start, block.stop, _IMAGES):
                some = Block(block.index, start, min(start + _IMAGES, block.stop))
                part = Part()
                names = store.names[some.start : some.stop]
                for name, row in zip(names, store.read_block(some, self._wanted), strict=True):
                    summary.add(row)
                    self._add(part, name, row)
                yield part

    def _wanted(self, variable: Variable) -> bool:
        """Meshes are posed, so none is read; skins only where they are shown."""
        left = {"vertex"}
        if self._thumbnails.style.look != "appearance":
            left |= {"colour_vertex", "texel_row", "texel_column"}
        return not left & set(variable.dims)

    def _add(self, part: Part, name: str, row: ImageRow) -> None:
        pixels = None
        if self._photographs is not None and row.image_status != "failed":
            size = (row.image_width, row.image_height)
            through = taken_through(row.lens, row.intrinsics, size)
            pixels = self._photographs.of(name, size, through)
        if not row.hands:
            picture = None if pixels is None else self._thumbnails.of_image(pixels)
            status = "failed" if row.image_status == "failed" else "no_hand"
            image = {"name": name, "status": status, "reason": row.image_error}
            part.add(image | _of_image(row), picture)
        for slot, hand in enumerate(row.hands):
            facts = {"name": name, "slot": slot, "of": len(row.hands)}
            picture = self._picture(hand, row, pixels)
            part.add(facts | _of_hand(hand) | _of_image(row), picture)

    def _picture(self, hand: HandRow, row: ImageRow, pixels: np.ndarray | None) -> bytes | None:
        if hand.has_failed:
            if pixels is None or hand.box is None:
                return None
            return self._thumbnails.of_box(hand.box, pixels)
        assert hand.side is not None and row.intrinsics is not None  # it was fitted
        assert row.image_width is not None and row.image_height is not None
        meshes = self._results.meshes
        vertices = meshes.vertices(hand)
        shows_skin = self._thumbnails.style.look == "appearance"
        skin = meshes.skin(hand, vertices) if shows_skin else None
        shown = OverlayHand.of(hand, vertices, meshes.faces(hand.side), skin)
        size = (row.image_width, row.image_height)
        return self._thumbnails.of_hand(shown, row.intrinsics, size, pixels)


def _of_hand(hand: HandRow) -> dict[str, Any]:
    """What the page says of a hand; see `FACTS` in its script."""
    status = "fitted" if hand.valid else "refused" if hand.is_refused else "unfitted"
    seen = hand.keypoint_visibility
    return {
        "status": status,
        "reason": hand.fit_error,
        "person": hand.person,
        "side": hand.side,
        "sideScore": _rounded(hand.side_score, 2),
        "score": _rounded(hand.score, 4),
        "error": _rounded(hand.predicted_error_mm, 2),
        "residual": _rounded(hand.residual_px, 2),
        "iou": _rounded(hand.mask_iou, 4),
        "mask": hand.mask_source,
        "size": None if hand.hand_size is None else _rounded(1000 * hand.hand_size, 1),
        "sizeSource": hand.hand_size_source,
        "distance": None if hand.keypoints_3d is None else _rounded(hand.keypoints_3d[0, 2], 3),
        "seen": None if seen is None else int((seen >= 0.5).sum()),
        "fit": hand.fit_status,
        "stage": hand.refine_status,
        "start": hand.initialisation_source,
        "detection": _rounded(hand.detection_score, 2),
    }


def _of_image(row: ImageRow) -> dict[str, Any]:
    width, height = row.image_width, row.image_height
    return {
        "pixels": f"{width} x {height}" if width and height else None,
        "camera": row.intrinsics_source,
    }


def _rounded(value: Any, digits: int) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), digits)
