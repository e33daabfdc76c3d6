"""Axes bend real joints the right way, on either hand; the pose prior is what it says."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from safetensors.numpy import load_file, save_file
from scipy.stats import multivariate_normal

from datasets.poses.sampler import sample_hand_angles
from fitter.conventions import FINGERS, MIRROR_AXIS_ANGLE, MODEL_FINGERS
from fitter.hand_models import anatomy, load_hand_model
from fitter.hand_models.kinematics import forward_kinematics
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.pose_prior import (
    POSE_PRIOR_PATH,
    load_pose_prior,
    mixture_log_density,
    pose_pca,
)
from fitter.records import HandParams
from tests.support.errors import raises
from tests.support.paths import ROOT

PALM = np.array([0.0, 0.0, 1.0])
RADIAL = np.array([1.0, 0.0, 0.0])


def skeleton():
    """A right hand, fingers along y, palm facing z, thumb toward x: joints (16, 3), tips (5, 3)."""
    knuckles = {
        "index": (0.025, 0.090, -0.002),
        "middle": (0.003, 0.092, -0.004),
        "ring": (-0.017, 0.086, -0.002),
        "little": (-0.035, 0.075, 0.003),
        "thumb": (0.020, 0.020, 0.005),
    }
    directions = {
        "index": (0.14, 1.0, 0.02),
        "middle": (0.0, 1.0, 0.02),
        "ring": (-0.12, 1.0, 0.02),
        "little": (-0.30, 1.0, 0.03),
        "thumb": (0.7, 0.7, 0.15),
    }
    joints, tips = np.zeros((16, 3)), np.zeros((5, 3))
    for finger, knuckle in knuckles.items():
        direction = np.array(directions[finger]) / np.linalg.norm(directions[finger])
        reach = np.array([0.0, 0.042, 0.068, 0.090])[:, None]
        chain = np.array(knuckle) + reach * direction
        joints[1:][anatomy.finger_joints(finger)] = chain[:3]
        tips[FINGERS.index(finger)] = chain[3]
    return joints, tips


def rotated(points, seed=3):
    rotation = roma.random_rotmat(generator=torch.Generator().manual_seed(seed)).double().numpy()
    return points @ rotation.T, rotation


def posed_tip(joints, tips, axes, finger, angles):
    """Where a fingertip goes when its three joints take anatomical angles (3, 3)."""
    pose = torch.zeros(15, 3, dtype=torch.float64)
    pose[anatomy.finger_joints(finger)] = torch.as_tensor(angles, dtype=torch.float64)
    pose = anatomy.hand_pose_from_angles(pose, axes)
    vectors = torch.cat([torch.zeros(1, 3, dtype=torch.float64), pose])
    rest = torch.as_tensor(joints)
    rotations, moved = forward_kinematics(roma.rotvec_to_rotmat(vectors)[None], rest[None])
    last = anatomy.finger_joints(finger).stop
    offset = torch.as_tensor(tips[FINGERS.index(finger)]) - rest[last]
    return (moved[0, last] + rotations[0, last] @ offset).numpy()


def one_angle(joint, kind, degrees):
    angles = np.zeros((3, 3))
    angles[joint, kind] = np.deg2rad(degrees)
    return angles


def test_axes_are_orthonormal_and_documented_handedness():
    axes = anatomy.joint_axes(*skeleton())
    assert np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    for finger in MODEL_FINGERS:
        expected = -1.0 if finger in ("ring", "little") else 1.0
        assert np.allclose(np.linalg.det(axes[anatomy.finger_joints(finger)]), expected)


def test_axes_turn_with_the_model():
    joints, tips = skeleton()
    axes = anatomy.joint_axes(joints, tips)
    turned_joints, rotation = rotated(joints)
    turned_tips, _ = rotated(tips)
    assert np.allclose(anatomy.joint_axes(turned_joints, turned_tips), axes @ rotation.T)


@pytest.mark.parametrize("finger", FINGERS)
@pytest.mark.parametrize("joint", range(3))
def test_flexion_brings_the_tip_toward_the_palm(finger, joint):
    joints, tips = skeleton()
    axes = anatomy.joint_axes(joints, tips)
    rest = tips[FINGERS.index(finger)]
    small, large = (
        posed_tip(joints, tips, axes, finger, one_angle(joint, anatomy.FLEXION, degrees))
        for degrees in (10, 40)
    )
    assert (small - rest) @ PALM > 1e-3
    if finger == "thumb":
        # The thumb also crosses the palm toward the little finger.
        assert (small - rest) @ RADIAL < -1e-3
        assert (large - small) @ RADIAL < -1e-3
    else:
        assert (large - small) @ PALM > 1e-3


def test_abduction_spreads_and_for_the_thumb_leaves_the_palm():
    joints, tips = skeleton()
    axes = anatomy.joint_axes(joints, tips)
    moved = {
        finger: posed_tip(joints, tips, axes, finger, one_angle(0, anatomy.ABDUCTION, 10))
        - tips[FINGERS.index(finger)]
        for finger in FINGERS
    }
    for finger, side in {"index": 1, "middle": 1, "ring": -1, "little": -1}.items():
        assert side * (moved[finger] @ RADIAL) > 0.01
        assert abs(moved[finger] @ PALM) < 0.3 * abs(moved[finger] @ RADIAL)
    assert moved["thumb"] @ PALM > 5e-3
    assert moved["thumb"] @ RADIAL > 0


def test_twist_supinates_and_keeps_the_bone():
    joints, tips = skeleton()
    axes = anatomy.joint_axes(joints, tips)
    twist = one_angle(0, anatomy.TWIST, 20)
    for finger in FINGERS:
        assert np.allclose(
            posed_tip(joints, tips, axes, finger, twist), tips[FINGERS.index(finger)]
        )
    # The pad of the index, which looks out of the palm, turns toward the thumb.
    vector = axes[anatomy.finger_joints("index").start, anatomy.TWIST] * np.deg2rad(20)
    pad = roma.rotvec_to_rotmat(torch.as_tensor(vector)).numpy() @ PALM
    assert pad @ RADIAL > 0.2


def test_left_axes_are_the_mirror_of_right_axes():
    joints, tips = skeleton()
    mirror = np.array([-1.0, 1.0, 1.0])
    right = anatomy.joint_axes(joints, tips)
    left = anatomy.joint_axes(joints * mirror, tips * mirror, side="left")
    assert np.allclose(left, right * MIRROR_AXIS_ANGLE)
    angles = one_angle(0, anatomy.FLEXION, 50) + one_angle(0, anatomy.ABDUCTION, 12)
    for finger in FINGERS:
        there = posed_tip(joints, tips, right, finger, angles)
        here = posed_tip(joints * mirror, tips * mirror, left, finger, angles)
        assert np.allclose(here, there * mirror)


def test_angles_and_rotation_vectors_are_inverse_and_differentiable():
    axes = anatomy.joint_axes(*skeleton())
    pose = torch.randn(
        2, 7, 15, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float32
    ).requires_grad_()
    angles = anatomy.anatomical_angles(pose, axes)
    assert angles.dtype == pose.dtype
    assert torch.allclose(anatomy.hand_pose_from_angles(angles, axes), pose, atol=1e-6)
    assert torch.allclose(angles.norm(dim=-1), pose.norm(dim=-1), atol=1e-5)
    angles.sum().backward()
    assert torch.isfinite(pose.grad).all()


def test_limits_hold_the_rest_pose_and_hinges_are_tight():
    lower, upper = anatomy.joint_limits()
    assert np.all(lower < 0) and np.all(upper > 0)
    hinges = [row for f in MODEL_FINGERS for row in range(15)[anatomy.finger_joints(f)][1:]]
    hinges.remove(anatomy.finger_joints("thumb").start + 1)
    assert np.all(np.abs(lower[hinges, 1:]) < np.deg2rad(6))
    assert np.all(upper[hinges, anatomy.FLEXION] > np.deg2rad(80))


def test_bad_skeletons_are_refused():
    joints, tips = skeleton()
    with pytest.raises(ValueError, match="expected rest_joints"):
        anatomy.joint_axes(joints[1:], tips)
    joints[2] = joints[1]
    with pytest.raises(ValueError, match="define no anatomical axes"):
        anatomy.joint_axes(joints, tips)


@pytest.fixture(scope="module")
def model_data():
    """A model whose vertices are its joints and tips: the least that `anatomy_of` asks for."""
    joints, tips = skeleton()
    return HandModelData(
        name="open_hand",
        side="right",
        v_template=np.vstack([joints, tips]),
        faces=np.array([[0, 1, 2]]),
        shapedirs=np.zeros((21, 3, 1)),
        posedirs=None,
        skin_weights=np.eye(21)[:, :16],
        joint_regressor=np.eye(16, 21),
        tip_vertices=(16, 17, 18, 19, 20),
        hands_mean=np.zeros(45),
        hands_components=np.eye(45),
        layout=None,
        sha256="",
    )


def test_anatomy_of_a_model_and_of_its_mirror(model_data):
    right, left = anatomy.anatomy_of(model_data), anatomy.anatomy_of(model_data.mirrored())
    assert np.allclose(right.axes, anatomy.joint_axes(*skeleton()))
    assert np.allclose(left.axes, right.axes * MIRROR_AXIS_ANGLE)
    assert np.array_equal(left.lower, right.lower) and np.array_equal(left.upper, right.upper)


@pytest.fixture(scope="module")
def open_hand():
    return load_hand_model("open_hand", dtype=torch.float64)


def keypoints_of(model, angles):
    """(N, 21, 3) keypoints of N poses (N, 15, 3) in a frame with the palm at +z, thumb at +x."""
    pose = anatomy.hand_pose_from_angles(
        torch.as_tensor(angles), anatomy.anatomy_of(model.data).axes
    )
    zeros = torch.zeros(len(angles), 3, dtype=torch.float64)
    points = model(HandParams(zeros, pose, zeros[:, :1], zeros)).keypoints.numpy()
    rest = model.joint_template.numpy()
    up = rest[4] - rest[0]
    across = rest[1] - rest[7]
    across = across - (across @ up) / (up @ up) * up
    frame = np.stack([across, up, np.cross(across, up)])
    return (points - rest[0]) @ (frame / np.linalg.norm(frame, axis=1, keepdims=True)).T


def test_every_joint_of_the_open_hand_bends_toward_the_palm(open_hand):
    """The right hand's palm is on the side (toward the thumb) x (toward the fingers)."""
    angles = np.zeros((16, 15, 3))
    angles[1 + np.arange(15), np.arange(15), anatomy.FLEXION] = np.deg2rad(15)
    points = keypoints_of(open_hand, angles)
    for finger in FINGERS:
        tip = points[:, 4 + 4 * FINGERS.index(finger)]
        for row in range(15)[anatomy.finger_joints(finger)]:
            moved = tip[1 + row] - tip[0]
            assert moved @ PALM > 1e-3
            if finger == "thumb":
                assert moved @ RADIAL < -1e-3


