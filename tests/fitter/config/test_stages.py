"""Stages in a configuration: by name, changed one option at a time, mistakes in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fitter.config.energies import DECLARATIONS
from fitter.config.options import Config, FitConfig, load_config
from fitter.config.stages import DEFAULT_STAGES, Free, StageConfig
from fitter.energies import ENERGIES, SceneParams
from fitter.errors import InputError
from fitter.refinement.scene import FIELDS
from tests.support.errors import raises

LM = "solver: lm, iterations: 3, free: [global_orient, pose, shape, camera]"
ADAM = "solver: adam, iterations: 3, free: [pose]"
TWO = f"""
refine:
  stages:
    second: {{{LM}, energies: {{keypoints: 1.0}}}}
    first: {{{ADAM}, energies: {{keypoints: 1.0, limits: 2.0}}, rates: {{pose: 0.1}}}}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def one(tmp_path: Path, options: str) -> Path:
    return written(tmp_path, f"refine: {{stages: {{a: {{{options}}}}}}}")


def test_every_name_means_something():
    assert list(ENERGIES) == list(DECLARATIONS)
    assert set(FIELDS) == set(Free.__args__)
    assert set(FIELDS.values()) == set(SceneParams.__dataclass_fields__)
    squares = {name for name, energy in DECLARATIONS.items() if energy.least_squares}
    of_surfaces = {"silhouette_l2", "self_penetration", "object_penetration", "object_attraction"}
    assert set(FitConfig().energies) == squares - of_surfaces


def test_a_file_replaces_the_stages_whole_and_keeps_their_order(tmp_path):
    config = load_config(written(tmp_path, TWO))
    assert list(config.refine.stages) == ["second", "first"]
    assert config.refine.stages["first"].rates == {"pose": 0.1}
    assert config.refine.resolution == Config().refine.resolution
    assert list(load_config(written(tmp_path, json.dumps(config.resolved()))).refine.stages) == [
        "second",
        "first",
    ]


def test_a_file_that_says_nothing_of_stages_keeps_them(tmp_path):
    config = load_config(written(tmp_path, "refine: {resolution: 64}"))
    assert config.refine.stages == DEFAULT_STAGES


def test_an_override_changes_one_option_of_one_stage(tmp_path):
    config = load_config(None, ["refine.stages.contour.iterations=5"])
    expected = DEFAULT_STAGES["contour"].model_copy(update={"iterations": 5})
    assert config.refine.stages == DEFAULT_STAGES | {"contour": expected}
    assert Config().refine.stages == DEFAULT_STAGES

    overrides = ["refine.stages.first.energies.limits=0", "refine.stages.second.iterations=9"]
    stages = load_config(written(tmp_path, TWO), overrides).refine.stages
    assert list(stages) == ["second", "first"]
    assert stages["first"].energies == {"keypoints": 1.0, "limits": 0.0}
    assert stages["second"].iterations == 9 and stages["first"].iterations == 3


@pytest.mark.parametrize("given", [[], ["refine.stages.contour.iterations=5"]])
def test_stages_can_be_taken_out(tmp_path, given):
    assert load_config(None, [*given, "refine.stages={}"]).refine.stages == {}
    assert load_config(written(tmp_path, "refine: {stages: {}}")).refine.stages == {}


def test_an_override_can_add_a_stage():
    text = f"refine.stages.more={{{ADAM}, learning_rate: 0.1, energies: {{keypoints: 1}}}}"
    stages = load_config(None, [text, "refine.stages.more.iterations=4"]).refine.stages
    assert list(stages) == [*DEFAULT_STAGES, "more"] and stages["more"].iterations == 4
    assert list(load_config(None, ["refine.stages={}", text]).refine.stages) == ["more"]


