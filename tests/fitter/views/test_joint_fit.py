"""Hands fitted to the keypoints of all their views."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.hand_models import pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.records import HandParams
from fitter.rotations import roma
from fitter.solvers import Status
from fitter.views.candidates import CandidateSource, completed
from fitter.views.rows import RigRows
from tests.support.keypoint_cases import TRUSTING
from tests.support.rig_cases import joint_fit, mono_fit, random_rows, seen_in_rows

VIEWS = [2, 4, 1, 3, 2, 5]


def points_of(model, hands: HandParams) -> Tensor:
    return pose_keypoints(model.keypoints, hands)[1]


def apart(model, found: HandParams, truth: HandParams) -> Tensor:
    """(B,) metres, mean distance of keypoints."""
    return (points_of(model, found) - points_of(model, truth)).norm(dim=-1).mean(1)


def moved_rows(rows: RigRows, where: Tensor) -> RigRows:
    return RigRows(
        rows.hand[where], rows.rotation[where], rows.translation[where], rows.weight[where],
        int(rows.hand[where].unique().numel()),
    )  # fmt: skip


def test_several_views_without_error_give_the_hand_back(model, hands) -> None:
    """Place and size too, which no single view shows."""
    rows = random_rows(6, VIEWS)
    seen = seen_in_rows(model, rows, hands)
    fit = joint_fit(model, rows, seen, TRUSTING, points_of(model, hands))
    error = apart(model, fit.hands.params, hands)
    assert error[torch.tensor(VIEWS) > 1].max() < 5e-4
    assert (fit.weight == 1).all()


def test_one_view_gives_what_the_fit_of_one_view_gives(model, hands) -> None:
    """In a rig whose frame is the camera's: the same hand to a thousandth of a millimetre."""
    rows = random_rows(6, [1] * 6)
    identity = torch.eye(3, dtype=torch.float64).expand(6, 3, 3)
    rows = replace(rows, rotation=identity, translation=torch.zeros_like(rows.translation))
    ahead = replace(hands, transl=hands.transl + torch.tensor([0.0, 0.0, 0.5]).double())
    seen = seen_in_rows(model, rows, ahead)
    config = FitConfig()
    joint, mono = joint_fit(model, rows, seen, config).hands.params, mono_fit(model, seen, config)
    assert apart(model, joint, mono).max() < 1e-6
    torch.testing.assert_close(joint.betas, mono.betas, rtol=0, atol=1e-4)


def test_a_batch_of_hands_is_as_many_batches_of_one(model, hands) -> None:
    rows = random_rows(6, VIEWS)
    seen = seen_in_rows(model, rows, hands)
    points = points_of(model, hands)
    whole = joint_fit(model, rows, seen, FitConfig(), points).hands.params
    for k in range(6):
        own, places = rows.select(torch.tensor([k]))
        alone = joint_fit(model, own, seen[places], FitConfig(), points[k : k + 1])
        assert apart(model, alone.hands.params, whole[k : k + 1]).max() < 1e-7


@pytest.mark.parametrize("wrong", range(4))
def test_one_of_four_views_with_another_hand_hardly_moves_the_result(model, hands, wrong) -> None:
    truth = hands[:1]
    rows = random_rows(1, [4])
    seen, other = seen_in_rows(model, rows, truth), seen_in_rows(model, rows, hands[1:2])
    mixed = seen.with_hands(torch.tensor([wrong]), other[torch.tensor([wrong])])
    points = points_of(model, truth) + 0.002
    fit = joint_fit(model, rows, mixed, FitConfig(), points)
    clean = joint_fit(model, rows, seen, FitConfig(), points)
    assert fit.weight[wrong] < 0.1
    assert fit.weight[torch.arange(4) != wrong].min() > 0.9
    error = [float(apart(model, f.hands.params, truth)) for f in (fit, clean)]
    assert error[0] < error[1] + 1e-3


def test_two_views_that_disagree_count_alike(model, hands) -> None:
    rows = random_rows(1, [2])
    seen, other = seen_in_rows(model, rows, hands[:1]), seen_in_rows(model, rows, hands[1:2])
    mixed = seen.with_hands(torch.tensor([1]), other[torch.tensor([1])])
    fit = joint_fit(model, rows, mixed, FitConfig(), points_of(model, hands[:1]))
    assert fit.weight.tolist() == [1, 1]
    assert fit.hands.params.transl.isfinite().all()


