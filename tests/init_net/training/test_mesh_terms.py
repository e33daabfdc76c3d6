"""Equations 3, 4, 7 and 8 of Yu et al., number by number, against a plain transcription."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from fitter.hand_models import KeypointDefinition, inverse_kinematics, load_hand_model
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.mesh_records import RefinedJoints
from init_net.networks.config import MeshNetConfig
from init_net.training import mesh_terms
from init_net.training.loss_weights import OF_PAIRS, MeshWeights
from init_net.training.mesh_terms import MeshTerms, Silhouettes
from init_net.training.mesh_truth import TrueMeshes
from tests.support.autoencoder_crops import random_crops
from tests.support.mesh_cases import mean_l1, on_rows, open_hand, random_predictions

B = 3
CPU = torch.device("cpu")
NAMES = [name for name in MeshWeights.model_fields if name not in OF_PAIRS]
MODEL = open_hand()
SAID = random_predictions(MODEL, B)
CROPS = replace(random_crops(B, side=64), is_marks=torch.tensor([False, True, False]))
"""The second is labelled with a detector's marks, which are no joints."""


@pytest.fixture(scope="module")
def terms() -> MeshTerms:
    truth = TrueMeshes(MeshNetConfig(), len(MODEL.v_template), CPU)
    truth._model.double()
    truth._joints = truth._joints.to(torch.float64)
    return MeshTerms(truth, MODEL.faces)


@pytest.fixture(scope="module")
def found(terms) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in terms(SAID, CROPS, NAMES).items()}


def test_joints_as_printed(found):
    """Eq. 3; the norms are means over 63 numbers, in decimetres."""
    true, weight = np.asarray(CROPS.points), np.asarray(CROPS.keypoint_weight)
    for name, said in {
        "joints_regressed": SAID.regressed,
        "joints_refined": SAID.refined.joints,
        "parametric_joints": SAID.parametric_joints,
    }.items():
        expected = [
            np.mean([weight[row, k] * mean_l1(np.asarray(said[row, k]), true[row, k])
                     for k in range(21)])
            for row in range(B)
        ]  # fmt: skip
        expected[1] = 0  # its joints are not known
        np.testing.assert_allclose(found[name], expected)
    agreement = [
        mean_l1(np.asarray(SAID.regressed[row]), np.asarray(SAID.refined.joints[row]))
        for row in range(B)
    ]
    np.testing.assert_allclose(found["joints_agreement"], agreement)


def test_divergence_as_printed(found):
    """Eq. 3, L_KL: against the divergence of torch's own distributions."""
    mean, log_variance = SAID.refined.mean, SAID.refined.log_variance
    said = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(said, prior).mean(1)
    np.testing.assert_allclose(found["kl"], expected)


def test_parameters_as_printed(found, terms):
    """Eq. 4."""
    truth = terms.truth(CROPS)
    for name, said, true in (
        ("shape", SAID.betas, truth.betas),
        ("twist", SAID.twist, truth.twist),
    ):
        said, true = np.asarray(said), np.asarray(true)
        error = np.abs(said - true).sum(1) / said.shape[1]
        norm = np.abs(said).sum(1) / said.shape[1]
        np.testing.assert_allclose(found[name], error + norm)
        np.testing.assert_allclose(found[f"{name}_error"], error)


def test_parameters_between_nothing_and_the_truth_cost_the_same():
    """What eq. 4 is: |p - p*| + |p| has no least value between 0 and p*."""
    true = torch.tensor([[0.8, -0.4]])
    inside = [share * true for share in (0.0, 0.3, 1.0)]
    values = [mesh_terms.regularised_parameters(p, true) for p in inside]
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(values[0], values[2])
    assert mesh_terms.regularised_parameters(1.5 * true, true) > values[0]


