"""The offsets of one hand from those of many images."""

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
    found = joint_offsets(model, images)
    assert list(found) == ["a", "b"] and found["a"].dtype == np.float32
    for key, offsets in found.items():
        error = np.linalg.norm(offsets - true[key][0], axis=-1).mean()
        # The root of 12 is 3.5; not every image shows every vertex.
        assert error < 0.45 * np.linalg.norm(first[key] - true[key][0], axis=-1).mean()