def test_abduction_spreads_the_open_hand(open_hand):
    angles = np.zeros((2, 15, 3))
    for finger in FINGERS:
        if finger != "middle":
            angles[1, anatomy.finger_joints(finger).start, anatomy.ABDUCTION] = np.deg2rad(12)
    tips = keypoints_of(open_hand, angles)[:, 4::4]
    from_middle = np.linalg.norm(tips[:, [1, 3, 4]] - tips[:, 2:3], axis=2)
    assert np.all(from_middle[1] > from_middle[0] + 0.01)
    assert (tips[1, 0] - tips[0, 0]) @ PALM > 0.01


def test_left_open_hand_mirrors_the_right(open_hand):
    left = open_hand.mirrored()
    angles = torch.as_tensor(sample_hand_angles(np.random.default_rng(2), 20))
    zeros = torch.zeros(20, 3, dtype=torch.float64)
    meshes = [
        model(
            HandParams(
                zeros,
                anatomy.hand_pose_from_angles(angles, anatomy.anatomy_of(model.data).axes),
                zeros[:, :1],
                zeros,
            )
        ).vertices
        for model in (open_hand, left)
    ]
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert torch.allclose(meshes[1], meshes[0] * mirror, atol=1e-9)


def test_sampled_thumbs_meet_fingers(open_hand):
    """Pinches are real contacts: in a fair share of poses the thumb's tip is at another tip."""
    tips = keypoints_of(open_hand, sample_hand_angles(np.random.default_rng(5), 2000))[:, 4::4]
    nearest = np.linalg.norm(tips[:, 1:] - tips[:, :1], axis=2).min(axis=1)
    assert np.mean(nearest < 0.02) > 0.1
    assert np.mean(nearest > 0.06) > 0.2


