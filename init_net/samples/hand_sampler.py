"""Random hands without images, for the lifter: millions of them while it learns.

pose, shape, view, distance -> true keypoints -> `DetectorNoise` -> what the lifter sees, and what
it is to say. The poses are those of `datasets.poses.sampler`, as of the rendered samples; fingers
that pass through one another are not sorted out, which would take longer than all the rest.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datasets.detector import DetectorNoise
from fitter.fitting.observations import bones_of, normalise_right, unknown_features
from fitter.hand_models import HandModel
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.hand_models.skeleton import MANO_SKELETON
from fitter.records import HandParams
from fitter.rotations import roma
from init_net.samples.lifter_samples import LifterSamples
from init_net.samples.random_hands import RandomHands
from init_net.view_frame import lifter_inputs, relative_keypoints, view_rotations

NEAREST, FARTHEST = 0.28, 1.8
"""Distances of hands, metres, uniform in the logarithm."""

PARTLY_SEEN, UNSEEN, LOST_FINGER = 0.3, 0.15, 0.1
"""Probability that a hand has unseen keypoints, as users' files do; the share of them that it has
then; and the probability that a hand has a finger, all but its base, that is not seen."""

FOCAL = 1000.0
"""Focal length in pixels of the camera that sees the hands; it only has to show them large."""


class HandSampler:
    """Draws hands of one model in any view, as a detector with a measured noise sees them."""

    def __init__(self, model: HandModel, noise: DetectorNoise, definition_std: float) -> None:
        """Prepare the model.

        Args:
            model: a right hand.
            noise: of the detector.
            definition_std: see `DetectorNoise.sample`.
        """
        self.model = model.keypoint_model().to(torch.float32)
        if model.skeleton != MANO_SKELETON:
            raise ValueError("networks learn the rotations of MANO's 16 joints")
        self.hands = RandomHands(model)
        self.noise, self.definition_std = noise, definition_std

    def sample(self, count: int, seed: tuple[int, ...]) -> LifterSamples:
        """Draw hands.

        Args:
            count: number B.
            seed: all that decides about them, non-negative numbers.
        """
        numpy_generator = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(numpy_generator.integers(2**62)))
        params, rotation = self.hands.draw(count, numpy_generator, generator)
        keypoints = pose_keypoints(self.model, params)[1]
        middle = 0.5 * (keypoints.amin(1) + keypoints.amax(1))
        depth = (
            torch.empty(count)
            .uniform_(math.log(NEAREST), math.log(FARTHEST), generator=generator)
            .exp()
        )
        place = torch.stack([torch.zeros(count), torch.zeros(count), depth], 1)
        keypoints = keypoints + (place - middle)[:, None]
        return self._seen(keypoints, rotation, params, generator)

    def _seen(
        self, keypoints: Tensor, rotation: Tensor, params: HandParams, generator: torch.Generator
    ) -> LifterSamples:
        batch = len(keypoints)
        unknown = torch.full((batch, 21), torch.nan)
        camera = torch.diag(torch.tensor([FOCAL, FOCAL, 1.0])).expand(batch, -1, -1)
        exact = normalise_right(
            keypoints=FOCAL * keypoints[..., :2] / keypoints[..., 2:],
            confidence=torch.ones(batch, 21),
            intrinsics=camera,
            relative_depth=unknown,
            bone_directions=torch.full((batch, 20, 3), torch.nan),
            features=unknown_features(batch, keypoints),
        )
        view = lifter_inputs(exact)
        depth = relative_keypoints(keypoints, exact)[..., 2]
        into = view_rotations(exact)
        bones = normalize(bones_of(keypoints @ into), dim=-1)
        detected = self.noise.sample(
            view.positions, depth, bones, None, generator, self.definition_std
        )
        # The crop follows what was detected.
        to_pixels = FOCAL / view.focal[:, None]
        hands = normalise_right(
            keypoints=detected.positions * to_pixels[..., None],
            confidence=_unseen(detected.confidence, generator),
            intrinsics=camera,
            relative_depth=detected.depth * to_pixels,
            bone_directions=detected.bones,
            features=exact.features,
        )
        inputs = lifter_inputs(hands)
        # They are seen by a camera that looks straight at the exact crop.
        turned = keypoints @ into
        both = view_rotations(hands).mT @ into.mT
        rotations = roma.rotvec_to_rotmat(params.hand_pose)
        return LifterSamples(
            **vars(inputs),
            keypoints=relative_keypoints(turned, hands),
            rotations=torch.cat([(both @ rotation)[:, None], rotations], 1),
            betas=params.betas,
            visible=unknown,
            metres=(turned[:, 0] * hands.view_direction).sum(-1) / hands.intrinsics[:, 0, 0],
            weight=torch.ones(batch),
            keypoint_weight=torch.ones(batch, 21),
        )


def _unseen(confidence: Tensor, generator: torch.Generator) -> Tensor:
    """Confidences (B, 21) with zeros for keypoints that go unseen; never all of a hand."""
    batch = len(confidence)

    def random(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator)

    gone = (random(21) < UNSEEN) & (random(1) < PARTLY_SEEN)
    finger = torch.randint(5, (batch, 1), generator=generator)
    number = torch.arange(20)
    lost = (number // 4 == finger) & (number % 4 > 0) & (random(1) < LOST_FINGER)
    gone[:, 1:] |= lost
    gone[:, 9] &= ~gone.all(1)
    return torch.where(gone, 0.0, confidence)
