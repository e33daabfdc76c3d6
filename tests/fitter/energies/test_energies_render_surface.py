"""Surface energies and regularisers against their equations as printed."""

import math

import numpy as np
import pytest
import torch

from fitter.energies import priors, regularisers, surface
from fitter.energies.priors import PoseSpace
from fitter.energies.surface import SurfaceGraph
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.records import HandParams
from tests.support.energy_checks import (
    Case,
    check_batch,
    check_finite,
    check_gradients,
    check_nan_stays,
    check_no_host_synchronisation,
)

BATCH = 3
# A bent strip with a border, a fin on an inner edge (three faces meet), one face wound the other
# way, one face twice, one face of no area by its indices, a row of filling, and one vertex unused.
FACES = torch.tensor(
    [
        [0, 1, 2],
        [1, 3, 2],
        [2, 3, 4],
        [3, 4, 5],
        [2, 3, 6],
        [0, 1, 2],
        [4, 4, 5],
        [-1, -1, -1],
    ]
)
REAL_FACES = [tuple(face) for face in FACES.tolist() if len(set(face)) == 3]
VERTEX_COUNT = 8
GRAPH = SurfaceGraph.of(FACES, VERTEX_COUNT)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


VERTICES, REFERENCE = normal(0, BATCH, VERTEX_COUNT, 3), normal(1, BATCH, VERTEX_COUNT, 3)
POSE, BETAS = normal(2, BATCH, 15, 3), normal(3, BATCH, 10)
TEXTURE = 0.5 + normal(4, BATCH, 5, 4, 3)
SCALE = normal(5, BATCH).exp()


@pytest.fixture(scope="module")
def model():
    return load_hand_model("open_hand", dtype=torch.float64)


@pytest.fixture(scope="module")
def space(model) -> PoseSpace:
    return PoseSpace.of(anatomy_of(model.data), load_pose_prior(), torch.zeros(0).double())


def params_of(hand_pose: torch.Tensor) -> HandParams:
    zeros = hand_pose.new_zeros(len(hand_pose), 3)
    return HandParams(zeros, hand_pose, hand_pose.new_zeros(len(hand_pose), 10), zeros)


def cases(space: PoseSpace) -> dict[str, Case]:
    def of(name, *inputs, free=1, **options):
        function = getattr(surface, name)

        def value(*vertices):
            return function(*vertices, GRAPH.to(vertices[0].device), **options)

        return Case(value, inputs, free)

    def in_space(energy, *, hinge=None):
        options = {} if hinge is None else {"hinge": hinge}

        def value(hand_pose):
            typed = PoseSpace(**{k: v.to(hand_pose) for k, v in vars(space).items()})
            result = energy(hand_pose if hinge else params_of(hand_pose), typed, **options)
            return result if hinge else result.value

        return Case(value, (POSE,))

    return {
        "vertex_offset": Case(surface.vertex_offset, (VERTICES,)),
        "edge_length": of("edge_length", VERTICES),
        "edge_length_change": of("edge_length_change", VERTICES, REFERENCE, free=2),
        "laplacian": of("laplacian", VERTICES),
        "laplacian_change": of("laplacian_change", VERTICES, REFERENCE, free=2),
        "normal_consistency": of("normal_consistency", VERTICES),
        "normal_consistency, mean": of("normal_consistency", VERTICES, reduction="mean"),
        "normal_change": of("normal_change", VERTICES, REFERENCE, free=2),
        "squared_norm": Case(regularisers.squared_norm, (POSE,)),
        "shape_norm": Case(regularisers.shape_norm, (BETAS,)),
        "camera_scale": Case(regularisers.camera_scale, (SCALE, SCALE.flip(0)), free=2),
        "texture_range": Case(regularisers.texture_range, (TEXTURE,)),
        "joint_limits, linear": in_space(regularisers.joint_limits, hinge="linear"),
        "joint_limits, squared": in_space(regularisers.joint_limits, hinge="squared"),
        "anatomical_limits": in_space(priors.anatomical_limits),
        "pose_prior": in_space(priors.pose_prior),
    }