def test_vertices_as_printed(found, terms):
    """Eq. 7, and the losses on true vertices."""
    true = np.asarray(terms.truth(CROPS).vertices)
    free, made = np.asarray(SAID.vertices), np.asarray(SAID.parametric_vertices)
    for name, first, second in (
        ("self_distillation", free, made),
        ("vertices", free, true),
        ("parametric_vertices", made, true),
    ):
        expected = [mean_l1(first[row], second[row]) for row in range(B)]
        np.testing.assert_allclose(found[name], expected)


def test_camera_sees_what_is_true(found):
    """Mean absolute difference of joints as a weak-perspective camera sees them."""
    camera, true = np.asarray(SAID.camera), np.asarray(CROPS.points)
    weight, positions = np.asarray(CROPS.keypoint_weight), np.asarray(CROPS.positions)
    expected = [
        np.mean([
            weight[row, k]
            * np.abs(camera[row, 0] * true[row, k, :2] + camera[row, 1:] - positions[row, k]).mean()
            for k in range(21)
        ])
        for row in range(B)
    ]  # fmt: skip
    expected[1] = 0
    np.testing.assert_allclose(found["camera"], expected)


def test_mask_is_that_of_the_free_mesh(found, terms):
    """One minus intersection over union, of what is drawn; 0 without a mask."""
    alpha = terms.silhouettes(SAID.vertices, SAID.camera, CROPS.focal)
    area = alpha.sum((1, 2))
    assert area.min() > 20  # pixels: there is something to compare
    for row in range(B):
        a, t = np.asarray(alpha[row]), np.asarray(CROPS.mask[row])
        expected = 1 - (a * t).sum() / (a + t - a * t).sum()
        expected *= bool(CROPS.has_mask[row])
        np.testing.assert_allclose(found["mask"][row], expected, rtol=1e-6)


def test_every_loss_has_a_term(found):
    assert set(found) == set(NAMES)


def test_only_what_is_asked_for_is_computed(terms, monkeypatch):
    monkeypatch.setattr(Silhouettes, "__call__", lambda *_: pytest.fail("drawn"))
    assert list(terms(SAID, CROPS, ["kl"])) == ["kl"]
    without = replace(SAID, refined=None)
    asked = ["joints_regressed", "self_distillation", "camera"]
    assert list(terms(without, CROPS, asked)) == asked


