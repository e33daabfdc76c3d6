"""The keypoint fit on synthetic hands whose parameters are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initialisations import propose_initialisations
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.observations import normalise
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.metrics import pa_mpjpe
from fitter.records import HandParams
from fitter.solvers.status import Status
from tests.support.keypoint_cases import (
    TRUSTING,
    K,
    fitted_keypoints,
    keypoints_of,
    mirrored,
    noisy,
    observe,
)


@pytest.mark.parametrize("side", ["right", "left"])
def test_perfect_observations_give_the_hand_back(model, hands, side) -> None:
    truth = keypoints_of(model, hands)
    observed = observe(truth)
    if side == "left":
        observed = mirrored(observed)
        truth = truth * torch.tensor([-1.0, 1, 1])
    result = fit_observations(model, observed, TRUSTING)
    found = fitted_keypoints(model, result, observed.is_left)
    image = project(found, observed.intrinsics)
    pixels = (image - observed.keypoints).norm(dim=-1).mean(1)
    millimetres = 1000 * pa_mpjpe(found.numpy(), truth.numpy())
    for name, part in (("open", slice(0, 12)), ("fist", slice(12, 24))):
        assert pixels[part].max() < 0.5, (name, pixels[part])
        assert millimetres[part].max() < 3, (name, millimetres[part])
    assert (result.status == Status.CONVERGED).all()


def test_positions_alone_are_met_and_the_prior_supplies_the_rest(model, hands) -> None:
    truth = keypoints_of(model, hands)
    observed = observe(truth, weak=False)
    result = fit_observations(
        model, observed, TRUSTING.model_copy(update={"pose_prior_weight": 1e-3})
    )
    found = keypoints_of(model, result.params)
    pixels = (project(found, observed.intrinsics) - observed.keypoints).norm(dim=-1).mean(1)
    assert pixels.max() < 0.5
    # Depth is not observed: the fit is worse than with it, but still a hand of that gesture.
    error = 1000 * pa_mpjpe(found.numpy(), truth.numpy())
    assert np.median(error) < 12


def test_mirrored_observations_give_the_mirrored_hand(model, hands) -> None:
    observed = observe(keypoints_of(model, hands))
    config = FitConfig()
    right = fit_observations(model, observed, config)
    flipped = mirrored(observed)
    left = fit_observations(model, flipped, config)
    expected = fitted_keypoints(model, right, observed.is_left) * torch.tensor([-1.0, 1, 1])
    found = fitted_keypoints(model, left, flipped.is_left)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        left.params.hand_pose, right.params.mirrored().hand_pose, rtol=0, atol=1e-4
    )


def test_the_size_of_the_picture_does_not_matter(model, hands) -> None:
    observed = observe(keypoints_of(model, hands))
    zoom = torch.diag(torch.tensor([2.0, 2, 1])).double()
    doubled = replace(
        observed,
        keypoints=2 * observed.keypoints,
        relative_depth=2 * observed.relative_depth,
        intrinsics=zoom @ observed.intrinsics,
    )
    first, second = (fit_observations(model, seen, FitConfig()) for seen in (observed, doubled))
    torch.testing.assert_close(
        keypoints_of(model, first.params),
        keypoints_of(model, second.params),
        rtol=0,
        atol=1e-6,
    )


def test_a_batch_gives_what_its_hands_give_alone(model, hands) -> None:
    observed = noisy(model, hands)
    together = fit_observations(model, observed, FitConfig())
    for i in range(0, 24, 4):
        alone = fit_observations(model, observed[[i]], FitConfig())
        torch.testing.assert_close(
            fitted_keypoints(model, alone, observed.is_left[[i]])[0],
            fitted_keypoints(model, together, observed.is_left)[i],
            rtol=0,
            atol=1e-9,
        )
        assert alone.iterations[0] == together.iterations[i]


BROKEN = {
    "keypoint": ("keypoints", (4, 7, 0), torch.nan),
    "confidence": ("confidence", (4, 7), torch.nan),
    "intrinsics": ("intrinsics", (4, 0, 0), torch.nan),
    "zero focal length": ("intrinsics", (4, 0, 0), 0.0),
    "infinite depth": ("relative_depth", (4, 7), torch.inf),
    "infinite position": ("relative_xyz", (4, 7, 1), -torch.inf),
    "one point": ("keypoints", (4,), 100.0),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_hand_is_flagged_and_touches_no_other(model, hands, fault) -> None:
    observed = noisy(model, hands[:8])
    name, place, value = BROKEN[fault]
    broken = getattr(observed, name).clone()
    broken[place] = value
    result = fit_observations(model, replace(observed, **{name: broken}), FitConfig())
    others = torch.tensor([0, 1, 2, 3, 5, 6, 7])
    without = fit_observations(model, observed[others], FitConfig())
    assert result.status[4] == Status.DIVERGED
    assert result.params.hand_pose[4].isnan().all()
    for found, expected in zip(vars(result).values(), vars(without).values(), strict=True):
        if isinstance(found, HandParams):
            for a, b in zip(vars(found).values(), vars(expected).values(), strict=True):
                assert torch.equal(a[others], b)
        else:
            assert torch.equal(found[others], expected)


def test_nothing_but_broken_hands_and_no_hands_at_all(model, hands) -> None:
    observed = noisy(model, hands[:2])
    broken = replace(observed, keypoints=observed.keypoints * torch.nan)
    assert fit_observations(model, broken, FitConfig()).status.tolist() == [Status.DIVERGED] * 2
    assert len(fit_observations(model, observed[:0], FitConfig()).status) == 0


def test_unknown_weak_cues_of_one_hand_are_left_out_of_it_alone(model, hands) -> None:
    observed = noisy(model, hands[:3])
    depth = observed.relative_depth.clone()
    depth[1, 5] = torch.nan
    result = fit_observations(model, replace(observed, relative_depth=depth), FitConfig())
    assert (result.status != Status.DIVERGED).all()
    whole = fit_observations(model, observed, FitConfig())
    torch.testing.assert_close(result.cost[[0, 2]], whole.cost[[0, 2]], rtol=1e-9, atol=0)
    assert result.cost[1] != whole.cost[1]


def test_without_any_confidence_the_prior_decides(model, hands) -> None:
    observed = observe(keypoints_of(model, hands[:3]))
    blind = replace(observed, confidence=torch.zeros_like(observed.confidence))
    result = fit_observations(model, blind, FitConfig())
    assert (result.status == Status.CONVERGED).all()
    means = model.pose_space.means.unflatten(-1, (15, 3))
    gap = (result.params.hand_pose[:, None] - means).norm(dim=-1).amax(-1).amin(1)
    assert gap.max() < 0.1
    assert result.params.betas.abs().max() < 1e-3


def test_both_readings_of_the_depth_are_tried(model, hands) -> None:
    """Where the depth's sign counts for nothing but the starts, a detector that takes front for
    back must not change the answer: the other start leads home."""
    observed = observe(keypoints_of(model, hands))
    config = TRUSTING.model_copy(update={"relative_depth_weight": 0.0, "num_initialisations": 2})
    backwards = replace(observed, relative_depth=-observed.relative_depth)
    expected, found = (fit_observations(model, seen, config) for seen in (observed, backwards))
    torch.testing.assert_close(
        keypoints_of(model, found.params), keypoints_of(model, expected.params), rtol=0, atol=1e-6
    )


def test_starts_lie_in_front_and_face_both_ways(model, hands) -> None:
    """An upright palm at 60 degrees to the picture: its starts turn it one way and the other."""
    palm = HandParams(
        global_orient=torch.tensor([[0.0, 0.0, 0.0]]).double(),
        hand_pose=model.pose_space.means[:1].unflatten(-1, (15, 3)),
        betas=torch.zeros(1, 10).double(),
        transl=torch.tensor([[0.0, 0.0, 0.6]]).double(),
    )
    points = keypoints_of(model, palm)
    knuckles = points[0, [0, 5, 17]] - points[0, 0]
    normal = torch.linalg.cross(knuckles[1], knuckles[2])
    tilted = torch.tensor([3**0.5 / 2, 0.0, 0.5]).double()
    axis = torch.nn.functional.normalize(torch.linalg.cross(normal, tilted), dim=-1)
    angle = torch.nn.functional.normalize(normal, dim=-1) @ tilted
    palm = replace(palm, global_orient=(axis * angle.arccos())[None])

    targets = normalise(observe(keypoints_of(model, palm)))
    config = FitConfig(num_initialisations=4, relative_depth_gain=1.0)
    points = keypoints_of(model, propose_initialisations(model, targets, config))
    assert (points[..., 2] > 0.1).all()
    normals = torch.linalg.cross(points[:, 5] - points[:, 0], points[:, 17] - points[:, 0])
    sideways = torch.nn.functional.normalize(normals, dim=-1)[:, 0]
    assert (sideways[:2] > 0.5).all() and (sideways[2:] < -0.5).all()
    # A single start takes the reading that fits better, here the detector's.
    single = propose_initialisations(
        model, targets, config.model_copy(update={"num_initialisations": 1})
    )
    torch.testing.assert_close(single.global_orient, palm.global_orient, rtol=0, atol=0.15)


def test_inputs_are_left_as_they_are(model, hands) -> None:
    observed = noisy(model, hands[:4])
    copy = observed.map(torch.clone)
    fit_observations(model, observed, FitConfig())
    for before, after in zip(vars(copy).values(), vars(observed).values(), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("count", [1, 3])
def test_keypoints_that_were_not_seen_may_lie_anywhere(model, hands, count) -> None:
    """OpenPose writes 0, 0, 0 for them."""
    points = keypoints_of(model, hands)
    observed = observe(points, weak=False)
    unseen = [4, 12, 20][:count]
    keypoints, confidence = observed.keypoints.clone(), observed.confidence.clone()
    keypoints[:, unseen], confidence[:, unseen] = 0.0, 0.0
    at_origin = fit_observations(
        model, replace(observed, keypoints=keypoints, confidence=confidence), TRUSTING
    )
    anywhere = keypoints.clone()
    anywhere[:, unseen] = observed.keypoints[:, unseen] + 40.0
    elsewhere = fit_observations(
        model, replace(observed, keypoints=anywhere, confidence=confidence), TRUSTING
    )
    found = [fitted_keypoints(model, r, observed.is_left) for r in (at_origin, elsewhere)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-6)
    seen = [k for k in range(21) if k not in unseen]
    image = project(found[0], K.expand(len(points), 3, 3))
    error = (image - observed.keypoints)[:, seen].norm(dim=-1)
    assert error.mean(-1).median() < 1.0


def test_keypoints_closer_than_a_hand_can_be_seen_are_refused(model, hands) -> None:
    observed = observe(keypoints_of(model, hands))
    middle = observed.keypoints.mean(1, keepdim=True)
    shrunk = replace(observed, keypoints=middle + 1e-3 * (observed.keypoints - middle))
    result = fit_observations(model, shrunk, TRUSTING)
    assert (result.status == Status.DIVERGED).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_what_the_cpu_gives(model, hands) -> None:
    observed = noisy(model, hands)
    expected = fit_observations(model, observed, TRUSTING)
    open_hand = load_hand_model("open_hand", dtype=torch.float64).to("cuda")
    like = torch.zeros((), dtype=torch.float64, device="cuda")
    space = PoseSpace.of(anatomy_of(open_hand.data), load_pose_prior(), like)
    on_gpu = FitModel(open_hand.keypoint_model(), space)
    found = fit_observations(on_gpu, observed.to("cuda"), TRUSTING).map(Tensor.cpu)
    assert found.status.tolist() == expected.status.tolist()
    points = [fitted_keypoints(model, result, observed.is_left) for result in (found, expected)]
    torch.testing.assert_close(*points, rtol=0, atol=1e-5)
