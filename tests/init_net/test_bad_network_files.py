"""Bad checkpoints and bad weights: one sentence each."""

import io
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

import init_net.training.checkpoints
from fitter.errors import InputError
from init_net.hand_model_id import HandModelId, current_hand_model
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, LifterConfig, SegmentationConfig
from init_net.training.checkpoints import load_checkpoint
from init_net.training.loop import Watch, train
from init_net.weights import WeightsInfo, load_network, save_weights
from tests.support.training_cases import SMALL, ToyTask, small_config

CURRENT = str(current_hand_model())


def stopped_at(step: int, folder: Path) -> None:
    asked = iter(range(100))
    train(ToyTask(small_config()), small_config(), folder, Watch(lambda: next(asked) == step))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hand_model", None),
        ("hand_model", {"name": "open_hand"}),
        ("hand_model", {"name": "open_hand", "sha256": "0", "version": 3}),
        ("hand_model", {"name": "open_hand", "sha256": 3}),
        ("config", [3]),
        ("network", None),
        ("average", torch.zeros(3)),
        ("step", "many"),
        ("figures", 1.0),
    ],
)
def test_a_damaged_checkpoint(checkpoint, tmp_path, name, value):
    path = resaved(checkpoint, tmp_path / "checkpoint.pt", **{name: value})
    assert sentence_of(load_checkpoint, path) == (
        f"{path}: expected a checkpoint of train-hands, found one with a damaged {name!r}"
    )


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
    resaved(checkpoint, path, average={**values, "embed.bias": "many"})
    found = sentence_of(train, ToyTask(config), config, tmp_path)
    assert found == f"{kind}, found none for 'embed.bias'"
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
    assets = (
        Path(init_net.training.checkpoints.__file__).parents[1]
        / "fitter"
        / "hand_models"
        / "assets"
    )
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
            # Nobody has the memory for it: it must not be built before shapes are compared.
            {"network": SMALL.model_copy(update={"width": 10**7}).model_dump_json()},
            "expected the weights of a KeypointLifter as its configuration says, with "
            "'embed.weight' of 10000000 x 207, found 16 x 207",
        ),
        (
            {"network": SMALL.model_copy(update={"width": 10**10}).model_dump_json()},
            "expected a network that can be built, found one too large for any memory",
        ),
        (
            {"network": SMALL.model_copy(update={"betas": 10**25}).model_dump_json()},
            "expected a network that can be built, found one too large for any memory",
        ),
        (
            {"network": SMALL.model_copy(update={"blocks": 10**9}).model_dump_json()},
            "expected a network that this version of fit-hands knows, found another "
            "(lifter.blocks: Input should be less than or equal to 100)",
        ),
        (
            {"network": HandNetConfig(encoder="resnet51").model_dump_json()},
            "encoder 'resnet51': expected a convolutional model of timm, found no such name",
        ),
        (
            {"network": SegmentationConfig(encoder="resnet51").model_dump_json()},
            "encoder 'resnet51': expected one of segmentation_models_pytorch, or 'tu-' and one of "
            "timm, found no such name",
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
def test_weights_on_a_full_disk(weights, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    (tmp_path / "w.safetensors.partial").symlink_to("/dev/full")
    network = build_network(SMALL, 1)
    found = sentence_of(save_weights, path, network, WeightsInfo(SMALL, "", 1, {}, {}))
    assert found == f"cannot write weights {path}: No space left on device"
    assert path.read_bytes() == weights.read_bytes()
