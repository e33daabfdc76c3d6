"""Which pixels count as skin: the mask, the tint, and what neither says."""

from __future__ import annotations

import torch

from fitter.energies.skin_pixels import median, skin_weight

SIZE = 40


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 40, 40, 3) skin with light and noise before a green wall, and the hand's mask."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 8:32, 8:32] = 1
    skin = torch.tensor([0.8, 0.6, 0.5]) * torch.linspace(0.5, 1.1, SIZE)[:, None, None]
    image = torch.where(mask[..., None] > 0, skin, torch.tensor([0.2, 0.6, 0.3]))
    return image + 0.01 * torch.randn(image.shape, generator=generator), mask


def test_skin_counts_and_a_ring_within_the_mask_does_not() -> None:
    image, mask = scene()
    image[:, 12:16, 8:32] = torch.tensor([0.1, 0.2, 0.8])  # a blue ring
    image[:, 20:22, 8:32] *= 0.5  # a shadow: as skin is, but darker
    found = skin_weight(image, mask, torch.ones_like(mask))[0]
    assert found[12:16, 8:32].max() < 0.01
    assert found[24:31, 9:31].mean() > 0.8 and found[20:22, 9:31].mean() > 0.5
    assert not found[:8].any() and not found[:, 33:].any()


def test_a_mask_counts_as_far_as_it_is_trusted() -> None:
    image, mask = scene()
    image = torch.tensor([0.8, 0.6, 0.5]).expand(image.shape)  # one tint everywhere
    weight = torch.ones_like(mask)
    weight[:, :20] = 0.25
    found = skin_weight(image, mask, weight)[0]
    assert torch.allclose(found[2:6], torch.tensor(0.75)) and not found[34:].any()


def test_without_a_mask_every_pixel_counts() -> None:
    image, mask = scene()
    assert skin_weight(image, mask, 0 * mask).eq(1).all()


def test_hands_are_weighed_one_by_one_and_any_image_is_finite() -> None:
    image, mask = scene()
    both = torch.cat([image, image.flip(3)]), torch.cat([mask, mask])
    found = skin_weight(*both, torch.ones_like(both[1]))
    alone = skin_weight(image, mask, torch.ones_like(mask))
    torch.testing.assert_close(found[:1], alone)
    for odd in (0 * image, torch.ones_like(image), -image):
        weight = skin_weight(odd, mask, torch.ones_like(mask))
        assert weight.isfinite().all() and weight.min() >= 0 and weight.max() <= 1


def test_the_median_is_the_lower_one_of_the_chosen() -> None:
    values = torch.tensor([[5.0, 1.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0], [7.0, 8.0, 9.0, 1.0]])
    chosen = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]) > 0
    assert median(values, chosen).tolist() == [3.0, 2.0, 0.0]
