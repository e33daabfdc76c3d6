"""Shapes of hands that are fitted together: settled before, and kept."""

from __future__ import annotations

import math

import pytest
import torch

from fitter.config.interaction import InteractionConfig
from fitter.hand_models.known_shape import KnownShape
from fitter.interaction.joint_stage import JointStage
from fitter.interaction.shared_shape import TWO_PEOPLE, kept_shapes
from tests.support.touching_cases import TouchingCase, touching_case

PAIR = (torch.tensor([0]), torch.tensor([1]))


@pytest.fixture(scope="module")
def case() -> TouchingCase:
    return touching_case(1)


def unlike(case: TouchingCase) -> torch.Tensor:
    """(2, S) shapes, of sizes that one person's hands may have by their own fits."""
    betas = case.truth.betas.clone()
    betas[1, 0] += 0.3
    return betas


def test_hands_of_one_person_have_the_mean_of_both_and_others_their_own(case) -> None:
    size, betas = case.model.fit.size, unlike(case)
    nothing = KnownShape.nothing(betas)
    shared = kept_shapes(size, betas, nothing, PAIR)
    torch.testing.assert_close(shared.betas, betas.mean(0).expand(2, -1))
    assert shared.size.isnan().all()
    nobody = (torch.empty(0, dtype=torch.int64),) * 2
    torch.testing.assert_close(kept_shapes(size, betas, nothing, nobody).betas, betas)


def test_a_child_beside_its_mother_keeps_its_hand(case) -> None:
    size, betas = case.model.fit.size, case.truth.betas
    nothing = KnownShape.nothing(betas)
    for factor, alike in ((0.9, True), (1.1, False)):
        ratio = torch.tensor([1.0, math.exp(-factor * TWO_PEOPLE)])
        sized = size.held(betas, size(betas) * ratio.to(betas))
        kept = kept_shapes(size, sized, nothing, PAIR).betas
        wanted = sized.mean(0).expand(2, -1) if alike else sized
        torch.testing.assert_close(kept, wanted)


def test_a_known_size_stays_and_is_not_shared(case) -> None:
    size, betas = case.model.fit.size, unlike(case)
    metres = torch.tensor([0.17, math.nan], dtype=torch.float64)
    known = KnownShape.of(metres, torch.full((2, 1), math.nan).double())
    kept = kept_shapes(size, betas, known, PAIR).betas
    torch.testing.assert_close(size(kept)[0], metres[0])
    torch.testing.assert_close(kept[1], betas[1])


def test_a_group_cannot_shrink_towards_the_camera(case) -> None:
    """However strongly it is drawn together: it would have to become small and near."""
    strong = InteractionConfig(closeness_weight=3e3, max_rise=1.0)
    before = case.begun()
    refined, found = JointStage(case.stage.refiner, strong)(case.hands(before))
    assert {each.interaction_status for each in found.values()} == {"joint"}
    mean = before.betas.mean(0).expand(2, -1)
    torch.testing.assert_close(refined.params.betas, mean, rtol=0, atol=1e-5)
