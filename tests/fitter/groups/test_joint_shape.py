"""The shape of one hand from what many images say of it, each alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.config.options import FitConfig
from fitter.fitting.keypoint_fit import fit_keypoints, keypoint_information
from fitter.fitting.observations import normalise
from fitter.fitting.shape_information import entries, shapeless, unpacked
from fitter.groups.joint_shape import (
    ALIKE,
    Images,
    ShapePriors,
    effective_images,
    joint_shapes,
)
from fitter.hand_models import load_hand_model
from fitter.hand_models.known_shape import KnownShape
from fitter.records import HandParams
from tests.support.keypoint_cases import TRUSTING, keypoints_of, observe
from tests.support.people_cases import person_shape, posed

S = 10


def packed(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(S)
    return np.concatenate([matrix[rows, columns], vector])


def random_information(count: int, shape: np.ndarray, seed: int, off: float = 0.1) -> np.ndarray:
    """(N, E) of images each of which knows three directions, and errs by `off` in them."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        seen = rng.normal(size=(3, S))
        matrix = seen.T @ seen
        rows.append(packed(matrix, matrix @ (shape + off * rng.normal(size=S))))
    return np.array(rows)


def stream_of(information: dict[str, np.ndarray], sizes: dict[str, float] | None = None, part=7):
    """Images of some hands in turns, cut into parts of a length."""
    pairs = [(key, row) for key, rows in information.items() for row in rows]
    pairs = sorted(pairs, key=lambda pair: float(pair[1][0]))

    def stream():
        for start in range(0, len(pairs), part):
            some = pairs[start : start + part]
            keys = [key for key, _ in some]
            known = np.array([(sizes or {}).get(key, np.nan) for key in keys])
            yield Images(keys, np.array([row for _, row in some]), known)

    return stream


@pytest.fixture(scope="module")
def priors(model) -> ShapePriors:
    return ShapePriors(model.size, 0.1, 0.0)


@pytest.fixture(scope="module")
def shapes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {"anna": rng.normal(size=S), "ben": rng.normal(size=S)}


def test_one_image_gives_its_own_minimum(priors):
    matrix = np.diag(np.arange(1.0, S + 1))
    vector = np.linspace(-2, 2, S)
    found = joint_shapes(stream_of({"a": packed(matrix, vector)[None]}), S, priors)
    expected = np.linalg.solve(matrix + 0.2 * np.eye(S), vector)
    np.testing.assert_allclose(found["a"].betas, expected, atol=1e-9)
    assert found["a"].images == 1


def test_images_that_know_little_each_know_all_together(priors, shapes):
    information = {key: random_information(40, shapes[key], k) for k, key in enumerate(shapes)}
    found = joint_shapes(stream_of(information), S, priors)
    assert list(found) == ["anna", "ben"]
    for key, shape in shapes.items():
        # The prior pulls the shape toward 0 by a little.
        assert np.abs(found[key].betas - shape).max() < 0.25
        assert found[key].images == 40


def test_it_does_not_matter_how_the_stream_is_cut(priors, shapes):
    information = {key: random_information(30, shapes[key], k) for k, key in enumerate(shapes)}
    one = joint_shapes(stream_of(information, part=1), S, priors)
    for part in (2, 9, 1000):
        other = joint_shapes(stream_of(information, part=part), S, priors)
        for key in shapes:
            assert (one[key].betas == other[key].betas).all()


def test_one_bad_image_of_eight_moves_little(priors, shapes, monkeypatch):
    shape = shapes["anna"]
    good = random_information(7, shape, 1)
    rng = np.random.default_rng(5)
    seen = rng.normal(size=(S, S))
    matrix = seen.T @ seen
    bad = packed(matrix, matrix @ (shape + 4 * rng.normal(size=S)))
    both = stream_of({"a": np.vstack([good, bad])})
    found = joint_shapes(both, S, priors)["a"].betas
    monkeypatch.setattr("fitter.groups.joint_shape.REWEIGHTINGS", 0)
    plain = joint_shapes(both, S, priors)["a"].betas
    without = joint_shapes(stream_of({"a": good}), S, priors)["a"].betas
    error, of_plain = np.linalg.norm(found - shape), np.linalg.norm(plain - shape)
    assert np.linalg.norm(without - shape) < error < 0.5 * of_plain


def test_images_that_say_nothing_are_left_out(priors, shapes):
    rows = random_information(10, shapes["anna"], 1)
    nothing = np.full((3, entries(S)), np.nan)
    found = joint_shapes(stream_of({"a": rows, "b": nothing}), S, priors)
    assert list(found) == ["a"] and found["a"].images == 10


