"""Every equation of S2HAND 3.4 and Zhao 3.5, number by number, against a plain transcription."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from init_net.autoencoder_records import AutoencoderPredictions, HandCode
from init_net.hand_decoder import HandDecoder
from init_net.hand_pictures import draw_hands
from init_net.networks.config import AutoencoderConfig
from init_net.training import autoencoder_terms
from init_net.training.autoencoder_terms import AutoencoderTerms, Targets, place
from init_net.training.loss_weights import AutoencoderWeights
from init_net.training.supervision_config import SupervisionConfig
from tests.support.autoencoder_cases import hand_codes
from tests.support.autoencoder_crops import random_crops
from tests.support.printed_terms import PRINTED, SIDE, Case, Hand

B = 3
OF_S2HAND = AutoencoderConfig()
OF_ZHAO = AutoencoderConfig(appearance="components", light="even", camera="orthographic")
NAMES = list(AutoencoderWeights.model_fields)


def case(config: AutoencoderConfig, **supervision: object) -> Case:
    decoder = HandDecoder(config).double()
    has_light = config.light == "ambient_directional"
    code = hand_codes(config, B, vertices=len(decoder.model.v_template) if has_light else None)
    random = torch.Generator().manual_seed(5)
    if has_light:
        # Some colours beyond their range, some joints beyond their limits, light from everywhere.
        lighting = torch.rand(B, 11, generator=random, dtype=torch.float64)
        code = replace(code, lighting=lighting, colours=2 * code.colours - 0.5)
    code = replace(code, pose=4 * code.pose)
    estimated = torch.rand(B, 21, 2, generator=random, dtype=torch.float64) - 0.5
    terms = AutoencoderTerms(decoder, SupervisionConfig.model_validate(supervision))
    return Case(terms, AutoencoderPredictions(code, estimated), random_crops(B, SIDE))


CASES = {
    "self-supervised S2HAND": case(OF_S2HAND),
    "weakly supervised Zhao": case(OF_ZHAO, keypoints="annotated", confidence=False),
    "labels with the detector's confidence": case(
        OF_S2HAND, keypoints="annotated", confidence=False, bone_confidence=True
    ),
}


@pytest.fixture(params=CASES)
def given(request) -> Case:
    return CASES[request.param]


@pytest.mark.parametrize("name", PRINTED)
def test_as_printed(given, name):
    expected = [PRINTED[name](Hand(given, row)) for row in range(B)]
    # The mean skin is within its range.
    least = 0 if name == "texture" and given.code.colours is None else B - 1
    assert np.count_nonzero(expected) >= least
    np.testing.assert_allclose(given.value(name), expected, rtol=1e-6, atol=1e-9)


def test_appearance():
    given = CASES["weakly supervised Zhao"]
    expected = (np.asarray(given.code.appearance) ** 2).sum(1)
    np.testing.assert_allclose(given.value("appearance_l2"), expected)


def test_every_loss_has_a_term():
    assert set(NAMES) == {*PRINTED, "appearance_l2", "depth"}


def test_depth():
    """Mean distance of the two surfaces, of a hand labelled at joints from its wrist joint."""
    given = CASES["self-supervised S2HAND"]
    batch = given.batch
    found = given.terms.true_depth(batch, SIDE)
    assert 0.05 < found.isfinite().double().mean() < 0.9
    assert found[found.isfinite()].abs().max() < 0.3
    pictures = given.pictures
    marked, jointed = given.decoded.wrists.T
    assert (marked - jointed).abs()[1] > 1e-3 and not batch.is_marks[1]
    drawn = pictures.depth.clone()
    drawn[1] += marked[1] - jointed[1]
    both = drawn.isfinite() & found.isfinite()
    expected = [
        np.abs(np.asarray((drawn - found)[row][both[row]])).mean() if both[row].any() else 0
        for row in range(B)
    ]
    assert np.count_nonzero(expected) >= 1
    np.testing.assert_allclose(given.value("depth"), expected, rtol=1e-6)


def test_only_what_is_asked_for_is_computed(monkeypatch):
    """Nothing is drawn for losses that look at no picture, and no colours for outlines."""
    given = CASES["self-supervised S2HAND"]
    drawn = []

    def draw(*arguments):
        drawn.append(arguments[-1])
        return draw_hands(*arguments)

    monkeypatch.setattr(autoencoder_terms, "draw_hands", draw)
    plain = ["location", "orientation", "shape", "scale", "limits", "texture", "consistency"]
    assert list(given.terms(given.said, given.batch, plain)) == plain and drawn == []
    given.terms(given.said, given.batch, ["mask", "image_silhouette"])
    assert drawn == [False]
    given.terms(given.said, given.batch, ["pixel", "ssim", "mask"])
    assert drawn == [False, True]
    # The 2D branch alone.
    alone = AutoencoderPredictions(None, given.said.estimated)
    assert list(given.terms(alone, given.batch, ["estimator"])) == ["estimator"]


@pytest.mark.parametrize("name", NAMES)
def test_of_each_hand_alone(given, name):
    if name == "appearance_l2" and given.code.appearance is None:
        return
    together = given.value(name)
    for row in range(B):
        alone = Case(
            given.terms,
            AutoencoderPredictions(
                given.code.map(lambda f, row=row: f[row : row + 1]),
                given.said.estimated[row : row + 1],
            ),
            given.batch[row : row + 1],
        )
        np.testing.assert_allclose(alone.value(name)[0], together[row], rtol=1e-7, atol=1e-12)


def test_of_no_hand_at_all(given):
    said = AutoencoderPredictions(given.code.map(lambda f: f[:0]), given.said.estimated[:0])
    names = [n for n in NAMES if n != "appearance_l2" or given.code.appearance is not None]
    found = given.terms(said, given.batch[:0], names)
    assert {name: tuple(term.shape) for name, term in found.items()} == dict.fromkeys(names, (0,))


def gradients(given: Case, names: list[str], code: HandCode) -> list[torch.Tensor]:
    """Of the sum of terms by the code's geometry."""
    leaves = {
        name: getattr(code, name).clone().requires_grad_()
        for name in ("pose", "betas", "scale", "global_orient", "transl")
    }
    said = AutoencoderPredictions(replace(code, **leaves), given.said.estimated)
    total = sum(term.sum() for term in given.terms(said, given.batch, names).values())
    if not total.requires_grad:  # of what the code does not say
        return [torch.zeros_like(leaf) for leaf in leaves.values()]
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves.values(), found, strict=True)
    ]


