"""Keypoint, silhouette and photometric energies against their equations as printed."""

import math

import numpy as np
import pytest
import torch

from fitter.conventions import BONES
from fitter.energies.keypoints_2d import (
    bone_orientation,
    smooth_l1_keypoints,
    squared_l2_keypoints,
)
from fitter.energies.photometric import pixel_l2, rgb_all_pixels, ssim_foreground
from fitter.energies.silhouette import iou_loss, squared_l2, ssim_mask, ssim_silhouette
from fitter.energies.structural import SsimSettings, ssim, ssim_map
from tests.support.energy_checks import (
    Case,
    check_batch,
    check_finite,
    check_gradients,
    check_nan_stays,
    check_no_host_synchronisation,
)
from tests.support.printed_ssim import ssim_as_printed

BATCH, HEIGHT, WIDTH = 3, 14, 13
PLAIN = SsimSettings(stride=1)


def uniform(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PICTURE, RENDERED = uniform(0, BATCH, HEIGHT, WIDTH, 3), uniform(1, BATCH, HEIGHT, WIDTH, 3)
ALPHA, MASK = uniform(2, BATCH, HEIGHT, WIDTH), uniform(3, BATCH, HEIGHT, WIDTH).round()
WEIGHT = uniform(4, BATCH, HEIGHT, WIDTH)
PROJECTED, DETECTED = 6 * uniform(5, BATCH, 21, 2), 6 * uniform(6, BATCH, 21, 2)
CONFIDENCE, CONFIDENCE_SUM = uniform(7, BATCH, 21), 21 * uniform(8, BATCH)

CASES = {
    "smooth_l1_keypoints": Case(smooth_l1_keypoints, (PROJECTED, DETECTED, CONFIDENCE)),
    "bone_orientation": Case(bone_orientation, (PROJECTED, DETECTED, CONFIDENCE)),
    "l2_keypoints": Case(squared_l2_keypoints, (PROJECTED, DETECTED)),
    "squared_l2": Case(squared_l2, (ALPHA, MASK)),
    "squared_l2, weighted": Case(squared_l2, (ALPHA, MASK, WEIGHT)),
    "iou_loss": Case(iou_loss, (ALPHA, MASK)),
    "iou_loss, weighted": Case(iou_loss, (ALPHA, MASK, WEIGHT)),
    "ssim_silhouette, picture": Case(ssim_silhouette, (ALPHA, PICTURE)),
    "ssim_mask": Case(ssim_mask, (ALPHA, MASK, WEIGHT)),
    "ssim": Case(ssim, (PICTURE, RENDERED), free=2),
    "pixel_l2": Case(
        lambda rendered, alpha, image, total: pixel_l2(image, rendered, alpha, total),
        (RENDERED, ALPHA, PICTURE, CONFIDENCE_SUM),
        free=2,
    ),
    "ssim_foreground": Case(
        lambda rendered, alpha, image: ssim_foreground(image, rendered, alpha),
        (RENDERED, ALPHA, PICTURE),
        free=2,
    ),
    "rgb_all_pixels": Case(
        lambda rendered, image: rgb_all_pixels(image, rendered), (RENDERED, PICTURE)
    ),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@EACH
def test_gradients_are_those_of_finite_differences(case):
    check_gradients(case)


@EACH
def test_a_batch_is_its_hands_one_by_one(case):
    check_batch(case)


@EACH
def test_nan_stays_in_its_hand(case):
    check_nan_stays(case)


@EACH
def test_no_host_synchronisation(case):
    check_no_host_synchronisation(case)


def close(values: torch.Tensor, expected: list[float]) -> None:
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-11, atol=1e-12)


def as_numpy(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors]


# Keypoints


@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_s2hand_equation_3(beta):
    def smooth_l1(difference):
        size = abs(difference)
        return 0.5 * size**2 / beta if size < beta else size - 0.5 * beta

    expected = []
    for projected, detected, confidence in zip(
        *as_numpy(PROJECTED, DETECTED, CONFIDENCE), strict=True
    ):
        total = 0.0
        for i in range(21):
            for axis in range(2):
                total += confidence[i] * smooth_l1(detected[i, axis] - projected[i, axis])
        expected.append(total / 21)
    close(smooth_l1_keypoints(PROJECTED, DETECTED, CONFIDENCE, beta), expected)


def bones_as_printed(projected, detected, confidence):
    total = 0.0
    for palm, tip in BONES:
        bones = [points[tip] - points[palm] for points in (detected, projected)]
        seen, drawn = (bone / math.hypot(*bone) for bone in bones)
        total += confidence[palm] * confidence[tip] * ((seen - drawn) ** 2).sum()
    return total / 20


def test_s2hand_equation_4():
    hands = zip(*as_numpy(PROJECTED, DETECTED, CONFIDENCE), strict=True)
    expected = [bones_as_printed(*hand) for hand in hands]
    close(bone_orientation(PROJECTED, DETECTED, CONFIDENCE), expected)


def test_bone_orientation_knows_directions_only():
    moved = 3.0 * DETECTED + 5.0
    close(bone_orientation(moved, DETECTED, CONFIDENCE), [0.0] * BATCH)
    sure = torch.ones_like(CONFIDENCE)
    close(bone_orientation(-DETECTED, DETECTED, sure), [4.0] * BATCH)


def test_zhao_l_2d():
    expected = [
        sum((a - b) ** 2 for a, b in zip(p.ravel(), d.ravel(), strict=True))
        for p, d in zip(*as_numpy(PROJECTED, DETECTED), strict=True)
    ]
    close(squared_l2_keypoints(PROJECTED, DETECTED), expected)


@pytest.mark.parametrize("name", ["smooth_l1_keypoints", "bone_orientation"])
def test_keypoints_in_one_place(name):
    collapsed = torch.full_like(PROJECTED, 2.0)
    check_finite(CASES[name].at(collapsed))
    check_finite(CASES[name].at(PROJECTED, collapsed))
    check_finite(CASES[name].at(collapsed, collapsed))
    nearly = collapsed.clone()
    nearly[:, ::2] += 1e-25
    check_finite(CASES[name].at(nearly))


def test_keypoints_nobody_saw_pull_nowhere():
    for name in ("smooth_l1_keypoints", "bone_orientation"):
        values, (gradient,) = (
            CASES[name].at(PROJECTED, DETECTED, torch.zeros_like(CONFIDENCE)).run()
        )
        assert (values == 0).all()
        assert (gradient == 0).all()


# Silhouettes


def test_seeber_silhouette():
    expected, weighted = [], []
    for alpha, mask, weight in zip(*as_numpy(ALPHA, MASK, WEIGHT), strict=True):
        squares = [
            (alpha[row, column] - mask[row, column]) ** 2
            for row in range(HEIGHT)
            for column in range(WIDTH)
        ]
        expected.append(sum(squares))
        weighted.append(sum(w * s for w, s in zip(weight.ravel(), squares, strict=True)))
    close(squared_l2(ALPHA, MASK), expected)
    close(squared_l2(ALPHA, MASK, WEIGHT), weighted)
    in_squares = [value / 16 for value in weighted]
    close(squared_l2(ALPHA, MASK, WEIGHT, pixel_unit=4.0), in_squares)


def test_iou():
    expected = []
    for alpha, mask in zip(*as_numpy(ALPHA, MASK), strict=True):
        intersection = union = 0.0
        for a, t in zip(alpha.ravel(), mask.ravel(), strict=True):
            intersection += a * t
            union += a + t - a * t
        expected.append(1 - intersection / union)
    close(iou_loss(ALPHA, MASK), expected)


def test_iou_of_hard_masks_is_that_of_sets():
    other = ALPHA.round()
    both = ((other > 0) & (MASK > 0)).sum((1, 2))
    either = ((other > 0) | (MASK > 0)).sum((1, 2))
    close(iou_loss(other, MASK), (1 - both.double() / either).tolist())


def test_a_weight_of_zero_takes_pixels_out():
    weight = torch.ones_like(ALPHA)
    weight[:, :, : WIDTH // 2] = 0
    changed = MASK.clone()
    changed[:, :, : WIDTH // 2] = 1 - changed[:, :, : WIDTH // 2]
    for energy in (squared_l2, iou_loss):
        torch.testing.assert_close(energy(ALPHA, MASK, weight), energy(ALPHA, changed, weight))
        assert not torch.allclose(energy(ALPHA, MASK), energy(ALPHA, changed))


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.startswith(("squared_l2", "iou", "ssim_"))]
)
@pytest.mark.parametrize("rendered", [0.0, 1.0])
@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_nothing_rendered_or_nothing_masked(name, rendered, seen):
    first, second, *rest = CASES[name].inputs
    values = check_finite(
        CASES[name].at(torch.full_like(first, rendered), torch.full_like(second, seen), *rest)
    )
    if "foreground" not in name:
        assert ((values < 1e-9) == (rendered == seen)).all()


# Structural similarity


@pytest.mark.parametrize("stride", [1, 2])
def test_wang_equations_13_to_17(stride):
    settings = SsimSettings(stride=stride)
    maps = ssim_map(PICTURE, RENDERED, settings)
    for hand in range(BATCH):
        expected = ssim_as_printed(PICTURE[hand].numpy(), RENDERED[hand].numpy(), stride)
        np.testing.assert_allclose(maps[hand].numpy().ravel(), expected, rtol=1e-9)
        np.testing.assert_allclose(
            ssim(PICTURE, RENDERED, settings)[hand], expected.mean(), rtol=1e-9
        )


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_gradients_with_rows_and_columns_left_over(stride):
    settings = SsimSettings(window=5, stride=stride)
    energy = Case(lambda x, y: ssim(x, y, settings), (PICTURE[:, :9], RENDERED[:, :9]), free=2)
    check_gradients(energy)
    check_gradients(energy.at(PICTURE[:, :9], RENDERED[:, :9, :, :1]))


def test_another_window():
    settings = SsimSettings(window=7, deviation=2.0, stride=1)
    expected = [
        ssim_as_printed(a, b, size=7, deviation=2.0).mean()
        for a, b in zip(*as_numpy(PICTURE, RENDERED), strict=True)
    ]
    close(ssim(PICTURE, RENDERED, settings), expected)


def test_ssim_of_equal_pictures_is_one_and_symmetric():
    close(ssim(PICTURE, PICTURE), [1.0] * BATCH)
    torch.testing.assert_close(ssim(PICTURE, RENDERED), ssim(RENDERED, PICTURE))


def test_the_stride_leaves_the_mean_of_a_picture_nearly_as_it_is():
    # Smooth shapes with sharp edges, as hands before a background are.
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 128, dtype=torch.float64)] * 2, indexing="ij")
    disc = ((x**2 + y**2) < 0.4).double()
    moved = (((x - 0.07) ** 2 + (y + 0.03) ** 2) < 0.38).double()
    first = (disc * (0.6 + 0.2 * x) + 0.1 * torch.sin(9 * x) * (1 - disc))[None, :, :, None]
    second = (moved * (0.5 + 0.3 * y))[None, :, :, None]
    strided, plain = ssim(first, second), ssim(first, second, PLAIN)
    torch.testing.assert_close(strided, plain, atol=2e-3, rtol=0)
    assert plain < 0.9


