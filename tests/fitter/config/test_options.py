import json
import tomllib
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fitter.commands.fit_hands import fit_hands
from fitter.config.options import Config, FitConfig, find_config, load_config
from tests.support.errors import raises
from tests.support.paths import ROOT

DEFAULT_FILE = ROOT / "configs" / "default.yaml"


def sections():
    for name, field in Config.model_fields.items():
        yield name, field.annotation


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_the_default_file_holds_every_option_at_its_default():
    assert load_config(DEFAULT_FILE) == Config()
    written, resolved = yaml.safe_load(DEFAULT_FILE.read_text()), Config().resolved()
    # A stage has many options of which each solver needs a few.
    stages = resolved["refine"]["stages"]
    for name, options in written["refine"]["stages"].items():
        stages[name] = {option: stages[name][option] for option in options}
    assert written == resolved


def test_every_option_is_described():
    for name, section in sections():
        for option, field in section.model_fields.items():
            assert field.description, f"{name}.{option}"


def test_file_then_overrides(tmp_path):
    path = written(tmp_path, "fit:\n  num_initialisations: 2\n  max_iterations: 7\nrun:\n")
    config = load_config(path, ["fit.max_iterations=9", "run.batch_size=1", "run.batch_size=5"])
    assert (config.fit.num_initialisations, config.fit.max_iterations, config.run.batch_size) == (
        2,
        9,
        5,
    )
    assert config.detector == Config().detector


@pytest.mark.parametrize(
    ("override", "section", "option", "value"),
    [
        ("fit.keypoint_weight=2", "fit", "keypoint_weight", 2.0),
        ("fit.keypoint_weight=1e-3", "fit", "keypoint_weight", 0.001),
        ("fit.keypoint_weight = 2.5E+1", "fit", "keypoint_weight", 25.0),
        ("output.save_vertices=true", "output", "save_vertices", True),
        ("model.path=/a=b/MANO_RIGHT.pkl", "model", "path", "/a=b/MANO_RIGHT.pkl"),
        ("model.path=null", "model", "path", None),
    ],
)
def test_override_values_are_yaml_scalars(override, section, option, value):
    found = getattr(getattr(load_config(overrides=[override]), section), option)
    assert found == value and type(found) is type(value)


def test_resolved_survives_json_and_reloads(tmp_path):
    config = load_config(overrides=["fit.num_initialisations=3", "run.device=cpu"])
    text = json.dumps(config.resolved())
    assert load_config(written(tmp_path, text)) == config


def test_a_configuration_cannot_change():
    with pytest.raises(ValidationError):
        Config().fit.num_initialisations = 9
    with pytest.raises(ValidationError):
        FitConfig(num_start=9)


