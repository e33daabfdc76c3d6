"""The lifter's losses against densities and entropies of libraries, and written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import laplace, norm
from torch.autograd import gradcheck

from init_net.records import LiftedHands
from init_net.samples.lifter_samples import LifterSamples
from init_net.training.loss_weights import (
    LifterWeights,
)
from init_net.training.losses import (
    keypoint_likelihood,
    lifter_terms,
    size_likelihood,
    visibility_entropy,
)
from tests.support.loss_cases import SURE, B, close, generator, randn, summed, turns


def lifted(seed=0):
    std = 0.01 + 0.1 * torch.rand(B, 21, 2, generator=generator(seed), dtype=torch.float64)
    size = torch.stack([randn(B, seed=seed) - 2, 0.1 + randn(B, seed=seed + 1).abs()], 1)
    return LiftedHands(
        0.1 * randn(B, 21, 3, seed=seed), std, turns(seed)[1], randn(B, 10, seed=seed),
        3 * randn(B, 21, seed=seed), size,
    )  # fmt: skip


def true_hands(seed=1) -> LifterSamples:
    """The truth of hands at random; half of the visibilities are unknown."""
    hands, nothing = lifted(seed), torch.empty(B, 0)
    state = torch.rand(B, 21, generator=generator(seed))
    visible = torch.where(state < 0.5, torch.nan, (state < 0.8).double())
    return LifterSamples(
        *(nothing,) * 6, hands.keypoints, hands.rotations, hands.betas, visible,
        metres=hands.log_size[:, 0].exp(), weight=torch.ones(B).double(), keypoint_weight=SURE,
    )  # fmt: skip


class TestLifter:
    @pytest.mark.parametrize("density", ["laplace", "gaussian"])
    def test_is_the_density_of_the_library(self, density):
        said, truth = lifted(), 0.1 * randn(B, 21, 3, seed=5)
        found = keypoint_likelihood(said, truth, SURE, density)
        for hand in range(B):
            values = []
            for k in range(1, 21):
                for axis in range(3):
                    std = float(said.std[hand, k, 1 if axis == 2 else 0])
                    place, seen = float(said.keypoints[hand, k, axis]), float(truth[hand, k, axis])
                    values.append(
                        laplace(place, std / np.sqrt(2)).logpdf(seen)
                        if density == "laplace"
                        else norm(place, std).logpdf(seen)
                    )
            close(found[hand], -np.mean(values))

    @pytest.mark.parametrize("density", ["laplace", "gaussian"])
    def test_best_spread_is_that_of_the_errors(self, density):
        """The std that costs least of many draws is their standard deviation."""
        random = np.random.default_rng(0)
        sigma = 0.05
        draws = random.laplace(scale=sigma / np.sqrt(2), size=(2000, 21, 3))
        if density == "gaussian":
            draws = random.normal(scale=sigma, size=(2000, 21, 3))
        truth = torch.tensor(draws)

        def cost(std):
            zeros = torch.zeros_like(truth)
            wide = torch.full((2000, 21, 2), std).double()
            said = LiftedHands(zeros, wide, *(zeros,) * 4)
            return float(keypoint_likelihood(said, truth, torch.ones(2000, 21), density).mean())

        assert cost(sigma) < min(cost(0.9 * sigma), cost(1.1 * sigma))

    def test_unknown_density(self):
        with pytest.raises(ValueError, match="cauchy"):
            keypoint_likelihood(lifted(), lifted().keypoints, SURE, "cauchy")

    def test_terms(self):
        said, truth = lifted(0), true_hands(1)
        terms = lifter_terms(said, truth)
        weights = LifterWeights(keypoints=2.0, rotation=3.0, shape=5.0, visibility=7.0, size=11.0)
        total = summed(terms, weights)
        relative = said.rotations.mT @ truth.rotations
        for hand in range(B):
            angles = Rotation.from_matrix(relative[hand].numpy()).magnitude()
            shape = np.mean((said.betas - truth.betas)[hand].numpy() ** 2)
            rotation = np.mean(4 * np.sin(angles / 2) ** 2)
            expected = (
                2 * keypoint_likelihood(said, truth.keypoints, SURE)[hand]
                + 3 * rotation
                + 5 * shape
                + 7 * visibility_entropy(said.visibility, truth.visible)[hand]
                + 11 * size_likelihood(said.log_size, truth.metres)[hand]
            )
            close(total[hand], expected)


class TestVisibility:
    def test_is_the_entropy_of_the_formula(self):
        logits, visible = 3 * randn(B, 21), true_hands().visible
        found = visibility_entropy(logits, visible)
        for hand in range(B):
            values = []
            for logit, state in zip(logits[hand].tolist(), visible[hand].tolist(), strict=True):
                if not np.isnan(state):
                    p = 1 / (1 + np.exp(-logit))
                    values.append(-np.log(p if state == 1 else 1 - p))
            assert 3 < len(values) < 18
            close(found[hand], np.mean(values))

    def test_of_a_coin(self):
        visible = (randn(B, 21) > 0).double()
        close(visibility_entropy(torch.zeros(B, 21).double(), visible), np.log(2) * np.ones(B))

    def test_of_which_nothing_is_known(self):
        """Such as every hand without an image: no loss and no gradient, whatever is said."""
        logits = torch.cat([randn(1, 21), 50 * randn(B - 1, 21)]).requires_grad_()
        visible = torch.full((B, 21), torch.nan).double()
        visible[0, 3] = 1
        found = visibility_entropy(logits, visible)
        assert found[1:].eq(0).all() and found[0] > 0
        found.sum().backward()
        assert logits.grad[1:].eq(0).all() and logits.grad[0].count_nonzero() == 1

    def test_of_the_surest_it_is_finite(self):
        logits = torch.tensor([[1e4, -1e4]]).double().requires_grad_()
        found = visibility_entropy(logits, torch.tensor([[0.0, 1.0]]).double())
        close(found, torch.tensor([1e4]).double())
        found.sum().backward()
        assert logits.grad.isfinite().all()

    def test_gradient(self):
        logits, visible = (3 * randn(B, 21)).requires_grad_(), true_hands().visible
        assert gradcheck(lambda values: visibility_entropy(values, visible), [logits])


class TestSize:
    def test_is_the_density_of_the_library(self):
        said, metres = lifted().log_size, true_hands().metres
        for hand in range(B):
            mean, std = said[hand].tolist()
            density = laplace(mean, std / np.sqrt(2))
            expected = -density.logpdf(np.log(float(metres[hand])))
            close(size_likelihood(said, metres)[hand], expected)

    def test_the_unit_of_length_does_not_matter(self):
        """A hand said twice as large as it is costs what one said half as large costs."""
        said = torch.tensor([[np.log(0.32), 0.2], [np.log(0.08), 0.2]]).double()
        one, other = size_likelihood(said, torch.full((2,), 0.16, dtype=torch.float64))
        close(one, other)

    def test_the_true_spread_costs_least(self):
        sizes = torch.tensor(laplace(np.log(0.16), 0.1 / np.sqrt(2)).rvs(20_000, random_state=0))

        def cost(std):
            said = torch.tensor([[np.log(0.16), std]]).double().expand(len(sizes), 2)
            return float(size_likelihood(said, sizes.exp()).mean())

        assert cost(0.1) < min(cost(0.09), cost(0.11))

    def test_gradient(self):
        said, metres = lifted().log_size.requires_grad_(), true_hands().metres
        assert gradcheck(lambda values: size_likelihood(values, metres), [said])


class TestConfidence:
    def test_a_keypoint_counts_by_its_confidence(self):
        said, truth = lifted(), 0.1 * randn(B, 21, 3, seed=5)
        sure = torch.rand(B, 21, generator=generator(6), dtype=torch.float64)
        found = keypoint_likelihood(said, truth, sure)
        each = torch.zeros(B, 21).double()
        for k in range(1, 21):
            one = torch.zeros(B, 21).double()
            one[:, k] = 1
            each[:, k] = keypoint_likelihood(said, truth, one)
        close(found, (sure * each).sum(1))

    def test_what_is_not_known_costs_and_moves_nothing(self):
        truth = true_hands()
        unknown = truth.map(torch.clone)
        unknown.keypoints[:2] = torch.nan
        unknown.rotations[:2] = torch.nan
        unknown.betas[:2] = torch.nan
        unknown.metres[:2] = torch.nan
        said = lifted().map(lambda value: value.clone().requires_grad_())
        terms = lifter_terms(said, unknown)
        for name, wanted in lifter_terms(said, truth).items():
            close(terms[name][2:].detach(), wanted[2:].detach())
            if name != "visibility":
                assert not terms[name][:2].any()
        (sum(term.sum() for term in terms.values()) - terms["visibility"].sum()).backward()
        for name in ("keypoints", "std", "rotations", "betas", "log_size"):
            gradient = getattr(said, name).grad
            assert gradient.isfinite().all() and not gradient[:2].any() and gradient[2:].any()
