"""Networks learn the keypoints of hands that are rendered of another hand model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticEngine
from init_net.samples.crop_samples import Cropper
from init_net.samples.joined import JoinedSamples
from init_net.samples.shards import HAND_FIELDS, ShardedSamples
from init_net.training.loop import Watch, train
from init_net.training.sources import prepare, require_renderable
from init_net.training.tasks import build_task, require_trainable
from tests.support.errors import raises
from tests.support.nimble_files import content, copied, nimble_folder, rewritten
from tests.support.rendered_samples import write_sightings
from tests.support.task_cases import CPU, SIZE, configured

HANDS = 4
POSITIONS = {
    "geometric_joints_3d": 500.0, "mano_joints_2d": 100.0, "joint_rotations": 2.0,
    "mano_shape": 0.05, "global_rotation": 1.0,
}  # fmt: skip


def shown(folder, model, **more) -> dict:
    """A set rendered of a model."""
    return {"folder": str(folder), "seed": 41, "count": HANDS, "size": SIZE,
            "backgrounds": "procedural", "hand_model": str(model), **more}  # fmt: skip


def learning(folder, other, network="handnet", **more):
    """A run that learns from the open hand and from another."""
    return configured(folder, network, further_data=[other], **more)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, folder):
    """A run whose further samples show NIMBLE, and have been looked at."""
    place = tmp_path_factory.mktemp("nimble") / "shards"
    config = learning(folder, shown(place, nimble_folder()), losses=POSITIONS)
    prepare(config.further_data[0])
    write_sightings(ShardedSamples(place))
    return config


class TestSamples:
    def test_keypoints_are_true_and_the_rest_is_not_known(self, rendered):
        source = rendered.further_data[0]
        samples = ShardedSamples(Path(rendered.further_data[0].folder))
        rows = samples.read(range(HANDS), [*HAND_FIELDS, "keypoints_3d", "is_marks", "usable"])
        batch = SyntheticEngine(SIZE, source.settings, supersampling=1).batch(41, range(HANDS))
        np.testing.assert_allclose(rows["keypoints_3d"], batch.keypoints_3d, atol=1e-6)
        assert all(np.isnan(rows[name]).all() for name in HAND_FIELDS)
        assert rows["hand_pose"].shape == (HANDS, 15, 3)
        assert rows["usable"].all() and not rows["is_marks"].any()

    def test_crops_say_where_the_keypoints_are(self, rendered):
        samples = ShardedSamples(Path(rendered.further_data[0].folder))
        crops = Cropper(samples, 32, 1.4, None).crop(range(HANDS), (0,))
        stored = torch.from_numpy(samples.column("keypoints_3d"))
        lengths = (stored - stored[:, :1]).norm(dim=-1)
        torch.testing.assert_close(crops.points.norm(dim=-1), lengths, rtol=1e-4, atol=1e-5)
        assert crops.positions.abs().max() < 0.5 and crops.camera.isfinite().all()
        assert crops.rotations.isnan().any(-1).all() and crops.betas.isnan().all()
        assert crops.has_mask.all() and (crops.mask.mean((1, 2)) > 0.05).all()

    def test_beside_those_of_the_open_hand(self, rendered, folder):
        other = ShardedSamples(Path(rendered.further_data[0].folder))
        joined = JoinedSamples([ShardedSamples(folder / "data"), other])
        rows = joined.read([0, len(joined) - 1], ["betas", "is_marks", "hand_pose"])
        assert np.isfinite(rows["betas"][0]).all() and np.isnan(rows["betas"][1]).all()
        assert rows["is_marks"].tolist() == [True, False]


class TestLearning:
    def test_a_network_learns_from_both(self, rendered, tmp_path):
        """What is not known of NIMBLE's hands costs nothing; what is known moves the network."""
        config = rendered.model_copy(
            update={"optimiser": rendered.optimiser.model_copy(update={"steps": 4})}
        )
        task = build_task(config, CPU)
        before = [weight.clone() for weight in task.network.parameters()]
        result = train(task, config, tmp_path, Watch())
        assert result.step == 4
        after = list(task.network.parameters())
        assert all(weight.isfinite().all() for weight in after)
        assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True))

    def test_losses_of_their_keypoints_alone(self, rendered):
        alone = rendered.model_copy(
            update={
                "data": rendered.further_data[0],
                "further_data": (),
                "optimiser": rendered.optimiser.model_copy(update={"batch_size": HANDS}),
            }
        )
        task = build_task(alone, CPU)
        terms = task.losses(task.batch(0), 0)
        assert (terms["geometric_joints_3d"] > 0).all() and (terms["mano_joints_2d"] > 0).all()
        for name in ("joint_rotations", "mano_shape", "global_rotation"):
            assert (terms[name] == 0).all()

    def test_it_is_said_what_is_not_learned(self, rendered):
        assert require_trainable(rendered) == {"further_data.0": "rotations and shape"}


class TestRefused:
    def test_by_the_lifter(self, folder, tmp_path):
        """It learns the detector's marks, which another model has not."""
        other = shown(tmp_path / "s", nimble_folder())
        lacking = {"network": "lifter", "expected": "keypoints as the detector marks them"}
        with raises("training.lacks", file=f"further_data.0 ({tmp_path / 's'})", **lacking):
            require_trainable(learning(folder, other, "lifter"))
        config = configured(folder, "lifter")
        other = config.validation.model_copy(update={"hand_model": str(nimble_folder())})
        with raises("training.lacks", file=f"validation ({other.folder})", **lacking):
            require_trainable(config.model_copy(update={"validation": other}))

    def test_a_folder_of_another_layout(self, folder, tmp_path):
        """Before anything is rendered."""
        model = copied(tmp_path / "nimble")
        arrays = content(model, "NIMBLE_DICT_9137.pkl")
        del arrays["jreg_mano"]
        file = rewritten(model, "NIMBLE_DICT_9137.pkl", arrays)
        config = learning(folder, shown(tmp_path / "s", model))
        with raises("model.keys_missing", file=file, missing="jreg_mano"):
            require_renderable(config)
        assert not (tmp_path / "s").exists()

    def test_no_folder(self, folder, tmp_path):
        config = learning(folder, shown(tmp_path / "s", tmp_path / "none"))
        with raises("synthetic.model", file=tmp_path / "none"):
            require_renderable(config)

    def test_children(self, folder, tmp_path):
        config = learning(folder, shown(tmp_path / "s", nimble_folder(), child_share=0.5))
        with raises("model.no_children", file=str(nimble_folder())):
            require_renderable(config)
