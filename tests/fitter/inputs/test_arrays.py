"""Images and masks as arrays: taken as they are, or refused."""

import numpy as np
import pytest

from fitter.inputs.arrays import check_mask, check_pixels
from fitter.inputs.images import ReadLimits
from tests.support.errors import raises

IMAGE = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)


def test_an_image_is_taken_as_it_is():
    assert check_pixels(IMAGE, "image") is IMAGE
    turned = check_pixels(IMAGE.transpose(1, 0, 2), "image")
    assert turned.flags.c_contiguous and (turned == IMAGE.transpose(1, 0, 2)).all()


@pytest.mark.parametrize(
    "value, code, facts",
    [
        (IMAGE / 255, "array.dtype", {"found": "float64"}),
        (IMAGE.astype(np.float32), "array.dtype", {"found": "float32"}),
        (IMAGE.astype(np.uint16), "array.dtype", {"found": "uint16"}),
        ([[1, 2], [3]], "array.dtype", {"found": "list"}),
        (None, "array.dtype", {"found": "object"}),
        (np.dstack([IMAGE, IMAGE[..., :1]]), "array.channels", {"found": 4}),
        (IMAGE[..., :1], "array.channels", {"found": 1}),
        (IMAGE[..., 0], "array.shape", {"shape": (20, 30)}),
        (IMAGE[None], "array.shape", {"shape": (1, 20, 30, 3)}),
        (IMAGE[:0], "array.empty", {"shape": (0, 30, 3)}),
        (IMAGE[:, :0], "array.empty", {"shape": (20, 0, 3)}),
        (IMAGE[:15], "image.too_small", {"width": 30, "height": 15}),
    ],
)
def test_other_images_are_refused(value, code, facts):
    with raises(code, file="image 3", **facts):
        check_pixels(value, "image 3")


def test_an_image_beyond_the_limits_is_refused():
    with raises("image.too_large", file="image", pixels=600):
        check_pixels(IMAGE, "image", ReadLimits(max_pixels=599))


@pytest.mark.parametrize("largest", [True, 1, np.uint8(255), np.uint16(65535), np.int64(1)])
def test_a_mask_of_truth_values_or_whole_numbers(largest):
    truth = np.arange(600).reshape(20, 30) % 7 < 3
    mask = check_mask(truth * largest, (30, 20), "mask")
    assert mask.dtype == bool and (mask == truth).all()


def test_a_mask_without_a_hand():
    assert not check_mask(np.zeros((20, 30), np.uint8), (30, 20), "mask").any()


@pytest.mark.parametrize(
    "value, code, facts",
    [
        (np.zeros((20, 30)), "array.dtype", {"found": "float64"}),
        (np.zeros((30, 20), bool), "array.shape", {"shape": (30, 20)}),
        (np.zeros((20, 30, 1), bool), "array.shape", {"shape": (20, 30, 1)}),
        (np.arange(600).reshape(20, 30) % 100, "mask.labels", {"most": 99, "span": 255}),
        (np.full((20, 30), -1), "image.grey_range", {"least": -1}),
    ],
)
def test_other_masks_are_refused(value, code, facts):
    with raises(code, file="mask 3", **facts):
        check_mask(value, (30, 20), "mask 3")
