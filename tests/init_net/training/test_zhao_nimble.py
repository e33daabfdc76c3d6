"""Zhao's pipeline with NIMBLE: what it is, and what is refused before anything is rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitter.errors import InputError
from fitter.hand_models.nimble import read_nimble, read_textures
from init_net.training.command import train_hands
from init_net.training.config import load_train_config
from init_net.training.tasks import build_task, require_trainable
from tests.support.autoencoder_runs import autoencoder_config
from tests.support.nimble_files import content, copied, nimble_folder, rewritten
from tests.support.task_cases import CPU

PRESET = "zhao_nimble"


def without_regressor(folder: Path) -> None:
    name = "NIMBLE_DICT_9137.pkl"
    arrays = content(folder, name)
    del arrays["jreg_mano"]
    rewritten(folder, name, arrays)


def without_textures(folder: Path) -> None:
    (folder / "NIMBLE_TEX_DICT.pkl").unlink()


def test_what_is_printed():
    """Numbers of 3.1, losses of 3.5, and light that nothing says."""
    config, mano = load_train_config(PRESET), load_train_config("zhao")
    network = config.network
    assert (network.pose_components, network.betas, network.appearance_components) == (30, 20, 10)
    assert network.appearance == "components" and network.camera == "orthographic"
    assert config.losses == mano.losses and config.losses["rgb"] > 0


@pytest.mark.parametrize("damage", [without_regressor, without_textures])
def test_a_folder_of_another_layout(damage, tmp_path, say, monkeypatch):
    """One sentence, that of the reader, and nothing is rendered."""
    monkeypatch.chdir(tmp_path)
    model = copied(tmp_path / "model")
    damage(model)
    with pytest.raises(InputError) as wanted:
        read_nimble(model)
        read_textures(model)
    told = say(PRESET, "--quiet", "--set", f"network.hand_model={model}", command=train_hands)
    assert (told.status, told.out) == (2, "")
    assert told.err == f"train-hands: {wanted.value}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_no_folder(tmp_path, say, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = say(PRESET, "--quiet", command=train_hands)
    wanted = InputError("training.no_hand_model", file="network.hand_model=nimble")
    assert told.status == 2 and told.err == f"train-hands: {wanted}\n"
    assert "docs/nimble.md" in told.err
    assert not list(tmp_path.iterdir())


def test_more_shapes_than_the_model_has(tmp_path, say, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = copied(tmp_path / "model")
    given = ["--set", f"network.hand_model={model}", "--set", "network.betas=21"]
    told = say(PRESET, "--quiet", *given, command=train_hands)
    assert told.status == 2 and "network.betas" in told.err and "20" in told.err


def test_what_it_is_compared_with(folder):
    """Joints and fingertips, which NIMBLE has, of hands that know marks too; all losses count."""
    preset = load_train_config(PRESET)
    network = {**preset.network.model_dump(), "hand_model": str(nimble_folder())}
    small = {"encoder": "mobilenetv3_small_050", "hidden": [16], "input_size": 32}
    config = autoencoder_config(
        folder,
        {**network, **small},
        losses=preset.losses,
        stages={"whole": {"steps": 2}},
        supervision=preset.supervised.model_dump(),
    )
    assert require_trainable(config) == {}
    task = build_task(config, CPU)
    batch = task.batch(0)
    assert not batch.is_marks.any() and batch.points.isfinite().all()
    terms = task.losses(batch, 0)
    assert set(terms) == {name for name, weight in preset.losses.items() if weight > 0}
    assert all(term.shape == (4,) and term.isfinite().all() for term in terms.values())
    sum(term.sum() for term in terms.values()).backward()
    slopes = [weight.grad for weight in task.network.parameters()]
    assert all(slope is not None and slope.isfinite().all() for slope in slopes)
    figures = task.validate(task.plan.stages[0])
    assert figures["hands"] == 6 and figures["pa_mpjpe_mm"] > 0
    assert "pa_mpvpe_mm" not in figures
