"""Masks as other tools write them: each used rightly, each hand's its own, or refused by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fitter.config.options import Config
from fitter.inputs.hand_masks import masks_of_hands, scaled
from fitter.inputs.images import ImageEntry
from fitter.inputs.mask_files import MaskFolder, read_mask
from fitter.inputs.mask_values import hand_pixels
from fitter.records import HandObservation, ImageRecord
from fitter.workers.image_detector import find_hands
from tests.support.errors import raises

SIZE = (200, 160)
FIRST, SECOND, THING = (
    (slice(20, 80), slice(20, 70)),
    (slice(60, 150), slice(90, 160)),
    (
        slice(100, 150),
        slice(10, 80),
    ),
)


def hand_in(place, side="right"):
    """A hand whose keypoints fill a part of the picture."""
    rng = np.random.default_rng(place[0].start)
    low = np.array([place[1].start, place[0].start])
    high = np.array([place[1].stop, place[0].stop])
    points = low + 2 + (high - low - 4) * rng.random((21, 2))
    return HandObservation(points, np.ones(21), side, 1.0, 1.0)


@pytest.fixture
def hands():
    return [hand_in(FIRST), hand_in(SECOND, "left")]


@pytest.fixture
def regions():
    """Masks of the two hands and of a thing."""
    found = []
    for place in (FIRST, SECOND, THING):
        mask = np.zeros(SIZE[::-1], bool)
        mask[place] = True
        found.append(mask)
    return found


def labelled(regions, values, kind=np.uint8):
    labels = np.zeros(SIZE[::-1], kind)
    for mask, value in zip(regions, values, strict=False):
        labels[mask] = value
    return labels


def saved(path, image, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


class TestLabels:
    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            ((1, 2, 3), np.uint8),
            ((2, 1, 9), np.uint8),
            ((85, 170, 255), np.uint8),  # spread over the range, so that people see them
            ((255, 254, 253), np.uint8),
            ((1, 2, 255), np.uint8),  # 255 is what is not to count
            ((1, 2, 3), np.uint16),
            ((24_001, 24_002, 7), np.uint16),  # a class and a number
            ((33_001, 33_002, 26_001), np.uint16),
            ((1, 2, 3), np.int32),
        ],
    )
    def test_each_hand_gets_its_own(self, tmp_path, hands, regions, values, kind):
        ending = "tif" if kind == np.int32 else "png"
        path = saved(tmp_path / f"a.{ending}", labelled(regions, values, kind))
        np.save(tmp_path / "a.npy", labelled(regions, values, kind))
        for file in (path, tmp_path / "a.npy"):
            own = masks_of_hands(read_mask(file), hands)
            for mask, expected in zip(own, regions, strict=False):
                np.testing.assert_array_equal(mask, expected)

    @pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
    def test_colours_are_labels(self, tmp_path, hands, regions, mode):
        image = Image.fromarray(labelled(regions, (1, 2, 3)), "P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0, 64])
        path = saved(tmp_path / "a.png", image.convert(mode))
        own = masks_of_hands(read_mask(path), hands)
        assert all((a == b).all() for a, b in zip(own, regions, strict=False))

    def test_a_background_with_a_colour_is_nobodys(self, tmp_path, hands, regions):
        image = Image.fromarray(labelled(regions, (1, 2, 3)), "P")
        image.putpalette([90, 90, 200, 128, 0, 0, 0, 128, 0, 0, 0, 64])
        own = masks_of_hands(read_mask(saved(tmp_path / "a.png", image)), hands)
        assert all((a == b).all() for a, b in zip(own, regions, strict=False))

    def test_both_hands_have_one_label(self, hands, regions):
        own = masks_of_hands(labelled(regions, (4, 4, 3), np.uint16), hands)
        both = regions[0] | regions[1]
        assert (own[0] == both).all() and (own[1] == both).all()

    def test_a_hand_behind_a_thing_keeps_to_its_own(self, regions):
        """A third of its keypoints lie in the thing's label."""
        hand = hand_in(FIRST)
        hand.keypoints[:7] = [40, 120]
        (own,) = masks_of_hands(labelled(regions, (1, 2, 3), np.uint16), [hand])
        assert (own == regions[0]).all()

    def test_a_hand_in_parts_is_put_together(self, hands, regions):
        parts = labelled(regions, (0, 9, 8), np.uint16)
        for number, row in enumerate(range(20, 80, 12), start=1):
            parts[row : row + 12, FIRST[1]] = number
        own = masks_of_hands(parts, hands)
        assert (own[0] == regions[0]).all() and (own[1] == regions[1]).all()

    def test_a_hand_outside_all_labels_has_no_mask(self, hands, regions):
        own = masks_of_hands(labelled(regions, (0, 2, 3), np.uint16), hands)
        assert own[0] is None and (own[1] == regions[1]).all()

    def test_keypoints_that_were_not_seen_or_lie_outside_do_not_count(self, hands, regions):
        hand = hands[0]
        hand.keypoints[:12], hand.confidence[:12] = [120, 100], 0.0
        hand.keypoints[12:15] = [[-5, 20], [1e9, 3], [np.nan, 4]]
        (own,) = masks_of_hands(labelled(regions, (1, 2, 3), np.uint16), [hand])
        assert (own == regions[0]).all()

    def test_a_crop_holds_its_own_hand_alone(self, regions, hands):
        pixels = np.zeros((*SIZE[::-1], 3), np.uint8)
        matrix = np.array([[200.0, 0, 100], [0, 200, 80], [0, 0, 1]])
        image = ImageRecord("a", Path("a"), pixels, matrix, "given")
        labels = labelled(regions, (1, 2, 3), np.uint16)
        labels[:] = labelled(regions, (1, 2, 3), np.uint16)
        found = find_hands(image, hands, labels, None, Config())
        for crop, region in zip(found.crops, regions, strict=False):
            share = crop.given_share
            alone = find_hands(image, hands, region, None, Config())
            assert share.sum() > 0.2 * share.size
            assert any((share == other.given_share).all() for other in alone.crops)
        none = find_hands(image, hands, labelled(regions, (0, 2, 3), np.uint16), None, Config())
        assert none.crops[0].given is None and none.crops[1].given is not None


