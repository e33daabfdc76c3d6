"""Gradients that are not finite: the step is left out, or training stops with one sentence."""

from init_net.training.checkpoints import load_checkpoint
from init_net.training.loop import DivergedError, train
from tests.support.errors import raises
from tests.support.training_cases import ToyTask, small_config


def test_a_gradient_that_is_not_finite(tmp_path):
    class Steep(ToyTask):
        def losses(self, batch, step):
            terms = super().losses(batch, step)
            # The square root of zero: a finite value, and no finite slope.
            root = (0.0 * terms["keypoints"]).sqrt() if step == 2 else 0.0
            return {**terms, "keypoints": terms["keypoints"] + root}

    config = small_config()
    facts = {"step": 3, "what": "the gradient", "found": "not a number"}
    with raises("training.diverged", DivergedError, **facts):
        train(Steep(config), config, tmp_path)


class LosesGradients(ToyTask):
    """Its gradient is not a number in the first `count` steps from step 2 on."""

    count = 0

    def losses(self, batch, step):
        terms = super().losses(batch, step)
        root = (0.0 * terms["keypoints"]).sqrt() if 2 <= step < 2 + self.count else 0.0
        return {**terms, "keypoints": terms["keypoints"] + root}


def test_a_gradient_that_float16_never_holds(tmp_path):
    """Its steps are left out, but not for ever."""
    config = small_config(optimiser={"steps": 50}, precision="float16", checkpoint_minutes=0)
    task = LosesGradients(config)
    task.count = 48
    path = tmp_path / "checkpoint.pt"
    kept = f"the last good checkpoint is {path} (step 21)"
    facts = {"step": 22, "what": "the gradient", "count": 20, "kept": kept}
    with raises("training.diverged_often", DivergedError, **facts):
        train(task, config, tmp_path)
    assert all(value.isfinite().all() for value in load_checkpoint(path).network.values())


def test_a_gradient_that_float16_holds_again(tmp_path):
    config = small_config(optimiser={"steps": 30}, precision="float16")
    task = LosesGradients(config)
    task.count = 19
    assert train(task, config, tmp_path).step == 30
