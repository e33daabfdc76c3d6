"""Build the open hand's skin appearance basis: `python scripts/build_appearance.py`.

Random skins are painted on the UV atlas and their logits reduced to principal components. Nothing
but this project's own procedures goes in: no photograph, no other model. The result depends on
this code and on the open hand's geometry alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import scipy.sparse
import scipy.sparse.linalg
from open_hand_skin import Atlas, SkinLayers, draw_layers, unfold
from open_hand_skin_population import paint, sample_person

from fitter.hand_models import HandModelData, load_open_hand
from fitter.hand_models.appearance import APPEARANCE_FILE

ASSETS = Path(__file__).resolve().parents[1] / "fitter" / "hand_models" / "assets"
SIZE = 256
COMPONENTS = 10
SKINS = 600
"""Random skins the basis is made from."""
DRAWINGS = 24
"""Random structures (mottling, veins, course of the lines) that they share."""
HELD_OUT_SKINS, HELD_OUT_DRAWINGS = 100, 6
SEED = 20
SMOOTHING = 0.02
"""Weight of the difference between neighbouring vertices, for those that few texels speak of."""


@dataclass(frozen=True)
class Basis:
    """Mean (D,), components (N, D) for unit variance, and the share of variance each holds."""

    mean: np.ndarray
    components: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True)
class Space:
    """A way to make reflectance linear: to the space and back."""

    name: str
    to: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


LOGIT = Space("logit", lambda r: np.log(r / (1 - r)), lambda x: 1 / (1 + np.exp(-x)))
SPACES = (
    LOGIT,
    Space("logarithm", np.log, np.exp),
    Space("linear", lambda r: r, lambda x: np.clip(x, 0, 1)),
)


def drawing(atlas: Atlas, number: int) -> SkinLayers:
    """One of the random structures; it depends on its number alone."""
    return draw_layers(atlas, np.random.default_rng([SEED, 0, number]))


def draw_skins(
    layers: list[SkinLayers], skins: int, generator: np.random.Generator, speckle: bool
) -> np.ndarray:
    """Reflectance (skins, M, 3) of random people with one of the structures each.

    A component spent on one person's speckle helps to describe nobody else, so the basis is made
    from people without it; it is judged on people with all of it.
    """
    people = (sample_person(generator) for _ in range(skins))
    return np.stack(
        [
            paint(person if speckle else person.without_speckle(), layers[k % len(layers)])
            for k, person in enumerate(people)
        ]
    )


def principal_components(table: np.ndarray, count: int) -> Basis:
    """PCA of rows (S, D); the sign of each component makes positive coefficients lighter."""
    mean = table.mean(axis=0)
    centred = table - mean
    # The Gram matrix is as small as the number of skins.
    variances, coefficients = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(variances)[::-1][:count]
    components = coefficients[:, order].T @ centred / np.sqrt(len(table))
    components *= np.where(components.sum(axis=1, keepdims=True) < 0, -1, 1)
    return Basis(mean, components, variances[order] / variances.sum())


def vertex_values(atlas: Atlas, data: HandModelData, texels: np.ndarray) -> np.ndarray:
    """Values at the vertices whose interpolation over the faces is nearest to a texture.

    A plain lookup at the vertices would catch or miss a crease by chance. This is the least
    squares fit over all samples, with a little smoothing between neighbours.

    Args:
        atlas: of the texture.
        data: of the model.
        texels: (M, K).

    Returns:
        (V, K).
    """
    count, chosen = len(data.v_template), atlas.on_surface
    texel, weights, corners = atlas.texel[chosen], atlas.weights[chosen], atlas.corners[chosen]
    rows = np.repeat(np.arange(len(texel)), 3)
    interpolation = scipy.sparse.csr_matrix(
        (weights.ravel(), (rows, corners.ravel())), (len(texel), count)
    )
    edges = np.concatenate([data.faces[:, [0, 1]], data.faces[:, [1, 2]], data.faces[:, [2, 0]]])
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
    laplacian = scipy.sparse.csgraph.laplacian((graph + graph.T).tocsr())
    normal = interpolation.T @ interpolation
    scale = normal.diagonal().mean()
    solve = scipy.sparse.linalg.factorized((normal + SMOOTHING * scale * laplacian).tocsc())
    return np.stack([solve(interpolation.T @ column[texel]) for column in texels.T], axis=-1)


def held_out_error(basis: Basis, space: Space, skins: np.ndarray) -> float:
    """Mean difference, in steps of 8-bit sRGB, between skins (S, M, 3) and their projections."""
    table = space.to(skins).reshape(len(skins), -1) - basis.mean
    coefficients = np.linalg.lstsq(basis.components.T, table.T, rcond=None)[0].T
    restored = space.back(basis.mean + coefficients @ basis.components).reshape(skins.shape)
    return float(np.abs(_encoded(restored) - _encoded(skins)).mean())


def _encoded(linear: np.ndarray) -> np.ndarray:
    """sRGB in 0-255."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def build(data: HandModelData, skins: int = SKINS, drawings: int = DRAWINGS) -> tuple[dict, dict]:
    """The file's arrays, and what is known of them."""
    atlas = unfold(data, SIZE)
    layers = [drawing(atlas, number) for number in range(drawings + HELD_OUT_DRAWINGS)]
    generator = np.random.default_rng([SEED, 1])
    painted = draw_skins(layers[:drawings], skins, generator, speckle=False)
    unseen = draw_skins(layers[drawings:], HELD_OUT_SKINS, generator, speckle=True)
    errors = {}
    for space in SPACES:
        basis = principal_components(space.to(painted).reshape(skins, -1), COMPONENTS)
        errors[space.name] = round(held_out_error(basis, space, unseen), 3)
        if space is LOGIT:
            chosen = basis
    texels = np.concatenate([chosen.mean[None], chosen.components]).reshape(COMPONENTS + 1, -1, 3)
    flat = np.moveaxis(texels, 0, 1).reshape(texels.shape[1], -1)
    at_vertices = np.moveaxis(
        vertex_values(atlas, data, flat).reshape(len(data.v_template), COMPONENTS + 1, 3), 1, 0
    )
    arrays = {
        "texel_rows": atlas.texel_rows.astype(np.uint16),
        "texel_mean": texels[0].astype(np.float16),
        "texel_components": texels[1:].astype(np.float16),
        "vertex_mean": at_vertices[0].astype(np.float16),
        "vertex_components": at_vertices[1:].astype(np.float16),
    }
    shape = np.ascontiguousarray(data.v_template, np.float64).tobytes()
    provenance = {
        "what": "skin reflectance of the open hand: mean and principal components, logits of "
        "linear RGB",
        "license": "CC0-1.0",
        "source": "painted by scripts/build_appearance.py; no photographs",
        "skins": skins,
        "drawings": drawings,
        "seed": SEED,
        "variance_explained": [round(float(share), 5) for share in chosen.shares],
        "held_out_error_8_bit_steps": errors,
        "first_skin": [round(float(value), 6) for value in painted[0].mean(axis=0)],
        "v_template_sha256": hashlib.sha256(shape).hexdigest(),
    }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}, provenance


def main() -> None:
    """Build, write, and print what was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", type=Path, default=ASSETS)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    arrays, provenance = build(load_open_hand())
    content = safetensors.numpy.save(arrays, {"provenance": json.dumps(provenance, indent=1)})
    (output / APPEARANCE_FILE).write_bytes(content)
    for name, array in arrays.items():
        print(f"{name:18} {array.dtype!s:8} {array.shape}")
    for key in ("variance_explained", "held_out_error_8_bit_steps"):
        print(key, provenance[key])
    print(APPEARANCE_FILE, len(content), hashlib.sha256(content).hexdigest()[:16])


if __name__ == "__main__":
    main()
