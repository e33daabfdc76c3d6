"""Bad checkpoints and bad weights: each is refused with its code."""

import io
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

from fitter.detection.networks.weights import detector_digest
from init_net.hand_model_id import HandModelId, current_hand_model
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, LifterConfig, SegmentationConfig
from init_net.training.checkpoints import load_checkpoint
from init_net.training.loop import Watch, train
from init_net.weights import load_network, read_info, save_weights
from tests.support.errors import raises
from tests.support.paths import ROOT
from tests.support.training_cases import SMALL, ToyTask, small_config

CURRENT, DETECTOR = current_hand_model(), detector_digest()


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
    reason = "No space left on device"
    kept = f"the last good checkpoint is {path}"
    with raises("checkpoint.cannot_write", file=path, reason=reason, kept=kept):
        train(ToyTask(small_config()), small_config(), tmp_path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.glob("checkpoint*")] == ["checkpoint.pt"]
    train(ToyTask(small_config()), small_config(), tmp_path)
    (tmp_path / "metrics.jsonl.partial").symlink_to("/dev/full")
    with raises("training.cannot_log", file=tmp_path / "metrics.jsonl", reason=reason):
        train(ToyTask(small_config()), small_config(), tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    stopped_at(4, folder)
    return folder / "checkpoint.pt"


def resaved(checkpoint: Path, path: Path, **changes) -> Path:
    values = torch.load(checkpoint, weights_only=True)
    torch.save({**values, **changes}, path)
    return path


def test_a_cut_off_checkpoint(checkpoint, tmp_path):
    path, content = tmp_path / "checkpoint.pt", checkpoint.read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with raises("checkpoint.damaged", file=path):
            load_checkpoint(path)
    path.unlink()
    with raises("checkpoint.missing", file=path):
        load_checkpoint(path)
    path.mkdir()
    with raises("checkpoint.cannot_read", file=path, reason="Is a directory"):
        load_checkpoint(path)


def test_a_foreign_checkpoint(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    for content in (b"words\n", pickle.dumps({"step": 3}), b"PK\x03\x04 and so on"):
        path.write_bytes(content)
        with raises("checkpoint.damaged", file=path):
            load_checkpoint(path)
    for values in ({"step": 3}, [1, 2], torch.zeros(3)):
        torch.save(values, path)
        with raises("checkpoint.foreign", file=path):
            load_checkpoint(path)
    resaved(checkpoint, path, layout=2)
    with raises("checkpoint.other_layout", file=path, expected=1, found=2):
        load_checkpoint(path)
    values = torch.load(checkpoint, weights_only=True)
    del values["average"]
    torch.save(values, path)
    with raises("checkpoint.no_part", file=path, part="average"):
        load_checkpoint(path)


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
    with raises("checkpoint.damaged_part", file=path, part=name):
        load_checkpoint(path)


def test_a_checkpoint_that_is_a_program_is_not_run(tmp_path):
    class Program:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "it ran",))

    path = tmp_path / "checkpoint.pt"
    content = io.BytesIO()
    torch.save({"magic": Program()}, content)
    path.write_bytes(content.getvalue())
    with raises("checkpoint.damaged", file=path):
        load_checkpoint(path)
    assert not (tmp_path / "it ran").exists()


def test_a_checkpoint_of_another_hand_model(checkpoint, tmp_path):
    other = HandModelId("open_hand", "0123456789abcdef" * 4)
    path = resaved(checkpoint, tmp_path / "checkpoint.pt", hand_model=asdict(other))
    with raises("weights.other_hand_model", file=path, expected=CURRENT, found=other) as refusal:
        load_checkpoint(path)
    assert str(refusal.value).endswith("found open_hand (0123456789ab)")


