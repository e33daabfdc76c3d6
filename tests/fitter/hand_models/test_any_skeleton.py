"""What holds for a hand with any tree of joints, shown on NIMBLE's and on trees of no hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fitter.conventions import MIRROR_AXIS_ANGLE
from fitter.hand_models import inverse_kinematics, load_pose_prior, pose_keypoints, twist_angles
from fitter.hand_models.anatomy import (
    FLEXION,
    TWIST,
    anatomical_angles,
    anatomy_of,
    hand_pose_from_angles,
)
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_models.keypoint_jacobian import KeypointKinematics, by_finger
from fitter.hand_models.keypoint_model import pose_keypoints_from_rotations
from fitter.hand_models.kinematics import forward_kinematics, world_rotations
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.pose_prior import mixture_log_density, on_skeleton
from fitter.hand_models.skeleton import MANO_SKELETON, NIMBLE_SKELETON, Skeleton
from fitter.hand_models.skinning import HandModel
from fitter.hand_models.tangent import HandManifold, TangentLayout, descendants, retract
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.records import HandParams
from fitter.rotations import roma
from tests.support.jointed_hands import (
    SHAPES,
    jointed_data,
    jointed_hand,
    possible_pose,
    random_params,
)

RAGGED = Skeleton(
    names=tuple("abcdefghij"), parents=(-1, 0, 1, 0, 3, 3, 1, 6, 4, 0), rotating=(1, 2, 4, 6, 9)
)
"""Chains of different lengths, branches, still joints in their middle."""

SKELETONS = {"mano": MANO_SKELETON, "nimble": NIMBLE_SKELETON, "ragged": RAGGED}
D = TangentLayout(SHAPES, NIMBLE_SKELETON.rotations).size


def random_rotations(batch, count, seed=0):
    matrices = Rotation.random(batch * count, random_state=seed).as_matrix()
    return torch.as_tensor(matrices).view(batch, count, 3, 3)


@pytest.fixture(params=[True, False], ids=["posedirs", "plain"])
def model(request):
    return jointed_hand(request.param)


@pytest.mark.parametrize("name", SKELETONS)
def test_chains_are_those_of_a_walk_from_the_root(name):
    skeleton = SKELETONS[name]
    local, rest = random_rotations(3, skeleton.count), torch.randn(3, skeleton.count, 3).double()
    world, joints = [local[:, 0]], [rest[:, 0]]
    for joint in range(1, skeleton.count):
        parent = skeleton.parents[joint]
        bone = (rest[:, joint] - rest[:, parent])[..., None]
        world.append(world[parent] @ local[:, joint])
        joints.append(joints[parent] + (world[parent] @ bone)[..., 0])
    found = forward_kinematics(local, rest, skeleton)
    torch.testing.assert_close(found[0], torch.stack(world, 1))
    torch.testing.assert_close(found[1], torch.stack(joints, 1))
    bones, parents = world_rotations(local, skeleton)
    torch.testing.assert_close(bones, torch.stack(world, 1))
    above = torch.stack([world[parent] for parent in skeleton.parents[1:]], 1)
    torch.testing.assert_close(parents, above)


@pytest.mark.parametrize("name", SKELETONS)
def test_the_moving_skeleton_is_what_is_left_without_still_joints(name):
    skeleton = SKELETONS[name]
    moving = skeleton.moving
    assert moving.names == (skeleton.names[0], *skeleton.pose_names)
    assert moving.rotations == skeleton.rotations == moving.count - 1
    for joint, carrier in enumerate(skeleton.carriers):
        own = (0, *skeleton.rotating)[carrier]
        assert skeleton.is_below(joint, own)
        # Nothing between the two rotates.
        between = [j for j in skeleton.rotating if skeleton.is_below(joint, j) and j != own]
        assert all(skeleton.is_below(own, j) for j in between)
    table = descendants(moving, torch.zeros(0))
    for j, above in enumerate((0, *skeleton.rotating)):
        for b, below in enumerate((0, *skeleton.rotating)):
            assert table[j, b] == skeleton.is_below(below, above)


def test_rotating_joints_stand_in_their_order():
    with pytest.raises(ValueError, match="ascending"):
        Skeleton(("a", "b", "c"), (-1, 0, 1), (2, 1))


def test_the_mesh_is_skinned_as_the_formulas_say(model):
    data, params = model.data, random_params(1)
    betas = params.betas[0].numpy()
    turned = np.concatenate([params.global_orient.numpy(), params.hand_pose[0].numpy()])
    local = Rotation.from_rotvec(turned).as_matrix()
    rest = data.given_joints.template + data.given_joints.shapedirs @ betas
    world, joints = [local[0]], [rest[0]]
    for joint in range(1, 25):
        parent = NIMBLE_SKELETON.parents[joint]
        own = np.eye(3)
        if joint in NIMBLE_SKELETON.rotating:
            own = local[1 + NIMBLE_SKELETON.rotating.index(joint)]
        joints.append(joints[parent] + world[parent] @ (rest[joint] - rest[parent]))
        world.append(world[parent] @ own)
    shaped = data.v_template + data.shapedirs @ betas
    if data.posedirs is not None:
        shaped = shaped + data.posedirs @ (local[1:] - np.eye(3)).ravel()
    posed = sum(
        data.skin_weights[:, j : j + 1] * ((shaped - rest[j]) @ world[j].T + joints[j])
        for j in range(25)
    )
    transl = params.transl[0].numpy()
    mesh = model(params)
    np.testing.assert_allclose(mesh.vertices[0], posed + transl, atol=1e-12)
    np.testing.assert_allclose(mesh.joints[0], np.stack(joints) + transl, atol=1e-12)
    keypoints = data.keypoint_regressor @ (posed + transl)
    np.testing.assert_allclose(mesh.keypoints[0], keypoints, atol=1e-12)


def test_the_reduced_keypoints_are_those_of_the_mesh(model):
    params = random_params(5)
    joints, keypoints = pose_keypoints(model.keypoint_model(), params)
    mesh = model(params)
    torch.testing.assert_close(joints, mesh.joints, rtol=0, atol=1e-13)
    torch.testing.assert_close(keypoints, mesh.keypoints, rtol=0, atol=1e-13)
    rotations = roma.rotvec_to_rotmat(
        torch.cat([params.global_orient[:, None], params.hand_pose], 1)
    )
    again = pose_keypoints_from_rotations(model.keypoint_model(), rotations, params.betas)
    torch.testing.assert_close(again[1], keypoints - params.transl[:, None], rtol=0, atol=1e-13)


def test_the_mirrored_model_is_the_mirror_image(model):
    params, flip = random_params(2), torch.tensor([-1.0, 1.0, 1.0]).double()
    mesh, left = model(params), model.mirrored()(params.mirrored())
    for part in ("vertices", "joints", "keypoints"):
        torch.testing.assert_close(getattr(left, part), getattr(mesh, part) * flip)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.4, 1.5])
def test_derivatives_of_keypoints_are_central_differences(model, angle):
    reduced, params = model.keypoint_model(), random_params(2, angle)

    def moved(step):
        return by_finger(pose_keypoints(reduced, retract(params, step))[1])

    zero = torch.zeros(2, D, dtype=torch.float64)
    found = KeypointKinematics.of(reduced)(params)
    torch.testing.assert_close(found.points, moved(zero), rtol=0, atol=1e-12)
    assert found.jacobian.shape == (2, 5, 5, 3, D)
    for column in range(D):
        step = zero.clone()
        step[:, column] = 1e-5
        slope = (moved(step) - moved(-step)) / 2e-5
        torch.testing.assert_close(found.jacobian[..., column], slope, rtol=0, atol=1e-9)


@pytest.mark.parametrize("posedirs", [True, False])
def test_keypoints_may_be_regressed_in_a_model_with_manos_joints(posedirs):
    regressor = jointed_data().keypoint_regressor
    bent = np.random.default_rng(2).normal(scale=3e-4, size=(1670, 3, 135)) if posedirs else None
    data = replace(load_open_hand(), keypoint_regressor=regressor, posedirs=bent)
    model, generator = HandModel(data, torch.float64), torch.Generator().manual_seed(3)
    reduced = model.keypoint_model()
    random = [
        torch.randn(2, *s, generator=generator).double() for s in ((3,), (15, 3), (10,), (3,))
    ]
    params = HandParams(random[0], 0.4 * random[1], *random[2:])
    found = KeypointKinematics.of(reduced)(params)
    expected = by_finger(model(params).keypoints)
    torch.testing.assert_close(found.points, expected, rtol=0, atol=1e-12)
    for column in (1, 4, 9, 20, 40, 60):
        step = torch.zeros(2, 61, dtype=torch.float64)
        step[:, column] = 1e-5
        ends = [pose_keypoints(reduced, retract(params, s))[1] for s in (step, -step)]
        slope = by_finger(ends[0] - ends[1]) / 2e-5
        torch.testing.assert_close(found.jacobian[..., column], slope, rtol=0, atol=1e-9)


def test_a_skeleton_without_a_regressor_of_keypoints_is_refused():
    with pytest.raises(ValueError, match="keypoint_regressor"):
        HandModel(replace(jointed_data(), keypoint_regressor=None), torch.float64)
    for joints in ({"given_joints": None}, {"joint_regressor": np.zeros((25, 1670))}):
        with pytest.raises(ValueError, match="and not both"):
            HandModel(replace(jointed_data(), **joints), torch.float64)


def test_derivatives_are_pulled_back_to_the_tangent_vector(model):
    generator, params = torch.Generator().manual_seed(1), random_params(3)
    found = KeypointKinematics.of(model.keypoint_model())(params)
    gradient = torch.randn(3, 5, 5, 3, generator=generator).double()
    root = torch.randn(3, 5, 15, 15, generator=generator).double()
    blocks = root @ root.mT
    slopes, hessian = found.pull_back(gradient, blocks.view(3, 5, 5, 3, 5, 3))
    rows = found.jacobian.flatten(2, 3)
    torch.testing.assert_close(slopes, torch.einsum("bfi,bfid->bd", gradient.flatten(2), rows))
    torch.testing.assert_close(hessian, torch.einsum("bfid,bfij,bfje->bde", rows, blocks, rows))


def test_derivatives_of_vertices_are_those_of_autograd(model):
    params = random_params(2)
    surface = SurfaceKinematics.of(model)(params)
    torch.testing.assert_close(surface.vertices, model(params).vertices, rtol=0, atol=1e-12)
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(0, surface.vertices.shape[1], (2, 7, 2), generator=generator)
    cotangents = torch.randn(2, 7, 2, 3, generator=generator, dtype=torch.float64)
    rows = surface.rows(index, cotangents)

    def scalars(step):
        vertices = model(retract(params, step)).vertices
        chosen = vertices[torch.arange(2)[:, None, None], index]
        return (chosen * cotangents).sum((-1, -2))

    jacobian = torch.autograd.functional.jacobian(scalars, torch.zeros(2, D).double())
    expected = jacobian[torch.arange(2), :, torch.arange(2)]
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-12)
    # No pixel of an outline, no row.
    assert surface.rows(index[:, :0], cotangents[:, :0]).shape == (2, 0, D)


def test_gradients_of_the_layer_are_right():
    reduced, params = jointed_hand().keypoint_model(), random_params(1)

    def keypoints(*fields):
        return pose_keypoints(reduced, HandParams(*fields))[1]

    fields = [value.clone().requires_grad_() for value in vars(params).values()]
    assert torch.autograd.gradcheck(keypoints, fields)


def test_a_step_is_shortened_by_its_largest_rotation():
    step = torch.zeros(2, D).double()
    step[0, -1], step[1, -1], step[:, 3] = 2.0, 0.1, 1.0
    shortened = HandManifold(NIMBLE_SKELETON.rotations, 0.5).shortened(step)
    torch.testing.assert_close(shortened, step * torch.tensor([[0.25], [1.0]]).double())


class TestAnatomy:
    def test_a_metacarpal_bends_the_palm_the_way_its_finger_bends(self):
        data = jointed_data()
        anatomy = anatomy_of(data)
        model, still = jointed_hand(), random_params(1).map(torch.zeros_like)
        palm = anatomy_of(data).axes
        for row in NIMBLE_SKELETON.metacarpal_rows:
            name = NIMBLE_SKELETON.pose_names[row]
            knuckle = NIMBLE_SKELETON.pose_names.index(name.replace("cmc", "mcp"))
            angles = torch.zeros(1, 19, 3).double()
            angles[0, row, FLEXION] = 0.2
            pose = hand_pose_from_angles(angles, anatomy.axes)
            bent = model(HandParams(still.global_orient, pose, still.betas, still.transl))
            tip = NIMBLE_SKELETON.names.index(name.replace("cmc", "tip"))
            moved = (bent.joints - model(still).joints)[0, tip].numpy()
            bone = palm[knuckle, TWIST]
            # Where bending the finger itself would take its tip.
            toward = np.cross(palm[knuckle, FLEXION], bone)
            assert moved @ toward > 0.8 * np.linalg.norm(moved) > 0

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_axes_are_orthonormal_and_angles_their_own_inverse(self, side):
        data = jointed_data() if side == "right" else jointed_data().mirrored()
        anatomy = anatomy_of(data)
        products = anatomy.axes @ anatomy.axes.swapaxes(1, 2)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), (19, 3, 3)), atol=1e-12)
        pose = random_params(4).hand_pose
        angles = anatomical_angles(pose, anatomy.axes)
        torch.testing.assert_close(hand_pose_from_angles(angles, anatomy.axes), pose)
        mirrored = anatomy_of(jointed_data()).axes * np.array(MIRROR_AXIS_ANGLE)
        if side == "left":
            np.testing.assert_allclose(anatomy.axes, mirrored, atol=1e-12)

    def test_the_index_and_middle_metacarpals_hardly_move(self):
        anatomy = anatomy_of(jointed_data())
        size = np.rad2deg(anatomy.upper - anatomy.lower)
        rows = [NIMBLE_SKELETON.pose_names.index(f"{f}_cmc") for f in ("index", "middle", "ring")]
        assert (size[rows[:2], FLEXION] < 12).all() and size[rows[2], FLEXION] > 15

    def test_joints_of_no_known_kind_have_no_anatomy(self):
        names = tuple(name.replace("ring_cmc", "ring_carpal") for name in NIMBLE_SKELETON.names)
        parents, rotating = NIMBLE_SKELETON.parents, NIMBLE_SKELETON.rotating
        data = jointed_data()
        with pytest.raises(ValueError, match="ring_carpal"):
            anatomy_of(replace(data, skeleton=Skeleton(names, parents, rotating)))


class TestPrior:
    def test_density_is_that_of_the_fingers_times_that_of_metacarpals(self):
        prior, anatomy = load_pose_prior(), anatomy_of(jointed_data())
        wide = on_skeleton(prior, anatomy)
        rng = np.random.default_rng(0)
        angles = rng.normal(scale=0.2, size=(6, 19, 3))
        own = angles[:, list(NIMBLE_SKELETON.finger_rows)].reshape(6, 45)
        rows = list(NIMBLE_SKELETON.metacarpal_rows)
        std = ((anatomy.upper - anatomy.lower) / 4)[rows]
        white = angles[:, rows] / std
        gaussian = (-0.5 * white**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum((1, 2))
        found = mixture_log_density(wide, angles.reshape(6, 57))
        np.testing.assert_allclose(found, mixture_log_density(prior, own) + gaussian)

    def test_components_are_orthonormal_by_falling_variance(self):
        wide = on_skeleton(load_pose_prior(), anatomy_of(jointed_data()))
        np.testing.assert_allclose(wide.components @ wide.components.T, np.eye(57), atol=1e-6)
        assert (np.diff(wide.std) <= 0).all()


class TestInverseKinematics:
    def test_a_pose_comes_back_from_its_keypoints(self):
        model, count = jointed_hand(posedirs=False), 40
        pose, like = possible_pose(count), random_params(count)
        params = HandParams(like.global_orient, pose, like.betas, like.transl)
        reduced = model.keypoint_model()
        keypoints = pose_keypoints(reduced, params)[1]
        twist = twist_angles(reduced, params)
        assert twist.shape == (count, 15)
        found = inverse_kinematics(reduced, keypoints, params.betas, twist)
        again = pose_keypoints(reduced, found)[1]
        error = 1e3 * (again - keypoints).norm(dim=-1)
        assert error.mean() < 0.1 and error.max() < 2
        rows = list(NIMBLE_SKELETON.metacarpal_rows)
        assert (found.hand_pose[:, rows] == 0).all()

    def test_bent_metacarpals_leave_millimetres(self):
        model, count = jointed_hand(), 20
        pose, like = possible_pose(count, metacarpals=1.0), random_params(count)
        params = HandParams(like.global_orient, pose, like.betas, like.transl)
        reduced = model.keypoint_model()
        keypoints = pose_keypoints(reduced, params)[1]
        found = inverse_kinematics(reduced, keypoints)
        error = 1e3 * (pose_keypoints(reduced, found)[1] - keypoints).norm(dim=-1)
        assert error.mean() < 4


class TestSize:
    def test_it_is_the_length_of_the_middle_ray_and_can_be_held(self):
        model = jointed_hand()
        size, params = HandSize.of(model.keypoint_model()), random_params(4)
        still = params.map(torch.zeros_like)
        rest = model(HandParams(still.global_orient, still.hand_pose, params.betas, still.transl))
        ray = rest.keypoints[:, [0, 9, 10, 11, 12]].diff(dim=1).norm(dim=-1).sum(-1)
        torch.testing.assert_close(size(params.betas), ray)
        wanted = 1.05 * ray
        placed = size.placed(params, wanted)
        torch.testing.assert_close(size(placed.betas), wanted, rtol=1e-6, atol=0)
        # It moved along the line of sight of the joint that it rotates about.
        before, after = model(params).joints[:, 0], model(placed).joints[:, 0]
        torch.testing.assert_close(after, 1.05 * before, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["mediapipe", "mano", "freihand"])
def test_regressed_keypoints_are_the_same_in_every_definition(name):
    params = random_params(2)
    found = KeypointDefinition.of(jointed_hand(), name).keypoints(params)
    torch.testing.assert_close(found, jointed_hand()(params).keypoints, rtol=0, atol=1e-12)


def test_pose_coefficients_give_poses_of_the_skeleton():
    model = jointed_hand()
    coefficients = torch.randn(3, 30, generator=torch.Generator().manual_seed(0)).double()
    pose = model.pose_from_pca(coefficients, flat_hand_mean=False)
    flat = coefficients @ model.hands_components + model.hands_mean
    assert pose.shape == (3, 19, 3)
    torch.testing.assert_close(pose.flatten(1), flat)
