"""Bad input of train-hands, its checkpoints and weights: one sentence each, exit status 2."""

import io
import os
import pickle
import shutil
import signal
from dataclasses import asdict, replace
from pathlib import Path

import bad_commands
import pytest
import torch
import training_cases
import yaml
from safetensors.torch import load, save
from training_cases import SMALL, ToyTask, blank_samples, small_config

import init_net.checkpoints
from datasets.synthetic_records import SyntheticSettings
from fitter.records import InputError
from init_net.checkpoints import HandModelId, current_hand_model, load_checkpoint
from init_net.network_config import LifterConfig, SegmentationConfig, build_network
from init_net.shards import SampleSource
from init_net.train_command import train_hands
from init_net.training import DivergedError, Watch, train
from init_net.weights import WeightsInfo, load_network, save_weights

workplace = bad_commands.workplace
here = bad_commands.here
say = bad_commands.say

SEE = "; see train-hands --help"
CURRENT = str(current_hand_model())


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    training_cases.toy_tasks(monkeypatch)


@pytest.fixture
def ready(here, tmp_path, monkeypatch):
    """A folder with a configuration and samples as current one."""
    monkeypatch.chdir(tmp_path)
    options = small_config().resolved()
    for name, seed, backgrounds in (("data", 5, "procedural"), ("validation", 6, "packages")):
        options[name] |= {"folder": name, "seed": seed, "count": 4, "size": 16}
        settings = SyntheticSettings(backgrounds=backgrounds)
        blank_samples(Path(name), SampleSource(seed, 4, 16, 1, settings))
    Path("toy.yaml").write_text(yaml.safe_dump(options))
    return tmp_path


@pytest.fixture
def refused(ready, say):
    def run(sentence: str, *arguments: object, config: str = "toy.yaml") -> None:
        told = say(config, "--quiet", *arguments, command=train_hands)
        assert (told.status, told.out, told.err) == (2, "", f"train-hands: {sentence}\n")

    return run


def trained(say, *arguments: object):
    return say("toy.yaml", "--quiet", *arguments, command=train_hands)


@pytest.mark.parametrize(
    ("sentence", "arguments"),
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
            "--set losses.joints=-1: losses.joints must be greater than or equal to 0, found -1",
            ["--set", "losses.joints=-1"],
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
            "--export w.pt: expected a name that ends in .safetensors",
            ["--export", "w.pt"],
        ),
        (
            "runs/toy: expected a run with a checkpoint to export, found none",
            ["--export", "w.safetensors"],
        ),
    ],
)
def test_flags(refused, sentence, arguments):
    refused(sentence, *arguments)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("mine.yaml: network is missing", "optimiser: {steps: 3}"),
        ("mine.yaml: network.kind is missing", "network: {width: 3}"),
        (
            "mine.yaml: network must be a section of options, found a number",
            "network: 3",
        ),
        (
            "mine.yaml: unknown option 'network.encoder'; expected one of kind, width, blocks, "
            "dropout, betas",
            "network: {kind: lifter, encoder: resnet18}",
        ),
        (
            "configuration mine.yaml must hold sections such as 'optimiser:', found a list",
            "- network",
        ),
    ],
)
def test_files(refused, sentence, text):
    Path("mine.yaml").write_text(text)
    refused(sentence, config="mine.yaml")


def test_no_such_configuration(ready, say):
    told = say("no_such_preset", command=train_hands)
    assert told.status == 2
    assert told.err.startswith(
        "train-hands: no_such_preset: expected a YAML file or one of the presets "
    )
    told = say("none.yaml", command=train_hands)
    sentence = "cannot read configuration none.yaml: No such file or directory"
    assert (told.status, told.err) == (2, f"train-hands: {sentence}\n")


def test_out_holds_something_else(refused):
    Path("words").write_text("words")
    refused("--out words: expected a folder, found a file", "--out", "words")
    Path("notes").mkdir()
    Path("notes/readme.txt").write_text("words")
    sentence = "--out notes: expected an empty folder or a run of train-hands, found other files"
    refused(sentence, "--out", "notes")
    refused(sentence, "--out", "notes", "--overwrite")
    assert [path.name for path in Path("notes").iterdir()] == ["readme.txt"]


