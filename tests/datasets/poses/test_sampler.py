"""Sampled poses keep the limits and show the couplings of real hands."""

import itertools

import numpy as np
import pytest

from datasets.poses import sample_hand_angles
from fitter.hand_models.anatomy import ABDUCTION, FLEXION, finger_joints, joint_limits

FOUR = ("index", "middle", "ring", "little")


@pytest.fixture(scope="module")
def angles():
    return sample_hand_angles(np.random.default_rng(7), 20_000)


def flexion(angles, finger, joint):
    return angles[:, finger_joints(finger).start + joint, FLEXION]


def correlation(first, second):
    return np.corrcoef(first, second)[0, 1]


def test_shape_and_limits(angles):
    lower, upper = joint_limits()
    assert angles.shape == (20_000, 15, 3) and angles.dtype == np.float64
    assert np.all((angles >= lower) & (angles <= upper))
    # Clipping is the exception: no limit gathers a tenth of the hands.
    assert np.mean((angles == lower) | (angles == upper), axis=0).max() < 0.1


@pytest.mark.parametrize("count", [0, 1, 5])
def test_small_counts(count):
    assert sample_hand_angles(np.random.default_rng(0), count).shape == (count, 15, 3)


def test_the_generator_is_the_only_randomness():
    first, second = (sample_hand_angles(np.random.default_rng(11), 500) for _ in range(2))
    other = sample_hand_angles(np.random.default_rng(12), 500)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_poses_are_in_random_order(angles):
    # A block of one mode at either end would shift the mean curl of the first thousand poses.
    curl = np.mean([flexion(angles, finger, 1) for finger in FOUR], axis=0)
    standard_error = curl.std() / np.sqrt(1000)
    for part in (curl[:1000], curl[-1000:]):
        assert abs(part.mean() - curl.mean()) < 4 * standard_error


@pytest.mark.parametrize("finger", FOUR)
def test_last_joint_follows_the_middle_joint(angles, finger):
    middle, last = flexion(angles, finger, 1), flexion(angles, finger, 2)
    assert correlation(middle, last) > 0.8
    bent = middle > np.deg2rad(30)
    assert abs(np.median(last[bent] / middle[bent]) - 2 / 3) < 0.05


def test_neighbouring_knuckles_move_together_and_more_than_distant_ones(angles):
    knuckle = {finger: flexion(angles, finger, 0) for finger in FOUR}
    for finger, neighbour in itertools.pairwise(FOUR):
        assert correlation(knuckle[finger], knuckle[neighbour]) > 0.3
    assert correlation(knuckle["index"], knuckle["middle"]) > correlation(
        knuckle["index"], knuckle["little"]
    )


@pytest.mark.parametrize("finger", ("index", "little"))
def test_spread_shrinks_as_the_knuckle_bends(angles, finger):
    abduction = angles[:, finger_joints(finger).start, ABDUCTION]
    knuckle = flexion(angles, finger, 0)
    straight, bent = abduction[knuckle < np.deg2rad(20)], abduction[knuckle > np.deg2rad(65)]
    assert bent.std() < 0.7 * straight.std()


def test_fingers_spread_together(angles):
    straight = np.all([flexion(angles, f, 0) < np.deg2rad(25) for f in FOUR], axis=0)
    index, ring, little = (
        angles[straight, finger_joints(f).start, ABDUCTION] for f in ("index", "ring", "little")
    )
    assert correlation(index, little) > 0.5 and correlation(ring, little) > 0.5


def test_every_pattern_of_straight_and_curled_fingers_occurs(angles):
    straight = np.stack([flexion(angles, f, 1) < np.deg2rad(35) for f in FOUR], axis=1)
    patterns = np.bincount(straight @ [1, 2, 4, 8], minlength=16)
    assert np.all(patterns > 0.002 * len(angles))


def test_thumb_opposes_and_extends(angles):
    """Palmar abduction with flexion (opposition), and extension out of the palm, both occur."""
    base = np.rad2deg(angles[:, finger_joints("thumb").start])
    opposed = (base[:, FLEXION] > 15) & (base[:, ABDUCTION] > 15)
    extended = base[:, FLEXION] < -5
    assert opposed.mean() > 0.1 and extended.mean() > 0.05
    # Opposition pronates.
    assert base[opposed, 2].mean() < base[extended, 2].mean() - 8