WITH_COLOURS = [name for name in NAMES if name != "appearance_l2"]


def test_no_keypoint_seen_says_nothing_of_keypoints():
    given = CASES["self-supervised S2HAND"]
    blind = replace(given, batch=replace(given.batch, confidence=torch.zeros(B, 21).double()))
    for name in ("location", "orientation", "pixel", "joints_2d", "estimator"):
        assert (blind.value(name) == 0).all()
        assert all((each == 0).all() for each in gradients(blind, [name], given.code))
    assert (blind.value("consistency") > 0).all() and (blind.value("ssim") > 0).all()


def test_what_is_not_known_costs_nothing_and_moves_nothing():
    """NaN of truth, hand by hand and keypoint by keypoint."""
    given = CASES["labels with the detector's confidence"]
    batch = given.batch
    lost = {
        name: torch.full_like(getattr(batch, name), torch.nan)
        for name in ("positions", "points", "rotations", "betas", "camera", "wrist")
    }
    unknown = replace(given, batch=replace(batch, **lost, has_mask=torch.zeros(B).bool()))
    of_truth = ["location", "orientation", "joints_2d", "joints_3d", "joints_3d_norm", "mask",
                "depth", "estimator"]  # fmt: skip
    for name in of_truth:
        assert (unknown.value(name) == 0).all(), name
        assert all((each == 0).all() for each in gradients(unknown, [name], given.code)), name
    # One keypoint that is not known takes nothing from the others.
    positions, points = batch.positions.clone(), batch.points.clone()
    positions[0, 5] = points[0, 5] = torch.nan
    few = replace(given, batch=replace(batch, positions=positions, points=points))
    weightless = batch.keypoint_weight.clone()
    weightless[0, 5] = 0
    without = replace(given, batch=replace(batch, keypoint_weight=weightless))
    for name in ("location", "orientation", "joints_2d", "joints_3d", "joints_3d_norm"):
        np.testing.assert_allclose(few.value(name), without.value(name))


@pytest.mark.parametrize("camera", ["self-supervised S2HAND", "weakly supervised Zhao"])
def test_a_hand_that_is_not_in_the_picture(camera):
    """Behind the camera, or beside the crop: nothing is drawn, everything is finite, and no other
    hand takes notice."""
    given = CASES[camera]
    names = [name for name in NAMES if name != "appearance_l2"]
    away = given.code.transl.clone()
    away[0] = torch.tensor([0.0, 0, -0.6] if "S2HAND" in camera else [40.0, 0, 0])
    away[1] = torch.tensor([30.0, 0, 0.6] if "S2HAND" in camera else [-40.0, 0, 0])
    code = replace(given.code, transl=away)
    gone = replace(given, said=replace(given.said, code=code))
    pictures = gone.pictures
    assert (pictures.silhouette[:2] == 0).all() and pictures.depth[:2].isnan().all()
    for name in names:
        found, before = gone.value(name), given.value(name)
        assert np.isfinite(found).all(), name
        np.testing.assert_allclose(found[2], before[2], err_msg=name)
    assert all(each.isfinite().all() for each in gradients(gone, names, code))


def test_a_hand_that_is_not_finite_shows_in_the_losses():
    """So the trainer ends; the others are what they were."""
    given = CASES["self-supervised S2HAND"]
    pose = given.code.pose.clone()
    pose[1, 3] = torch.nan
    broken = replace(given, said=replace(given.said, code=replace(given.code, pose=pose)))
    pictured = ("pixel", "ssim", "rgb", "image_silhouette", "mask", "depth")
    for name in ("location", "orientation", "consistency", *pictured):
        found = broken.value(name)
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], given.value(name)[[0, 2]])


def test_where_an_orthographic_hand_is():
    """Where the picture's camera would see its wrist at t, at the scale s."""
    given = CASES["weakly supervised Zhao"]
    found = place(given.terms.decoder, given.code, given.batch.focal)
    depth = given.batch.focal / given.code.scale
    torch.testing.assert_close(found[:, 2], depth)
    seen = given.batch.focal[:, None] * found[:, :2] / found[:, 2:]
    torch.testing.assert_close(seen, given.code.transl[:, :2])


def test_targets_that_nobody_gives():
    batch = random_crops(B, SIDE)
    positions = batch.positions.clone()
    positions[2, 3, 1] = torch.nan
    batch = replace(batch, positions=positions)
    found = Targets.of(batch, SupervisionConfig(keypoints="annotated"))
    assert found.positions.isfinite().all() and found.confidence[2, 3] == 0
    assert found.marked.tolist() == batch.is_marks.tolist()
    detected = Targets.of(batch, SupervisionConfig())
    assert detected.marked.all() and (detected.confidence[:, 7] == 0).all()
