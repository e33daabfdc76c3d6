"""Gradients that are not finite: the step is left out, or training stops with one sentence."""

import pytest

from init_net.training.checkpoints import load_checkpoint
from init_net.training.loop import DivergedError, train
from tests.support.training_cases import ToyTask, small_config


def test_a_gradient_that_is_not_finite(tmp_path):
    class Steep(ToyTask):
        def losses(self, batch, step):
            terms = super().losses(batch, step)
            # The square root of zero: a finite value, and no finite slope.
            root = (0.0 * terms["joints"]).sqrt() if step == 2 else 0.0
            return {**terms, "joints": terms["joints"] + root}

    config = small_config()
    with pytest.raises(
        DivergedError, match=r"stopped at step 3: .* found the gradient not a number; "
    ):
        train(Steep(config), config, tmp_path)


class LosesGradients(ToyTask):
    """Its gradient is not a number in the first `count` steps from step 2 on."""

    count = 0

    def losses(self, batch, step):
        terms = super().losses(batch, step)
        root = (0.0 * terms["joints"]).sqrt() if 2 <= step < 2 + self.count else 0.0
        return {**terms, "joints": terms["joints"] + root}


def test_a_gradient_that_float16_never_holds(tmp_path):
    """Its steps are left out, but not for ever."""
    config = small_config(optimiser={"steps": 50}, precision="float16", checkpoint_minutes=0)
    task = LosesGradients(config)
    task.count = 48
    with pytest.raises(DivergedError) as stopped:
        train(task, config, tmp_path)
    path = tmp_path / "checkpoint.pt"
    assert str(stopped.value) == (
        "training stopped at step 22: expected finite losses and gradients, found the gradient not "
        f"a number in 20 steps in a row; the last good checkpoint is {path} (step 21)"
    )
    assert all(value.isfinite().all() for value in load_checkpoint(path).network.values())


def test_a_gradient_that_float16_holds_again(tmp_path):
    config = small_config(optimiser={"steps": 30}, precision="float16")
    task = LosesGradients(config)
    task.count = 19
    assert train(task, config, tmp_path).step == 30