class TestSoftMasks:
    def test_soft_borders_and_noise_are_no_labels(self, tmp_path, regions):
        both = (regions[0] | regions[1]).astype(np.uint8) * 255
        soft = cv2.GaussianBlur(both, (0, 0), 2.0)
        steps = (soft // 64 * 85).astype(np.uint8)  # 0, 85, 170, 255
        for name, values in (("soft", soft), ("steps", steps)):
            read = read_mask(saved(tmp_path / f"{name}.png", values))
            assert read.dtype == bool and (read == (values > 127)).all()
        noisy = read_mask(saved(tmp_path / "a.jpg", both, quality=40))
        assert noisy.dtype == bool and (noisy != (both > 0)).mean() < 0.002
        np.save(tmp_path / "a.npy", soft / np.float32(255))
        assert (read_mask(tmp_path / "a.npy") == (soft > 127)).all()

    def test_a_jpeg_of_labels_is_refused(self, tmp_path, regions):
        for values in ((1, 2, 3), (1, 1, 1), (40, 80, 120)):
            path = saved(tmp_path / "a.jpg", labelled(regions, values), quality=95)
            with raises("mask.labels", file=path):
                read_mask(path)

    def test_many_dim_values_are_refused(self, tmp_path):
        values = np.arange(160 * 200).reshape(160, 200) % 120
        path = saved(tmp_path / "a.png", values.astype(np.uint8))
        with raises("mask.labels", file=path, span=255, least=0, most=119):
            read_mask(path)

    @pytest.mark.parametrize("values", [[[-1.0, 0.5]], [[0.0, np.nan]], [[0.0, 70_000.0]]])
    def test_numbers_that_are_no_mask(self, values):
        with raises("image.grey_range", file="m"):
            hand_pixels(np.array(values), "m")


class TestInverted:
    def test_it_is_refused_by_name(self, hands, regions):
        mask = ~(regions[0] | regions[1])
        with raises("mask.inverted", outside=42, count=42) as caught:
            masks_of_hands(mask, hands)
        assert "inverted" in str(caught.value)

    def test_a_hand_that_fills_the_picture_too(self):
        mask = np.ones(SIZE[::-1], bool)
        mask[10:150, 10:190] = False  # the rest is a fifth, at the border
        with raises("mask.inverted"):
            masks_of_hands(mask, [hand_in((slice(20, 140), slice(20, 180)))])

    def test_other_masks_are_not(self, hands, regions):
        nothing = np.zeros(SIZE[::-1], bool)
        for mask in (nothing, ~nothing, regions[0], regions[2], regions[0] | regions[1]):
            assert all(each is mask for each in masks_of_hands(mask, hands))
        # One hand that the mask leaves out, beside one that fills it.
        assert masks_of_hands(~regions[1], [hand_in(FIRST), hand_in(SECOND)])[0] is not None
        assert masks_of_hands(~nothing, []) == []

    def test_the_file_is_named(self, regions, hands):
        image = ImageRecord(
            "p/a.jpg", Path("a"), np.zeros((*SIZE[::-1], 3), np.uint8),
            np.array([[200.0, 0, 100], [0, 200, 80], [0, 0, 1]]), "given",
        )  # fmt: skip
        mask = ~(regions[0] | regions[1])
        with raises("mask.inverted", file="mask of p/a.jpg"):
            find_hands(image, hands, mask, None, Config())


class TestSizes:
    @pytest.mark.parametrize("size", [(100, 80), (400, 320), (50, 40), (333, 266), (67, 54)])
    def test_the_same_aspect_is_scaled(self, regions, size):
        labels = labelled(regions, (1, 2, 3), np.uint16)
        small = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        back = scaled(small, SIZE)
        assert back.dtype == np.uint16 and set(np.unique(back)) == {0, 1, 2, 3}
        assert (back != labels).mean() < 0.06 * max(1.0, 200 / size[0]) ** 0.5
        mask = scaled(small > 0, SIZE)
        assert mask.dtype == bool
        assert (mask != (labels > 0)).mean() < 0.06 * max(1.0, 200 / size[0]) ** 0.5

    @pytest.mark.parametrize("size", [(160, 200), (200, 150), (200, 162), (100, 100), (400, 300)])
    def test_another_aspect_is_refused(self, tmp_path, size):
        entry = ImageEntry("a.jpg", tmp_path / "pictures" / "a.jpg")
        path = saved(tmp_path / "a.png", np.full(size[::-1], 255, np.uint8))
        found = f"{size[0]} x {size[1]}"
        with raises("mask.size", file=path, image="a.jpg", expected="200 x 160", found=found):
            MaskFolder.open(tmp_path).mask_for(entry, SIZE)

    def test_a_mask_in_its_own_size_is_not_touched(self, regions):
        assert scaled(regions[0], SIZE) is regions[0]


class TestArrays:
    def test_what_is_no_array_of_a_mask(self, tmp_path):
        path = tmp_path / "a.npy"
        path.write_bytes(b"no array")
        with raises("mask.array", file=path, found="a damaged file"):
            read_mask(path)
        for values in (np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), complex)):
            np.save(path, values)
            with raises("mask.array", file=path):
                read_mask(path)
        np.save(path, np.array([[{}]]), allow_pickle=True)
        with raises("mask.array", file=path):
            read_mask(path)
        path.write_bytes(b"")
        with raises("mask.array", file=path):
            read_mask(path)
        path.unlink()
        with raises("mask.unreadable", file=path):
            read_mask(path)
        np.save(path, np.zeros((4, 4), bool))
        with raises("mask.unreadable", file=path):
            read_mask(path)

    def test_a_mask_is_found_by_its_ending(self, tmp_path, regions):
        np.save(tmp_path / "a.npy", regions[0])
        entry = ImageEntry("a.jpg", tmp_path / "pictures" / "a.jpg")
        mask = MaskFolder.open(tmp_path).mask_for(entry, SIZE)
        np.testing.assert_array_equal(mask, regions[0])
