"""The generator's poses of a hand with NIMBLE's joints."""

import numpy as np
import torch

from datasets.synthetic.poses import (
    PoseModel,
    is_good,
    pose_candidates,
    sample_adult,
    sample_candidate,
    sample_mode,
)
from fitter.conventions import KEYPOINT_NAMES
from fitter.hand_models.anatomy import anatomical_angles, anatomy_of
from fitter.hand_models.kinematics import on_mano_joints
from fitter.hand_models.skeleton import MANO_SKELETON, NIMBLE_SKELETON
from tests.support.jointed_hands import SHAPES, jointed_data, jointed_hand

FINGERS_ROWS = list(NIMBLE_SKELETON.finger_rows)


def test_hands_have_the_angles_that_were_drawn_and_flat_palms():
    model, rng = PoseModel.of(jointed_hand()), np.random.default_rng(0)
    candidates = [sample_candidate(model, sample_mode(rng), "third_person", rng) for _ in range(12)]
    betas = np.stack([sample_adult(rng, model) for _ in candidates])
    hands = pose_candidates(model, candidates, betas)
    assert hands.params.hand_pose.shape == (12, 19, 3) and betas.shape == (12, SHAPES)
    angles = anatomical_angles(hands.params.hand_pose, anatomy_of(jointed_data()).axes)
    drawn = torch.as_tensor(np.stack([candidate.angles for candidate in candidates]))
    torch.testing.assert_close(angles[:, FINGERS_ROWS], drawn)
    assert (angles[:, list(NIMBLE_SKELETON.metacarpal_rows)] == 0).all()
    # Points are MANO's joints, then tips, as those of any hand.
    mesh = jointed_hand()(hands.params)
    places = [NIMBLE_SKELETON.names.index(name) for name in MANO_SKELETON.names]
    torch.testing.assert_close(hands.points[:, :16], mesh.joints[:, places])
    tips = [place for place, name in enumerate(KEYPOINT_NAMES) if name.endswith("_tip")]
    torch.testing.assert_close(hands.points[:, 16:], mesh.keypoints[:, tips])
    assert is_good(model, hands).any()


def test_the_segments_of_manos_joints_hold_all_weights():
    data = jointed_data()
    weights = torch.as_tensor(data.skin_weights)
    segments = on_mano_joints(weights, NIMBLE_SKELETON, dim=1)
    torch.testing.assert_close(segments.sum(1), weights.sum(1))
    names = NIMBLE_SKELETON.names
    palm = ["wrist", *(name for name in names if name.endswith("_cmc") and "thumb" not in name)]
    places = [names.index(name) for name in palm]
    torch.testing.assert_close(segments[:, 0], weights[:, places].sum(1))
    last = [names.index("index_dip"), names.index("index_tip")]
    torch.testing.assert_close(segments[:, 3], weights[:, last].sum(1))
    assert on_mano_joints(segments, MANO_SKELETON, dim=1) is segments
