"""What networks say of hands, in the fit to the keypoints, beside what the detector says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.fitting.initializer import Prediction
from fitter.fitting.network_prior import laid_on_image, with_network_prior
from fitter.fitting.observations import normalise
from tests.support import keypoint_cases as cases
from tests.support.predictions import nothing, perfect

PREDICTED = ("relative_depth", "depth_weight", "bone_directions", "bone_weight")


def same(found: Tensor, wanted: Tensor, atol: float = 0.0) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol, equal_nan=True)


@pytest.fixture
def seen(model, some):
    observed = cases.observe(cases.keypoints_of(model, some))
    return normalise(observed), perfect(cases.keypoints_of(model, some), observed)


@pytest.fixture
def flat(model, some):
    """The same without the detector's weak 3D."""
    return normalise(cases.observe(cases.keypoints_of(model, some), weak=False))


def bent(prediction: Prediction) -> Prediction:
    """A prediction of hands with other poses."""
    keypoints = prediction.keypoints + 0.05 * torch.sin(40 * prediction.keypoints)
    return replace(prediction, keypoints=keypoints - keypoints[:, :1])


class TestNetworkPrior:
    def test_a_true_prediction_says_what_a_true_detector_does(self, seen):
        targets, prediction = seen
        found = with_network_prior(targets, [prediction], FitConfig())
        torch.testing.assert_close(found.relative_depth, targets.relative_depth)
        torch.testing.assert_close(found.bone_directions, targets.bone_directions)
        for name in vars(targets).keys() - set(PREDICTED):
            same(getattr(found, name), getattr(targets, name))

    def test_hands_without_a_prediction_keep_what_they_have(self, seen):
        targets, prediction = seen
        wrong = replace(prediction, keypoints=prediction.keypoints.flip(1))
        for name, where in {"keypoints": (3, 7, 0), "std": (3, 7, 1)}.items():
            broken = wrong.map(torch.clone)
            for value in (torch.nan, torch.inf):
                getattr(broken, name)[where] = value
                found = with_network_prior(targets, [broken], FitConfig())
                for field in PREDICTED:
                    values, before = getattr(found, field), getattr(targets, field)
                    torch.testing.assert_close(values[3], before[3], rtol=0, atol=1e-14)
                    others = torch.arange(8) != 3
                    assert (values[others] != before[others]).flatten(1).any(1).all()

    def test_no_prediction_changes_nothing(self, seen):
        targets, prediction = seen
        assert with_network_prior(targets, (), FitConfig()) is targets
        unseen = nothing(prediction, *range(8))
        for predictions in ([unseen], [unseen, unseen]):
            found = with_network_prior(targets, predictions, FitConfig())
            for name, value in vars(targets).items():
                same(getattr(found, name), value, atol=1e-14)

    def test_trust(self, seen, flat):
        """Written out for a straight finger of four bones of 0.1, 0.2, 0.2 and 0.2."""
        targets, prediction = flat, seen[1]
        keypoints, std = (
            torch.zeros_like(prediction.keypoints),
            torch.full_like(prediction.std, 0.02),
        )
        keypoints[..., 0] = torch.tensor([0.0] + 5 * [0.1, 0.3, 0.5, 0.7])
        std[:, :, 1] = 0.05
        std[:, 8] = torch.tensor([0.03, 0.2])  # the index finger's tip
        config = FitConfig(
            relative_depth_scale=0.15, bone_direction_scale=0.08, network_depth_confidence=0.5,
            network_direction_confidence=2.0, network_max_confidence=6.0,
        )  # fmt: skip
        found = with_network_prior(targets, [Prediction(keypoints, std)], config)
        index, thumb = slice(4, 8), slice(0, 4)
        depth = 0.5 * torch.tensor([6.0, 6, 6, (0.15 / 0.2) ** 2]).double()
        torch.testing.assert_close(found.depth_weight[0, index], depth)  # (0.15 / 0.05)^2 is 9
        torch.testing.assert_close(found.depth_weight[0, thumb][3], depth[2])
        usual, tip = (0.02**2 + 0.05**2) / 2, (0.03**2 + 0.2**2) / 2
        turn = [2 * usual / 0.1**2, 2 * usual / 0.2**2, 2 * usual / 0.2**2]
        weights = [2 * min(0.08**2 / value, 6.0) for value in [*turn, (usual + tip) / 0.2**2]]
        torch.testing.assert_close(found.bone_weight[0, index], torch.tensor(weights).double())
        straight = torch.tensor([1.0, 0, 0]).double().expand(20, 3)
        torch.testing.assert_close(found.bone_directions[0], straight)

    @pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
    def test_the_detectors_own_counts_beside_it(self, seen, flat, share):
        """The mean by their weights, whose sum is that of both."""
        targets, prediction = seen
        other = nothing(bent(prediction), 5)
        config = FitConfig(
            network_depth_confidence=0.7, network_direction_confidence=1.3, detector_share=share
        )
        own = with_network_prior(flat, [other], config)
        both = with_network_prior(targets, [other], config)
        assert (targets.depth_weight == 1).all() and (targets.bone_weight == 1).all()
        # All of it where no network has seen what it says.
        kept = torch.full((8, 1), share).double()
        kept[5] = 1.0
        torch.testing.assert_close(both.depth_weight, own.depth_weight + kept)
        torch.testing.assert_close(both.bone_weight, own.bone_weight + kept)
        depth = own.depth_weight * own.relative_depth[:, 1:] + kept * targets.relative_depth[:, 1:]
        torch.testing.assert_close(both.relative_depth[:, 1:], depth / both.depth_weight)
        assert (both.relative_depth[:, 0] == 0).all()
        bones = own.bone_weight[..., None] * own.bone_directions
        bones = bones + kept[..., None] * targets.bone_directions
        wanted = torch.nn.functional.normalize(bones, dim=-1)
        torch.testing.assert_close(both.bone_directions, wanted)

    def test_weights_are_finite_whatever_is_said(self, seen):
        targets, prediction = seen
        config = FitConfig()
        most = config.network_max_confidence
        for keypoints, std in ((0.0, 0.0), (0.0, 1.0), (1e-9, 1e9), (1e5, 1e-9)):
            strange = Prediction(
                keypoints * prediction.keypoints, torch.full_like(prediction.std, std)
            )
            found = with_network_prior(targets, [strange], config)
            assert all(getattr(found, name).isfinite().all() for name in PREDICTED)
            own = config.detector_share
            assert found.depth_weight.max() <= own + config.network_depth_confidence * most
            assert found.bone_weight.max() <= own + config.network_direction_confidence * most

    def test_two_predictions(self, seen, flat):
        """Their mean weighted by precision along the line of sight, and the surer one's std."""
        targets, prediction = flat, seen[1]
        alone = with_network_prior(targets, [prediction], FitConfig())
        deeper = (
            prediction.keypoints
            + 0.04 * targets.view_direction[:, None] * (torch.arange(21) > 0)[:, None]
        )
        std = torch.full_like(prediction.std, 0.02)
        second = Prediction(deeper, std)
        found = with_network_prior(targets, [prediction, second], FitConfig())
        # Precisions of 4 to 1.
        depth = alone.relative_depth[:, 1:] + 0.04 / 5
        torch.testing.assert_close(found.relative_depth[:, 1:], depth)
        keypoints = 0.8 * prediction.keypoints + 0.2 * deeper
        alone = with_network_prior(targets, [Prediction(keypoints, prediction.std)], FitConfig())
        for name in PREDICTED:
            torch.testing.assert_close(getattr(found, name), getattr(alone, name))

    def test_one_of_two_that_sees_nothing_does_not_count(self, seen):
        targets, prediction = seen
        wanted = with_network_prior(targets, [prediction], FitConfig())
        unsure = replace(
            prediction, keypoints=2 * prediction.keypoints, std=prediction.std * torch.nan
        )
        unseen = nothing(prediction, *range(8))
        for other in (unsure, unseen):
            for predictions in ([prediction, other], [other, prediction]):
                found = with_network_prior(targets, predictions, FitConfig())
                for name in PREDICTED:
                    torch.testing.assert_close(getattr(found, name), getattr(wanted, name))


