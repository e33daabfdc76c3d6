import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from fitter import metrics
from fitter.conventions import KEYPOINT_NAMES

seeds = st.integers(0, 2**32 - 1)


def random_hands(seed: int, batch: int = 3, points: int = 21) -> tuple[np.ndarray, np.ndarray]:
    """Two unlike hands of decimetre size, each (batch, points, 3)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, (batch, points, 3)), rng.normal(0, 0.1, (batch, points, 3))


def freihand_align(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """The alignment FreiHAND's evaluation describes: centre, unit norm, orthogonal Procrustes."""
    target, source = truth - truth.mean(0), estimate - estimate.mean(0)
    target_norm, source_norm = np.linalg.norm(target), np.linalg.norm(source)
    turn, scale = orthogonal_procrustes(target / target_norm, source / source_norm)
    return (source / source_norm) @ turn.T * scale * target_norm + truth.mean(0)


def test_mpjpe_of_a_known_displacement():
    truth = np.zeros((2, 21, 3))
    estimate = truth.copy()
    estimate[0] += [0.003, 0, 0.004]
    estimate[1, 0] = [0, 0.021, 0]
    np.testing.assert_allclose(metrics.mpjpe(estimate, truth), [0.005, 0.001])
    np.testing.assert_allclose(
        metrics.keypoint_2d_error(estimate[..., 1:], truth[..., 1:])[0], 4e-3
    )


@given(seeds)
def test_root_alignment_forgets_the_position_and_nothing_else(seed):
    hands, _ = random_hands(seed)
    moved = hands + np.array([0.1, -0.2, 0.7])
    np.testing.assert_allclose(metrics.root_aligned(moved), metrics.root_aligned(hands), atol=1e-12)
    np.testing.assert_array_equal(metrics.root_aligned(hands, root=9)[:, 9], 0)
    bones = np.diff(hands, axis=1)
    np.testing.assert_allclose(np.diff(metrics.root_aligned(hands), axis=1), bones, atol=1e-12)