NAMES = list(cases(None))
EACH = pytest.mark.parametrize("name", NAMES)


@EACH
def test_gradients_are_those_of_finite_differences(name, space):
    check_gradients(cases(space)[name])


@EACH
def test_a_batch_is_its_hands_one_by_one(name, space):
    if name == "pose_prior":
        # Its values reach 1e5; in float32 what must agree is their relative size.
        case = cases(space)[name]
        values, (gradient,) = case.run()
        for hand in range(BATCH):
            value, (own,) = case.at(POSE[hand : hand + 1]).run()
            torch.testing.assert_close(value[0], values[hand])
            torch.testing.assert_close(own[0], gradient[hand])
    else:
        check_batch(cases(space)[name])


@EACH
def test_nan_stays_in_its_hand(name, space):
    check_nan_stays(cases(space)[name])


@EACH
def test_no_host_synchronisation(name, space):
    check_no_host_synchronisation(cases(space)[name])


@EACH
def test_zeros_are_finite(name, space):
    case = cases(space)[name]
    inputs = tuple(torch.zeros_like(x) for x in case.inputs[: case.free])
    if name == "camera_scale":
        inputs = inputs[:1]
    check_finite(case.at(*inputs))


@EACH
def test_ones_and_equal_inputs_are_finite(name, space):
    case = cases(space)[name]
    check_finite(case.at(*(torch.ones_like(x) for x in case.inputs[: case.free])))
    check_finite(case.at(*(case.inputs[0],) * case.free))


# Surfaces


def close(values: torch.Tensor, expected: list[float]) -> None:
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-11, atol=1e-12)


def neighbours() -> list[set[int]]:
    found = [set() for _ in range(VERTEX_COUNT)]
    for face in REAL_FACES:
        for v in face:
            found[v] |= set(face) - {v}
    return found


def edges_of(face: tuple[int, int, int]) -> list[tuple[int, int]]:
    return [(face[0], face[1]), (face[1], face[2]), (face[2], face[0])]


def pairs() -> list[tuple[int, int, float]]:
    """Every two faces for every edge they share; 1, or -1 if one must be turned over."""
    found = []
    for i, first in enumerate(REAL_FACES):
        for j, second in enumerate(REAL_FACES[:i]):
            for a, b in edges_of(first):
                if (b, a) in edges_of(second):
                    found.append((i, j, 1.0))
                if (a, b) in edges_of(second):
                    found.append((i, j, -1.0))
    return found


def unit_normal(vertices: np.ndarray, face: tuple[int, int, int]) -> np.ndarray:
    a, b, c = (vertices[v] for v in face)
    cross = np.cross(b - a, c - a)
    return cross / np.linalg.norm(cross)


def test_the_graph():
    assert {tuple(edge) for edge in GRAPH.edges.tolist()} == {
        (v, k) for v, near in enumerate(neighbours()) for k in near if v < k
    }
    assert GRAPH.degree.tolist() == [len(near) for near in neighbours()]
    assert [tuple(face) for face in GRAPH.faces.tolist()] == REAL_FACES
    found = sorted(
        (max(pair), min(pair), sign)
        for pair, sign in zip(
            GRAPH.adjacent_faces.tolist(), GRAPH.same_winding.tolist(), strict=True
        )
    )
    assert found == sorted(pairs())


def test_graphs_of_nothing_and_of_a_closed_surface(model):
    empty = SurfaceGraph.of(torch.zeros(0, 3, dtype=torch.int32), VERTEX_COUNT)
    for name in ("edge_length", "laplacian", "normal_consistency"):
        values = check_finite(Case(lambda v, n=name: getattr(surface, n)(v, empty), (VERTICES,)))
        assert (values == 0).all()
    faces = torch.as_tensor(model.faces)
    graph = SurfaceGraph.of(faces, int(faces.max()) + 1)
    # Closed: every edge joins two faces, three half-edges a face; wound alike throughout.
    assert len(graph.adjacent_faces) == len(graph.edges) == 3 * len(faces) // 2
    assert (graph.same_winding == 1).all()