def test_out_holds_a_run_of_another_configuration(ready, say, refused):
    assert trained(say, "--set", "optimiser.steps=3").status == 0
    before = Path("runs/toy/checkpoint.pt").read_bytes()
    sentence = (
        "runs/toy: expected a run with optimiser.steps 12, found one with 3; use --overwrite to "
        "replace it, or another --out"
    )
    for arguments in ([], ["--resume"], ["--export", "w.safetensors"]):
        refused(sentence, *arguments)
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
    from init_net.run_folder import claimed

    with claimed(Path("runs/toy"), small_config(), "train-hands"):
        refused("runs/toy is being written by another fit-hands run", "--overwrite")


def test_a_damaged_run(ready, say, refused):
    assert trained(say).status == 0
    Path("runs/toy/run.json").write_text("{")
    refused("runs/toy/run.json cannot be read; --overwrite starts anew")
    Path("runs/toy/run.json").write_text("[]")
    refused("runs/toy/run.json: expected a run of train-hands, found another JSON file")


def test_samples_of_another_data_set(refused):
    refused(
        "data: expected samples with seed 9, found a data set with 5; choose another folder",
        "--set",
        "data.seed=9",
    )


def test_a_data_folder_without_samples(refused):
    shutil.rmtree("validation")
    Path("validation").mkdir()
    Path("validation/readme.txt").write_text("words")
    refused("validation: expected an empty folder or rendered samples, found other")


def test_prepare_only_trains_nothing(ready, say):
    assert trained(say, "--prepare-only").status == 0
    assert not Path("runs").exists()


def test_a_loss_that_is_not_finite(ready, say, monkeypatch):
    training_cases.toy_tasks(monkeypatch, lambda step: float("nan") if step == 7 else None)
    told = trained(say, "--set", "run.checkpoint_minutes=0")
    assert (told.status, told.out) == (1, "")
    assert told.err == (
        "train-hands: training stopped at step 8: expected finite losses and gradients, found loss "
        "'joints' not a number; the last good checkpoint is runs/toy/checkpoint.pt (step 7)\n"
    )
    kept = load_checkpoint(Path("runs/toy/checkpoint.pt"))
    assert kept.step == 7
    assert all(value.isfinite().all() for value in kept.network.values())
    assert (
        trained(say, "--export", "w.safetensors", "--set", "run.checkpoint_minutes=0").status == 0
    )


def test_a_loss_that_is_infinite_from_the_start(ready, say, monkeypatch):
    training_cases.toy_tasks(monkeypatch, lambda step: float("inf"))
    told = trained(say)
    assert told.status == 1
    assert told.err == (
        "train-hands: training stopped at step 1: expected finite losses and gradients, found loss "
        "'joints' infinite; there is no checkpoint yet\n"
    )


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_keeps_what_is_done(ready, say, monkeypatch, number):
    undisturbed = [Path("whole") / name for name in ("metrics.jsonl", "weights.safetensors")]
    assert trained(say, "--out", "whole").status == 0
    training_cases.toy_tasks(
        monkeypatch, lambda step: os.kill(os.getpid(), number) if step == 6 else None
    )
    told = trained(say)
    assert (told.status, told.out) == (130, "")
    assert told.err == "train-hands: interrupted; what is done is kept, and --resume continues\n"
    assert load_checkpoint(Path("runs/toy/checkpoint.pt")).step == 7
    training_cases.toy_tasks(monkeypatch)
    assert trained(say, "--resume").status == 0
    metrics, weights = (Path("runs/toy") / path.name for path in undisturbed)
    assert metrics.read_bytes() == undisturbed[0].read_bytes()
    # Their commands differ, which stand in the header.
    one, other = (load(path.read_bytes()) for path in (weights, undisturbed[1]))
    assert all(torch.equal(one[name], other[name]) for name in other)


def stopped_at(step: int, folder: Path) -> None:
    asked = iter(range(100))
    train(ToyTask(small_config()), small_config(), folder, Watch(lambda: next(asked) == step))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    stopped_at(4, tmp_path)
    path = tmp_path / "checkpoint.pt"
    before = path.read_bytes()
    # What is written there really meets a disk without space.
    (tmp_path / "checkpoint.pt.new.partial").symlink_to("/dev/full")
    with pytest.raises(InputError) as refusal:
        train(ToyTask(small_config()), small_config(), tmp_path)
    assert str(refusal.value) == (
        f"cannot write checkpoint {path}: No space left on device; the last good checkpoint is "
        f"{path}"
    )
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.glob("checkpoint*")] == ["checkpoint.pt"]
    train(ToyTask(small_config()), small_config(), tmp_path)
    (tmp_path / "metrics.jsonl.partial").symlink_to("/dev/full")
    with pytest.raises(InputError) as refusal:
        train(ToyTask(small_config()), small_config(), tmp_path)
    sentence = f"cannot write {tmp_path / 'metrics.jsonl'}: No space left on device"
    assert str(refusal.value) == sentence


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    stopped_at(4, folder)
    return folder / "checkpoint.pt"


