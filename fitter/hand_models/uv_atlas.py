"""Texture coordinates for hand models that come without: an atlas of palm and back.

The model's own template and faces are all that goes in, so nothing of a licensed file has to be
shipped, and the same file gives the same atlas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fitter.errors import InputError
from fitter.hand_models.anatomy import NoAxesError
from fitter.hand_models.atlas_charts import (
    MOST_PIECES,
    Chart,
    charts,
    finger_faces,
    palm_faces,
    pieces,
    split,
)
from fitter.hand_models.atlas_flattening import flattened
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.uv_layout import MirroredLayout, UvAtlas, UvLayout

GUTTER = 1 / 64
"""Least distance between two charts, in a texture's sides; half of it around the border. A texture
of 256 texels then has four between them, enough for two levels of a mip map."""

_WIDTHS = 24
"""How many widths of the atlas are tried."""


@dataclass(frozen=True)
class Unwrapped:
    """The atlas of a right hand, made by `unwrap` when it is first asked for; see `UvLayout`."""

    data: HandModelData

    @property
    def uv(self) -> np.ndarray:
        """See `UvLayout`."""
        return self._atlas.uv

    @property
    def faces(self) -> np.ndarray:
        """See `UvLayout`."""
        return self._atlas.faces

    @cached_property
    def _atlas(self) -> UvAtlas:
        return unwrap(self.data)


def with_atlas(data: HandModelData) -> HandModelData:
    """The model with texture coordinates: its own, or those of `unwrap`, made when asked for.

    A left hand gets the atlas of the right hand that it mirrors, wound the other way round.
    """
    if data.layout is not None:
        return data
    if data.side == "right":
        layout: UvLayout = Unwrapped(data)
    else:
        layout = MirroredLayout(Unwrapped(data.mirrored()))
    return replace(data, layout=layout)


def unwrap(data: HandModelData) -> UvAtlas:
    """The atlas of a right hand, in tens of milliseconds for a thousand vertices.

    Palm and back are laid flat, each in one piece where that works, else with its fingers cut off,
    and so on; with the tips up, all at one scale, as large as fits. Charts are `GUTTER` apart.
    Faces without an area get a point. What is in more than `MOST_PIECES` pieces is no surface: its
    faces are laid out one by one, each as a half of a cell of a grid.

    Raises:
        InputError: the joints say nothing of palm and back (`model.no_anatomy`).
    """
    positions, faces = data.v_template, data.faces
    first = positions[faces[:, 1]] - positions[faces[:, 0]]
    second = positions[faces[:, 2]] - positions[faces[:, 0]]
    doubled = np.linalg.norm(np.cross(first, second), axis=1)
    longest = np.maximum((first * first).sum(1), (second * second).sum(1))
    kept = doubled > 1e-9 * longest
    if not kept.any() or len(np.unique(pieces(faces, kept)[kept])) > MOST_PIECES:
        return _grid(kept)
    try:
        palm = palm_faces(data)
    except NoAxesError as error:
        raise InputError("model.no_anatomy", file=data.name) from error
    waiting = charts(faces, np.where(kept, np.where(palm, 0, 1), -1))[::-1]
    rest = data.rest_joints.template
    tips = positions[list(data.tip_vertices)]
    up = tips.mean(0) - rest[0]
    done: list[tuple[Chart, np.ndarray]] = []
    fingers = finger_faces(data)
    while waiting:
        if len(waiting) + len(done) > MOST_PIECES:
            return _grid(kept)
        chart = waiting.pop()
        flat = flattened(chart, positions)
        if flat is None:
            waiting += split(faces, chart, positions, fingers)[::-1]
        else:
            done.append((chart, _upright(flat, positions[chart.vertices] @ up)))
    uv_faces = np.zeros_like(faces)
    row = 0
    for chart, _ in done:
        uv_faces[chart.faces] = chart.corners + row
        row += len(chart.vertices)
    return UvAtlas(_packed([flat for _, flat in done]), uv_faces)


def _grid(kept: np.ndarray) -> UvAtlas:
    """The atlas of single faces, those that are `kept` (F,); the others get a point."""
    number = np.cumsum(kept) - 1
    across = max(1, int(np.ceil(np.sqrt(kept.sum()))))
    cells = np.stack([number[kept] % across, number[kept] // across], 1)
    # The gutter is a share of a cell here: a grid of many has no room for more.
    corners = GUTTER + (1 - 2 * GUTTER) * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    uv = ((cells[:, None] + corners) / across).reshape(-1, 2)
    faces = np.where(kept[:, None], 3 * number[:, None] + np.arange(3), 0)
    return UvAtlas(uv if len(uv) else np.zeros((1, 2)), faces)


def _upright(flat: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points (P, 2) turned so that what is high (P,) is up, from (0, 0) to the upper right."""
    x, y = ((flat - flat.mean(0)) * (height - height.mean())[:, None]).sum(0)
    length = np.hypot(x, y)
    cosine, sine = (y / length, x / length) if length > 0 else (1.0, 0.0)
    turned = flat @ np.array([[cosine, sine], [-sine, cosine]])
    return turned - turned.min(0)


def _packed(flats: list[np.ndarray]) -> np.ndarray:
    """Charts from (0, 0) on, (P, 2) each, placed in the unit square one after the other."""
    boxes = np.array([flat.max(0) for flat in flats]).reshape(-1, 2)
    area = boxes.prod(1).sum()
    widths = np.geomspace(boxes[:, 0].max(), boxes[:, 0].sum(), _WIDTHS)
    best, places = np.inf, np.zeros_like(boxes)
    for width in widths:
        side = float(np.sqrt(area))
        # The gutter is a share of the side, which depends on it.
        for _ in range(4):
            gutter = GUTTER * side
            found, size = _shelves(boxes + gutter, width + gutter)
            side = float(size.max())
        if side < best:
            best, places = side, found + gutter / 2
    placed = [place + flat for place, flat in zip(places, flats, strict=True)]
    return np.concatenate(placed) / best


def _shelves(boxes: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower left corners (N, 2) of boxes (N, 2) set side by side on shelves, high ones first, and
    the size (2,) of all."""
    places = np.zeros_like(boxes)
    x = y = top = right = 0.0
    for box in np.argsort(-boxes[:, 1], kind="stable"):
        across, high = boxes[box]
        if x > 0 and x + across > width * (1 + 1e-9):
            x, y = 0.0, top
        places[box] = x, y
        x, top = x + across, max(top, y + high)
        right = max(right, x)
    return places, np.array([right, top])
