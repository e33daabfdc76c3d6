"""Shapes that are known before a fit, wholly or in size."""

import pytest
import torch

from fitter.hand_models import load_hand_model
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.tangent import TangentLayout
from tests.support.mano_files import random_params

NAN = torch.nan


@pytest.fixture(scope="module")
def size() -> HandSize:
    return HandSize.of(load_hand_model("open_hand", dtype=torch.float64).keypoint_model())


@pytest.fixture(scope="module")
def known() -> KnownShape:
    """Of three hands: a size, a shape, nothing. A shape's own size goes before a given one."""
    betas = torch.full((3, 10), NAN, dtype=torch.float64)
    betas[1] = torch.linspace(-1, 1, 10)
    return KnownShape.of(torch.tensor([0.17, 0.2, NAN], dtype=torch.float64), betas)


def test_what_is_known_is_held(size, known):
    hands = random_params(3, 1)
    for held in (known.sized(size, hands).betas, known.held(size, hands.betas)):
        assert abs(float(size(held)[0]) - 0.17) < 1e-9
        assert torch.equal(held[1], known.betas[1]) and torch.equal(held[2], hands.betas[2])


def test_placed_hands_look_as_before(size, known):
    hands = random_params(3, 1)
    placed = known.placed(size, hands)
    assert torch.equal(placed.transl[2], hands.transl[2])
    root, before = (
        size.root_of(placed.betas) + placed.transl,
        size.root_of(hands.betas) + hands.transl,
    )
    ratio = root / before
    expected = size(placed.betas) / size(hands.betas)
    torch.testing.assert_close(ratio, expected[:, None].expand(3, 3))
    assert abs(float(expected[1]) - 1) > 1e-3


def test_no_step_moves_what_is_known(size, known):
    generator = torch.Generator().manual_seed(2)
    layout = TangentLayout(10, 15)
    root = torch.randn(3, layout.size, layout.size, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT
    gradient = torch.randn(3, layout.size, generator=generator, dtype=torch.float64)
    betas = known.held(size, random_params(3, 1).betas)
    held = known.restrict(size, betas, gradient, hessian)
    step = torch.linalg.solve(held[1], held[0])
    assert step[1, layout.betas].abs().max() == 0
    _, slope = size.with_slope(betas)
    assert abs(float(slope[0] @ step[0, layout.betas])) < 1e-9
    # The other variables step as if there were no shape.
    others = torch.ones(layout.size, dtype=torch.bool)
    others[layout.betas] = False
    alone = torch.linalg.solve(hessian[1][others][:, others], gradient[1][others])
    torch.testing.assert_close(step[1, others], alone)
    torch.testing.assert_close(step[2], torch.linalg.solve(hessian[2], gradient[2]))


def test_nothing_known_changes_nothing(size):
    hands = random_params(3, 1)
    nothing = KnownShape.nothing(hands.betas)
    assert nothing.sized(size, hands) is hands and nothing.placed(size, hands) is hands
    assert torch.equal(nothing.held(size, hands.betas), hands.betas)