def test_prior_is_a_pca(model_data):
    prior = load_pose_prior()
    assert np.allclose(prior.components @ prior.components.T, np.eye(45), atol=1e-5)
    assert np.all(np.diff(prior.std) <= 0)
    # Gestures live in few dimensions (Santello et al. 1998 found the same in grasps).
    share = np.cumsum(prior.std**2) / np.sum(prior.std**2)
    assert share[9] > 0.9
    axes = anatomy.anatomy_of(model_data).axes
    mean, components = pose_pca(prior, axes)
    coefficients = np.random.default_rng(0).normal(size=(8, 45)) * prior.std
    poses = torch.as_tensor(coefficients @ components + mean).unflatten(1, (15, 3))
    angles = anatomy.anatomical_angles(poses, axes).flatten(1).numpy()
    assert np.allclose(angles, coefficients @ prior.components + prior.mean)


def test_prior_is_the_sampler_of_today():
    """Fails when the sampler changed and the asset was not rebuilt."""
    prior = load_pose_prior()
    angles = sample_hand_angles(np.random.default_rng(9), 20_000).reshape(-1, 45)
    deviation = angles.std(axis=0)
    assert np.all(np.abs(angles.mean(axis=0) - prior.mean) < 5 * deviation / np.sqrt(len(angles)))
    std = np.sqrt(np.sum((prior.components * prior.std[:, None]) ** 2, axis=0))
    assert np.allclose(std, deviation, rtol=0.05)