def test_a_checkpoint_of_another_configuration(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    shutil.copy(checkpoint, path)
    config = small_config(LifterConfig(width=24, blocks=1, dropout=0.2))
    with raises("training.other_run", file=path, option="network.width", expected=24, found=16):
        train(ToyTask(config), config, tmp_path)
    config = small_config(SegmentationConfig())
    facts = {"option": "network.kind", "expected": "segmentation", "found": "lifter"}
    with raises("training.other_run", file=path, **facts):
        train(ToyTask(small_config()), config, tmp_path)


def test_a_checkpoint_of_another_architecture(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    config = small_config()
    values = torch.load(checkpoint, weights_only=True)["average"]
    where = {"file": path, "tensor": "embed.bias"}

    def refused(code: str, average: dict[str, object], **facts: object) -> None:
        resaved(checkpoint, path, average=average)
        with raises(f"weights.{code}", **{**where, **facts}):
            train(ToyTask(config), config, tmp_path)

    lifter = {"network": "HandLifter"}
    shorter, number = torch.zeros(8), torch.zeros(())
    refused("other_shape", {**values, "embed.bias": shorter}, expected="16", found="8", **lifter)
    refused("other_shape", {**values, "embed.bias": number}, expected="16", found="one number")
    refused("extra_tensor", {**values, "tail.weight": torch.zeros(2, 3)}, tensor="tail.weight")
    refused("not_finite", {**values, "embed.bias": torch.full((16,), torch.nan)})
    refused("no_tensor", {**values, "embed.bias": "many"}, **lifter)
    del values["embed.bias"]
    refused("no_tensor", values, **lifter)


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
    with raises("weights.missing", file=path):
        load_network(path)
    for length in (0, 1, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with raises("weights.damaged", file=path):
            load_network(path)
    path.write_bytes(b"words, and many of them\n" * 10)
    with raises("weights.damaged", file=path):
        load_network(path)
    path.unlink()
    path.mkdir()
    with raises("weights.cannot_read", file=path):
        load_network(path)


def test_weights_of_something_else(weights, tmp_path):
    path = ROOT / "fitter" / "hand_models" / "assets" / "open_hand.safetensors"
    with raises("weights.foreign", file=path):
        load_network(path)
    with raises("weights.other_network", file=weights, expected="handnet", found="lifter"):
        load_network(weights, "cpu", "handnet")


def small_but(**options: object) -> dict[str, str]:
    return {"network": SMALL.model_copy(update=options).model_dump_json()}


@pytest.mark.parametrize(
    ("change", "code", "facts"),
    [
        ({"layout": "2"}, "weights.other_layout", {"expected": 1, "found": "2"}),
        (
            {"hand_model_sha256": "0" * 64},
            "weights.other_hand_model",
            {"expected": CURRENT, "found": HandModelId("open_hand", "0" * 64)},
        ),
        (
            {"hand_model": "other_hand"},
            "weights.other_hand_model",
            {"expected": CURRENT, "found": HandModelId("other_hand", CURRENT.sha256)},
        ),
        (
            {"detector": "0" * 64},
            "weights.other_detector",
            {"expected": DETECTOR[:12], "found": 12 * "0"},
        ),
        (
            {"network": '{"kind": "lifter", "heads": 3}'},
            "weights.unknown_network",
            {"option": "lifter.heads", "reason": "Extra inputs are not permitted"},
        ),
        (
            small_but(width=24),
            "weights.other_shape",
            {"tensor": "embed.weight", "expected": "24 x 207", "found": "16 x 207"},
        ),
        (
            # Nobody has the memory for it: it must not be built before shapes are compared.
            small_but(width=10**7),
            "weights.other_shape",
            {"tensor": "embed.weight", "expected": "10000000 x 207", "found": "16 x 207"},
        ),
        (small_but(width=10**10), "weights.too_large", {}),
        (
            {**small_but(betas=10**25), "hand_model_sha256": current_hand_model(10**25).sha256},
            "weights.too_large",
            {},
        ),
        (small_but(blocks=10**9), "weights.unknown_network", {"option": "lifter.blocks"}),
        (
            {"network": HandNetConfig(encoder="resnet51").model_dump_json()},
            "network.no_timm_encoder",
            {"encoder": "resnet51"},
        ),
        (
            {"network": SegmentationConfig(encoder="resnet51").model_dump_json()},
            "network.no_unet_encoder",
            {"encoder": "resnet51"},
        ),
        (
            {"steps": "many"},
            "weights.incomplete",
            {"reason": "invalid literal for int() with base 10: 'many'"},
        ),
    ],
)
def test_weights_that_say_something_else(weights, tmp_path, change, code, facts):
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(load(weights.read_bytes()), {**metadata_of(weights), **change}))
    with raises(code, file=path, **facts):
        load_network(path)


def test_a_lifter_that_does_not_say_whose_features_it_takes(weights, tmp_path):
    """As those from before it was kept; of a network that takes none it does not matter."""
    path, metadata = tmp_path / "w.safetensors", metadata_of(weights)
    del metadata["detector"]
    path.write_bytes(save(load(weights.read_bytes()), metadata))
    with raises("weights.other_detector", file=path, expected=DETECTOR[:12], found="none"):
        load_network(path)
    config = SegmentationConfig(input_size=32, decoder_channels=[8, 8, 8, 8, 8])
    for detector in (None, 64 * "0"):
        info = WeightsInfo(config, "train-hands", 1, {}, {}, detector=detector)
        save_weights(path, build_network(config, 0), info)
        load_network(path)
        assert read_info(path).detector == detector
        card = path.with_suffix(".md").read_text()
        assert ("detector whose sha256" in card) == (detector is not None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
def test_weights_on_a_full_disk(weights, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    (tmp_path / "w.safetensors.partial").symlink_to("/dev/full")
    network = build_network(SMALL, 1)
    with raises("weights.cannot_write", file=path, reason="No space left on device"):
        save_weights(path, network, WeightsInfo(SMALL, "", 1, {}, {}))
    assert path.read_bytes() == weights.read_bytes()