def test_flat_and_black_pictures():
    black, grey = torch.zeros_like(PICTURE), torch.full_like(PICTURE, 0.5)
    assert (check_finite(CASES["ssim"].at(black, black)) == 1).all()
    check_finite(CASES["ssim"].at(black, grey))
    check_finite(CASES["ssim"].at(PICTURE, grey))


def test_pictures_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(PICTURE[:, :10], RENDERED[:, :10])
    with pytest.raises(ValueError, match="agree in size"):
        ssim(PICTURE, RENDERED[:, :-1])
    with pytest.raises(ValueError, match="B, H, W, C"):
        ssim(ALPHA, ALPHA)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        SsimSettings(stride=0)
    with pytest.raises(ValueError, match="must be positive"):
        SsimSettings(k1=0.0)


def test_zhao_l_sil():
    expected = [
        1 - ssim_as_printed(image, np.repeat(alpha[..., None], 3, -1)).mean()
        for image, alpha in zip(*as_numpy(PICTURE, ALPHA), strict=True)
    ]
    close(ssim_silhouette(ALPHA, PICTURE, PLAIN), expected)


def test_a_silhouette_is_compared_with_a_mask_where_it_is_trusted():
    expected = [
        1 - ssim_as_printed((weight * mask)[..., None], (weight * alpha)[..., None]).mean()
        for mask, alpha, weight in zip(*as_numpy(MASK, ALPHA, WEIGHT), strict=True)
    ]
    close(ssim_mask(ALPHA, MASK, WEIGHT, PLAIN), expected)
    assert ssim_mask(ALPHA, MASK, 0 * WEIGHT).abs().max() < 1e-12