@pytest.mark.parametrize("name", NAMES)
def test_of_each_hand_alone(terms, found, name):
    for row in range(B):
        said = on_rows(SAID, lambda tensor, row=row: tensor[row : row + 1])
        alone = terms(said, CROPS[row : row + 1], [name])[name]
        np.testing.assert_allclose(alone[0], found[name][row], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_hand_that_is_not_finite_shows_and_touches_no_other(terms, found, name):
    def broken(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone().requires_grad_()
        mask = torch.zeros_like(tensor, dtype=torch.bool)
        mask[2] = True
        return torch.where(mask, torch.nan, tensor)

    value = terms(on_rows(SAID, broken), CROPS, [name])[name]
    assert torch.isnan(value[2])
    np.testing.assert_allclose(value[:2].detach(), found[name][:2])


@pytest.mark.parametrize("name", NAMES)
def test_truth_that_is_not_known_costs_nothing(terms, name):
    unknown = replace(
        CROPS,
        points=torch.full_like(CROPS.points, torch.nan),
        positions=torch.full_like(CROPS.positions, torch.nan),
        rotations=torch.full_like(CROPS.rotations, torch.nan),
        betas=torch.full_like(CROPS.betas, torch.nan),
        has_mask=torch.zeros(B, dtype=torch.bool),
    )
    value = terms(SAID, unknown, [name])[name]
    needs_none = {"joints_agreement", "kl", "self_distillation"}
    if name in ("shape", "twist"):  # the second norm of eq. 4 is left
        np.testing.assert_allclose(value, np.abs(np.asarray(getattr(SAID, {
            "shape": "betas", "twist": "twist"}[name]))).mean(1))  # fmt: skip
    else:
        assert (value == 0).all() != (name in needs_none)


def test_gradients():
    """Against central differences, in double precision, away from the corners of |.|."""
    random = torch.Generator().manual_seed(2)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=random, dtype=torch.float64).requires_grad_()

    first, second, weight = drawn(21, 3), drawn(21, 3), torch.rand(2, 21, dtype=torch.float64)
    assert gradcheck(lambda a, b: mesh_terms.joint_distance(a, b, weight), (first, second))
    assert gradcheck(
        lambda mean, log: mesh_terms.kl_divergence(RefinedJoints(first, mean, log)),
        (drawn(4), drawn(4)),
    )
    true = drawn(5).detach()
    assert gradcheck(lambda p: mesh_terms.regularised_parameters(p, true), (drawn(5),))
    assert gradcheck(lambda p: mesh_terms.parameter_error(p, true), (drawn(5),))
    assert gradcheck(mesh_terms.vertex_distance, (drawn(6, 3), drawn(6, 3)))
    positions = drawn(21, 2).detach()
    assert gradcheck(
        lambda camera: mesh_terms.camera_distance(camera, first, positions, weight), (drawn(3),)
    )


def test_the_parametric_mesh_teaches_and_does_not_learn(terms):
    """Eq. 7: its gradient is the free mesh's alone."""
    free = SAID.vertices.clone().requires_grad_()
    made = SAID.parametric_vertices.clone().requires_grad_()
    said = replace(SAID, vertices=free, parametric_vertices=made)
    terms(said, CROPS, ["self_distillation"])["self_distillation"].sum().backward()
    assert made.grad is None and bool((free.grad != 0).any())


def test_the_camera_moves_no_mesh(terms):
    joints = SAID.regressed.clone().requires_grad_()
    camera = SAID.camera.clone().requires_grad_()
    said = replace(SAID, regressed=joints, refined=None, camera=camera)
    unknown = replace(CROPS, points=torch.full_like(CROPS.points, torch.nan))
    terms(said, unknown, ["camera"])["camera"].sum().backward()
    assert joints.grad is None and bool((camera.grad != 0).any())


def test_a_mask_moves_mesh_and_camera(terms):
    vertices = SAID.vertices.clone().requires_grad_()
    camera = SAID.camera.clone().requires_grad_()
    terms(replace(SAID, vertices=vertices, camera=camera), CROPS, ["mask"])["mask"].sum().backward()
    assert bool((vertices.grad != 0).any()) and bool((camera.grad != 0).any())


def test_true_hands_are_those_that_the_network_would_make():
    """Its kinematics, of true joints, twists and shape, pose the true mesh."""
    model = load_hand_model(children=True).double()
    truth = TrueMeshes(MeshNetConfig(betas=11), len(model.v_template), CPU)
    truth._model.double()
    truth._joints = truth._joints.to(torch.float64)
    said = truth(CROPS)
    joints = KeypointDefinition.of(model, "mano").reduced
    vectors = roma.rotmat_to_rotvec(CROPS.rotations)
    true = HandParams(vectors[:, 0], vectors[:, 1:], CROPS.betas, 0 * vectors[:, 0])
    mesh = model(true)
    points = mesh.joints[:, :1]
    exact = KeypointDefinition.of(model, "mano").keypoints(true) - points
    found = inverse_kinematics(joints, exact, said.betas, said.twist)
    again = model(found)
    torch.testing.assert_close(
        again.vertices - again.joints[:, :1], said.vertices, atol=1e-6, rtol=0
    )


def test_a_network_of_another_hand_knows_joints_alone():
    truth = TrueMeshes(MeshNetConfig(hand_model="MANO_RIGHT.pkl"), 778, CPU)(CROPS)
    assert bool(truth.joints[0].isfinite().all()) and bool(truth.joints[1].isnan().all())
    for name, shape in {"vertices": (B, 778, 3), "betas": (B, 10), "twist": (B, 15)}.items():
        value = getattr(truth, name)
        assert value.shape == shape and bool(value.isnan().all())
