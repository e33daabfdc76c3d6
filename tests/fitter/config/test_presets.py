"""The presets of published recipes: what they hold and what they say of it."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from fitter.config.options import Config, load_config
from fitter.config.stages import RefineConfig
from tests.support.preset_files import CONFIGS, PRESETS, preset, stage_of


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads_and_survives_being_stored(name, tmp_path) -> None:
    config = preset(name)
    stored = tmp_path / "stored.yaml"
    stored.write_text(json.dumps(config.resolved()))
    assert load_config(stored) == config
    assert config.refine != Config().refine
    # Only the stages are the papers'; detector, start and run are the command's own.
    assert config.model_copy(update={"refine": Config().refine}) == Config()


def test_realistic_hands_holds_what_is_printed() -> None:
    stage = stage_of("realistic_hands")
    assert stage.view_reduction == "mean"
    assert (stage.solver, stage.learning_rate, stage.momentum) == ("sgd", 0.002, 0.9)
    assert stage.iterations == 15 and stage.silhouette == "soft"
    assert stage.energies == {
        "silhouette_l2": 1.0,
        "vertex_offset": 1.0,
        "normal_consistency": 1.0,
        "laplacian": 1.0,
        "edge_length": 0.1,
    }
    assert set(stage.free) == {"global_orient", "pose", "shape", "offsets", "camera"}
    assert stage.rates == {}, "one learning rate is printed for all parameters"


@pytest.mark.parametrize("count", [3, 10])
def test_the_other_budgets_of_realistic_hands_are_one_override_away(count) -> None:
    option = f"refine.stages.refinement.iterations={count}"
    text = (CONFIGS / "realistic_hands.yaml").read_text()
    assert f"--set {option}\n" in text
    (stage,) = preset("realistic_hands", option).refine.stages.values()
    assert stage == stage_of("realistic_hands").model_copy(update={"iterations": count})


def test_the_whole_paper_is_a_handnet_alone_and_no_keypoint_fit() -> None:
    """By the options that the file names."""
    text = (CONFIGS / "realistic_hands.yaml").read_text()
    options = re.findall(r"--set ((?:init|fit)\.\S+)", text)
    assert len(options) == 4
    config = preset("realistic_hands", *options)
    asked = [(each.name, each.gives) for each in config.asked_networks]
    assert asked == [("handnet", "initialisation"), ("segmentation", "mask")]
    assert config.init.options.segmentation == "handnet" and config.finds_masks
    assert config.fit.max_iterations == 0
    assert config.refine == preset("realistic_hands").refine


def test_s2hand_has_the_energies_of_its_paper() -> None:
    stage, refine = stage_of("s2hand"), preset("s2hand").refine
    assert set(stage.energies) == {
        "keypoints_smooth_l1",
        "bone_orientation",
        "photometric_pixel",
        "photometric_ssim",
        "shape_norm",
        "texture_range",
        "camera_scale",
        "limits",
    }
    assert stage.solver == "adam" and {"vertex_colours", "lighting"} < set(stage.free)
    assert (refine.light, refine.linear_light) == ("ambient_directional", False)


def test_zhaos_preset_has_the_losses_of_its_text() -> None:
    stage = stage_of("nimble_render_compare")
    assert set(stage.energies) == {
        "keypoints_l2",
        "bone_orientation",
        "photometric_rgb",
        "image_silhouette_ssim",
        "pose_l2",
        "shape_prior",
        "appearance_prior",
    }
    # L_photo = L_rgb + L_sil: one weight for both.
    assert stage.energies["photometric_rgb"] == stage.energies["image_silhouette_ssim"]
    assert stage.solver == "adam" and "appearance" in stage.free


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_says_whether_it_is_printed(name) -> None:
    marked = 0
    for line in (CONFIGS / f"{name}.yaml").read_text().splitlines():
        value = re.match(r"\s*(\w+):\s*([^#\s][^#]*)?(#.*)?$", line)
        if value is None:
            assert not line.strip() or line.startswith("#"), line
        elif value[2]:
            marked += 1
            assert re.search(r"(printed|named|not published): \S", value[3] or ""), line
    assert marked > 10


@pytest.mark.parametrize("name", PRESETS)
def test_no_option_of_the_refinement_acts_unnamed(name) -> None:
    held = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["refine"]
    acting = set(RefineConfig.model_fields)
    if not any("photometric" in energy for energy in stage_of(name).energies):
        acting -= {"light", "linear_light"}
    if name != "nimble_render_compare":  # of a model with maps, and of stages with a free texture
        acting -= {"texture_size"}
    assert set(held) == acting


@pytest.mark.parametrize("name", PRESETS)
def test_no_weight_passes_for_printed_where_only_its_energy_is(name) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    for energy in stage_of(name).energies:
        (comment,) = re.findall(rf"^ +{energy}: [^#]*#(.*)$", text, re.MULTILINE)
        assert ("weight not published: w_" in comment or "20 w_bone" in comment) == (
            name != "realistic_hands"
        )


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_of_presets_has_every_value_that_is_not_published(name) -> None:
    page = (CONFIGS.parent / "docs" / "presets.md").read_text()
    section = page.split(f"## {name}.yaml")[1].split("\n## ")[0]
    for line in (CONFIGS / f"{name}.yaml").read_text().splitlines():
        value = re.match(r"\s*(\w+): *([\w.-]+) *#.*not published", line)
        if value:
            rows = [row for row in section.splitlines() if f"`{value[1]}`" in row]
            assert any(f"| {value[2]} |" in row for row in rows), line


@pytest.mark.parametrize("name", PRESETS)
def test_no_stage_of_a_published_recipe_hears_of_other_frames_and_the_file_says_why(name) -> None:
    assert "motion_prior" not in stage_of(name).energies
    (comment,) = re.findall(r"^# .*`motion_prior`.*$", (CONFIGS / f"{name}.yaml").read_text(), re.M)
    assert comment


def test_the_interaction_preset_is_the_default_and_then_what_is_printed() -> None:
    stages, own = load_config("interaction").refine.stages, load_config().refine.stages
    assert list(stages) == [*own, "interaction"]
    # Known objects do not count before the last stage.
    others = {"object_penetration", "object_attraction"}
    for name, stage in own.items():
        kept = {energy: w for energy, w in stage.energies.items() if energy not in others}
        plain = stage.model_copy(
            update={"energies": kept, "contact_reach": 0.01, "out_of_objects": False}
        )
        assert stages[name] == plain
    last = stages["interaction"]
    assert last.solver == "adam" and last.energies["object_penetration"] == 10.0
