"""A hand in itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fitter.contact import HandParts, Surface, closed, self_contacts, self_penetration
from fitter.contact.self_found import find_compiled, find_reference
from fitter.hand_models.hand_parts import hand_parts
from fitter.records import HandParams
from tests.support.contact_meshes import ball, crossed, hand, opened, still
from tests.support.errors import raises

MODELS = ("open_hand", "mano", "nimble")


@pytest.fixture(scope="module")
def parts() -> dict[str, HandParts]:
    return {name: hand_parts(hand(name)) for name in MODELS}


def surface(name: str, params: HandParams) -> Surface:
    model = hand(name)
    return Surface(model(params).vertices, closed(model.faces, len(model.v_template)))


@pytest.mark.parametrize("name", MODELS)
def test_a_hand_at_rest_is_not_in_itself(parts, name: str) -> None:
    rest = surface(name, still(name))
    rest.vertices.requires_grad_()
    value = self_penetration(rest, parts[name])
    assert value.tolist() == [0.0]
    assert (torch.autograd.grad(value.sum(), rest.vertices)[0] == 0).all()
    assert float((parts[name].bone >= 0).double().mean()) > 0.7


@pytest.mark.parametrize("name", MODELS)
def test_hands_of_other_shapes_at_rest_are_not_in_themselves_either(parts, name: str) -> None:
    params = still(name, 20)
    generator = torch.Generator().manual_seed(0)
    shapes = torch.randn(params.betas.shape, generator=generator, dtype=torch.float64)
    params.betas[:] = shapes
    assert (self_penetration(surface(name, params), parts[name]) == 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_fingers_in_each_other_are_found_by_kernel_and_twin_alike(parts, name: str) -> None:
    hands = surface(name, crossed(name, turn=1.0))
    assert (self_penetration(hands, parts[name]) > 0).any()
    kernel, twin = (find(hands, parts[name]) for find in (find_compiled, find_reference))
    assert torch.equal(kernel.face >= 0, twin.face >= 0) and (kernel.face >= 0).any()
    torch.testing.assert_close(kernel.normal, twin.normal, rtol=0, atol=1e-6)
    assert kernel.face.shape == hands.vertices.shape[:2]


def test_what_a_vertex_is_in_belongs_to_no_bone_beside_its_own(parts) -> None:
    model, own = hand("open_hand"), parts["open_hand"]
    found = self_contacts(surface("open_hand", crossed("open_hand")), own)
    weights = model.skin_weights
    of_face = weights[found.corners].sum(1).argmax(1)
    of_vertex = weights[found.vertex].argmax(1)
    parents = torch.tensor(model.skeleton.parents)
    assert (of_face != of_vertex).all()
    assert (parents[of_face] != of_vertex).all() and (parents[of_vertex] != of_face).all()
    assert (found.gap < 0).all()


def test_the_value_is_the_mean_of_squared_depths(parts) -> None:
    hands = surface("mano", crossed("mano"))
    found = self_contacts(hands, parts["mano"])
    expected = [
        sum(float(gap) ** 2 for gap in found.gap[found.pair == b]) / hands.vertices.shape[1]
        for b in range(2)
    ]
    assert self_penetration(hands, parts["mano"]).tolist() == pytest.approx(expected, rel=1e-12)


def test_it_does_not_depend_on_where_the_hand_is(parts) -> None:
    params = crossed("open_hand")
    value = self_penetration(surface("open_hand", params), parts["open_hand"])
    params.transl[:] = torch.tensor([0.3, -0.2, 0.6])
    params.global_orient[:] = torch.tensor([0.4, 1.1, -2.0])
    moved = self_penetration(surface("open_hand", params), parts["open_hand"])
    torch.testing.assert_close(moved, value, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_slopes_are_those_of_central_differences(parts, name: str) -> None:
    hands = surface(name, crossed(name, turn=1.0))
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(2, generator=generator, dtype=torch.float64)
    step = torch.randn(hands.vertices.shape, generator=generator, dtype=torch.float64)
    vertices = hands.vertices.detach().clone().requires_grad_()

    def value(vertices: Tensor) -> Tensor:
        return (cotangent * self_penetration(Surface(vertices, hands.faces), parts[name])).sum()

    (slope,) = torch.autograd.grad(value(vertices), vertices)
    ends = [float(value(vertices.detach() + sign * 1e-8 * step)) for sign in (1, -1)]
    assert (slope != 0).any()
    assert float((slope * step).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-8, rel=1e-4)


def test_a_step_down_the_slope_gets_fingers_apart(parts) -> None:
    params = crossed("open_hand")
    pose = params.hand_pose.clone().requires_grad_()
    value = self_penetration(
        surface("open_hand", HandParams(params.global_orient, pose, params.betas, params.transl)),
        parts["open_hand"],
    )
    (slope,) = torch.autograd.grad(value.sum(), pose)
    params.hand_pose[:] -= 0.02 * slope / slope.flatten(1).norm(dim=1)[:, None, None]
    after = self_penetration(surface("open_hand", params), parts["open_hand"])
    assert (after < value.detach()).all()


def test_a_batch_is_its_hands_alone_and_nan_stays(parts) -> None:
    hands = surface("mano", crossed("mano", 3))
    values = self_penetration(hands, parts["mano"])
    for b in range(3):
        alone = Surface(hands.vertices[b : b + 1], hands.faces)
        assert torch.equal(self_penetration(alone, parts["mano"]), values[b : b + 1])
    hands.vertices[1, 3] = torch.nan
    found = self_penetration(hands, parts["mano"])
    assert found.isnan().tolist() == [False, True, False]
    assert torch.equal(found[[0, 2]], values[[0, 2]])
    none = Surface(hands.vertices[:0], hands.faces)
    assert self_penetration(none, parts["mano"]).shape == (0,)


def test_other_meshes_are_refused(parts) -> None:
    mesh = ball([[0.0, 0, 0]])
    with pytest.raises(ValueError, match="vertices: expected shape"):
        self_penetration(mesh, parts["mano"])
    weights = torch.ones(mesh.vertices.shape[1], 1)
    with raises("contact.open"):
        HandParts.of(opened(mesh.faces, [0]), mesh.vertices[0], weights, (-1,))