# Photographs


def test_s2hand_equation_6():
    expected = []
    for image, rendered, mask, total in zip(
        *as_numpy(PICTURE, RENDERED, MASK, CONFIDENCE_SUM), strict=True
    ):
        inside = [
            math.sqrt(((image[row, column] - rendered[row, column]) ** 2).sum())
            for row in range(HEIGHT)
            for column in range(WIDTH)
            if mask[row, column]
        ]
        expected.append(total / len(inside) * sum(inside))
    close(pixel_l2(PICTURE, RENDERED, MASK, CONFIDENCE_SUM), expected)
    close(pixel_l2(PICTURE, RENDERED, MASK > 0, CONFIDENCE_SUM), expected)


def test_s2hand_equation_7():
    expected = [
        1 - ssim_as_printed(image * alpha[..., None], rendered).mean()
        for image, rendered, alpha in zip(*as_numpy(PICTURE, RENDERED, ALPHA), strict=True)
    ]
    close(ssim_foreground(PICTURE, RENDERED, ALPHA, PLAIN), expected)
    close(ssim_foreground(PICTURE, PICTURE * MASK[..., None], MASK > 0), [0.0] * BATCH)


def test_zhao_l_rgb():
    expected = []
    for image, rendered in zip(*as_numpy(PICTURE, RENDERED), strict=True):
        distances = [
            math.sqrt(((image[row, column] - rendered[row, column]) ** 2).sum())
            for row in range(HEIGHT)
            for column in range(WIDTH)
        ]
        total = sum(distances) / (HEIGHT * WIDTH)
        expected.append(total + 1 - ssim_as_printed(image, rendered).mean())
    close(rgb_all_pixels(PICTURE, RENDERED, PLAIN), expected)


@pytest.mark.parametrize("name", ["pixel_l2", "ssim_foreground", "rgb_all_pixels"])
def test_equal_pictures_and_nothing_rendered(name):
    case = CASES[name]
    check_finite(case.at(PICTURE))
    check_finite(case.at(torch.zeros_like(PICTURE)))
    if name != "rgb_all_pixels":
        check_finite(case.at(PICTURE, torch.zeros_like(ALPHA)))
        check_finite(case.at(torch.zeros_like(PICTURE), torch.zeros_like(ALPHA)))


def test_pixel_l2_of_nothing_rendered_is_zero():
    values, gradients = CASES["pixel_l2"].at(RENDERED, torch.zeros_like(ALPHA)).run()
    assert (values == 0).all() and (gradients[0] == 0).all()
