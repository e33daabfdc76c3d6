"""Colours for what no picture has shown.

The skin that the measured texels are most like (`fitter.hand_models.appearance`), and on it the
smoothest change over the surface that leads to the measured colours; where the other hand of the
same person was measured, its colours instead. Nothing of one hand tells its palm from its back: a
hand that was seen from one side alone has a palm, or a back, as most people of its colour have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from fitter.textures.atlas import TextureAtlas
from fitter.textures.texture import HandTexture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SAMPLES = 6000
"""Texels that the skin is fitted to."""
LOGIT_STD, INDEPENDENT = 0.3, 300
"""Standard deviation of a texel's logit about a skin, and how many samples the texels are worth:
neighbours differ from a skin alike."""
SMOOTHNESS, RETURN = 4.0, 0.004
"""Of the filling: see `smooth_over`, and the weight with which changes return to 0, on the same
scale: how soon they fade away from what is measured."""
BLEND = 0.1
"""Weight that a texel's filling has beside what was measured there: the border is blended."""


def fill(
    atlas: TextureAtlas,
    colours: np.ndarray,
    weight: np.ndarray,
    counterpart: HandTexture | None = None,
) -> HandTexture:
    """A texture that is measured here and there.

    Args:
        atlas: of the model.
        colours: (M, 3) reflectance of the atlas's texels, linear RGB, in (0, 1); looked at where
            the weight is above 0.
        weight: (M,) how surely each was measured, 0 where it was not.
        counterpart: the texture of the other hand of the same person.
    """
    measured = weight > 0
    base = _logit(atlas.skin(fit_skin(atlas, colours, weight)))
    if counterpart is not None:
        share = _believed(atlas.rows(counterpart.weight).astype(np.float64))[:, None]
        other = _logit(np.clip(atlas.rows(counterpart.colours).astype(np.float64), 1e-3, 0.999))
        base = base + share * (other - base)
    filled = base
    if measured.any():
        change = np.zeros_like(base)
        change[measured] = _logit(colours[measured]) - base[measured]
        filled = base + atlas.at(smooth_over(atlas, change, weight, SMOOTHNESS))
    share = _believed(weight)[:, None]
    logits = np.where(
        measured[:, None], share * _logit(np.clip(colours, 1e-3, 0.999)) + (1 - share) * filled,
        filled,
    )  # fmt: skip
    found = (1 / (1 + np.exp(-logits))).astype(np.float32)
    # Outside of the charts nothing is measured; a look-up there continues the colours.
    certain = np.zeros(atlas.size**2, np.float32)
    certain[atlas.texels] = weight
    return HandTexture(atlas.texture(found), certain.reshape(atlas.size, atlas.size))


def fill_texture(
    atlas: TextureAtlas, texture: HandTexture, counterpart: HandTexture
) -> HandTexture:
    """Fill what a texture has not measured anew, from the other hand of the same person.

    Args:
        atlas: of both.
        texture: whose measured texels stay as they are, but for the blend at their border.
        counterpart: texture of the other hand; left and right hands have one atlas.
    """
    colours = atlas.rows(texture.colours).astype(np.float64)
    return fill(atlas, colours, atlas.rows(texture.weight).astype(np.float64), counterpart)


def fit_skin(atlas: TextureAtlas, colours: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The coefficients (N,) of the skin that measured texels are most like; 0 where none is.

    Args:
        atlas: of the model.
        colours: (M, 3) reflectance, linear RGB, in (0, 1) where the weight is above 0.
        weight: (M,).
    """
    rows = np.flatnonzero(weight > 0)
    coefficients = np.zeros(atlas.appearance.count)
    if not len(rows):
        return coefficients
    rows = rows[:: max(1, len(rows) // SAMPLES)]
    components = atlas.component_logits[:, rows].reshape(len(coefficients), -1).astype(np.float64)
    goal = (_logit(colours[rows]) - atlas.mean_logits[rows]).ravel()
    each = np.repeat(weight[rows] / weight[rows].sum() * INDEPENDENT / LOGIT_STD**2, 3)
    robust = np.ones(len(goal))
    for _ in range(4):
        weighted = components * (each * robust)
        left = weighted @ components.T + np.eye(len(coefficients))
        coefficients = np.linalg.solve(left, weighted @ goal)
        error = np.abs(goal - coefficients @ components)
        robust = 1 / (1 + (error / (2 * LOGIT_STD)) ** 2) ** 2
    return coefficients


def _believed(weight: np.ndarray) -> np.ndarray:
    return weight / (weight + BLEND)


def smooth_over(
    atlas: TextureAtlas, change: np.ndarray, weight: np.ndarray, smoothness: float
) -> np.ndarray:
    """(V, 3) values at the vertices near those of the measured texels, and smooth over the surface,
    across the seams of the atlas too; they fade to 0 where nothing is measured.

    Args:
        atlas: of the model.
        change: (M, 3) at the texels.
        weight: (M,) how surely each was measured.
        smoothness: weight of the change between neighbouring vertices, beside the weight 1 of a
            vertex whose texels are all measured.
    """
    count = atlas.vertex_count
    believed = np.where(atlas.on_chart, _believed(weight), 0)
    flat = np.clip(atlas.weights, 0, 1) * believed[:, None]
    of_vertex = np.bincount(atlas.corners.ravel(), flat.ravel(), count)
    sums = np.stack(
        [
            np.bincount(atlas.corners.ravel(), (flat * change[:, k : k + 1]).ravel(), count)
            for k in range(3)
        ],
        axis=1,
    )
    # Vertices count by their share of measured texels, however many texels they have.
    all_texels = np.bincount(
        atlas.corners.ravel(), (np.clip(atlas.weights, 0, 1) * atlas.on_chart[:, None]).ravel(),
        count,
    )  # fmt: skip
    scale = 1 / np.maximum(all_texels, 1e-9)
    edges = np.concatenate([atlas.faces[:, [0, 1]], atlas.faces[:, [1, 2]], atlas.faces[:, [2, 0]]])
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (count, count)).tocsr()
    laplacian = scipy.sparse.csgraph.laplacian(((graph + graph.T) > 0).astype(np.float64))
    left = smoothness * laplacian + scipy.sparse.diags(of_vertex * scale + RETURN)
    return scipy.sparse.linalg.factorized(left.tocsc())(sums * scale[:, None])


def _logit(share: ArrayLike) -> np.ndarray:
    values = np.asarray(share)
    return np.log(values / (1 - values))
