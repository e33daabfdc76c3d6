"""Several rendered sets read as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from init_net.samples.joined import JoinedSamples, fitting_shapes
from init_net.samples.shards import SampleSource, ShardedSamples
from init_net.samples.sightings import Sightings
from tests.support.errors import raises
from tests.support.rendered_samples import write_sightings
from tests.support.training_cases import blank_samples

SOURCE = SampleSource(seed=3, count=4, size=16)


def written(folder, count, shapes):
    """A set whose modes and shapes are the samples' numbers, from `count` on."""
    blank_samples(folder, replace(SOURCE, count=count))
    numbers = np.arange(count) + count
    shard = folder / "shard-000000000"
    np.save(shard / "mode.npy", numbers.astype("int16"))
    np.save(shard / "betas.npy", np.tile(numbers[:, None], (1, shapes)).astype("float32"))
    return ShardedSamples(folder)


@pytest.fixture
def joined(tmp_path):
    return JoinedSamples([written(tmp_path / "a", 4, 10), written(tmp_path / "b", 6, 11)])


def test_samples_are_numbered_through(joined):
    assert len(joined) == 10
    assert joined.column("mode").tolist() == [4, 5, 6, 7, 6, 7, 8, 9, 10, 11]
    assert joined.read([9, 0, 4, 3], ["mode"])["mode"].tolist() == [11, 4, 6, 7]


def test_shapes_that_a_set_lacks_are_zero(joined):
    betas = joined.read([0, 4], ["betas"])["betas"]
    assert betas.shape == (2, 11) and joined.column("betas").shape == (10, 11)
    assert betas[0].tolist() == [4.0] * 10 + [0.0] and betas[1].tolist() == [6.0] * 11


def test_images_of_two_sizes_are_refused(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    blank_samples(small, SOURCE)
    blank_samples(large, replace(SOURCE, size=32))
    with raises("samples.other_option", file=large, option="size", expected=16, found=32):
        JoinedSamples([ShardedSamples(small), ShardedSamples(large)])


@pytest.mark.parametrize(("given", "wanted"), [(10, 11), (11, 10), (10, 10), (11, 0)])
def test_a_network_is_asked_for_the_coefficients_it_has(given, wanted):
    betas = torch.randn(3, given)
    found = fitting_shapes(betas, wanted)
    assert found.shape == (3, wanted)
    common = min(given, wanted)
    assert torch.equal(found[:, :common], betas[:, :common]) and not found[:, common:].any()


def test_sightings_of_sets_that_were_looked_at_more_and_less_often(tmp_path):
    """In the order of the samples; what a set has not was not seen."""
    sets = [written(tmp_path / "a", 4, 10), written(tmp_path / "b", 6, 11)]
    for part, variants in zip(sets, (1, 3), strict=True):
        write_sightings(part, noise=1.0, variants=variants)
    seen = Sightings(JoinedSamples(sets))
    wanted = np.zeros((10, 3), bool)
    wanted[:4, 0], wanted[4:] = True, True
    assert ((seen.found > 0) == wanted).all()
    which = np.array([1, 4, 9]), np.array([0, 2, 1])
    found = seen.read(*which)
    for row, (part, sample, variant) in enumerate([(0, 1, 0), (1, 0, 2), (1, 5, 1)]):
        alone = Sightings(sets[part]).read(np.array([sample]), np.array([variant]))
        for name, value in alone.items():
            np.testing.assert_array_equal(found[name][row], value[0], err_msg=name)
    assert np.isnan(seen.read(np.array([2]), np.array([1]))["keypoints"]).all()
    assert Sightings(JoinedSamples(sets), [1, 2]).found.shape == (10, 2)
    with raises("samples.too_few_sightings", expected="4 x 2", found="4 x 1"):
        Sightings(JoinedSamples(sets), [2, 2])
