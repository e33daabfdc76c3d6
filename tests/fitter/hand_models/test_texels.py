"""Neighbours among texels: within charts, across seams, and of no one else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.hand_models import load_hand_model
from fitter.hand_models.texels import TexelGraph
from fitter.hand_models.uv_atlas import unwrap

SIZE = 96


@pytest.fixture(scope="module", params=["own", "made"])
def data(request):
    data = load_hand_model().data
    if request.param == "own":
        return data
    return replace(data, layout=unwrap(data))


@pytest.fixture(scope="module")
def graph(data) -> TexelGraph:
    return TexelGraph.of(data, SIZE)


def points_of_texels(data) -> np.ndarray:
    """(T * T, 3) metres of the mesh's points that texels show, by the faces' own corners."""
    places = np.full((SIZE * SIZE, 3), np.nan)
    for face, corners in zip(data.uv_faces, data.faces, strict=True):
        flat = data.uv[face] * [SIZE, -SIZE] + [0, SIZE]
        low, high = np.floor(flat.min(0)).astype(int), np.ceil(flat.max(0)).astype(int)
        x, y = (
            g.ravel()
            for g in np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)))
        )
        matrix = np.vstack([flat.T, np.ones(3)])
        weights = np.linalg.solve(matrix, np.stack([x + 0.5, y + 0.5, np.ones(len(x))]))
        inside = (weights > -0.05).all(0) & (x < SIZE) & (y < SIZE)
        places[(y * SIZE + x)[inside]] = (weights.T @ data.v_template[corners])[inside]
    return places


def test_neighbours_are_near_on_the_hand(data, graph) -> None:
    """Whatever their places in the texture: a texel's width apart, seams a few."""
    first, second = points_of_texels(data)[graph.pairs.numpy()].transpose(1, 0, 2)
    apart = np.linalg.norm(first - second, axis=1)
    known = np.isfinite(apart)
    assert known.mean() > 0.7
    texel = np.median(apart[known])
    assert np.quantile(apart[known], 0.999) < 5 * texel
    assert apart[known].max() < 0.02


def test_seams_join_the_charts(data, graph) -> None:
    """All texels that the hand shows hang together, though the charts do not."""
    side_by_side = np.abs(
        np.diff(np.array(np.unravel_index(graph.pairs.numpy(), (SIZE, SIZE))), axis=2)
    )
    seams = side_by_side.sum(0)[:, 0] > 1
    assert seams.sum() > 50
    parts = _parts(graph.pairs.numpy(), graph.used.numpy())
    alone = _parts(graph.pairs.numpy()[~seams], graph.used.numpy())
    assert parts == 1 and alone > 1


def _parts(pairs: np.ndarray, used: np.ndarray) -> int:
    """How many pieces of more than 20 texels there are."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs)), pairs.T), (used.size, used.size))
    piece = connected_components(graph, directed=False)[1][used.ravel()]
    return int((np.bincount(piece) > 20).sum())


def test_each_pair_is_there_once_and_used(graph) -> None:
    pairs = graph.pairs
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(torch.unique(pairs, dim=0)) == len(pairs)
    assert graph.used.flatten()[pairs].all()
    assert 0.1 < graph.used.float().mean() < 0.9
    moved = graph.to(torch.device("cpu"))
    assert torch.equal(moved.pairs, pairs)


def test_a_model_without_an_atlas_has_none(data) -> None:
    with pytest.raises(ValueError, match="no texture coordinates"):
        TexelGraph.of(replace(data, layout=None), SIZE)