class TestPositions:
    @pytest.fixture
    def sighted(self, seen):
        """Eight hands, and a prediction of each. The features of the last three are not known, and
        of the fifth in one look alone."""
        targets, prediction = seen
        features = torch.zeros_like(targets.features)
        features[5:], features[4, 1] = torch.nan, torch.nan
        return replace(targets, features=features), prediction

    def test_a_keypoint_that_the_detector_misplaced_is_put_right(self, sighted):
        """The prediction is laid on all of them, so a 21st of what one errs is left."""
        targets, prediction = sighted
        wrong = targets.keypoints.clone()
        error = torch.tensor([0.1, -0.05]).double()
        wrong[:, 8] += error
        found = with_network_prior(
            replace(targets, keypoints=wrong), [prediction], FitConfig(network_position_share=1.0)
        )
        left = found.keypoints - targets.keypoints
        torch.testing.assert_close(left[:5], (error / 21).expand(5, 21, 2), rtol=0, atol=0.003)
        same(found.keypoints[5:], wrong[5:])

    def test_only_hands_of_which_a_network_saw_the_features_are_corrected(self, sighted):
        targets, prediction = sighted
        prediction = nothing(bent(prediction), 1)
        config = FitConfig()
        assert config.network_position_share > 0 and config.network_position_weight > 1
        found = with_network_prior(targets, [prediction], config)
        corrected = torch.tensor([0, 2, 3, 4])
        kept = torch.tensor([1, 5, 6, 7])
        same(found.keypoints[kept], targets.keypoints[kept])
        same(found.confidence[kept], targets.confidence[kept])
        assert ((found.keypoints - targets.keypoints)[corrected].norm(dim=-1).amax(1) > 0.01).all()
        # Depths and directions come from the prediction with and without features.
        blind = replace(targets, features=targets.features * torch.nan)
        for name in PREDICTED:
            same(
                getattr(found, name), getattr(with_network_prior(blind, [prediction], config), name)
            )

    def test_the_share_leads_from_the_detectors_positions_to_the_networks(self, sighted):
        targets, prediction = sighted
        prediction = bent(prediction)

        def keypoints(share: float) -> Tensor:
            config = FitConfig(network_position_share=share)
            return with_network_prior(targets, [prediction], config).keypoints

        same(keypoints(0.0), targets.keypoints)
        laid = project(laid_on_image(prediction.keypoints, targets), targets.intrinsics)
        torch.testing.assert_close(keypoints(1.0)[:5], laid[:5])
        torch.testing.assert_close(keypoints(0.3)[:5], (0.7 * targets.keypoints + 0.3 * laid)[:5])

    @pytest.mark.parametrize("factor", [0.5, 1.0, 16.0])
    def test_corrected_keypoints_count_by_a_factor(self, sighted, factor):
        targets, prediction = sighted
        confidence = torch.linspace(0, 1, 21).double().expand(8, 21)
        targets = replace(targets, confidence=confidence)
        config = FitConfig(network_position_weight=factor)
        found = with_network_prior(targets, [prediction], config)
        same(found.confidence[:5], factor * confidence[:5])
        same(found.confidence[5:], confidence[5:])
        once = with_network_prior(targets, [prediction], FitConfig(network_position_weight=1.0))
        for name in ("keypoints", *PREDICTED):
            same(getattr(found, name), getattr(once, name))

    @pytest.mark.parametrize("field", ["keypoints", "std"])
    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_a_prediction_that_is_not_finite_changes_nothing(self, sighted, field, value):
        targets, prediction = sighted
        broken = bent(prediction)
        getattr(broken, field)[:, 7, 0] = value
        found = with_network_prior(targets, [broken], FitConfig())
        for name, before in vars(targets).items():
            same(getattr(found, name), before, atol=1e-14)

    def test_positions_of_two_predictions_are_those_of_their_mean(self, sighted):
        targets, prediction = sighted
        other = replace(bent(prediction), std=2 * prediction.std)
        found = with_network_prior(targets, [prediction, other], FitConfig())
        mean = 0.8 * prediction.keypoints + 0.2 * other.keypoints
        wanted = with_network_prior(targets, [replace(prediction, keypoints=mean)], FitConfig())
        torch.testing.assert_close(found.keypoints, wanted.keypoints)
        torch.testing.assert_close(found.confidence, wanted.confidence)

    def test_a_batch_gives_what_its_hands_give_alone(self, sighted):
        targets, prediction = sighted
        predictions = [nothing(bent(prediction), 1, 6), nothing(prediction, 2, 6)]
        together = with_network_prior(targets, predictions, FitConfig())
        for i in range(8):
            rows = [said[[i]] for said in predictions]
            alone = with_network_prior(targets[[i]], rows, FitConfig())
            for name, value in vars(alone).items():
                same(value, getattr(together, name)[[i]], atol=1e-12)