def test_bad_faces_are_refused():
    with pytest.raises(ValueError, match="got index 7"):
        SurfaceGraph.of(torch.tensor([[0, 1, 7]]), 7)
    with pytest.raises(ValueError, match=r"\(F, 3\) integers"):
        SurfaceGraph.of(torch.zeros(2, 4, dtype=torch.int64), 7)
    with pytest.raises(ValueError, match="'sum' or 'mean'"):
        surface.normal_consistency(VERTICES, GRAPH, "max")


def test_seeber_equation_2():
    close(
        surface.vertex_offset(VERTICES),
        [sum(x**2 for x in offsets.ravel()) for offsets in VERTICES.numpy()],
    )
    expected = []
    for vertices in VERTICES.numpy():
        total = 0.0
        for v, near in enumerate(neighbours()):
            for k in near:
                total += ((vertices[v] - vertices[k]) ** 2).sum()
        expected.append(total)
    close(surface.edge_length(VERTICES, GRAPH), expected)


def delta(vertices: np.ndarray) -> np.ndarray:
    result = np.zeros_like(vertices)
    for v, near in enumerate(neighbours()):
        if near:
            result[v] = vertices[v] - sum(vertices[k] / len(near) for k in near)
    return result


def test_seeber_equation_3():
    expected = [(delta(vertices) ** 2).sum() for vertices in VERTICES.numpy()]
    close(surface.laplacian(VERTICES, GRAPH), expected)


def test_seeber_equation_4():
    total = [
        sum(
            1 - sign * unit_normal(v, REAL_FACES[i]) @ unit_normal(v, REAL_FACES[j])
            for i, j, sign in pairs()
        )
        for v in VERTICES.numpy()
    ]
    close(surface.normal_consistency(VERTICES, GRAPH), total)
    mean = [value / len(pairs()) for value in total]
    close(surface.normal_consistency(VERTICES, GRAPH, "mean"), mean)


def test_changes_against_a_reference():
    lengths, details, normals = [], [], []
    for v, ref in zip(VERTICES.numpy(), REFERENCE.numpy(), strict=True):
        lengths.append(
            sum(
                (math.dist(v[i], v[k]) - math.dist(ref[i], ref[k])) ** 2
                for i, near in enumerate(neighbours())
                for k in near
            )
        )
        details.append(((delta(v) - delta(ref)) ** 2).sum())
        normals.append(sum(1 - unit_normal(v, f) @ unit_normal(ref, f) for f in REAL_FACES))
    close(surface.edge_length_change(VERTICES, REFERENCE, GRAPH), lengths)
    close(surface.laplacian_change(VERTICES, REFERENCE, GRAPH), details)
    close(surface.normal_change(VERTICES, REFERENCE, GRAPH), normals)


def test_a_flat_sheet_is_smooth_and_a_fold_is_not():
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    graph = SurfaceGraph.of(faces, 4)
    flat = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]])
    assert surface.normal_consistency(flat, graph) == 0
    upright = flat.clone()
    upright[0, 3] = torch.tensor([0.5, 0.5, 0.7])
    torch.testing.assert_close(surface.normal_consistency(upright, graph), torch.tensor([1.0]))
    # The winding of a face does not matter.
    turned = SurfaceGraph.of(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4)
    assert surface.normal_consistency(flat, turned) == 0


def test_changes_are_blind_to_where_the_hand_is():
    turn = torch.linalg.qr(normal(6, 3, 3)).Q
    turn = turn * torch.linalg.det(turn).sign()
    moved = VERTICES @ turn.T + torch.tensor([0.3, -2.0, 5.0])
    close(surface.edge_length_change(moved, VERTICES, GRAPH), [0.0] * BATCH)
    shifted = VERTICES + 0.25
    close(surface.laplacian_change(shifted, VERTICES, GRAPH), [0.0] * BATCH)
    close(surface.normal_change(2 * shifted, VERTICES, GRAPH), [0.0] * BATCH)
    for energy in (surface.edge_length_change, surface.laplacian_change):
        assert (energy(1.1 * VERTICES, VERTICES, GRAPH) > 1e-3).all()