KEYPOINTS = "energies: {keypoints: 1.0}"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            f"{ADAM}, energies: {{keypoint: 1.0}}",
            "unknown name 'keypoint' in refine.stages.a.energies; did you mean 'keypoints'?",
        ),
        (
            f"{ADAM}, {KEYPOINTS}, rates: {{poses: 1.0}}",
            "unknown name 'poses' in refine.stages.a.rates; did you mean 'pose'?",
        ),
        (
            f"solver: sgd, iterations: 1, free: [light], {KEYPOINTS}",
            "unknown name 'light' in refine.stages.a.free; did you mean 'lighting'?",
        ),
        (
            f"{ADAM}, energies: {{zzz: 1.0}}",
            "unknown name 'zzz' in refine.stages.a.energies; expected one of keypoints, keyp",
        ),
        (
            f"{ADAM}, energies: {{keypoints: -1.0}}",
            "refine.stages.a.energies.keypoints must be greater than or equal to 0, found -1.0",
        ),
        (
            f"{ADAM}, energies: {{keypoints: heavy}}",
            "refine.stages.a.energies.keypoints must be a number, found 'heavy'",
        ),
        (
            f"{ADAM}, {KEYPOINTS}, rates: {{pose: -1.0}}",
            "refine.stages.a.rates.pose must be greater than or equal to 0, found -1.0",
        ),
        (
            f"{ADAM}, energies: {{}}",
            "refine.stages.a.energies must be at least one name, found {}",
        ),
        (
            f"solver: sgd, iterations: 1, free: [], {KEYPOINTS}",
            "refine.stages.a.free must be at least one name, found []",
        ),
        (
            f"solver: sgd, iterations: 1, free: pose, {KEYPOINTS}",
            "refine.stages.a.free must be a list, found 'pose'",
        ),
        (
            f"solver: adm, iterations: 1, free: [pose], {KEYPOINTS}",
            "refine.stages.a.solver must be 'lm', 'adam' or 'sgd', found 'adm'",
        ),
        (
            f"{ADAM}, {KEYPOINTS}, learning_rat: 1.0",
            "unknown option 'refine.stages.a.learning_rat'; did you mean 'learning_rate'?",
        ),
        (f"solver: adam, free: [pose], {KEYPOINTS}", "refine.stages.a.iterations is missing"),
        (
            f"{ADAM}, {KEYPOINTS}, iterations: 4",
            "is not valid YAML at line 1: 'iterations' is given twice",
        ),
    ],
)
def test_a_mistake_in_a_stage_is_one_sentence(tmp_path, options, sentence):
    path = one(tmp_path, options)
    with pytest.raises(InputError) as caught:
        load_config(path)
    message = str(caught.value)
    assert sentence in message and str(path) in message and "\n" not in message
    if "did you mean" in message:
        assert len(message) < len(str(path)) + 100


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        (
            f"solver: sgd, iterations: 1, free: [pose, pose], {KEYPOINTS}",
            "free_twice",
            {"found": "pose"},
        ),
        (f"{LM}, energies: {{silhouette_iou: 1.0}}", "lm_energy", {"found": "silhouette_iou"}),
        (
            f"solver: lm, iterations: 1, free: [pose, camera], {KEYPOINTS}",
            "lm_free",
            {"expected": "camera, global_orient, pose, shape", "found": "camera, pose"},
        ),
        (f"{LM}, {KEYPOINTS}, out_of_objects: true", "not_out_of_objects", {}),
        (
            f"{ADAM}, learning_rate: 0.1, energies: {{object_penetration: 1.0}}, "
            "out_of_objects: true",
            "out_of_objects_solver",
            {"found": "adam"},
        ),
        (f"{LM}, {KEYPOINTS}, silhouette: soft", "lm_silhouette", {"found": "soft"}),
        (f"{LM.replace('3', '0')}, {KEYPOINTS}", "lm_iterations", {"found": 0}),
        (f"{ADAM}, {KEYPOINTS}, rates: {{shape: 1.0}}", "rate_not_free", {"found": "shape"}),
        (f"{ADAM}, {KEYPOINTS}", "no_step", {"solver": "adam", "group": "pose"}),
        (
            f"solver: sgd, iterations: 1, free: [pose, camera], {KEYPOINTS}, rates: {{pose: 0.1}}",
            "no_step",
            {"solver": "sgd", "group": "camera"},
        ),
    ],
)
def test_options_that_do_not_fit_together_are_told_by_code(tmp_path, options, code, facts):
    path = one(tmp_path, options)
    with raises(f"stages.{code}", file=f"{path}: refine.stages.a", **facts):
        load_config(path)


