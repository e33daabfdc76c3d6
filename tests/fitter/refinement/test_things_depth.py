"""How far away known things are in the crops of hands."""

from __future__ import annotations

import pytest
import torch

from fitter.energies.known_objects import KnownObjects
from fitter.refinement.things_depth import things_depth
from tests.support.held_things import ball_at

SIDE, RADIUS = 32, 0.05
CAMERAS = torch.tensor(
    [
        [[60.0, 0, 16], [0, 60, 16], [0, 0, 1]],
        [[90.0, 0, 8], [0, 80, 20], [0, 0, 1]],
    ]
)


def depths(things, cameras=CAMERAS) -> torch.Tensor:
    return things_depth(
        KnownObjects.of(things, [False] * len(things), torch.zeros(0, 3, dtype=torch.int64)),
        cameras,
        SIDE,
    )


def test_each_hand_sees_its_things_by_its_own_camera():
    ball = ball_at((0.0, 0.0, 0.5), RADIUS)
    both = depths([[ball], [ball]])
    for k, (column, row) in enumerate(((16, 16), (8, 20))):
        assert both[k, row, column] == pytest.approx(0.5 - RADIUS, abs=2e-3)
        assert torch.equal(both[k : k + 1], depths([[ball]], CAMERAS[k : k + 1]))
    assert not torch.equal(both[0], both[1])


def test_the_nearest_thing_counts_and_nothing_is_infinitely_far():
    near, far = ball_at((0.0, 0.0, 0.5), RADIUS), ball_at((0.05, 0.0, 0.8), RADIUS)
    behind = ball_at((0.0, 0.0, 0.01), RADIUS)
    found = depths([[far, near, behind], []])
    alone = [depths([[one]], CAMERAS[:1])[0] for one in (near, far)]
    assert torch.equal(found[0], torch.minimum(*alone))
    assert alone[1].isfinite().any() and not torch.equal(found[0], alone[0])
    assert found[1].isinf().all() and depths([[behind]], CAMERAS[:1]).isinf().all()
