"""The offsets of one hand from those of many images."""

from dataclasses import replace

import numpy as np
import torch

from fitter.groups.joint_offsets import OffsetImages, joint_offsets
from fitter.hand_models import load_hand_model
from fitter.hand_models.rest_offsets import posed_offsets
from tests.support.people_cases import person_shape, posed


def test_errors_of_images_cancel_and_hands_are_kept_apart():
    model = load_hand_model("open_hand", dtype=torch.float64)
    rng = np.random.default_rng(1)
    true = {key: rng.normal(0, 0.002, (1, *model.v_template.shape)) for key in ("a", "b")}
    images, first = [], {}
    for k in range(24):
        key = "ab"[k % 2]
        params = posed(model, person_shape(0), k)
        rest = torch.from_numpy(true[key] + rng.normal(0, 0.002, true[key].shape))
        images.append(OffsetImages([key], params, posed_offsets(model, params, rest)))
        first.setdefault(key, rest[0].numpy())
    shape = person_shape(0)[0].numpy()
    found = joint_offsets(model, lambda: images, {"a": shape, "b": shape})
    assert list(found) == ["a", "b"] and found["a"].dtype == np.float32
    for key, offsets in found.items():
        error = np.linalg.norm(offsets - true[key][0], axis=-1).mean()
        # The root of 12 is 3.5; not every image shows every vertex.
        assert error < 0.45 * np.linalg.norm(first[key] - true[key][0], axis=-1).mean()


def surfaces(model, count: int = 10) -> list[OffsetImages[str]]:
    """Images of a hand without offsets, each fitted with another shape that is wrong, and whose own
    offsets make up for it: the surfaces are right, but for their size."""
    true, rng = person_shape(0), np.random.default_rng(0)
    images = []
    for k in range(count):
        right = posed(model, true, k)
        wrong = replace(right, betas=true + torch.from_numpy(rng.normal(0.5, 0.7, true.shape)))
        vertices = rng.uniform(0.8, 1.25) * model(right).vertices
        images.append(OffsetImages(["a"], wrong, vertices - model(wrong).vertices))
    return images


def test_what_offsets_make_up_for_in_an_images_own_shape_is_not_shared():
    model = load_hand_model("open_hand", dtype=torch.float64)
    images = surfaces(model)
    assert min(image.offsets.norm(dim=-1).mean() for image in images) > 0.003
    found = joint_offsets(model, lambda: images, {"a": person_shape(0)[0].numpy()})["a"]
    assert np.abs(found).max() < 1e-9


def test_an_image_whose_surface_is_far_off_moves_little():
    model = load_hand_model("open_hand", dtype=torch.float64)
    rng = np.random.default_rng(2)
    images = [
        replace(image, offsets=image.offsets + torch.from_numpy(rng.normal(0, 5e-4, (1, 1, 1))))
        for image in surfaces(model)
    ]
    far = torch.from_numpy(rng.normal(0, 0.02, images[3].offsets.shape))
    images[3] = replace(images[3], offsets=images[3].offsets + far)
    found = joint_offsets(model, lambda: images, {"a": person_shape(0)[0].numpy()})["a"]
    mean = np.linalg.norm(far[0].numpy(), axis=-1).mean() / len(images)
    assert np.linalg.norm(found, axis=-1).mean() < 0.1 * mean


def test_images_of_hands_without_a_shape_are_left_out():
    model = load_hand_model("open_hand", dtype=torch.float64)
    images = [
        replace(image, keys=[key]) for key, image in zip("abab", surfaces(model, 4), strict=True)
    ]
    found = joint_offsets(model, lambda: images, {"a": person_shape(0)[0].numpy()})
    assert list(found) == ["a"]