def test_texels_are_compared_only_where_a_texture_is_free(tmp_path):
    smooth = "energies: {photometric_rgb: 1.0, texture_smoothness: 1.0}"
    stage = "{solver: adam, iterations: 1, learning_rate: 0.1, free: [%s], %s}"
    light, texture = stage % ("lighting", smooth), stage % ("texture", smooth)
    path = written(tmp_path, f"refine: {{stages: {{a: {light}}}}}")
    with raises("stages.no_texture", file=f"{path}: refine", found="texture_smoothness"):
        load_config(path)
    # Another stage's texels stay.
    load_config(written(tmp_path, f"refine: {{stages: {{a: {texture}, b: {light}}}}}"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("refine: {stages: }", "refine.stages must be a section of options, found nothing"),
        ("refine: {stages: [a]}", "refine.stages must be a section of options, found ['a']"),
        ("refine: {stages: {a: 3}}", "refine.stages.a must be a section of options, found a numb"),
        ("refine: {stages: {3: {}}}", "a name in refine.stages must be text, found 3"),
        ("refine: {stage: {}}", "unknown option 'refine.stage'; did you mean 'stages'?"),
        ("refine: {resolution: 31}", "refine.resolution must be greater than or equal to 32"),
    ],
)
def test_a_mistake_about_stages_is_one_sentence(tmp_path, text, sentence):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "refine.stages.contuor.iterations=5",
            "unknown stage 'refine.stages.contuor'; did you mean 'contour'?",
        ),
        (
            "refine.stages.contour.energies.keypoint=5",
            "unknown name 'keypoint' in refine.stages.contour.energies; did you mean 'keypoints'?",
        ),
        ("refine.stages.contour={}", "refine.stages.contour.solver is missing"),
        ("refine.stages.contour=3", "refine.stages.contour must be a section of options, found a"),
        (
            "refine.stages.contour.iterations=many",
            "refine.stages.contour.iterations must be a whole number, found 'many'",
        ),
        ("fit.num_initialisations.x=3", "fit.num_initialisations has no options of its own"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(override, sentence):
    with pytest.raises(InputError) as caught:
        load_config(None, [override])
    assert str(caught.value).startswith(f"--set {override}: {sentence}")


@pytest.mark.parametrize(
    ("override", "code"),
    [
        ("refine.stages.contour.free=[pose]", "stages.lm_free"),
        ("refine.stages.contour.solver=adam", "stages.no_step"),
    ],
)
def test_an_override_that_does_not_fit_is_named(override, code):
    with raises(code, file=f"--set {override}: refine.stages.contour"):
        load_config(None, [override])


def test_of_several_overrides_the_faulty_one_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^--set refine.stages=3: refine.stages must be a sect"):
        load_config(None, ["refine.stages=3", "refine.stages.contour.iterations=5"])
    with pytest.raises(InputError, match=r"'refine.stages.contour'; there is none$"):
        load_config(None, ["refine.stages={}", "refine.stages.contour.iterations=5"])
    path = written(tmp_path, TWO)
    with pytest.raises(InputError, match=r"'refine.stages.contour'; expected one of second, first"):
        load_config(path, ["refine.stages.contour.iterations=5"])
    broken = written(tmp_path, "refine: {stages: 3}")
    with pytest.raises(InputError, match=r"mine.yaml: refine.stages must be a section"):
        load_config(broken, ["refine.stages.contour.iterations=5"])


def test_rates_are_factors_of_the_learning_rate_or_steps_themselves(tmp_path):
    both = "solver: sgd, iterations: 1, free: [pose, shape], energies: {keypoints: 1.0}"
    stage = load_config(one(tmp_path, f"{both}, rates: {{pose: 0.5}}, learning_rate: 0.1"))
    stage = stage.refine.stages["a"]
    assert (stage.rate("pose"), stage.rate("shape")) == (0.05, 0.1)
    stage = load_config(one(tmp_path, f"{both}, rates: {{pose: 0.5, shape: 0.0}}"))
    stage = stage.refine.stages["a"]
    assert (stage.rate("pose"), stage.rate("shape")) == (0.5, 0.0)


def test_a_stage_cannot_change():
    with pytest.raises(ValueError, match="frozen"):
        DEFAULT_STAGES["contour"].iterations = 3
    assert isinstance(DEFAULT_STAGES["contour"], StageConfig)
