"""Fits of hands whose size is known, and the size of those whose size is not."""

from dataclasses import replace

import pytest
import torch

from fitter.config.options import FitConfig
from fitter.fitting.keypoint_fit import fit_keypoints, fit_observations
from fitter.fitting.observations import normalise
from fitter.hand_models.known_shape import KnownShape
from fitter.solvers.status import Status
from tests.support.keypoint_cases import TRUSTING, keypoints_of, observe

FIRST = slice(0, 6)


@pytest.fixture(scope="module")
def observed(model, hands):
    return observe(keypoints_of(model, hands[FIRST]))


def known_sizes(model, hands) -> torch.Tensor:
    sizes = model.size(hands[FIRST].betas)
    sizes[1] = torch.nan
    sizes[2], sizes[3] = 0.15, 0.21
    return sizes


def known_of(sizes: torch.Tensor) -> KnownShape:
    return replace(KnownShape.nothing(sizes), size=sizes)


def test_known_sizes_are_kept_and_place_the_hand(model, hands, observed) -> None:
    sizes = known_sizes(model, hands)
    fit = fit_keypoints(model, normalise(observed), TRUSTING, known=known_of(sizes))
    assert (fit.status != Status.DIVERGED).all()
    found, known = model.size(fit.params.betas), sizes.isfinite()
    torch.testing.assert_close(found[known], sizes[known], rtol=0, atol=1e-6)
    assert abs(found[1] - model.size(hands[1:2].betas)[0]) > 1e-4
    # As far away as a hand of this size is that looks like this.
    distance = keypoints_of(model, fit.params)[:, :, 2].mean(1)
    wanted = keypoints_of(model, hands[FIRST])[:, :, 2].mean(1)
    wanted = wanted * sizes / model.size(hands[FIRST].betas)
    assert ((distance / wanted - 1).abs()[known] < 0.05).all()


def test_a_size_for_all_is_an_option(model, observed) -> None:
    config = TRUSTING.model_copy(update={"hand_size": 0.165})
    fit = fit_observations(model, observed, config)
    sizes = torch.full((len(fit.cost),), 0.165, dtype=torch.float64)
    torch.testing.assert_close(model.size(fit.params.betas), sizes, rtol=0, atol=1e-6)


def test_a_known_size_touches_no_neighbour(model, hands, observed) -> None:
    sizes = known_sizes(model, hands)
    together = fit_keypoints(model, normalise(observed), TRUSTING, known=known_of(sizes))
    none = torch.full_like(sizes, torch.nan)
    alone = fit_keypoints(model, normalise(observed), TRUSTING, known=known_of(none))
    torch.testing.assert_close(together.params.betas[1], alone.params.betas[1], rtol=0, atol=1e-9)
    assert (together.params.betas[2:4] - alone.params.betas[2:4]).abs().amax(1).min() > 0.1


def test_mirrored_hands_of_known_size_are_the_mirror_images(model, observed) -> None:
    config = TRUSTING.model_copy(update={"hand_size": 0.2})
    flipped = replace(
        observed,
        keypoints=torch.stack([640 - observed.keypoints[..., 0], observed.keypoints[..., 1]], -1),
        relative_xyz=observed.relative_xyz * torch.tensor([-1.0, 1, 1]).double(),
        is_left=~observed.is_left,
    )
    right, left = (fit_observations(model, x, config).params for x in (observed, flipped))
    torch.testing.assert_close(left.mirrored().transl, right.transl, rtol=0, atol=1e-6)
    torch.testing.assert_close(left.betas, right.betas, rtol=0, atol=1e-6)


def test_the_prior_keeps_the_size_where_proportions_mislead(model, hands, observed) -> None:
    # Marks that are off by a little, all in the same way, look like another shape; without a prior
    # of its own the size follows, and the distance with it.
    generator = torch.Generator().manual_seed(3)
    shift = 6 * torch.randn(1, 21, 2, generator=generator, dtype=torch.float64)
    off = replace(observed, keypoints=observed.keypoints + shift)

    def spread(weight: float) -> float:
        config = FitConfig(relative_depth_gain=1.0, size_prior_weight=weight)
        sizes = [
            model.size(fit_observations(model, x, config).params.betas) for x in (observed, off)
        ]
        return float((sizes[1] / sizes[0]).log().abs().mean())

    assert spread(1.0) < 0.5 * spread(0.0)
