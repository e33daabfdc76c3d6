"""Figures of networks that are right, and of others that are wrong by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fitter.hand_models import load_hand_model
from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig
from init_net.posing import hand_points, regressed_keypoints
from init_net.records import LiftedHands, RegressedHands
from init_net.samples.crop_samples import Cropper
from init_net.samples.detected_samples import DetectedSamples
from init_net.samples.shards import ShardedSamples
from init_net.training.evaluation import crop_figures, lifter_figures, mask_figures
from tests.support.task_cases import COUNT, Says


def aligned_error(found: Tensor, true: Tensor) -> float:
    """Mean distance of points (B, 21, 3), each hand turned, scaled and moved onto the true one."""
    errors = []
    for a, b in zip(found, true, strict=True):
        a, b = a - a.mean(0), b - b.mean(0)
        u, s, vt = torch.linalg.svd(b.T @ a)
        signs = torch.ones(3).double()
        signs[2] = torch.det(u @ vt).sign()
        scale = (s * signs).sum() / a.square().sum()
        errors.append((scale * a @ (u @ signs.diag() @ vt).T - b).norm(dim=-1).mean())
    return float(torch.stack(errors).mean())


class TestFiguresOfLifters:
    @pytest.fixture
    def held_out(self, folder) -> DetectedSamples:
        return DetectedSamples.of(ShardedSamples(folder / "data"), as_rendered=True)

    def truth(self, held_out, std: float = 0.01) -> LiftedHands:
        hands = held_out.samples
        wide = torch.full_like(hands.keypoints[..., :2], std)
        size = torch.stack([hands.metres.log(), torch.full_like(hands.metres, 0.1)], 1)
        return LiftedHands(
            hands.keypoints, wide, hands.rotations, hands.betas, 4 * hands.visible - 2, size
        )

    def test_one_that_is_right(self, held_out, monkeypatch):
        monkeypatch.setattr("init_net.training.evaluation._BATCH", 5)
        network = Says(self.truth(held_out))
        figures = lifter_figures(network, held_out)
        assert [len(asked.focal) for asked in network.asked] == [5, 5, 3]
        assert figures["hands"] == COUNT - 1
        assert figures["pa_mpjpe_mm"] < 1e-3 and figures["auc"] == pytest.approx(1, abs=0.006)
        assert figures["within_std_across"] == figures["within_std_along"] == 1
        # Joints do not tell all of a shape, nor how bones are twisted.
        assert 0.05 < figures["pa_mpvpe_mm"] < 4
        assert figures["f_5"] > 0.8 and figures["f_15"] > 0.99

    def test_the_unit_is_millimetres_of_the_hand(self, held_out):
        """One fingertip is a centimetre too far in every hand."""
        truth = self.truth(held_out)
        keypoints = truth.keypoints.clone()
        keypoints[:, 12, 2] += 0.01 / held_out.samples.metres
        figures = lifter_figures(Says(replace(truth, keypoints=keypoints)), held_out)
        unit = held_out.samples.metres[:, None, None].double()
        wanted = aligned_error(unit * keypoints.double(), unit * truth.keypoints.double())
        assert figures["pa_mpjpe_mm"] == pytest.approx(1000 * wanted, rel=1e-4)
        assert 0.01 / 21 < wanted < 0.003

    def test_shares_within_the_spread_are_of_hands(self, held_out, monkeypatch):
        """The last batch is smaller, its hands count like others: in one of 13 all is off."""
        monkeypatch.setattr("init_net.training.evaluation._BATCH", 12)
        truth = self.truth(held_out)
        keypoints = truth.keypoints.clone()
        keypoints[-1, :, 0] += 0.02
        keypoints[-1, :, 2] -= 0.02
        figures = lifter_figures(Says(replace(truth, keypoints=keypoints)), held_out)
        assert figures["within_std_along"] == pytest.approx(12 / 13)
        assert figures["within_std_across"] == pytest.approx(12.5 / 13)

    def test_without_parts_that_are_absent(self, held_out):
        """A stage that leaves them out is not measured by what they have not learned yet."""
        network = build_network(LifterConfig(width=8, blocks=1), seed=0).eval()
        torch.nn.init.constant_(network.fusion.project.bias, torch.nan)
        without = frozenset({"fusion", "keypoint_front"})
        assert np.isfinite(lifter_figures(network, held_out, without)["pa_mpjpe_mm"])
        assert not np.isfinite(lifter_figures(network, held_out)["pa_mpjpe_mm"])


class TestFiguresOfPictures:
    @pytest.fixture
    def held_out(self, folder) -> Cropper:
        return Cropper(ShardedSamples(folder / "data"), 32, 1.4, None)

    @pytest.fixture
    def crops(self, held_out):
        return held_out.crop(range(COUNT), (0,))

    def test_a_handnet_that_is_right(self, held_out, crops, monkeypatch):
        monkeypatch.setattr("init_net.training.evaluation._BATCH", 6)
        network = Says(crops.hands)
        figures = crop_figures(network, held_out)
        assert [len(asked.image) for asked in network.asked] == [5, 5, 4]
        assert figures["hands"] == COUNT
        assert figures["pa_mpjpe_mm"] < 1e-3 and figures["pa_mpvpe_mm"] < 1e-3
        assert figures["auc"] == pytest.approx(1, abs=0.006)
        assert figures["f_5"] == figures["f_15"] == 1
        # What is left is that a weak camera cannot see a hand as a camera does.
        model = load_hand_model().keypoint_model().to(torch.float32)
        seen = hand_points(model, crops.hands).positions
        left = (seen - crops.positions).norm(dim=-1).mean() * 32
        assert figures["keypoints_2d_px"] == pytest.approx(float(left), rel=1e-4)
        assert left < 1

    def test_a_handnet_that_sees_open_hands(self, held_out, crops):
        """Against the same by hand."""
        hands = RegressedHands(
            torch.eye(3).expand(COUNT, 16, 3, 3), torch.zeros(COUNT, 10), crops.camera
        )
        figures = crop_figures(Says(hands), held_out)
        model = load_hand_model().keypoint_model().to(torch.float32)
        found = regressed_keypoints(model, hands).double()
        wanted = aligned_error(found, crops.points.double())
        assert figures["pa_mpjpe_mm"] == pytest.approx(1000 * wanted, rel=1e-4)
        assert figures["pa_mpjpe_mm"] > 5 and figures["f_5"] < 0.9

    @pytest.mark.parametrize("figures_of", [crop_figures, mask_figures])
    def test_with_nothing_but_the_picture(self, held_out, crops, figures_of):
        answers = crops.hands if figures_of is crop_figures else crops.mask
        network = Says(answers)
        figures_of(network, held_out)
        figures_of(network, held_out, with_keypoints=False)
        told, blind = network.asked
        assert torch.equal(told.confidence, crops.confidence)
        assert (blind.confidence == 0).all() and torch.equal(told.image, blind.image)

    def test_a_segmentation_that_is_right(self, held_out, crops):
        logits = torch.where(crops.mask > 0.5, 4.0, -4.0)
        figures = mask_figures(Says(logits), held_out)
        assert figures == {
            "mask_iou": 1, "mask_iou_median": 1, "pixel_accuracy": 1, "hands": COUNT,
        }  # fmt: skip
        figures = mask_figures(Says(-logits), held_out)
        assert figures["mask_iou"] == figures["pixel_accuracy"] == 0

    def test_a_segmentation_that_takes_all_for_the_hand(self, held_out, crops):
        figures = mask_figures(Says(torch.ones_like(crops.mask)), held_out)
        share = (crops.mask > 0.5).float().mean((1, 2))
        assert figures["mask_iou"] == pytest.approx(float(share.mean()))
        assert figures["mask_iou_median"] == pytest.approx(float(np.median(share)))
        assert figures["pixel_accuracy"] == pytest.approx(float(share.mean()))
