"""The experiments of WSIM measure what they say, and their tables say what was measured."""

import json

import arms
import doc_wsim as doc
import pytest
import torch
import wsim
import wsim_arms as recipes
from render_and_compare_start import KeypointRegressor, encoder_names
from safetensors.torch import save_file

from init_net.training.loss_weights import MeshWeights
from init_net.weights import load_network
from tests.support.errors import raises

ENCODER = "mobilenetv3_small_050"


@pytest.fixture
def plan(tmp_path):
    return recipes.WsimPlan(
        samples=tmp_path / "samples",
        count=10,
        validation=tmp_path / "validation",
        work=tmp_path / "work",
        held_out=5,
        touching=tmp_path / "touching",
    )


def test_arms_differ_in_what_their_recipes_say_alone(plan, monkeypatch):
    monkeypatch.setattr(
        recipes, "start_file", lambda plan, network, vae: plan.work / f"start {vae}"
    )
    configs = {name: recipes.arm_of(name, 100, 3).config(plan) for name in recipes.RECIPES}
    for name, config in configs.items():
        recipe = recipes.RECIPES[name]
        assert set(config.losses) == set(MeshWeights.model_fields) and config.run.seed == 3
        assert {loss for loss, weight in config.losses.items() if weight} == set(recipe.losses)
        assert config.network.encoder == ENCODER and config.network.input_size == 128
        assert (config.network.vae is not None) == recipe.has_vae
        if recipe.start is None:
            assert ("vae" in config.run.start_parts) == recipe.has_vae
            assert list(config.learned_from) == ["data"]
        else:
            assert recipe.start in config.run.start and config.run.start_parts is None
            assert list(config.learned_from) == ["touching"]
            assert config.optimiser.learning_rate == recipe.rate
        assert [stage.steps for stage in config.stages.values()] == [100]
        assert "vae" not in config.stages["integrated"].trains
    # The full arm has eq. 8 with the printed lambdas, and the others of Table 3 all but one thing.
    full = MeshWeights().model_dump()
    assert configs["integrated"].losses == {**full, "vertices": 0.0}
    assert configs["no-distillation"].losses == {**full, "self_distillation": 0.0}
    same = configs["no-vae"].model_copy(update={"losses": configs["integrated"].losses})
    assert same.optimiser == configs["integrated"].optimiser
    assert not recipes.RECIPES["spiral"].parametric and recipes.RECIPES["integrated"].parametric


def test_arms_with_a_vae_need_it_and_begin_with_the_same_one(plan):
    full, plain = (
        recipes.arm_of(name, 100, seed) for name, seed in (("integrated", 2), ("spiral", 2))
    )
    vae, itself = full.needed
    assert itself is full and vae == recipes.arm_of("joint_vae", 7, 5) and plain.needed == (plain,)
    config = vae.config(plan)
    assert config.posed.noise == 0.003 and config.optimiser.steps == recipes.VAE_STEPS
    exact = recipes.arm_of("joint_vae-exact", 7, 5).config(plan)
    assert exact.posed.noise == 0 and exact.network == config.network


def test_nobody_is_at_an_arm_while_one_that_it_needs_is_trained(plan):
    refined = recipes.arm_of("refined", 100, 2)
    vae, start, pairs, _ = refined.needed
    assert [start.name, pairs.name] == ["integrated", "touching"]
    for needed in (vae, start, pairs):
        with arms.alone(needed, plan) as first, arms.alone(refined, plan) as second:
            assert first and not second
    with arms.alone(refined, plan), arms.alone(start, plan) as other:
        assert not other
    for trained in (vae, start):
        weights = plan.work / str(trained) / arms.WEIGHTS
        weights.parent.mkdir()
        weights.touch()
    with arms.alone(refined, plan) as first, arms.alone(start, plan) as measures:
        assert first and measures  # what is trained is only read


def test_a_start_has_the_encoder_that_has_learned(plan, monkeypatch):
    monkeypatch.setattr(recipes, "started", lambda *given: given[-1])
    plan.work.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        learned = KeypointRegressor(ENCODER)
    states = {name: value.contiguous() for name, value in learned.state_dict().items()}
    save_file(states, plan.work / "encoder.safetensors")
    monkeypatch.setattr(recipes, "start_file", lambda plan, network, vae: plan.work / "nothing")
    network = recipes.arm_of("spiral", 5, 0).config(plan).network
    monkeypatch.undo()
    monkeypatch.setattr(recipes, "started", lambda *given: given[-1])
    file = recipes.start_file(plan, network, has_vae=False)
    part = load_network(file).parts["encoder"].state_dict()
    names = encoder_names(ENCODER)
    for own, name in zip(list(part)[: len(names)], names, strict=True):
        expected = states[name].half().to(states[name]) if states[name].is_floating_point() else (
            states[name])  # fmt: skip
        torch.testing.assert_close(part[own], expected, rtol=1e-3, atol=1e-3)


