"""Bad input of train-hands, its checkpoints and weights: one sentence each, exit status 2."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from datasets.synthetic import SyntheticSettings
from init_net.samples.shards import SampleSource, ShardedSamples
from init_net.samples.sightings import Sightings, sightings_folder
from init_net.training.checkpoints import load_checkpoint
from init_net.training.command import train_hands
from init_net.training.config import load_train_config
from init_net.training.loop import Watch, train
from init_net.training.loss_weights import LifterWeights
from init_net.training.run_folder import claimed
from init_net.weights import load_network, read_info
from tests.support.training_cases import ToyTask, blank_samples, said, small_config, trained

SEE = "; see train-hands --help"


@pytest.mark.parametrize(
    ("wanted", "arguments"),
    [
        (
            "--set optimiser.step=3: unknown option 'optimiser.step'; did you mean 'steps'?",
            ["--set", "optimiser.step=3"],
        ),
        (
            "--set network.widht=3: unknown option 'network.widht'; did you mean 'width'?",
            ["--set", "network.widht=3"],
        ),
        (
            "--set network.width=many: network.width must be a whole number, found 'many'",
            ["--set", "network.width=many"],
        ),
        (
            "--set network.kind=handnett: unknown name 'handnett' in network.kind; did you mean "
            "'handnet'?",
            ["--set", "network.kind=handnett"],
        ),
        (
            "--set validation.seed=5: expected validation.seed to differ from data.seed, found 5 "
            "for both",
            ["--set", "validation.seed=5"],
        ),
        (
            "--set validation.folder=./data/: expected validation.folder to differ from "
            "data.folder, found './data/' for both",
            ["--set", "validation.folder=./data/"],
        ),
        (
            said("training.other_betas", file="network.betas", expected="10 or 11", found=12),
            ["--set", "network.betas=12"],
        ),
        (
            "--set losses.keypoints=-1: losses.keypoints must be greater than or equal to 0, "
            "found -1",
            ["--set", "losses.keypoints=-1"],
        ),
        (
            "--set steps=3: expected section.option=value, such as optimiser.steps=2000",
            ["--set", "steps=3"],
        ),
        (
            "--device tpu: run.device must be 'cpu', 'cuda' or 'auto', found 'tpu'",
            ["--device", "tpu"],
        ),
        (
            f"argument --overwrite: not allowed with argument --resume{SEE}",
            ["--resume", "--overwrite"],
        ),
        (
            f"argument --export: not allowed with argument --prepare-only{SEE}",
            ["--prepare-only", "--export", "w.safetensors"],
        ),
        (
            said("training.export_name", file="--export w.pt"),
            ["--export", "w.pt"],
        ),
        (
            said("training.nothing_to_export", file="runs/toy"),
            ["--export", "w.safetensors"],
        ),
    ],
)
def test_flags(refused, wanted, arguments):
    refused(wanted, *arguments)
    assert not Path("runs").exists()


def test_backgrounds_that_are_missing_are_told_before_anything_is_rendered(
    refused, ready, say, monkeypatch
):
    """Not where the samples are there already."""
    monkeypatch.setattr("datasets.synthetic.background_files.FREE_IMAGES", ())
    told = trained(say, "--prepare-only")
    assert (told.status, told.err) == (0, "")
    for folder in ("data", "validation"):
        shutil.rmtree(folder)
    wanted = said("background.no_packages", file="validation.backgrounds")
    assert "fit-hands[train]" in wanted
    refused(wanted)
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("mine.yaml: network is missing", "optimiser: {steps: 3}"),
        ("mine.yaml: network.kind is missing", "network: {width: 3}"),
        (
            "mine.yaml: network must be a section of options, found a number",
            "network: 3",
        ),
        (
            "mine.yaml: unknown option 'network.encoder'; expected one of kind, width, blocks, "
            "dropout, feature_dropout, fusion_ratio, betas",
            "network: {kind: lifter, encoder: resnet18}",
        ),
        (
            "mine.yaml: the configuration must hold sections such as 'optimiser:', found a list",
            "- network",
        ),
        (
            said("training.small_batch", file="optimiser.batch_size"),
            "{network: {kind: segmentation, input_size: 32}, optimiser: {batch_size: 1}}",
        ),
        (
            "mine.yaml: unknown option 'augmentation.keypoint_dropout'; expected one of "
            "rotation_degrees, scale, shift, colour, grey_share, blur, noise",
            "{network: {kind: handnet}, augmentation: {keypoint_dropout: 0.1}}",
        ),
    ],
)
def test_files(refused, wanted, text):
    Path("mine.yaml").write_text(text)
    refused(wanted, config="mine.yaml")


def test_no_such_configuration(ready, say):
    told = say("no_such_preset", command=train_hands)
    assert told.status == 2
    assert told.err.startswith(
        "train-hands: no_such_preset: expected a YAML file or one of the presets "
    )
    told = say("none.yaml", command=train_hands)
    assert told.status == 2 and "none.yaml" in told.err and "No such file" in told.err


def test_out_holds_something_else(refused):
    Path("words").write_text("words")
    refused(said("output.is_file", file="--out words"), "--out", "words")
    Path("notes").mkdir()
    Path("notes/readme.txt").write_text("words")
    taken = said("training.out_is_taken", file="--out notes")
    refused(taken, "--out", "notes")
    refused(taken, "--out", "notes", "--overwrite")
    assert [path.name for path in Path("notes").iterdir()] == ["readme.txt"]


def test_out_holds_a_run_of_another_configuration(ready, say, refused):
    assert trained(say, "--set", "optimiser.steps=3").status == 0
    before = Path("runs/toy/checkpoint.pt").read_bytes()
    facts = {"file": "runs/toy", "option": "optimiser.steps", "expected": 12, "found": 3}
    for arguments in ([], ["--resume"], ["--export", "w.safetensors"]):
        refused(said("training.other_run", **facts), *arguments)
    assert Path("runs/toy/checkpoint.pt").read_bytes() == before
    # Where and how fast is free.
    same = ["--set", "optimiser.steps=3", "--set", "run.loaders=0"]
    assert trained(say, *same).status == 0
    assert trained(say, "--overwrite").status == 0
    assert load_checkpoint(Path("runs/toy/checkpoint.pt")).step == 12


def test_a_run_leaves_weights_with_a_card(ready, say):
    assert trained(say).status == 0
    found = sorted(path.name for path in Path("runs/toy").iterdir())
    assert [name for name in found if name != "tensorboard"] == [
        "checkpoint.pt", "metrics.jsonl", "run.json", "weights.md", "weights.safetensors",
    ]  # fmt: skip
    assert [path.name for path in Path("runs").iterdir()] == ["toy"], "no lock is left"
    assert "train-hands toy.yaml --quiet" in Path("runs/toy/weights.md").read_text()
    assert trained(say, "--export", "x/lifter.safetensors").status == 0
    exported = Path("x/lifter.safetensors")
    assert exported.read_bytes() == Path("runs/toy/weights.safetensors").read_bytes()
    network = load_network(exported, "cpu", "lifter")
    average = load_checkpoint(Path("runs/toy/checkpoint.pt")).average
    for name, value in network.state_dict().items():
        assert torch.allclose(value, average[name], atol=1e-3), name


def test_a_run_in_use(ready, refused):
    with claimed(Path("runs/toy"), small_config(), "train-hands"):
        refused(said("run.busy", file="runs/toy"), "--overwrite")


def test_a_damaged_run(ready, say, refused):
    assert trained(say).status == 0
    Path("runs/toy/run.json").write_text("{")
    refused(said("training.bad_manifest", file="runs/toy/run.json"))
    Path("runs/toy/run.json").write_text("[]")
    refused(said("training.foreign_manifest", file="runs/toy/run.json"))


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        ({"config": None}, "training.no_part", "config"),
        ({"config": [3]}, "training.damaged_part", "config"),
        ({"hand_model": None}, "training.no_part", "hand_model"),
        ({"hand_model": "open_hand"}, "training.damaged_part", "hand_model"),
        ({"hand_model": {"name": "open_hand"}}, "training.damaged_part", "hand_model"),
        ({"hand_model": {"name": "open_hand", "sha256": 3}}, "training.damaged_part", "hand_model"),
        (
            {"hand_model": {"name": "a", "sha256": "b", "c": "d"}},
            "training.damaged_part",
            "hand_model",
        ),
        ({"command": None}, "training.no_part", "command"),
        ({"command": ["train-hands"]}, "training.damaged_part", "command"),
    ],
)
def test_a_run_that_lost_a_part(started, refused, change, code, part):
    path = Path("runs/toy/run.json")
    manifest = {**json.loads(path.read_text()), **change}
    kept = {name: value for name, value in manifest.items() if value is not None}
    path.write_text(json.dumps(kept))
    for arguments in ([], ["--export", "w.safetensors"]):
        refused(said(code, file="runs/toy/run.json", part=part), *arguments)


def test_a_run_whose_options_are_of_another_shape(started, refused):
    path = Path("runs/toy/run.json")
    manifest = json.loads(path.read_text())
    manifest["config"]["optimiser"] = 3
    path.write_text(json.dumps(manifest))
    facts = {"file": "runs/toy", "option": "optimiser.steps", "expected": 12, "found": None}
    refused(said("training.other_run", **facts))


def test_a_run_of_an_earlier_version_goes_on_and_is_exported(ready, say):
    """It names options that are gone, which changed nothing."""
    step = iter(range(100))
    config = load_train_config("toy.yaml")
    with claimed(Path("runs/toy"), config, "train-hands toy.yaml"):
        train(ToyTask(config), config, Path("runs/toy"), Watch(lambda: next(step) == 7))
    gone = {"keypoint_dropout": 0.0, "all_keypoints_dropout": 0.0}
    path = Path("runs/toy/run.json")
    manifest = json.loads(path.read_text())
    manifest["config"]["augmentation"] |= gone
    path.write_text(json.dumps(manifest))
    path = Path("runs/toy/checkpoint.pt")
    values = torch.load(path, weights_only=True)
    values["config"]["augmentation"] |= gone
    torch.save(values, path)
    assert trained(say, "--export", "w.safetensors").status == 0
    card = Path("w.md").read_text()
    assert "Trained for 7 of 12 steps" in card and "samples after 5 steps" in card
    assert trained(say).status == 0
    assert load_checkpoint(path).step == 12


def test_a_card_names_no_folder_of_pictures(ready, say):
    """Nor do the weights; all else of how to train them stands there."""
    place = "/home/me/my 'best' photos"
    options = yaml.safe_load(Path("toy.yaml").read_text())
    options["validation"]["backgrounds"] = place
    Path("toy.yaml").write_text(yaml.safe_dump(options))
    shutil.rmtree("validation")
    for name, seed in (("data", 5), ("validation", 6)):
        shutil.rmtree(name, ignore_errors=True)
        settings = SyntheticSettings(backgrounds=place)
        blank_samples(Path(name), SampleSource(seed, 4, 16, 1, settings))
    told = say("toy.yaml", "--set", f"data.backgrounds={json.dumps(place)}", command=train_hands)
    assert told.status == 0
    last = told.err.splitlines()[-1]
    assert last.startswith(
        "weights after 12 of 12 steps, figures of step 12: runs/toy/weights.safetensors, "
    )
    info = read_info(Path("runs/toy/weights.safetensors"))
    assert info.command == "train-hands toy.yaml --set data.backgrounds=FOLDER"
    assert [info.data[name]["backgrounds"] for name in info.data] == ["a folder", "a folder"]
    assert info.figures_step == 12
    assert info.options["losses"] == LifterWeights().model_dump()
    config = small_config().resolved()
    for section in ("optimiser", "augmentation", "run"):
        assert info.options[section] == config[section]
    card = Path("runs/toy/weights.md").read_text()
    assert "| backgrounds | a folder | a folder |" in card
    assert "| optimiser.batch_size | 4 |" in card and "| run.seed | 0 |" in card
    for words in (card, Path("runs/toy/weights.safetensors").read_bytes().decode("latin-1")):
        assert "photos" not in words


def test_samples_of_another_data_set(refused):
    facts = {"file": "data", "option": "seed", "expected": 9, "found": 5}
    refused(said("samples.other_option", **facts), "--set", "data.seed=9")


def test_a_data_folder_without_samples(refused):
    shutil.rmtree("validation")
    Path("validation").mkdir()
    Path("validation/readme.txt").write_text("words")
    refused(said("samples.other_folder", file="validation"))


def test_prepare_only_trains_nothing(ready, say):
    """What nobody has looked at is looked at."""
    looks = {name: sightings_folder(Path(name)) for name in ("data", "validation")}
    for folder in looks.values():
        shutil.rmtree(folder)
    assert trained(say, "--prepare-only").status == 0
    assert not Path("runs").exists()
    found = {name: Sightings(ShardedSamples(Path(name))).found.shape for name in looks}
    assert found == {"data": (4, 2), "validation": (4, 1)}