@pytest.mark.parametrize(
    ("text", "code", "facts"),
    [
        (
            "fit: {max_iteration: 3}",
            "unknown_option",
            {"option": "fit.max_iteration", "close": "max_iterations"},
        ),
        ("fitt: {}", "unknown_option", {"option": "fitt", "close": "fit"}),
        (
            "output: {colour: 1}",
            "unknown_option",
            {
                "option": "output.colour",
                "close": None,
                "known": ("save_vertices", "keypoint_definition", "min_quality"),
            },
        ),
        (
            "fit: {max_iterations: 1.5}",
            "value",
            {"option": "fit.max_iterations", "expected": "a whole number", "found": "1.5"},
        ),
        ("fit: {max_iterations: true}", "value", {"expected": "a whole number", "found": "True"}),
        ("fit: {keypoint_weight: .nan}", "value", {"expected": "a finite number", "found": "nan"}),
        ("fit: {keypoint_weight: heavy}", "value", {"expected": "a number", "found": "'heavy'"}),
        ("detector: {min_score: 3}", "value", {"expected": "less than or equal to 1"}),
        ("detector: {second_pass: 1}", "value", {"expected": "true or false", "found": "1"}),
        (
            "run: {device: gpu}",
            "value",
            {"option": "run.device", "expected": "'cpu', 'cuda' or 'auto'", "found": "'gpu'"},
        ),
        ("model: {name: 3}", "value", {"option": "model.name", "expected": "text", "found": "3"}),
        ("fit: 3", "no_section", {"option": "fit", "found": "a number"}),
        ("3: {}", "unknown_option", {"option": "3"}),
        ("- fit", "no_sections", {"section": "fit", "found": "a list"}),
        (
            "fit: {seed: 1}\nrun:\nfit: {}",
            "not_yaml_at",
            {"line": 3, "reason": "'fit' is given twice"},
        ),
        (
            "fit:\n  num_initialisations: 1\n  num_initialisations: 2",
            "not_yaml_at",
            {"line": 3, "reason": "'num_initialisations' is given twice"},
        ),
        ("a: [", "not_yaml_at", {"line": 1}),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_it(tmp_path, text, code, facts):
    path = written(tmp_path, text)
    with raises(f"config.{code}", **facts) as caught:
        load_config(path)
    assert str(caught.value.facts["file"]) == str(path) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "code", "facts"),
    [
        ("fit", "no_override", {"example": "fit.num_initialisations=2"}),
        ("fit=3", "no_override", {}),
        ("a.b.c=3", "unknown_option", {"option": "a"}),
        ("fit.=3", "no_override", {}),
        ("fit.num_initialisation=3", "unknown_option", {"close": "num_initialisations"}),
        (
            "output.textures=true",
            "unknown_option",
            {
                "hint": "expected one of output.save_vertices, output.keypoint_definition, "
                "output.min_quality"
            },
        ),
        ("fot.num_initialisations=3", "unknown_option", {"close": "fit"}),
        (
            "fit.num_initialisations=none",
            "value",
            {"expected": "a whole number", "found": "'none'"},
        ),
        ("run.device=[", "no_yaml_value", {"found": "["}),
    ],
)
def test_a_mistake_in_an_override_names_the_override(override, code, facts):
    with raises(f"config.{code}", file=f"--set {override}", **facts):
        load_config(overrides=[override])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "none.yaml"
    with raises("config.unreadable", file=missing, reason="No such file or directory"):
        load_config(missing)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00fit")
    with raises("config.not_utf8", file=tmp_path / "binary.yaml"):
        load_config(tmp_path / "binary.yaml")


def test_an_option_of_two_types_is_named_without_them() -> None:
    assert load_config(None, ["model.fingertips=[1, 2, 3, 4, 5]"]).model.fingertips == [
        1,
        2,
        3,
        4,
        5,
    ]
    typed = "--set model.fingertips=1.5"
    with raises("config.value", file=typed, option="model.fingertips", found="1.5"):
        load_config(None, ["model.fingertips=1.5"])


PRESETS = sorted(path.stem for path in DEFAULT_FILE.parent.glob("*.yaml"))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_found_by_name_wherever_the_command_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preset = load_config(name)
    assert preset == load_config(DEFAULT_FILE.with_name(f"{name}.yaml"))
    assert (preset == Config()) == (name == "default")
    Path(name).mkdir()
    assert load_config(name) == preset
    # A file of the user's goes before.
    Path(name).rmdir()
    Path(name).write_text("fit: {num_initialisations: 1}")
    assert load_config(name) == Config(fit=FitConfig(num_initialisations=1))


def test_paths_are_no_names_of_presets():
    for path in ("default.yaml", "configs/detailed", "./no/s2hand"):
        assert find_config(path) == Path(path)
    with raises("config.no_preset", file="--config s2_hand", known=", ".join(PRESETS)):
        load_config("s2_hand")


def test_the_help_names_every_preset(capsys):
    with pytest.raises(SystemExit):
        fit_hands(["--help"])
    named = capsys.readouterr().out.split("or the name of a preset:")[1].split("--set")[0]
    assert sorted(named.replace(",", "").split()) == PRESETS


def test_an_installed_package_holds_the_presets():
    settings = tomllib.loads((DEFAULT_FILE.parents[1] / "pyproject.toml").read_text())["tool"]
    packaged = settings["setuptools"]
    assert "fitter.configs" in packaged["packages"]
    folder = DEFAULT_FILE.parent.name
    assert packaged["package-dir"] == {
        "fitter.configs": folder,
        "fitter.configs.train": f"{folder}/train",
    }
    assert packaged["package-data"]["fitter.configs"] == ["*.yaml"]
