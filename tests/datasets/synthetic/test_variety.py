"""Gloves, children, grey and infrared cameras, more things: and nothing else is touched by them."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.background_files import FREE_IMAGES, MORE_IMAGES
from datasets.synthetic.backgrounds import load_bank, painted_bank
from datasets.synthetic.records import COLOUR, GREY, HAND, INFRARED
from fitter.records import TensorBatch

BEFORE = Path(__file__).with_name("before_variety.json")
"""Samples 0 to 11 of seed 1000, 64 pixels, as they were before any of this was there: of each field
its fingerprint. Processors do not agree on last digits, so that no digest of bytes would do."""
NEW = ("glove", "imaging", "arm.size")
SIZE, SEED, COUNT = 64, 1000, 12


def tensors(record, before=""):
    """Name and tensor of every field, records inside records too."""
    for entry in fields(record):
        value, name = getattr(record, entry.name), before + entry.name
        if isinstance(value, TensorBatch):
            yield from tensors(value, f"{name}.")
        else:
            yield name, value


def fingerprint(tensor) -> list[float]:
    """Of (N, ...) the length of the values, the share of finite ones, and eight sums with random
    weights: whatever changes its place or by a thousandth of the length changes those."""
    values = tensor.double().flatten().numpy()
    finite = np.isfinite(values)
    values = np.where(finite, values, 0.0)
    weights = np.random.default_rng(len(values)).normal(size=(8, len(values)))
    return [float(np.linalg.norm(values)), float(finite.mean()), *(weights @ values).tolist()]


def engine(**settings):
    return SyntheticEngine(SIZE, SyntheticSettings(**settings))


@pytest.fixture(scope="module")
def plain():
    return engine().batch(SEED, range(COUNT))


@pytest.fixture(scope="module")
def varied_engine():
    return engine(glove_share=0.5, child_share=0.5, grey_share=0.6, varied_object_share=0.5,
                  object_share=0.9, second_hand_share=0.4, backgrounds="mixed")  # fmt: skip


@pytest.fixture(scope="module")
def varied(varied_engine):
    return varied_engine.batch(SEED, range(COUNT))


def different(first, second) -> set[str]:
    """Names of fields of specs that differ."""
    other = dict(tensors(second))
    return {name for name, value in tensors(first) if not torch.equal(value, other[name])}


class TestWhatWasThere:
    def test_samples_without_anything_new_are_those_from_before(self, plain):
        kept = {
            name: fingerprint(tensor)
            for name, tensor in tensors(plain)
            if not any(f".{new}" in name for new in NEW)
        }
        before = json.loads(BEFORE.read_text())
        assert kept.keys() == before.keys()
        for name, values in before.items():
            assert kept[name] == pytest.approx(values, rel=0, abs=1e-4 * values[0]), name

    @pytest.mark.parametrize(
        ("share", "touched"),
        [
            ("glove_share", ("glove", "second.glove")),
            ("grey_share", ("imaging", "light", "background", "lens")),
            ("varied_object_share", ("objects",)),
        ],
    )
    def test_each_kind_leaves_all_else_alone(self, plain, share, touched):
        specs = engine(**{share: 1.0}).sample(SEED, range(COUNT))
        changed = different(plain.specs, specs)
        assert changed
        assert all(name.startswith(touched) for name in changed)

    def test_children_leave_skin_and_gloves_alone(self, plain):
        specs = engine(child_share=1.0).sample(SEED, range(COUNT))
        for part in ("skin", "glove"):
            assert not different(getattr(plain.specs, part), getattr(specs, part))

    def test_settings_from_before_say_the_same(self):
        assert not any("glove" in name for name in SyntheticSettings().description())
        assert SyntheticSettings(glove_share=0.1).description()["glove_share"] == 0.1


def test_a_sample_does_not_depend_on_its_batch(varied_engine, varied):
    for row in range(COUNT):
        alone = dict(tensors(varied_engine.batch(SEED, [row])))
        for name, value in tensors(varied[row : row + 1]):
            assert torch.equal(value, alone[name]), (row, name)


class TestGloves:
    @pytest.fixture(scope="class")
    @classmethod
    def pair(cls):
        """The same hands with gloves and without."""
        made = engine(glove_share=1.0, second_hand_share=0.0)
        specs = made.sample(3, range(16))
        bare = replace(
            specs, glove=replace(specs.glove, present=torch.zeros_like(specs.glove.present))
        )
        return made.render(specs), made.render(bare)

    def test_the_truth_of_the_hand_is_that_of_the_bare_one(self, pair):
        gloved, bare = pair
        assert torch.equal(gloved.keypoints_3d, bare.keypoints_3d)
        assert torch.equal(gloved.vertices, bare.vertices)

    def test_gloves_are_thicker_by_millimetres(self, pair):
        gloved, bare = pair
        grown = gloved.mask.sum((1, 2)) / bare.mask.sum((1, 2))
        assert (grown > 0.99).all() and (grown < 1.35).all() and grown.mean() > 1.005

    def test_the_hand_takes_the_colour_of_the_glove(self, pair):
        """Of latex that is not sheer: what is left of skin's red over blue is the glove's."""
        gloved, _ = pair
        glove = gloved.specs.glove
        hue, said = [], []
        for row in torch.nonzero((glove.kind == 1) & (glove.sheer < 0.1))[:, 0].tolist():
            pixels = gloved.image[row][gloved.mask[row] > 0.9].double().mean(0)
            hue.append((pixels[0] - pixels[2]).sign().item())
            said.append((glove.colours[row, 0, 0] - glove.colours[row, 0, 2]).sign().item())
        assert len(hue) >= 2
        assert np.mean(np.equal(hue, said)) > 0.7

    def test_fingertips_of_a_glove_without_them_are_bare(self):
        made = engine(second_hand_share=0.0, object_share=0.0)
        specs = engine(glove_share=1.0, second_hand_share=0.0, object_share=0.0).sample(3, [4])
        cut = replace(specs, glove=replace(specs.glove, fingerless=torch.tensor([True])))
        bare = replace(specs, glove=replace(specs.glove, present=torch.tensor([False])))
        whole = replace(specs, glove=replace(specs.glove, fingerless=torch.tensor([False])))
        linear = [made.render(s).image.double() for s in (cut, bare, whole)]
        # It has pixels of both, the hand's and the glove's.
        assert (linear[0] != linear[1]).any() and (linear[0] != linear[2]).any()


class TestCameras:
    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls):
        return engine(grey_share=0.7, second_hand_share=0.0).batch(5, range(24))

    def test_all_kinds_are_there(self, batch):
        assert set(batch.specs.imaging.kind.tolist()) == {COLOUR, GREY, INFRARED}

    def test_grey_images_have_no_colour(self, batch):
        spread = batch.image.double().std(-1).flatten(1).amax(1)
        assert ((spread == 0) == (batch.specs.imaging.kind != COLOUR)).all()

    def test_skin_of_every_colour_is_bright_in_the_infrared(self):
        made = engine(grey_share=1.0, second_hand_share=0.0, object_share=0.0, occluder_share=0.0)
        specs = made.sample(5, range(24))
        contrast = {}
        for kind in (GREY, INFRARED):
            some = specs[torch.nonzero(specs.imaging.kind == kind)[:, 0]]
            levels = []
            for shade in (-1.6, 1.8):
                appearance = some.skin.appearance.clone()
                appearance[:, 0] = shade
                image = made.render(replace(some, skin=replace(some.skin, appearance=appearance)))
                on_hand = image.parts == HAND
                levels.append((image.image[..., 0] * on_hand).sum() / on_hand.sum())
            contrast[kind] = float(levels[1] / levels[0])
        assert contrast[INFRARED] < 1.25 < contrast[GREY]

    def test_what_is_behind_is_dark_in_the_infrared(self, batch):
        rows = torch.nonzero(batch.specs.imaging.kind == INFRARED)[:, 0]
        hand, behind = batch.parts[rows] == HAND, batch.parts[rows] == 0
        pixels = batch.image[rows][..., 0].double()
        brighter = [
            pixels[k][hand[k]].mean() > pixels[k][behind[k]].mean() for k in range(len(rows))
        ]
        assert np.mean(brighter) > 0.9


class TestChildren:
    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls):
        return engine(child_share=1.0, second_hand_share=0.0).batch(5, range(24))

    def test_their_hands_and_arms_are_smaller(self, batch, plain):
        def length(points):
            return (points[:, 9] - points[:, 10]).norm(dim=-1)

        size = batch.specs.arm.size
        assert (size < 0.95).all() and (size > 0.5).all()
        assert length(batch.keypoints_3d).mean() < 0.85 * length(plain.keypoints_3d).mean()

    def test_an_adult_is_of_size_one(self, plain, varied):
        assert (plain.specs.arm.size == 1).all()
        assert ((varied.specs.arm.size == 1) == (varied.specs.hand.betas[:, 10:] == 0)[:, 0]).all()


class TestBackgrounds:
    def test_mixed_has_the_painted_ones_and_more(self):
        bank = load_bank("mixed")
        np.testing.assert_array_equal(bank[:56], painted_bank())
        assert len(bank) >= 56 + 70

    def test_every_packaged_image_names_its_licence_once(self):
        listed = FREE_IMAGES + MORE_IMAGES
        assert len({(package, name) for package, name, _ in listed}) == len(listed)
        assert all("CC" in licence or "public domain" in licence for *_, licence in listed)
