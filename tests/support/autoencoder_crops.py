"""Crops with a truth at random, for the losses of an autoencoder."""

import torch

from init_net.samples.crop_samples import CropSamples
from init_net.view_frame import view_camera
from tests.support.loss_cases import turns


def random_crops(count: int = 3, side: int = 32, seed: int = 0) -> CropSamples:
    """At most 4 crops, float64; the second has no mask, and is labelled at joints and fingertips;
    one keypoint of each was not seen."""
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        values = torch.rand(count, *shape, generator=random, dtype=torch.float64)
        return low + (high - low) * values

    confidence = uniform(21, low=0.2)
    confidence[:, 7] = 0
    points = uniform(21, 3, low=-0.08, high=0.08)
    rest = torch.zeros(count, 2, dtype=torch.float64)
    marks = torch.ones(count, dtype=torch.bool)
    marks[1:2] = False
    focal = uniform(low=2, high=3)
    return CropSamples(
        image=uniform(3, side, side),
        keypoints=side * uniform(21, 2),
        confidence=confidence,
        mask=uniform(side, side),
        positions=uniform(21, 2) - 0.5,
        points=points - points[:, :1],
        rotations=turns(seed + 1, 0.3)[1][:count],
        betas=uniform(11, low=-1),
        camera=uniform(3),
        focal=focal,
        projection=view_camera(focal) @ turns(seed + 2, 0.05)[1][:count, 0],
        wrist=torch.cat([rest, uniform(1, low=0.5, high=0.7)], 1),
        has_mask=marks.clone(),
        is_marks=marks,
        weight=torch.ones(count, dtype=torch.float64),
        keypoint_weight=uniform(21),
    )