def resaved(checkpoint: Path, path: Path, **changes) -> Path:
    values = torch.load(checkpoint, weights_only=True)
    torch.save({**values, **changes}, path)
    return path


def sentence_of(call, *arguments) -> str:
    with pytest.raises(InputError) as refusal:
        call(*arguments)
    return str(refusal.value)


def test_a_cut_off_checkpoint(checkpoint, tmp_path):
    path, content = tmp_path / "checkpoint.pt", checkpoint.read_bytes()
    expected = f"{path}: expected a checkpoint of train-hands"
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        found = sentence_of(load_checkpoint, path)
        assert found == f"{expected}, found a cut-off, damaged or foreign file", length
    path.unlink()
    assert sentence_of(load_checkpoint, path) == f"{expected}, found no such file"
    path.mkdir()
    found = f"{expected}, found one that cannot be read: Is a directory"
    assert sentence_of(load_checkpoint, path) == found


def test_a_foreign_checkpoint(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    expected = f"{path}: expected a checkpoint of train-hands"
    for content in (b"words\n", pickle.dumps({"step": 3}), b"PK\x03\x04 and so on"):
        path.write_bytes(content)
        found = sentence_of(load_checkpoint, path)
        assert found == f"{expected}, found a cut-off, damaged or foreign file", content
    for values in ({"step": 3}, [1, 2], torch.zeros(3)):
        torch.save(values, path)
        assert sentence_of(load_checkpoint, path) == f"{expected}, found another file of PyTorch"
    resaved(checkpoint, path, layout=2)
    assert sentence_of(load_checkpoint, path) == f"{expected} in layout 1, found layout 2"
    values = torch.load(checkpoint, weights_only=True)
    del values["average"]
    torch.save(values, path)
    assert sentence_of(load_checkpoint, path) == f"{expected}, found one without 'average'"


def test_a_checkpoint_that_is_a_program_is_not_run(tmp_path):
    class Program:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "it ran",))

    path = tmp_path / "checkpoint.pt"
    content = io.BytesIO()
    torch.save({"magic": Program()}, content)
    path.write_bytes(content.getvalue())
    found = sentence_of(load_checkpoint, path)
    assert found.endswith("found a cut-off, damaged or foreign file")
    assert not (tmp_path / "it ran").exists()


def test_a_checkpoint_of_another_hand_model(checkpoint, tmp_path):
    other = HandModelId("open_hand", "0123456789abcdef" * 4)
    path = resaved(checkpoint, tmp_path / "checkpoint.pt", hand_model=asdict(other))
    assert sentence_of(load_checkpoint, path) == (
        f"{path}: expected a network for the hand model {CURRENT}, found open_hand (0123456789ab)"
    )


def test_a_run_of_another_hand_model(ready, say, refused, monkeypatch):
    assert trained(say).status == 0
    newer = replace(current_hand_model(), sha256="f" * 64)
    for module in ("checkpoints", "run_folder"):
        monkeypatch.setattr(f"init_net.{module}.current_hand_model", lambda: newer)
    refused(
        "runs/toy/run.json: expected a network for the hand model open_hand (ffffffffffff), found "
        + CURRENT
    )


