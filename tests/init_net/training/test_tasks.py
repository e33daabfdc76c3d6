"""What networks learn from, what they lose, and the figures of networks that are right."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fitter.records import TensorBatch
from init_net.samples.config import HeldOutConfig
from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import ShardedSamples
from init_net.training.config import TrainConfig
from init_net.training.tasks import build_task
from tests.support.errors import raises
from tests.support.task_cases import COUNT, CPU, NETWORKS, SaysHands, configured


def built(folder: Path, network: str, **options):
    return build_task(configured(folder, network, **options), CPU)


def same(first: TensorBatch, second: TensorBatch) -> bool:
    """Bit for bit; what is unknown, NaN, is as unknown in both."""
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]
    return all(torch.allclose(*pair, rtol=0, atol=0, equal_nan=True) for pair in pairs)


class TestBatches:
    @pytest.mark.parametrize("size", [1, 4, 5, COUNT, 2 * COUNT + 3])
    def test_every_sample_once_in_every_pass(self, folder, size):
        task = built(folder, "segmentation")
        steps = -(-3 * COUNT // size)
        chosen = np.concatenate([task._mixtures[0].chosen(step, size) for step in range(steps)])
        passes = chosen[: 3 * COUNT].reshape(3, COUNT)
        assert (np.sort(passes, 1) == np.arange(COUNT)).all()
        assert not (passes[0] == passes[1]).all() and not (passes[1] == passes[2]).all()
        # Whatever was asked for before.
        last = task._mixtures[0].chosen(steps - 1, size)
        assert (last == chosen[(steps - 1) * size :]).all()

    @pytest.mark.parametrize("network", NETWORKS)
    def test_seed_and_step_decide(self, folder, network):
        first, second = (built(folder, network) for _ in range(2))
        second.batch(9)
        wanted = first.batch(3)
        assert same(second.batch(3), wanted) and same(first.batch(3), wanted)
        other = built(folder, network, seed=1)
        for batch in (first.batch(4), other.batch(3)):
            assert not torch.equal(batch.rotations, wanted.rotations)
        assert all(value.device == CPU for value in vars(wanted).values())
        parts = [first.batch(3, slice(start, start + 2)) for start in (0, 2)]
        assert same(parts[0], wanted[:2]) and same(parts[1], wanted[2:])

    @pytest.mark.parametrize("size", [1, 2, 3, 8])
    def test_of_the_lifter(self, folder, size):
        """Four in five were seen by the detector itself, all but the sample that it did not see."""
        task = built(folder, "lifter", batch_size=size)
        batch = task.batch(0)
        assert all(len(value) == size for value in vars(batch).values())
        rendered = round(0.8 * size)
        shapes = ShardedSamples(folder / "data").column("betas")
        known = [bool((shapes == betas.numpy()).all(1).any()) for betas in batch.betas]
        assert known == [True] * rendered + [False] * (size - rendered)
        assert len(task._seen) == 2 * (COUNT - 1)
        # What was only sampled nobody has looked at.
        assert batch.features[rendered:].isnan().all() and batch.visible[rendered:].isnan().all()
        assert batch.visible[:rendered].isfinite().all() and batch.metres.isfinite().all()

    @pytest.mark.parametrize("looks", [1, 2])
    def test_the_lifter_learns_from_as_many_sightings_as_are_asked_for(self, folder, looks):
        config = configured(folder, "lifter")
        data = config.data.model_copy(update={"sightings": looks})
        task = build_task(config.model_copy(update={"data": data}), CPU)
        assert len(task._seen) == looks * (COUNT - 1)

    def test_the_lifter_learns_from_several_sets(self, folder):
        """Each looked at as often as it says."""
        config = configured(folder, "lifter")
        more = {"folder": str(folder / "more"), "seed": 33, "count": 4, "sightings": 1}
        more = config.data.model_copy(update=more)
        task = build_task(config.model_copy(update={"further_data": (more,)}), CPU)
        assert len(task._seen) == 2 * (COUNT - 1) + 4
        assert task._seen.index[-4:].tolist() == [COUNT, COUNT + 1, COUNT + 2, COUNT + 3]
        assert (task._seen.variant[-4:] == 0).all()

    def test_figures_are_of_pictures_as_they_were_rendered(self, folder):
        for config in (HeldOutConfig(), configured(folder, "lifter").validation):
            assert config.sightings == 1
        with pytest.raises(ValidationError, match="sightings"):
            HeldOutConfig(sightings=2)

    @pytest.mark.parametrize("network", ["handnet", "segmentation"])
    def test_of_pictures(self, folder, network):
        """Varied, and some without the keypoints that the detector saw."""
        task = built(folder, network, batch_size=4 * COUNT)
        batch = task.batch(0)
        assert batch.image.shape == (4 * COUNT, 3, 32, 32)
        seen = (batch.confidence > 0).float().mean(1)
        assert 0.1 < (seen == 0).float().mean() < 0.5
        assert ((seen > 0) & (seen < 1)).any()
        plain = Cropper(ShardedSamples(folder / "data"), 32, 1.4, None).crop(range(COUNT), (0,))
        chosen = task._mixtures[0].chosen(0, 4 * COUNT)
        # A segmentation is told no shapes.
        shapes = 10 if network == "handnet" else 0
        assert torch.equal(batch.betas, plain.betas[chosen][:, :shapes])
        assert ((batch.positions - plain.positions[chosen]).abs().amax((1, 2)) > 1e-3).all()


class TestLosses:
    @pytest.mark.parametrize("network", NETWORKS)
    def test_they_fall(self, folder, network):
        """On one batch that is seen again and again."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            task = built(folder, network, batch_size=6)
            batch = task.batch(0)
            optimiser = torch.optim.Adam(task.network.parameters(), 3e-3)
            totals = []
            for step in range(20):
                terms = task.losses(batch, step)
                assert all(term.shape == (6,) and term.isfinite().all() for term in terms.values())
                total = sum(term.mean() for term in terms.values())
                optimiser.zero_grad()
                total.backward()
                gradients = [p.grad for p in task.network.parameters() if p.grad is not None]
                assert all(gradient.isfinite().all() for gradient in gradients)
                optimiser.step()
                totals.append(float(total.detach()))
        assert np.mean(totals[-3:]) < totals[0] - 0.2 * abs(totals[0])

    @pytest.mark.parametrize("network", NETWORKS)
    def test_of_each_hand_alone(self, folder, network):
        task = built(folder, network)
        task.network.eval()
        batch = task.batch(0)
        together = task.losses(batch, 0)
        for row in range(2):
            alone = task.losses(batch[row : row + 1], 0)
            assert alone.keys() == together.keys()
            for name, term in alone.items():
                torch.testing.assert_close(term[0], together[name][row], rtol=1e-3, atol=1e-4)

    def test_weights(self, folder):
        plain = built(folder, "segmentation")
        given = built(folder, "segmentation", losses={"bce": 3.0, "dice": 0.0})
        given.network.load_state_dict(plain.network.state_dict())
        plain.network.eval(), given.network.eval()
        batch = plain.batch(0)
        terms = given.losses(batch, 0)
        assert terms.keys() == {"bce"}
        torch.testing.assert_close(terms["bce"], 3 * plain.losses(batch, 0)["bce"])

    @pytest.mark.parametrize(
        ("network", "known"), [
            ("lifter", "keypoints, rotation, shape, visibility, size"),
            ("segmentation", "bce, dice"),
            ("handnet", "mano_pose, mano_pose_axis_angle, mano_shape, mano_joints_2d, "
             "mano_shape_norm, mano_camera, geometric_joints_3d, geometric_joints_2d, "
             "geometric_joints_3d_norm, geometric_bone, geometric_pose, geometric_shape, "
             "global_rotation, joint_rotations, mask_bce, mask_dice"),
        ],
    )  # fmt: skip
    def test_one_that_there_is_not(self, folder, network, known):
        with raises("training.unknown_loss", file="losses.colour", known=known):
            built(folder, network, losses={"colour": 1.0})

    @pytest.mark.parametrize(("kind", "betas"), [("lifter", 4), ("handnet", 12)])
    def test_shapes_of_another_hand(self, folder, kind, betas):
        options = configured(folder, kind).resolved()
        options["network"]["betas"] = betas
        with raises("training.other_betas", file="network.betas", expected="10 or 11", found=betas):
            build_task(TrainConfig.model_validate(options), CPU)

    @pytest.mark.parametrize("network", ["handnet", "segmentation"])
    def test_a_batch_of_one_image(self, folder, network):
        with raises("training.small_batch", file="optimiser.batch_size"):
            built(folder, network, batch_size=1)

    def test_hands_are_posed_exactly_whatever_the_precision(self, folder):
        """Mixed precision is for the network: hands posed in halves would be off by millimetres."""
        task = built(folder, "handnet")
        batch = task.batch(0)
        said = replace(batch.hands, betas=batch.betas + 0.3, rotations=batch.rotations.roll(1, 0))
        task.network = SaysHands(said)
        exact = task.losses(batch, 0)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = task.losses(batch, 0)
        for name, term in exact.items():
            torch.testing.assert_close(mixed[name], term, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("network", NETWORKS)
def test_validation(folder, network):
    """Of the held-out samples, not of those learned from; twice the same."""
    task = built(folder, network)
    task.network.eval()
    figures = task.validate(task.plan.at(0))
    assert figures["hands"] == (5 if network == "lifter" else 6)
    assert all(np.isfinite(value) for value in figures.values())
    assert task.validate(task.plan.at(0)) == figures
