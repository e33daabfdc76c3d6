"""Data sets of the tests with many images: the same samples, in files of their own."""

import sys
from pathlib import Path

import pytest

from tests.support.reader_checks import assert_same
from tests.support.reader_fixtures import FIXTURES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from many_images import GROWING, with_more_images


@pytest.mark.parametrize("name", GROWING)
def test_every_image_is_whole_and_a_file_of_its_own(name, tmp_path):
    few = FIXTURES[name](tmp_path).images
    samples = [few[place] for place in range(len(few))]
    many = with_more_images(few, 3 * len(few) - 1)
    assert len(many) == 3 * len(samples) == len({many.path(p) for p in range(len(many))})
    for place in range(len(many)):
        sample = many[place]
        (hand,) = sample.annotation.hands
        alike = [one for one in samples if (one.pixels == sample.pixels).all()]
        assert_same(hand, alike[0].annotation.hands[0])
