"""Which samples a step learns from, whatever was asked for before."""

import numpy as np
import pytest

from init_net.samples.mixing import CYCLE, Mixture

OWNER = np.repeat([0, 1, 2], [70, 30, 11])


def drawn(mixture: Mixture, steps: int, size: int) -> np.ndarray:
    return np.stack([mixture.chosen(step, size) for step in range(steps)])


@pytest.mark.parametrize("size", [1, 7, 32])
@pytest.mark.parametrize(
    "shares", [(0.5, 0.3, 0.2), (None, 0.25, None), (0.9, 0.0, 0.1), (None, None, 0.333)]
)
def test_every_batch_has_its_shares(shares, size):
    found = OWNER[drawn(Mixture(OWNER, shares, seed=3), 200, size)]
    for source, share in enumerate(shares):
        if share is not None:
            counts = (found == source).sum(1)
            # As nearly as whole samples allow, in each batch and over all.
            assert np.abs(counts - share * size).max() <= 2
            assert abs(counts.sum() - share * found.size) <= 1 + 1e-3 * found.size


def test_sources_without_a_share_have_the_rest_by_their_numbers():
    found = OWNER[drawn(Mixture(OWNER, (None, 0.5, None), seed=0), 1000, 20)]
    counts = np.bincount(found.ravel(), minlength=3) / found.size
    np.testing.assert_allclose(counts, [0.5 * 70 / 81, 0.5, 0.5 * 11 / 81], atol=0.002)


def test_every_sample_of_a_source_once_in_each_of_its_passes():
    found = drawn(Mixture(OWNER, (0.5, 0.3, 0.2), seed=1), 60, 25).ravel()
    for source, count in enumerate(np.bincount(OWNER)):
        own = found[OWNER[found] == source]
        whole = own[: len(own) // count * count].reshape(-1, count)
        assert len(whole) > 1
        assert (np.sort(whole, 1) == np.flatnonzero(source == OWNER)).all()
        assert (whole[0] != whole[1]).any()


def test_of_one_source_it_is_the_order_of_earlier_versions():
    """A run that began before there were shares goes on with the batches it would have had."""
    found = drawn(Mixture(np.zeros(9, np.int64), (None,), seed=5), 4, 9)
    wanted = [np.random.default_rng([5, 2, number]).permutation(9) for number in range(4)]
    assert (found == wanted).all()


def test_seed_and_step_decide():
    first, second = (Mixture(OWNER, (0.5, 0.3, 0.2), seed=1) for _ in range(2))
    second.chosen(40, 16)
    assert (first.chosen(7, 16) == second.chosen(7, 16)).all()
    assert (first.chosen(7, 16) != first.chosen(8, 16)).any()
    assert (first.chosen(7, 16) != Mixture(OWNER, (0.5, 0.3, 0.2), 2).chosen(7, 16)).any()


def test_a_pass_may_be_shorter_than_a_batch():
    found = Mixture(np.array([0, 1, 1]), (0.5, 0.5), seed=0).chosen(3, 2 * CYCLE)
    assert (np.bincount(found) == [CYCLE, CYCLE // 2, CYCLE // 2]).all()


@pytest.mark.parametrize("shares", [(0.5, 0.6, None), (0.5, 0.3, 0.1)])
def test_shares_that_do_not_add_up(shares):
    with pytest.raises(ValueError, match="add up to 1"):
        Mixture(OWNER, shares, seed=0)


def test_a_share_of_nothing():
    with pytest.raises(ValueError, match="no item"):
        Mixture(np.array([0, 0]), (0.5, 0.5), seed=0)