@settings(max_examples=50)
@given(seeds, st.floats(0.1, 10))
def test_procrustes_forgets_a_similarity(seed, scale):
    estimate, truth = random_hands(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    moved = scale * estimate @ turn.T + [1.0, -2.0, 0.5]
    expected = metrics.pa_mpjpe(estimate, truth)
    np.testing.assert_allclose(metrics.pa_mpjpe(moved, truth), expected, rtol=1e-9)
    np.testing.assert_allclose(metrics.pa_mpjpe(moved, estimate), 0, atol=1e-12)


@given(seeds)
def test_with_reflection_it_is_freihands_alignment(seed):
    estimate, truth = random_hands(seed)
    aligned = metrics.procrustes_aligned(estimate, truth, allow_reflection=True)
    for mine, pair in zip(aligned, zip(truth, estimate, strict=True), strict=True):
        np.testing.assert_allclose(mine, freihand_align(*pair), atol=1e-12)


@settings(max_examples=30)
@given(seeds)
def test_without_reflection_it_is_the_best_rotation(seed):
    estimate, truth = random_hands(seed, batch=1)
    aligned = metrics.procrustes_aligned(estimate, truth)[0]
    source, target = (points - points.mean(0) for points in (estimate[0], truth[0]))
    turn = Rotation.align_vectors(target, source)[0].as_matrix()
    turned = source @ turn.T
    scale = (turned * target).sum() / (source**2).sum()
    np.testing.assert_allclose(aligned, scale * turned + truth[0].mean(0), atol=1e-9)


def test_only_reflection_undoes_a_mirror_image():
    hand, _ = random_hands(0)
    mirrored = hand * [-1, 1, 1]
    np.testing.assert_allclose(
        metrics.pa_mpjpe(mirrored, hand, allow_reflection=True), 0, atol=1e-12
    )
    assert (metrics.pa_mpjpe(mirrored, hand) > 0.01).all()


def test_points_that_coincide_are_moved_to_the_mean():
    _, truth = random_hands(1)
    estimate = np.full_like(truth, 0.3)
    expected = metrics.mpjpe(np.broadcast_to(truth.mean(1, keepdims=True), truth.shape), truth)
    np.testing.assert_allclose(metrics.pa_mpjpe(estimate, truth), expected)
    np.testing.assert_allclose(metrics.pa_mpjpe(truth, estimate), 0, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_hand_stays_alone(value):
    estimate, truth = random_hands(2)
    whole = metrics.pa_mpjpe(estimate, truth)
    broken = estimate.copy()
    broken[1, 4, 2] = value
    np.testing.assert_array_equal(np.isnan(metrics.pa_mpjpe(broken, truth)), [False, True, False])
    np.testing.assert_allclose(metrics.pa_mpjpe(broken, truth)[[0, 2]], whole[[0, 2]])
    np.testing.assert_array_equal(np.isnan(metrics.fscore(broken, truth))[:, 0], [0, 1, 0])
    assert np.isnan(metrics.pa_mpjpe(np.full_like(truth, value), truth)).all()


@settings(max_examples=30)
@given(seeds)
def test_unknown_points_are_left_out_of_the_alignment(seed):
    estimate, truth = random_hands(seed)
    known = np.random.default_rng(seed).random((3, 21)) < 0.6
    known[:, :4] = True
    unknown = np.where(known[..., None], truth, np.nan)
    found = metrics.pa_mpjpe(estimate, unknown, known=known)
    for hand in range(3):
        part = [points[hand : hand + 1, known[hand]] for points in (estimate, truth)]
        np.testing.assert_allclose(found[hand], metrics.pa_mpjpe(*part)[0], rtol=1e-9)
    moved = metrics.procrustes_aligned(estimate, unknown, known=known)
    assert np.isfinite(moved).all()
    assert np.isnan(metrics.pa_mpjpe(estimate, unknown, known=np.zeros_like(known))).all()


@given(seeds)
def test_without_rotation_it_is_the_least_squares_fit(seed):
    estimate, truth = random_hands(seed)
    found = metrics.scale_translation_aligned(estimate, truth)
    for hand in range(3):
        # truth ~ scale * estimate + translation, one row a coordinate
        places = np.tile(np.eye(3), (21, 1))
        design = np.concatenate([estimate[hand].reshape(-1, 1), places], axis=1)
        answer = np.linalg.lstsq(design, truth[hand].reshape(-1), rcond=None)[0]
        np.testing.assert_allclose(found[hand], (design @ answer).reshape(21, 3), atol=1e-9)


@given(seeds)
def test_bone_alignment_is_that_of_ho3d(seed):
    estimate, truth = random_hands(seed)
    found = metrics.bone_scale_aligned(estimate, truth)
    for mine, e, t in zip(found, estimate, truth, strict=True):
        scaled = e / np.sqrt(((e[9] - e[0]) ** 2).sum()) * np.sqrt(((t[9] - t[0]) ** 2).sum())
        np.testing.assert_allclose(mine, scaled - scaled[:1] + t[:1], atol=1e-12)
    flat = np.zeros((1, 21, 3))
    np.testing.assert_array_equal(
        metrics.bone_scale_aligned(flat, truth[:1]), np.repeat(truth[:1, :1], 21, 1)
    )


def test_fingers_are_the_means_of_their_keypoints():
    errors = np.random.default_rng(0).random((5, 21))
    errors[1, 6] = errors[2, 0] = np.nan
    found = metrics.per_finger(errors)
    assert list(found) == ["wrist", "thumb", "index", "middle", "ring", "little"]
    np.testing.assert_allclose(found["little"], errors[:, 17:].mean(1))
    np.testing.assert_allclose(found["index"], np.nanmean(errors[:, 5:9], axis=1))
    np.testing.assert_array_equal(np.isnan(found["wrist"]), [0, 0, 1, 0, 0])
    names = [name.split("_")[0] for name in KEYPOINT_NAMES]
    for finger in list(found)[1:]:
        of = [i for i, name in enumerate(names) if name == finger]
        np.testing.assert_allclose(found[finger][0], errors[0, of].mean())


@settings(max_examples=20)
@given(seeds)
def test_scipys_disparity_is_the_squared_residual(seed):
    """`scipy.spatial.procrustes` scales both to norm 1 and may reflect."""
    estimate, truth = random_hands(seed, batch=1)
    aligned = metrics.procrustes_aligned(estimate, truth, allow_reflection=True)[0]
    norm = np.linalg.norm(truth[0] - truth[0].mean(0))
    _, _, disparity = procrustes(truth[0], estimate[0])
    np.testing.assert_allclose(((aligned - truth[0]) ** 2).sum() / norm**2, disparity, rtol=1e-9)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.mpjpe,
        metrics.pa_mpjpe,
        metrics.scale_translation_aligned,
        metrics.bone_scale_aligned,
        metrics.fscore,
    ],
)
def test_a_batch_is_its_hands_one_by_one(metric):
    estimate, truth = random_hands(5)
    alone = [metric(estimate[i : i + 1], truth[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(metric(estimate, truth), alone, rtol=1e-12)


def test_no_hands_give_no_figures():
    nothing = np.zeros((0, 21, 3))
    assert metrics.pa_mpjpe(nothing, nothing).shape == (0,)
    assert metrics.fscore(nothing, nothing).shape == (0, 2)
    assert np.isnan(metrics.auc(nothing))


def test_auc_is_freihands_mean_of_21_curves():
    errors = np.random.default_rng(3).gamma(2, 0.01, (40, 21))
    thresholds = np.linspace(0.0, 0.05, 100)
    norm = trapezoid(np.ones(100), thresholds)
    areas = []
    for joint in range(21):
        curve = [np.mean(errors[:, joint] <= threshold) for threshold in thresholds]
        areas.append(trapezoid(curve, thresholds) / norm)
    assert metrics.auc(errors) == pytest.approx(np.mean(areas), abs=1e-12)


def test_auc_at_its_ends():
    assert metrics.auc(np.zeros(5)) == pytest.approx(1)
    assert metrics.auc(np.full(5, 0.051)) == 0
    assert metrics.auc(np.full(5, 0.025)) == pytest.approx(0.5, abs=0.01)
    assert metrics.auc(np.array([0.0, np.nan])) == pytest.approx(0.5)


def test_fscore_of_the_definition():
    rng = np.random.default_rng(4)
    estimate, truth = rng.random((2, 2, 60, 3)) * 0.05
    truth = truth[:, :50]
    scores = metrics.fscore(estimate, truth)
    for hand in range(2):
        distances = np.linalg.norm(estimate[hand][:, None] - truth[hand][None], axis=-1)
        for column, threshold in enumerate((0.005, 0.015)):
            precision = np.mean(distances.min(1) < threshold)
            recall = np.mean(distances.min(0) < threshold)
            expected = 2 * precision * recall / (precision + recall)
            assert scores[hand, column] == pytest.approx(expected)
            assert 0 < expected < 1 or threshold == 0.015


def test_fscore_counts_strictly_below_and_gives_zero_for_strangers():
    truth = np.array([[[0.0, 0, 0], [1, 0, 0]]])
    exactly = truth + np.array([0, 0.25, 0])
    np.testing.assert_array_equal(metrics.fscore(exactly, truth, (0.25, 0.26)), [[0, 1]])
    np.testing.assert_array_equal(metrics.fscore(truth + 10, truth), [[0, 0]])