def test_a_known_size_is_kept(model, hands) -> None:
    rows = random_rows(6, VIEWS)
    seen = seen_in_rows(model, rows, hands)
    size = model.size(hands.betas) * torch.tensor([1.0, 1.03, 0.97, 1.0, 1.0, 1.02]).double()
    known = KnownShape(size, torch.full((6, 1), torch.nan, dtype=torch.float64))
    fit = joint_fit(model, rows, seen, FitConfig(), points_of(model, hands), known)
    torch.testing.assert_close(model.size(fit.hands.params.betas), size, rtol=1e-6, atol=0)


def test_hands_and_rows_that_are_no_use_take_no_part(model, hands) -> None:
    """A hand without a usable row is diverged; a hand with one keypoint in a view is fitted."""
    rows = random_rows(3, [2, 2, 3])
    seen = seen_in_rows(model, rows, hands[:3])
    points = points_of(model, hands[:3]).clone()
    usable = seen.is_usable.clone()
    usable[2:4] = False
    usable[0] = False
    confidence = seen.confidence.clone()
    confidence[4, 1:] = 0
    seen = replace(seen, is_usable=usable, confidence=confidence)
    points[:2] = torch.nan
    fit = joint_fit(model, rows, seen, FitConfig(), points)
    assert (fit.hands.status == int(Status.DIVERGED)).tolist() == [False, True, False]
    assert fit.weight[:4].tolist() == [0, 1, 0, 0]
    assert apart(model, fit.hands.params, hands[:3])[2] < 3e-3


def test_nothing_usable_at_all_is_nothing_fitted(model, hands) -> None:
    rows = random_rows(2, [1, 2])
    seen = seen_in_rows(model, rows, hands[:2])
    seen = replace(seen, is_usable=torch.zeros(3, dtype=torch.bool))
    fit = joint_fit(model, rows, seen, FitConfig())
    assert (fit.hands.status == int(Status.DIVERGED)).all() and (fit.weight == 0).all()
    assert fit.hands.params.transl.isnan().all()


def test_the_size_of_a_hand_follows_from_its_views(model, hands) -> None:
    """Views that agree (`FitConfig.view_sureness`) outweigh what is known of sizes in general: a
    hand far from the mean is found within a twentieth of its distance from it."""
    rows = random_rows(6, [3] * 6)
    big = hands.betas + 1.5 * torch.sign(model.size.with_slope(hands.betas)[1])
    truth, config = replace(hands, betas=big), FitConfig()
    seen = seen_in_rows(model, rows, truth)
    seen = replace(seen, confidence=config.view_sureness * seen.confidence)
    fit = joint_fit(model, rows, seen, config, points_of(model, truth))
    found, true = model.size(fit.hands.params.betas), model.size(big)
    assert ((found - true) / (true - model.size.mean)).abs().max() < 0.05


def test_unknown_keypoints_are_completed_by_the_hand_at_rest(model, hands) -> None:
    rest = model.keypoints.rest_keypoints()[0]
    turn = roma.rotvec_to_rotmat(torch.tensor([0.4, -1.0, 2.0]).double())
    truth = (1.1 * rest @ turn.mT + torch.tensor([0.1, 0.2, 0.3])).expand(2, 21, 3)
    points = truth.clone()
    points[0, [0, 8, 12]] = torch.nan
    points[1, 5:] = torch.nan
    found = completed(rest, points)
    torch.testing.assert_close(found[0], truth[0])
    assert found[1].isnan().all()


def test_a_fit_begins_at_triangulated_keypoints_though_some_are_unknown(model, hands) -> None:
    """It keeps the initialisation by inverse kinematics, which `from_keypoints` would add to."""
    rows = random_rows(6, VIEWS)
    seen = seen_in_rows(model, rows, hands)
    points = points_of(model, hands).clone()
    points[:, [4, 16]] = torch.nan
    nothing = KnownShape.nothing(points)
    source = CandidateSource(model, rows, seen, TRUSTING, nothing, points)
    begun = source.candidates([], from_keypoints=False)
    assert begun.hand.tolist() == list(range(6))
    assert apart(model, begun.params, hands).max() < 0.02
