"""The size of a hand as a function of its shape, and its equation."""

import pytest
import torch

from fitter.conventions import HAND_SIZES
from fitter.energies.size import size_prior
from fitter.hand_models import load_hand_model, pose_keypoints
from fitter.hand_models.hand_size import HandSize
from fitter.records import HandParams

MIDDLE = [0, 4, 5, 6]  # MANO's order


@pytest.fixture(scope="module")
def model():
    return load_hand_model("open_hand", "right", torch.float64)


@pytest.fixture(scope="module")
def size(model) -> HandSize:
    return HandSize.of(model.keypoint_model())


def shapes(size: HandSize, count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, size.shapedirs.shape[-1], generator=generator, dtype=torch.float64)


def test_the_size_is_the_length_of_the_middle_ray_of_the_flat_hand(model, size) -> None:
    betas = shapes(size)
    still = torch.zeros(len(betas), 3, dtype=torch.float64)
    mesh = model(HandParams(still, still[:, None].expand(-1, 15, -1), betas, still))
    ray = torch.cat([mesh.joints[:, MIDDLE], mesh.vertices[:, model.tip_vertices[2]][:, None]], 1)
    wanted = ray.diff(dim=1).norm(dim=-1).sum(-1)
    torch.testing.assert_close(size(betas), wanted, rtol=0, atol=1e-12)


def test_bones_keep_the_size_in_every_pose(model, size) -> None:
    betas = shapes(size)
    generator = torch.Generator().manual_seed(1)
    pose = 0.4 * torch.randn(len(betas), 15, 3, generator=generator, dtype=torch.float64)
    zero = torch.zeros(len(betas), 3, dtype=torch.float64)
    posed, _ = pose_keypoints(model.keypoint_model(), HandParams(zero, pose, betas, zero))
    rest, _ = pose_keypoints(model.keypoint_model(), HandParams(zero, 0 * pose, betas, zero))
    torch.testing.assert_close(
        posed[:, MIDDLE].diff(dim=1).norm(dim=-1), rest[:, MIDDLE].diff(dim=1).norm(dim=-1)
    )


def test_the_slope_is_the_derivative(size) -> None:
    betas = shapes(size).requires_grad_()
    found, slope = size.with_slope(betas)
    (wanted,) = torch.autograd.grad(found.sum(), betas)
    torch.testing.assert_close(slope, wanted)


def test_held_shapes_have_the_size_and_the_others_are_left_alone(size) -> None:
    betas = shapes(size)
    least, largest = HAND_SIZES
    known = torch.tensor([least, 0.15, 0.18, 0.2, largest, torch.nan], dtype=torch.float64)
    held = size.held(betas, known)
    torch.testing.assert_close(size(held)[:5], known[:5], rtol=0, atol=1e-9)
    assert torch.equal(held[5], betas[5])
    torch.testing.assert_close(size.held(held, known), held, rtol=0, atol=1e-9)


def test_held_shapes_are_the_nearest(size) -> None:
    betas = shapes(size)
    known = torch.full((len(betas),), 0.17, dtype=torch.float64)
    held = size.held(betas, known)
    _, slope = size.with_slope(held)
    step = held - betas
    along = (step * slope).sum(-1, keepdim=True) / slope.square().sum(-1, keepdim=True) * slope
    assert ((step - along).norm(dim=-1) < 1e-2 * step.norm(dim=-1)).all()


def test_placed_hands_look_as_before(model, size) -> None:
    # A hand twice as large, twice as far, in the same pose, is seen along the same rays; one of
    # another shape nearly so, and its wrist exactly.
    betas = torch.zeros(2, size.shapedirs.shape[-1], dtype=torch.float64)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    place = torch.tensor([[0.05, -0.02, 0.4], [0.0, 0.1, 0.9]], dtype=torch.float64)
    hand = HandParams(zero, zero[:, None].expand(-1, 15, -1), betas, place)
    known = torch.tensor([0.12, 0.22], dtype=torch.float64)
    placed = size.placed(hand, known)
    before, after = (pose_keypoints(model.keypoint_model(), h)[0] for h in (hand, placed))
    rays = [joints / joints[..., 2:] for joints in (before, after)]
    torch.testing.assert_close(rays[0][:, 0], rays[1][:, 0])
    assert (rays[0] - rays[1]).norm(dim=-1).max() < 0.02
    ratio = after[:, 0, 2] / before[:, 0, 2]
    torch.testing.assert_close(ratio, known / size.mean)


def test_restricted_derivatives_are_those_of_held_shapes(size) -> None:
    count = size.shapedirs.shape[-1]
    start = size.held(shapes(size, 2), torch.full((2,), 0.19, dtype=torch.float64))
    known = torch.tensor([0.19, torch.nan], dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    linear = torch.randn(2, count, generator=generator, dtype=torch.float64)

    betas = start.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((size.held(betas, known) * linear).sum(), betas)
    gradient = torch.zeros(2, 51 + count, dtype=torch.float64)
    gradient[:, 6:-45] = linear
    root = torch.randn(2, 51 + count, 51 + count, generator=generator, dtype=torch.float64)
    found, hessian = size.restrict(start, known, gradient, root @ root.mT)
    torch.testing.assert_close(found[:, 6:-45], wanted, rtol=0, atol=5e-3)
    assert torch.equal(found[1], gradient[1]) and torch.equal(hessian[1], (root @ root.mT)[1])
    assert (torch.linalg.eigvalsh(hessian) > 0).all()
    step = -torch.linalg.solve(hessian, found[..., None])[..., 0]
    _, slope = size.with_slope(start)
    assert (step[0, 6:-45] * slope[0]).sum().abs() < 1e-9
    assert (step[1, 6:-45] * slope[1]).sum().abs() > 1e-6


def test_the_prior_of_the_size_is_that_of_unit_coefficients(size) -> None:
    # Along the size alone the prior is, to first order, that of the coefficients themselves.
    _, slope = size.with_slope(torch.zeros(1, size.shapedirs.shape[-1], dtype=torch.float64))
    for deviations in (-1.0, 1.0):
        betas = deviations * slope / slope.norm()
        zero = torch.zeros(1, 3, dtype=torch.float64)
        hand = HandParams(zero, zero[:, None].expand(-1, 15, -1), betas, zero)
        assert size_prior(hand, size).value.item() == pytest.approx(1.0, abs=0.1)


def test_the_prior_of_the_size_has_its_derivatives(size) -> None:
    betas = shapes(size).requires_grad_()
    zero = torch.zeros(len(betas), 3, dtype=torch.float64)
    hand = HandParams(zero, zero[:, None].expand(-1, 15, -1), betas, zero)
    found = size_prior(hand, size)
    (gradient,) = torch.autograd.grad(found.value.sum(), betas)
    torch.testing.assert_close(found.gradient, gradient)
    # Gauss-Newton: the outer product of the residual's derivative, of which the value is a square.
    outer = found.gradient[:, :, None] * found.gradient[:, None] / (2 * found.value)[:, None, None]
    torch.testing.assert_close(found.hessian, outer)