def test_faces_of_no_area_are_perpendicular_to_all():
    flat = VERTICES.clone()
    flat[:, 3] = flat[:, 2]
    case = Case(lambda v: surface.normal_consistency(v, GRAPH), (flat,))
    check_finite(case)
    collapsed = torch.zeros_like(VERTICES)
    close(surface.normal_consistency(collapsed, GRAPH), [float(len(pairs()))] * BATCH)


def test_a_reference_may_be_shared_by_the_batch():
    for name in ("edge_length_change", "laplacian_change", "normal_change"):
        energy = getattr(surface, name)
        shared = energy(VERTICES, REFERENCE[:1], GRAPH)
        repeated = energy(VERTICES, REFERENCE[:1].expand_as(VERTICES), GRAPH)
        torch.testing.assert_close(shared, repeated)


# Regularisers


def test_zhao_l_reg_and_s2hand_e_beta():
    close(
        regularisers.squared_norm(POSE), [sum(x**2 for x in pose.ravel()) for pose in POSE.numpy()]
    )
    close(
        regularisers.shape_norm(BETAS),
        [math.sqrt(sum(x**2 for x in betas)) for betas in BETAS.numpy()],
    )


def test_camera_scale_is_even_in_ratios():
    close(regularisers.camera_scale(SCALE, 2.0), [math.log(s / 2) ** 2 for s in SCALE.tolist()])
    twice = regularisers.camera_scale(2 * SCALE, SCALE)
    torch.testing.assert_close(twice, regularisers.camera_scale(0.5 * SCALE, SCALE))
    negative = check_finite(Case(lambda s: regularisers.camera_scale(s, 1.0), (-SCALE,)))
    close(negative, [math.log(1e-6) ** 2] * BATCH)


def test_texture_range():
    expected = []
    for texture in TEXTURE.numpy():
        squares = [max(0.0, x - 1, -x) ** 2 for x in texture.ravel()]
        expected.append(sum(squares) / len(squares))
    close(regularisers.texture_range(TEXTURE), expected)
    assert (regularisers.texture_range(TEXTURE.clamp(0, 1)) == 0).all()


@pytest.mark.parametrize(("hinge", "power"), [("linear", 1), ("squared", 2)])
def test_joint_limits(hinge, power, space):
    expected = []
    for pose in POSE.numpy():
        total = 0.0
        for joint in range(15):
            for axis in range(3):
                angle = space.axes[joint, axis].numpy() @ pose[joint]
                low, high = float(space.lower[joint, axis]), float(space.upper[joint, axis])
                total += max(0.0, angle - high, low - angle) ** power
        expected.append(total)
    close(regularisers.joint_limits(POSE, space, hinge), expected)


def test_joint_limits_are_those_of_the_keypoint_stage(space):
    squared = regularisers.joint_limits(POSE, space, "squared")
    torch.testing.assert_close(squared, priors.anatomical_limits(params_of(POSE), space).value)
    inside = torch.einsum("jac,ja->jc", space.axes, (space.lower + space.upper) / 2)[None]
    assert regularisers.joint_limits(inside, space) == 0
    with pytest.raises(ValueError, match="'linear' or 'squared'"):
        regularisers.joint_limits(POSE, space, "cubic")


@pytest.mark.parametrize("energy", [priors.anatomical_limits, priors.pose_prior])
def test_autograd_of_the_priors_is_their_own_gradient(energy, space):
    hand_pose = (0.4 * POSE).requires_grad_()
    quadratic = energy(params_of(hand_pose), space)
    (gradient,) = torch.autograd.grad(quadratic.value.sum(), hand_pose)
    torch.testing.assert_close(gradient.flatten(1), quadratic.gradient)


def test_autograd_of_the_shape_prior_is_its_own_gradient():
    betas = BETAS.clone().requires_grad_()
    zeros = betas.new_zeros(BATCH, 3)
    quadratic = priors.shape_prior(HandParams(zeros, POSE, betas, zeros))
    (gradient,) = torch.autograd.grad(quadratic.value.sum(), betas)
    torch.testing.assert_close(gradient, quadratic.gradient)
    torch.testing.assert_close(quadratic.value, regularisers.squared_norm(betas))
