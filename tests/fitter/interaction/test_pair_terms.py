"""What gaps between two hands cost."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.config.interaction import InteractionConfig
from fitter.interaction.contact_points import ContactPoints
from fitter.interaction.pair_terms import contact_weights

CONFIG = InteractionConfig()


def contact(gap: Tensor) -> ContactPoints:
    """One vertex for each gap (P,), of a tenth of its surface."""
    pairs = len(gap)
    whole = torch.zeros(pairs, 1, dtype=torch.int64)
    points = torch.zeros(pairs, 1, 3, dtype=torch.float64)
    return ContactPoints(
        vertex=whole,
        corners=whole[..., None].expand(-1, -1, 3),
        barycentrics=points + 1 / 3,
        normal=points,
        gap=gap[:, None],
        share=torch.full((pairs, 1), 0.1, dtype=torch.float64),
    )


def test_a_vertex_that_begins_to_touch_costs_no_leap() -> None:
    gaps = torch.tensor([-1e-9, 0.0, 1e-9], dtype=torch.float64)
    value, _ = contact_weights(contact(gaps), CONFIG)
    torch.testing.assert_close(value, value[1].expand(3), rtol=0, atol=1e-9)


def test_the_weight_is_the_slope_over_the_gap() -> None:
    reach = CONFIG.attraction_reach
    gaps = torch.tensor([-0.02, -0.001, 0.2 * reach, 0.7 * reach, 1.5 * reach]).double()
    _, weight = contact_weights(contact(gaps), CONFIG)
    step = 1e-7
    above, below = (contact_weights(contact(gaps + s), CONFIG)[0] for s in (step, -step))
    slope = (above - below) / (2 * step)
    torch.testing.assert_close(weight[:, 0] * gaps, slope, rtol=1e-5, atol=1e-6)


def test_penetration_counts_ever_more_from_the_second_round_on() -> None:
    rounds = InteractionConfig(rounds=3, penetration_weight=50.0).of_rounds()
    assert [each.penetration_weight for each in rounds] == [0.0, 5.0, 50.0]
    assert {(each.attraction_weight, each.ordinal_weight) for each in rounds} == {(0.3, 5.0)}
    (only,) = InteractionConfig(rounds=1, penetration_weight=50.0).of_rounds()
    assert only.penetration_weight == 50.0 and only.attraction_weight == 0.3
