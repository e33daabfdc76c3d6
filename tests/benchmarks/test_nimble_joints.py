"""The benchmark of NIMBLE's joints: what it compares, and that it finds what is there."""

import numpy as np
import pytest
import torch
from measure_nimble import prior_hands
from nimble_joints import (
    COMBINED,
    FITTED,
    FITTED_TO_RIG,
    LEVELS,
    OWN,
    RIG,
    combined,
    compared,
    errors,
    mano_fitted,
    posed,
    table,
)

from fitter.hand_models import HandModel
from fitter.hand_models.mano import load_mano
from fitter.hand_models.nimble import load_nimble
from tests.support.errors import raises
from tests.support.mano_files import left_of, random_params, write_plain
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import small_mano

HANDS = 24


@pytest.fixture(scope="module")
def hands():
    folder = nimble_folder()
    return posed(folder, folder / "MANO_RIGHT.pkl", HANDS)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class TestWhatIsCompared:
    def test_keypoints_are_those_that_the_fit_would_use(self, hands):
        """`--set model.mano` poses the same."""
        points, _ = hands
        folder = nimble_folder()
        model = HandModel(load_nimble(folder, folder / "MANO_RIGHT.pkl"), torch.float64)
        found = model(prior_hands(model, HANDS)).keypoints
        torch.testing.assert_close(points.through_mano, found, rtol=0, atol=1e-9)
        assert points.rig.shape == found.shape and points.joints.shape == (HANDS, 25, 3)

    def test_the_rig_is_another(self, hands):
        """By the lengths that the fixture puts its joints off: 12 mm at the wrist."""
        rows = compared(*hands)
        assert list(rows) == [RIG, COMBINED, OWN, FITTED, FITTED_TO_RIG]
        assert 2 < rows[RIG]["pa_mpjpe_mm"] < 4
        assert rows[RIG]["pa_by_level_mm"][0] > 8
        for name in (COMBINED, OWN, FITTED):
            assert rows[name]["pa_mpjpe_mm"] < 0.5 * rows[RIG]["pa_mpjpe_mm"], name
        assert rows[FITTED_TO_RIG]["pa_mpjpe_mm"] > 2 * rows[FITTED]["pa_mpjpe_mm"]
        lines = table(rows).splitlines()
        assert len(lines) == 7 and all(line.count("|") == 4 + len(LEVELS) for line in lines)

    def test_a_left_model_of_mano(self, tmp_path):
        file = write_plain(tmp_path / "MANO_LEFT.pkl", left_of(small_mano()))
        with raises("nimble.mano_side", file=file, expected="right", found="left"):
            posed(nimble_folder(), file, 1)


class TestErrors:
    def test_of_a_moved_and_turned_hand(self, rng):
        wanted = torch.from_numpy(rng.normal(scale=0.05, size=(3, 21, 3)))
        turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3))))[0]
        turn = turn * torch.linalg.det(turn)
        said = errors(1.3 * wanted @ turn + 0.1, wanted)
        assert said["mpjpe_mm"] > 10 and said["pa_mpjpe_mm"] < 1e-9

    def test_levels_are_parts_of_the_whole(self, rng):
        one, other = (torch.from_numpy(rng.normal(size=(3, 21, 3))) for _ in range(2))
        said = errors(one, other)
        wrist, *fingers = said["pa_by_level_mm"]
        assert np.isclose((wrist + 5 * sum(fingers)) / 21, said["pa_mpjpe_mm"])


class TestCombined:
    def test_fixed_combinations_are_found(self, rng):
        joints = torch.from_numpy(rng.normal(size=(HANDS, 25, 3)))
        weights = torch.from_numpy(rng.normal(size=(25, 21)))
        weights[0] += 1 - weights.sum(0)
        wanted = torch.einsum("jk,njx->nkx", weights, joints)
        torch.testing.assert_close(combined(joints, wanted), wanted, rtol=0, atol=1e-9)

    def test_of_other_hands(self, rng):
        """What no combination reaches is not reached by learning it by heart."""
        joints = torch.from_numpy(rng.normal(size=(HANDS, 25, 3)))
        wanted = torch.from_numpy(rng.normal(size=(HANDS, 21, 3)))
        assert (combined(joints, wanted) - wanted).norm(dim=-1).mean() > 1


def test_mano_reaches_its_own_keypoints(tmp_path):
    data = load_mano(write_plain(tmp_path / "MANO_RIGHT.pkl", small_mano()))
    model = HandModel(data, torch.float64)
    params = random_params(4)
    params = params.map(lambda part: 0.3 * part)
    wanted = model(params).keypoints
    assert errors(mano_fitted(model, wanted), wanted)["mpjpe_mm"] < 0.3