def test_a_known_size_is_kept_and_the_cost_falls_along_no_other_direction(priors, model):
    matrix, vector = np.diag(np.arange(1.0, S + 1)), np.linspace(-2, 2, S)
    rows = {"a": packed(matrix, vector)[None]}
    free = joint_shapes(stream_of(rows), S, priors)["a"].betas
    held = joint_shapes(stream_of(rows, {"a": 0.18}), S, priors)["a"].betas
    size, slope = model.size.with_slope(torch.from_numpy(np.stack([free, held])))
    assert abs(float(size[0]) - 0.18) > 1e-3
    assert abs(float(size[1]) - 0.18) < 1e-9
    gradient = matrix @ held - vector + 2 * priors.shape_weight * held
    normal = slope[1].numpy() / np.linalg.norm(slope[1].numpy())
    assert np.linalg.norm(gradient) > 0.1
    assert np.linalg.norm(gradient - (gradient @ normal) * normal) < 1e-6


def test_images_with_errors_alike_count_for_less():
    assert effective_images(1) == 1
    assert effective_images(10) < 10
    assert abs(effective_images(10**9) - 1 / ALIKE) < 1e-6


def test_information_predicts_how_the_cost_rises_with_the_shape(model, hands):
    """The pose and the place follow the shape: held at another, the fit finds the cost foreseen."""
    some = hands[:4]
    observed = normalise(observe(keypoints_of(model, some)))
    config = shapeless(TRUSTING)
    fit = fit_keypoints(model, observed, config)
    said = keypoint_information(model, observed, fit.params, config)
    matrix, vector = unpacked(said.numpy(), S)
    own = fit.params.betas.numpy()
    for seed in range(3):
        moved = own + 0.15 * np.random.default_rng(seed).normal(size=own.shape)
        known = KnownShape.of(torch.full((4,), torch.nan).double(), torch.from_numpy(moved))
        held = fit_keypoints(model, observed, config, known=known)
        np.testing.assert_array_equal(held.params.betas.numpy(), moved)
        rise = (held.cost - fit.cost).numpy()
        foreseen = [
            0.5 * (b @ m @ b - a @ m @ a) - v @ (b - a)
            for m, v, a, b in zip(matrix, vector, own, moved, strict=True)
        ]
        np.testing.assert_allclose(rise, foreseen, rtol=0.25, atol=2e-4)
        assert rise.max() > 2e-3


def test_the_joint_shape_is_nearer_than_those_of_the_images(model):
    hand = load_hand_model("open_hand", dtype=torch.float64)
    apart, together = [], []
    for person in range(4):
        betas = person_shape(5 + person)
        poses = [posed(hand, betas, seed + 20 * person) for seed in range(12)]
        columns = zip(*(vars(pose).values() for pose in poses), strict=True)
        seen = observe(keypoints_of(model, HandParams(*map(torch.cat, columns))))
        noise = torch.randn(seen.keypoints.shape, generator=torch.Generator().manual_seed(0))
        observed = normalise(replace(seen, keypoints=seen.keypoints + noise))
        config = FitConfig()
        fit = fit_keypoints(model, observed, config)
        said = keypoint_information(model, observed, fit.params, config).numpy()
        priors = ShapePriors(model.size, config.shape_prior_weight, config.size_prior_weight)
        found = joint_shapes(stream_of({"a": said}), S, priors)["a"].betas
        true = rest_vertices(hand, betas.numpy())
        apart.append(shape_error(rest_vertices(hand, fit.params.betas.numpy()), true))
        together.append(shape_error(rest_vertices(hand, found[None]), true))
    assert np.mean(together) < 0.85 * np.mean(apart)


def rest_vertices(hand, betas: np.ndarray) -> np.ndarray:
    """(N, V, 3) of shapes (N, 10), centred."""
    still = torch.zeros(len(betas), 3, dtype=torch.float64)
    pose = torch.zeros(len(betas), 15, 3, dtype=torch.float64)
    found = hand(HandParams(still, pose, torch.from_numpy(betas), still)).vertices.numpy()
    return found - found.mean(1, keepdims=True)


def shape_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance with the best scale: no image shows the size."""
    scale = (found * true).sum((1, 2), keepdims=True) / (found**2).sum((1, 2), keepdims=True)
    return float(np.linalg.norm(scale * found - true, axis=-1).mean())
