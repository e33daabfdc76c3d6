"""The truth is a minimum of all that it is compared with: positions, outlines, depths, colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from init_net.autoencoder_records import AutoencoderPredictions
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.shards import ShardedSamples
from init_net.training.autoencoder_evaluation import AutoencoderErrors
from init_net.training.autoencoder_terms import AutoencoderTerms
from init_net.training.supervision_config import SupervisionConfig
from tests.support.task_cases import COUNT
from tests.support.true_codes import true_codes, true_decoder

SIDE = 64
LABELS = SupervisionConfig(keypoints="annotated", confidence=False)


@pytest.fixture(scope="module")
def cropper(folder) -> Cropper:
    return Cropper(ShardedSamples(folder / "data"), SIDE, 1.4, None)


@pytest.fixture(scope="module")
def crops(cropper) -> CropSamples:
    return cropper.crop(range(COUNT), (0,)).to(torch.float64)


@pytest.fixture(scope="module")
def decoder(crops):
    return true_decoder(crops)


@pytest.fixture(scope="module")
def said(decoder, crops) -> AutoencoderPredictions:
    return AutoencoderPredictions(true_codes(decoder, crops), None)


def test_true_hands_are_seen_where_they_are(decoder, crops, said):
    """Also off the axis of the picture's camera, to a hundredth of a pixel."""
    decoded = decoder(said.code, crops.focal, crops.projection)
    off = SIDE * (decoded.keypoints_2d - crops.positions).norm(dim=-1)
    assert off.max() < 0.01
    turned = decoder(said.code, crops.focal)
    assert SIDE * (turned.keypoints_2d - crops.positions).norm(dim=-1).max() > 0.1


def test_no_loss_of_labels_is_left(decoder, crops, said):
    names = ["location", "orientation", "joints_2d", "joints_3d", "joints_3d_norm", "depth"]
    found = AutoencoderTerms(decoder, LABELS)(said, crops, names)
    for name, term in found.items():
        assert term.max() < 1e-5, name


def test_outlines_overlap_more_than_before_a_turned_camera(decoder, crops, said):
    found = {}
    for name, seen in (("own", crops), ("turned", replace(crops, projection=turned(crops)))):
        found[name] = AutoencoderTerms(decoder, LABELS)(said, seen, ["mask"])["mask"]
    assert found["own"].mean() < found["turned"].mean()


def turned(crops: CropSamples) -> torch.Tensor:
    """Cameras that look at the crops' middles."""
    ones = torch.ones_like(crops.focal)
    return torch.diag_embed(torch.stack([crops.focal, crops.focal, ones], -1))


@pytest.mark.parametrize("silhouette", ["edge", "soft"])
def test_a_hand_of_the_photographs_colour_costs_nothing(decoder, crops, said, silhouette):
    """Eq. 6: also in the part of the outline beyond the surface, where no face has a colour."""
    photographs = replace(crops, image=torch.full_like(crops.image, 0.6))
    supervision = SupervisionConfig(silhouette=silhouette)
    terms = AutoencoderTerms(decoder, supervision)(said, photographs, ["pixel"])
    assert terms["pixel"].max() < 1e-6


def test_depths_are_from_the_wrist_of_the_labels(cropper, crops, decoder, said):
    """Marks or joints, that of the drawn hand and that of the true one alike."""
    jointed = replace(cropper, marks=False).crop(range(COUNT), (0,)).to(torch.float64)
    terms = AutoencoderTerms(decoder, LABELS)
    for seen in (crops, jointed):
        assert terms(said, seen, ["depth"])["depth"].max() < 2e-4
    true, other = (terms.true_depth(seen, SIDE) for seen in (crops, jointed))
    axis = crops.projection[:, 2]
    apart = (axis * (crops.wrist - jointed.wrist)).sum(1)
    assert apart.abs().max() > 2e-3
    shown = true.isfinite() & other.isfinite()
    assert shown.flatten(1).sum(1).min() > 50
    for row in range(COUNT):
        found = (other - true)[row][shown[row]].median()
        torch.testing.assert_close(found, apart[row], rtol=0, atol=2e-4)


def errors_of(said: AutoencoderPredictions, cropper: Cropper, crops: CropSamples):
    """Of a network that says that of crops, in single precision as networks do."""
    code = said.code.to(torch.float32)

    class Says(torch.nn.Module):
        config = true_decoder(crops).config

        def __init__(self) -> None:
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def forward(self, inputs, absent):
            return AutoencoderPredictions(code, None)

    class Given:
        samples = cropper.samples

        def crop(self, indices, seed):
            return crops.to(torch.float32)

    return AutoencoderErrors.of(Says(), Given())


def test_the_figures_of_the_truth(cropper, crops, said):
    """Nothing is wrong in space: keypoints, surfaces, areas, F-scores."""
    figures = errors_of(said, cropper, crops).figures()
    for name in ("pa_mpjpe_mm", "pa_mpvpe_mm", "mpjpe_mm", "camera_mpjpe_mm", "camera_mpvpe_mm",
                 "keypoints_2d_px"):  # fmt: skip
        assert figures[name] < 0.02, name
    for name in ("f_5", "f_15", "camera_f_5", "camera_f_15"):
        assert figures[name] > 0.999, name
    assert min(figures["auc"], figures["auc_v"], figures["camera_auc_v"]) > 0.98


def test_one_unknown_keypoint_takes_none_of_the_others(cropper, crops, said):
    """It is left out of means and of alignments, of the hand that it is of."""
    points = crops.points.clone()
    points[1, 5] = torch.nan
    errors = errors_of(said, cropper, replace(crops, points=points))
    for found in (errors.aligned, errors.camera):
        assert np.isfinite(found.keypoints).all() and found.keypoints.max() < 0.02
        assert np.isfinite(found.areas).all()
    assert np.isfinite(errors.rooted).all()