def test_mixture_is_normalised_and_well_conditioned():
    prior = load_pose_prior()
    count = len(prior.mixture_weights)
    assert np.isclose(prior.mixture_weights.sum(), 1, atol=1e-5)
    factors = prior.mixture_precision_factors
    assert np.array_equal(factors, np.tril(factors))
    for k in range(count):
        covariance = np.linalg.inv(factors[k] @ factors[k].T)
        std = np.sqrt(np.linalg.eigvalsh(covariance))
        assert std[0] > np.deg2rad(1.99)
        # An independent route to the same density: scipy's.
        alone = replace(
            prior,
            mixture_weights=np.ones(1),
            mixture_means=prior.mixture_means[k : k + 1],
            mixture_precision_factors=factors[k : k + 1],
            mixture_log_norms=prior.mixture_log_norms[k : k + 1],
        )
        pose = prior.mixture_means[k] + 0.05
        expected = multivariate_normal(prior.mixture_means[k], covariance).logpdf(pose)
        assert np.isclose(mixture_log_density(alone, pose[None])[0], expected, rtol=1e-4)


def test_prior_prefers_a_fist_to_the_same_angles_shuffled():
    prior = load_pose_prior()
    fist = np.zeros((15, 3))
    for finger in ("index", "middle", "ring", "little"):
        fist[anatomy.finger_joints(finger), anatomy.FLEXION] = np.deg2rad([72, 95, 63])
    fist[anatomy.finger_joints("thumb"), anatomy.FLEXION] = np.deg2rad([20, 25, 45])
    shuffled = fist.copy()
    shuffled[:12, anatomy.FLEXION] = np.random.default_rng(0).permutation(
        fist[:12, anatomy.FLEXION]
    )
    bent_back = -fist
    density = mixture_log_density(prior, np.stack([fist, shuffled, bent_back]).reshape(3, 45))
    assert density[0] > density[1] + 5 and density[0] > density[2] + 50


def test_broken_prior_files_are_named(tmp_path):
    missing, text, short = (tmp_path / f"{name}.safetensors" for name in ("none", "text", "short"))
    with raises("prior.unreadable", file=missing):
        load_pose_prior(missing)
    text.write_text("no prior at all")
    with raises("prior.unreadable", file=text):
        load_pose_prior(text)
    kept = {k: v for k, v in load_file(POSE_PRIOR_PATH).items() if k not in ("mean", "std")}
    save_file(kept, short)
    with raises("prior.fields_missing", file=short, missing="mean, std"):
        load_pose_prior(short)


def test_build_recovers_a_known_mixture_and_repeats_itself(monkeypatch):
    path = ROOT / "scripts" / "build_pose_prior.py"
    spec = importlib.util.spec_from_file_location("build_pose_prior", path)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    options = script.BuildOptions(mixture_size=3, iterations=30, floor=1e-3)
    rng = np.random.default_rng(4)
    means = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    deviations = np.array([[0.3, 0.1], [0.2, 0.4], [0.5, 0.2]])
    chosen = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    points = rng.normal(means[chosen], deviations[chosen])
    first, again = (script.fit_mixture(np.random.default_rng(0), points, options) for _ in range(2))
    assert np.array_equal(first.precision_factors, again.precision_factors)
    order = np.argsort(-first.weights)
    assert np.allclose(first.weights[order], [0.5, 0.3, 0.2], atol=0.03)
    assert np.allclose(first.means[order], means, atol=0.05)
    covariance = np.linalg.inv(
        first.precision_factors @ first.precision_factors.transpose(0, 2, 1)
    )[order]
    spread = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    assert np.allclose(spread, deviations, atol=0.03)