def test_the_first_seed_of_everything_comes_before_the_second_of_what_decides():
    parts = ["gap", "table3", "table4", "mask"]
    found = [(m, str(arm)) for m, arm in wsim.ASKED.arms(parts, 9, [0, 2], True)]
    gap = [("gap", f"{name}-{recipes.VAE_STEPS}-0") for name in ("joint_vae", "joint_vae-exact")]
    names = ("integrated", "no-vae", "no-distillation")
    first, second = ([("meshes", f"{name}-9-{seed}") for name in names] for seed in (0, 2))
    assert found == [*gap, *first, ("twists", "integrated-9-0"), ("meshes", "mask-9-0"), *second,
                     ("twists", "integrated-9-2")]  # fmt: skip


def test_what_is_not_there_is_said_before_anything_is_trained(tmp_path):
    places = {name: tmp_path / name for name in ("work", "results", "samples", "validation")}
    words = [str(word) for name, place in places.items() for word in (f"--{name}", place)]
    with raises("samples.no_manifest", file=places["samples"]):
        wsim.main(["gap", "table2", *words])
    assert not places["work"].exists()


def write(folder, part, arm, seed, **said):
    file = folder / part / f"{arm}-9-{seed}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    training = {"cpu_seconds": 60, "losses": {"shape": 10.0, "mask": 0.0}}
    file.write_text(
        json.dumps({"arm": arm, "steps": 9, "seed": seed, "training": training, **said})
    )


def test_tables_say_what_was_measured(tmp_path):
    figures = {"pa_mpjpe_mm": 5.0, "pa_mpvpe_mm": 6.0, "edge_mm": 0.5, "normal": 0.1}
    free = {f"nonparametric_{name}": 10 * value for name, value in figures.items()}
    for seed in (0, 1):
        more = {**figures, "pa_mpjpe_mm": 5.0 + 2 * seed}
        write(tmp_path, "meshes", "integrated", seed, **more, **free, parametric=True)
    write(tmp_path, "meshes", "spiral", 0, **figures, **free, parametric=False)
    table = doc.meshes(tmp_path)
    assert "| integrated (Ours, GCN), here | 6.00 ± 1.00 | 6.00 ± 0.00 | 0.50 ± 0.00 |" in table
    assert "| graph convolution, of vertices (GCN-Vert), here | 50.00 | 60.00 | 5.00 |" in table
    assert "| integrated (Ours, GCN), the paper | 7.42 | 7.43 | 0.51 | 0.15 |" in table
    assert "| parametric (MANO CNN), here | n/a | n/a | n/a | n/a |" in table
    assert "| `integrated` | 9 | 0, 1 | shape 10 | 1.0 ± 0.0 |" in doc.arms(tmp_path)
    masks = doc.masks(tmp_path)
    assert "the non-parametric mesh | 50.00" in masks and "the parametric mesh | 6.00" in masks
    each = {twist: {k: v + n for k, v in figures.items()} for n, twist in enumerate(wsim.TWISTS)}
    write(tmp_path, "twists", "integrated", 0, **each)
    assert "| no twist, here | 6.00 | 7.00 |" in doc.twists(tmp_path)
    pairs = {"pairs_pa_mpvpe_mm": 7.0, "a_pd_mm": 0.5, "m_pd_mm": 3.0, "true_a_pd_mm": 0.0,
             "true_m_pd_mm": 0.2}  # fmt: skip
    write(tmp_path, "touching", "touching", 0, **pairs)
    assert "| the true hands, here | 0 | 0.00 | 0.20 |" in doc.depths(tmp_path)
    assert "at 3e-4, here | 7.00 | 0.50 | 3.00 |" in doc.depths(tmp_path)
    write(tmp_path, "gap", "joint_vae", 0, before_mm=0.4, after_mm=1.0, noisy_before_mm=2.0,
          noisy_after_mm=1.5)  # fmt: skip
    assert "| 2.00 | 1.50 |" in doc.gap(tmp_path)


def test_the_page_has_every_table():
    text = wsim.PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- begin {name} -->" in text for name in doc.BLOCKS)