def test_a_checkpoint_of_another_configuration(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    shutil.copy(checkpoint, path)
    config = small_config(LifterConfig(width=24, blocks=1, dropout=0.2))
    assert sentence_of(train, ToyTask(config), config, tmp_path) == (
        f"{path}: expected a run with network.width 24, found one with 16; use --overwrite to "
        "replace it, or another --out"
    )
    config = small_config(SegmentationConfig())
    assert sentence_of(train, ToyTask(small_config()), config, tmp_path) == (
        f"{path}: expected a run with network.kind 'segmentation', found one with 'lifter'; use "
        "--overwrite to replace it, or another --out"
    )


def test_a_checkpoint_of_another_architecture(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    config = small_config()
    values = torch.load(checkpoint, weights_only=True)["average"]
    kind = f"{path}: expected the weights of a KeypointLifter as its configuration says"
    faults = {
        f"{kind}, with 'embed.bias' of 16, found 8": {"embed.bias": torch.zeros(8)},
        f"{kind}, with 'embed.bias' of 16, found one number": {"embed.bias": torch.zeros(())},
        f"{kind}, found some for 'tail.weight', which it does not have": {
            "tail.weight": torch.zeros(2, 3)
        },
        f"{path}: expected finite weights, found others in 'embed.bias'": {
            "embed.bias": torch.full((16,), torch.nan)
        },
    }
    for sentence, change in faults.items():
        resaved(checkpoint, path, average={**values, **change})
        assert sentence_of(train, ToyTask(config), config, tmp_path) == sentence
    del values["embed.bias"]
    resaved(checkpoint, path, average=values)
    found = sentence_of(train, ToyTask(config), config, tmp_path)
    assert found == f"{kind}, found none for 'embed.bias'"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lifter.safetensors"
    info = WeightsInfo(SMALL, "train-hands toy", 12, {"training": {"seed": 1}}, {"error": 1.0})
    save_weights(path, build_network(SMALL, 0), info)
    return path


def metadata_of(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


def test_weights_that_are_damaged(weights, tmp_path):
    path, content = tmp_path / "w.safetensors", weights.read_bytes()
    expected = f"{path}: expected network weights (safetensors)"
    assert sentence_of(load_network, path) == f"{expected}, found no such file"
    for length in (0, 1, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        found = sentence_of(load_network, path)
        assert found == f"{expected}, found a cut-off, damaged or foreign file", length
    path.write_bytes(b"words, and many of them\n" * 10)
    found = sentence_of(load_network, path)
    assert found == f"{expected}, found a cut-off, damaged or foreign file"
    path.unlink()
    path.mkdir()
    found = sentence_of(load_network, path)
    assert found.startswith(f"{expected}, found one that cannot be read: ")


def test_weights_of_something_else(weights, tmp_path):
    assets = Path(init_net.checkpoints.__file__).parents[1] / "fitter" / "hand_models" / "assets"
    path = assets / "open_hand.safetensors"
    assert sentence_of(load_network, path) == (
        f"{path}: expected network weights (safetensors) of a network of fit-hands, found a file "
        "of something else"
    )
    assert sentence_of(load_network, weights, "cpu", "handnet") == (
        f"{weights}: expected weights of the network 'handnet', found those of 'lifter'"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"layout": "2"},
            "expected network weights in layout 1, found layout 2, which another version of "
            "fit-hands wrote",
        ),
        (
            {"hand_model_sha256": "0" * 64},
            f"expected a network for the hand model {CURRENT}, found open_hand (000000000000)",
        ),
        (
            {"hand_model": "other_hand"},
            f"expected a network for the hand model {CURRENT}, found other_hand "
            f"({current_hand_model().sha256[:12]})",
        ),
        (
            {"network": '{"kind": "lifter", "heads": 3}'},
            "expected a network that this version of fit-hands knows, found another (lifter.heads: "
            "Extra inputs are not permitted)",
        ),
        (
            {"network": SMALL.model_copy(update={"width": 24}).model_dump_json()},
            "expected the weights of a KeypointLifter as its configuration says, with "
            "'embed.weight' of 24 x 207, found 16 x 207",
        ),
        (
            {"steps": "many"},
            "expected network weights (safetensors) with all that is said of them, found invalid "
            "literal for int() with base 10: 'many'",
        ),
    ],
)
def test_weights_that_say_something_else(weights, tmp_path, change, sentence):
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(load(weights.read_bytes()), {**metadata_of(weights), **change}))
    assert sentence_of(load_network, path) == f"{path}: {sentence}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_weights_on_a_full_disk(weights, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    (tmp_path / "w.safetensors.partial").symlink_to("/dev/full")
    network = build_network(SMALL, 1)
    found = sentence_of(save_weights, path, network, WeightsInfo(SMALL, "", 1, {}, {}))
    assert found == f"cannot write weights {path}: No space left on device"
    assert path.read_bytes() == weights.read_bytes()
