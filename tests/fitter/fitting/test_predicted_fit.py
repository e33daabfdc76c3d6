"""What networks say of hands, in the fit to the keypoints, as starts and beside its weak 3D."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.fitting.keypoint_fit import KeypointFit, _Initialisations, fit_observations
from fitter.fitting.network_prior import predicted_initialisations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.metrics import pa_mpjpe
from fitter.records import HandParams
from fitter.solvers.levenberg_marquardt import Linearization
from fitter.solvers.status import Status
from tests.support import keypoint_cases as cases
from tests.support.predictions import nothing, perfect

TRUSTING = cases.TRUSTING


def require_close(found: KeypointFit, wanted: KeypointFit, rows: Tensor | slice) -> None:
    """The same hands; sums over batches of different sizes differ in their last digits."""
    assert torch.equal(found.initialisation[rows], wanted.initialisation[rows])
    assert torch.equal(found.status[rows], wanted.status[rows])
    for name, value in vars(found.params).items():
        before = getattr(wanted.params, name)[rows]
        torch.testing.assert_close(value[rows], before, rtol=0, atol=1e-8, equal_nan=True)


class TestInitialisations:
    def wide(self, model, some) -> tuple[Tensor, Tensor]:
        """Keypoints of hands far off the axis of wide cameras, and K (B, 3, 3)."""
        places = torch.tensor(
            [[0.0, 0, 0.5], [0.6, 0, 0.5], [-0.6, 0.3, 0.45], [0.2, -0.5, 0.4]]
        ).double().repeat(2, 1)  # fmt: skip
        points = cases.keypoints_of(model, replace(some, transl=places))
        K = torch.tensor([[250.0, 0, 300], [0, 250, 260], [0, 0, 1]]).double()
        K = K.repeat(8, 1, 1)
        K[4:, 0, 0] = 280.0  # pixels that are not square
        return points, K

    def test_no_iterations_leave_a_hand_as_it_is_predicted(self, model, some):
        """As Seeber et al. start from their network."""
        observed = cases.observe(cases.keypoints_of(model, some))
        said = perfect(cases.keypoints_of(model, some), observed)
        bent = replace(said, keypoints=said.keypoints * torch.tensor([1.1, 0.9, 1.2]).double())
        # Without a standard deviation, as HandNet is.
        bent = replace(bent, std=torch.full_like(bent.std, torch.nan))
        fit = fit_observations(model, observed, FitConfig(max_iterations=0), [bent], False)
        start = predicted_initialisations(model, normalise(observed), bent)
        start = start.mirrored_where(observed.is_left)
        for name, value in vars(fit.params).items():
            torch.testing.assert_close(value, getattr(start, name))
        assert (fit.initialisation == 1).all() and (fit.iterations == 0).all()
        assert (fit.status == int(Status.MAX_ITERATIONS)).all() and fit.cost.isfinite().all()

    @pytest.mark.parametrize("iterations", [0, 1])
    def test_neighbours_without_a_prediction_move_no_hand(self, model, some, iterations):
        """One start alone is none to choose among, whatever the others of the batch have."""
        observed = cases.observe(cases.keypoints_of(model, some))
        said = perfect(cases.keypoints_of(model, some), observed)
        said = replace(said, keypoints=said.keypoints * torch.tensor([1.1, 0.9, 1.2]).double())
        config = FitConfig(max_iterations=iterations)
        wanted = fit_observations(model, observed, config, [said], False)
        found = fit_observations(model, observed, config, [nothing(said, 3, 6)], False)
        others = torch.tensor([0, 1, 2, 4, 5, 7])
        require_close(found, wanted, others)
        assert torch.equal(found.iterations[others], wanted.iterations[others])
        assert found.initialisation[[3, 6]].tolist() == [0, 0]

    def test_a_perfect_prediction_lies_on_the_picture(self, model, some):
        points, K = self.wide(model, some)
        assert points[..., 2].min() > 0.2
        observed = replace(cases.observe(points), intrinsics=K, keypoints=project(points, K))
        targets = normalise(observed)
        start = predicted_initialisations(model, targets, perfect(points, observed))
        found = cases.keypoints_of(model, start)
        error = (project(found, targets.intrinsics) - project(points, targets.intrinsics)).norm(
            dim=-1
        )
        # Crop units. What is left: the shape, which bones tell roughly, and the thumb's first
        # keypoint, which lies off its joint and turns with the thumb's unknown twist.
        assert error.mean() < 0.003 and error[:, 2:].max() < 0.02 and error.max() < 0.05
        # The picture does not tell the size; the shape is about the mean.
        ratio = found[:, 0].norm(dim=-1) / points[:, 0].norm(dim=-1)
        assert ratio.min() > 0.9 and ratio.max() < 1.1
        assert 1000 * pa_mpjpe(found.numpy(), points.numpy()).max() < 2

    def test_only_what_was_seen_places_it(self, model, some):
        points = cases.keypoints_of(model, some)
        observed = cases.observe(points)
        prediction = perfect(points, observed)
        wanted = predicted_initialisations(model, normalise(observed), prediction)
        seen = torch.ones(8, 21).double().index_fill_(1, torch.tensor([8, 15]), 0.0)
        targets = normalise(observed)
        blind = replace(
            targets,
            keypoints=targets.keypoints + 0.5 * (1 - seen)[..., None],
            confidence=targets.confidence * seen,
        )
        found = predicted_initialisations(model, blind, prediction)
        for name, value in vars(wanted).items():
            torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=1e-6)
        # Where nobody is sure of anything, all keypoints count alike.
        blind = replace(targets, confidence=torch.zeros_like(targets.confidence))
        torch.testing.assert_close(
            predicted_initialisations(model, blind, prediction).transl, wanted.transl
        )

    @pytest.mark.parametrize("keypoint", [0, 8])
    def test_keypoints_count_alike(self, model, some, keypoint):
        """One that is displaced draws the hand after it by a twenty-first, the wrist too."""
        points = cases.keypoints_of(model, some)
        observed = cases.observe(points)
        targets, prediction = normalise(observed), perfect(points, observed)
        step = 0.21 * torch.eye(2).double()[0]
        offset = torch.zeros(8, 21, 2).double()
        offset[:, keypoint] = step
        moved = replace(targets, keypoints=targets.keypoints + offset)
        before, after = (
            project(
                cases.keypoints_of(model, predicted_initialisations(model, t, prediction)),
                targets.intrinsics,
            )
            for t in (targets, moved)
        )
        drawn = (after - before).mean(1)
        torch.testing.assert_close(drawn, (step / 21).expand(8, 2), rtol=0.25, atol=1e-3)

    def test_no_prediction_no_start(self, model, some):
        points = cases.keypoints_of(model, some)
        observed = cases.observe(points)
        prediction = nothing(perfect(points, observed), 2, 5)
        start = predicted_initialisations(model, normalise(observed), prediction)
        for value in vars(start).values():
            known = value.flatten(1).isfinite()
            assert known.all(1).tolist() == [i not in (2, 5) for i in range(8)]
            assert not known[[2, 5]].any()


class TestFit:
    """From 2D keypoints without any depth of the detector's own."""

    def observed(self, model, some) -> tuple[Tensor, ObservationBatch]:
        points = cases.keypoints_of(model, some)
        return points, cases.observe(points, weak=False)

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_the_truth_leads_to_the_truth(self, model, some, side):
        points, observed = self.observed(model, some)
        if side == "left":
            observed = cases.mirrored(observed)
            points = points * torch.tensor([-1.0, 1, 1])
        prediction = perfect(points, observed)

        def error(predictions) -> np.ndarray:
            result = fit_observations(model, observed, TRUSTING, predictions)
            found = cases.fitted_keypoints(model, result, observed.is_left)
            pixels = (project(found, observed.intrinsics) - observed.keypoints).norm(dim=-1)
            assert pixels.mean(1).max() < 0.5
            return 1000 * pa_mpjpe(found.numpy(), points.numpy())

        alone, with_network_prior = error([]), error([prediction])
        assert with_network_prior.max() < 0.03
        assert alone.min() > 0.2, "keypoints alone do not say all of it"

    def test_the_truth_outweighs_a_detector_that_takes_front_for_back(self, model, some):
        points = cases.keypoints_of(model, some)
        observed = cases.observe(points)
        wrong = replace(
            observed,
            relative_depth=-observed.relative_depth,
            relative_xyz=observed.relative_xyz * torch.tensor([1.0, 1, -1]).double(),
        )

        def error(predictions) -> np.ndarray:
            result = fit_observations(model, wrong, FitConfig(), predictions)
            return 1000 * pa_mpjpe(cases.keypoints_of(model, result.params).numpy(), points.numpy())

        assert np.median(error([])) > 5
        assert error([perfect(points, wrong)]).max() < 3

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_a_network_that_saw_the_features_corrects_the_detectors_positions(
        self, model, some, side
    ):
        points, observed = self.observed(model, some)
        if side == "left":
            observed = cases.mirrored(observed)
            points = points * torch.tensor([-1.0, 1, 1])
        generator = torch.Generator().manual_seed(3)
        noise = 6 * torch.randn(8, 21, 2, generator=generator, dtype=torch.float64)
        blind = replace(observed, keypoints=observed.keypoints + noise)
        seeing = replace(blind, features=torch.zeros_like(blind.features))

        def error(observed: ObservationBatch) -> np.ndarray:
            fit = fit_observations(model, observed, TRUSTING, [perfect(points, observed)])
            found = cases.fitted_keypoints(model, fit, observed.is_left)
            return 1000 * pa_mpjpe(found.numpy(), points.numpy())

        uncorrected, corrected = error(blind), error(seeing)
        assert (corrected < 0.3 * uncorrected).all() and uncorrected.min() > 0.5

    def test_mirrored_hands_are_mirrored(self, model, some):
        points, observed = self.observed(model, some)
        prediction = perfect(points, observed)
        right = fit_observations(model, observed, FitConfig(), [prediction])
        # The prediction is of the mirrored picture, in which a left hand is a right one.
        left = fit_observations(model, cases.mirrored(observed), FitConfig(), [prediction])
        assert torch.equal(left.initialisation, right.initialisation)
        for name, value in vars(left.params).items():
            wanted = getattr(right.params.mirrored(), name)
            torch.testing.assert_close(value, wanted, rtol=0, atol=1e-5)

    def test_unknown_predictions_change_nothing(self, model, some):
        _, observed = self.observed(model, some)
        points = cases.keypoints_of(model, some)
        unseen = nothing(perfect(points, observed), *range(8))
        wanted = fit_observations(model, observed, FitConfig())
        assert (wanted.initialisation == 0).all()
        for predictions in ([unseen], [unseen, unseen]):
            for from_keypoints in (True, False):
                found = fit_observations(model, observed, FitConfig(), predictions, from_keypoints)
                require_close(found, wanted, slice(None))

    def test_who_started(self, model, some):
        points, observed = self.observed(model, some)
        good = perfect(points, observed)
        # Any other hand with the fingers of all hands mixed up.
        bad = replace(good, keypoints=good.keypoints.roll(3, 1) - good.keypoints.roll(3, 1)[:, :1])
        unsure = replace(bad, std=bad.std * torch.nan)
        broken = replace(
            observed, keypoints=observed.keypoints.clone().index_fill_(0, torch.tensor(7), 5.0)
        )

        def started(predictions, **options) -> list[int]:
            return fit_observations(
                model, broken, TRUSTING, predictions, **options
            ).initialisation.tolist()

        assert started([]) == [0] * 7 + [-1]
        assert started([good], from_keypoints=False) == [1] * 7 + [-1]
        assert started([unsure, good], from_keypoints=False) == [2] * 7 + [-1]
        assert started([good, unsure], from_keypoints=False) == [1] * 7 + [-1]
        mixed = started([nothing(good, 1, 4)], from_keypoints=False)
        assert mixed == [1, 0, 1, 1, 0, 1, 1, -1]
        mixed = started([nothing(good, 1, 4), nothing(good, 0, 1)], from_keypoints=False)
        assert mixed[:2] == [1, 0] and mixed[4] == 2 and mixed[7] == -1
        # The best of all wins: the truth beside typical poses.
        assert started([good]).count(1) >= 5

    def test_hands_without_a_prediction_start_from_keypoints_anyway(self, model, some):
        points, observed = self.observed(model, some)
        prediction = nothing(perfect(points, observed), 1, 4)
        found = fit_observations(model, observed, FitConfig(), [prediction], from_keypoints=False)
        wanted = fit_observations(model, observed, FitConfig())
        require_close(found, wanted, torch.tensor([1, 4]))
        assert (found.status != Status.DIVERGED).all()

    def test_a_hand_that_takes_no_part(self, model, some):
        points, observed = self.observed(model, some)
        prediction = perfect(points, observed)
        keypoints = observed.keypoints.clone()
        keypoints[2, 5] = torch.nan
        broken = replace(observed, keypoints=keypoints)
        found = fit_observations(model, broken, FitConfig(), [prediction])
        assert found.initialisation[2] == -1 and found.status[2] == Status.DIVERGED
        others = torch.arange(8) != 2
        require_close(found, fit_observations(model, observed, FitConfig(), [prediction]), others)
        gone = replace(observed, keypoints=observed.keypoints * torch.nan)
        found = fit_observations(model, gone, FitConfig(), [prediction])
        assert (
            found.initialisation.tolist() == [-1] * 8 and found.initialisation.dtype == torch.int64
        )

    @pytest.mark.parametrize("from_keypoints", [True, False])
    def test_a_batch_gives_what_its_hands_give_alone(self, model, some, from_keypoints):
        points, _ = self.observed(model, some)
        observed = cases.noisy(model, some)
        truth = torch.where(observed.is_left[:, None, None], points * points.new_tensor(
            [-1.0, 1, 1]), points)  # fmt: skip
        predictions = [
            nothing(perfect(truth, observed, 0.03), 1, 4),
            nothing(perfect(truth + 0.01 * torch.sin(900 * truth), observed, 0.05), 2, 4),
        ]
        together = fit_observations(model, observed, FitConfig(), predictions, from_keypoints)
        assert len(set(together.initialisation.tolist())) > 1
        for i in range(8):
            row = [prediction[[i]] for prediction in predictions]
            alone = fit_observations(model, observed[[i]], FitConfig(), row, from_keypoints)
            assert alone.initialisation[0] == together.initialisation[i]
            for name, value in vars(alone.params).items():
                torch.testing.assert_close(
                    value[0], getattr(together.params, name)[i], rtol=0, atol=1e-8
                )


class TestTheBestStart:
    @dataclass(frozen=True)
    class Costs:
        """An objective that only has values: `costs` (N,) of N states."""

        costs: Tensor

        def select(self, index: Tensor) -> TestTheBestStart.Costs:
            return self

        def linearize(self, params: HandParams) -> Linearization:
            return Linearization(self.costs, params.transl, params.transl)

    @pytest.mark.parametrize("worst", [torch.inf, torch.nan])
    def test_a_hand_never_gets_the_start_of_another(self, worst):
        """Of two hands the second has no prediction, and nothing that it tries has a cost."""
        count = 6  # three starts of two hands
        states = HandParams(
            torch.zeros(count, 3), torch.zeros(count, 15, 3), torch.zeros(count, 10),
            torch.arange(count).float()[:, None].expand(-1, 3),
        )  # fmt: skip
        source = torch.tensor([[1, -1], [0, 0], [0, 0]])
        costs = torch.tensor([3.0, 2.0, worst, 5.0, worst])  # of the states that are tried
        tried = _Initialisations(states, source)
        best, source = tried.best(self.Costs(costs), FitConfig(initialisation_iterations=0))
        assert best.transl[:, 0].tolist() == [2.0, 3.0]
        assert source.tolist() == [0, 0]
