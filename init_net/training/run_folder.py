"""The folder of a training run: whose it is, and who may write to it.

run.json                 configuration, hand model, detector and command: written first
checkpoint.pt            the last checkpoint, and checkpoint-previous.pt the one before
metrics.jsonl            losses and validations
tensorboard/             the same for TensorBoard
weights.safetensors/.md  the averaged weights and their card, at the end
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fitter.detection.networks.weights import detector_digest
from fitter.errors import InputError
from fitter.system.files import write_whole
from fitter.system.lock import WriterLock
from init_net.hand_model_id import HandModelId, current_hand_model, posed_by, require_hand_model
from init_net.training.checkpoints import CHECKPOINT, PREVIOUS, require_same_run
from init_net.training.config import TrainConfig
from init_net.training.log import EVENTS, METRICS
from init_net.training.start import start_digest

MANIFEST = "run.json"
WEIGHTS = "weights.safetensors"
CARD = "weights.md"

_MAGIC = "fit-hands training run"
_LAYOUT = 1
_FILES = (CHECKPOINT, PREVIOUS, METRICS, WEIGHTS, CARD, MANIFEST)


def check_run(folder: Path, config: TrainConfig) -> bool:
    """Whether a folder holds a run of a configuration, as opposed to nothing.

    Raises:
        InputError: it holds something else, or a run of another configuration, hand model or
            detector, or one that began with other weights.
    """
    if not _is_occupied(folder):
        return False
    manifest = read_manifest(folder)
    require_same_run(folder, manifest["config"], config)
    found = HandModelId(**manifest["hand_model"])
    require_hand_model(folder / MANIFEST, found, *posed_by(config.network))
    _require_detector(folder / MANIFEST, manifest)
    _require_start(folder / MANIFEST, manifest, config)
    return True


def holds_smoke(folder: Path) -> bool:
    """Whether a folder holds a run in miniature, of whatever configuration.

    Raises:
        InputError: it holds something else than a run, or a damaged one.
    """
    return _is_occupied(folder) and "--smoke" in shlex.split(read_manifest(folder)["command"])


def _require_detector(path: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse to go on learning from another detector; of a run from before it was kept nobody
    knows."""
    current = detector_digest()
    found = manifest.get("detector", current)
    if found != current:
        shown = found[:12] if isinstance(found, str) else found
        raise InputError("training.other_detector", file=path, expected=current[:12], found=shown)


def _require_start(path: Path, manifest: Mapping[str, Any], config: TrainConfig) -> None:
    """Refuse to go on with a run that began with other weights than those that are given; what is
    not there any more cannot be compared, and is not needed."""
    current, found = start_digest(config), manifest.get("start")
    if current is not None and found not in (None, current):
        raise InputError(
            "training.other_start_file", file=path, expected=current[:12], found=str(found)[:12]
        )


@contextmanager
def claimed(
    folder: Path, config: TrainConfig, command: str, overwrite: bool = False
) -> Iterator[None]:
    """Make or continue a run, and keep other runs out of its folder while the block lasts.

    Args:
        folder: of the run; made where it is missing.
        config: of the run.
        command: that trains, for the card of its weights.
        overwrite: replace a run that is there, whatever its configuration.

    Raises:
        InputError: the folder holds something else, a run of another configuration or hand model
            that is not to be replaced, is in use, or cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(folder)
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        if overwrite and _is_occupied(folder):
            _remove_run(folder)
        if not check_run(folder, config):
            _write_manifest(folder, config, command)
        yield
    finally:
        lock.release()


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a run says of itself: ``config``, ``hand_model`` and ``command``.

    Raises:
        InputError: the folder holds no run, or a damaged one.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("training.no_run", file=folder, manifest=MANIFEST) from None
    except (OSError, ValueError) as error:
        raise InputError("training.bad_manifest", file=path) from error
    if not isinstance(manifest, dict) or manifest.get("magic") != _MAGIC:
        raise InputError("training.foreign_manifest", file=path)
    layout = manifest.get("layout")
    if layout != _LAYOUT:
        raise InputError("training.other_layout", file=path, expected=_LAYOUT, found=layout)
    for name, is_whole in (
        ("config", isinstance(manifest.get("config"), dict)),
        ("hand_model", HandModelId.of(manifest.get("hand_model")) is not None),
        ("command", isinstance(manifest.get("command"), str)),
    ):
        if not is_whole:
            code = "training.damaged_part" if name in manifest else "training.no_part"
            raise InputError(code, file=path, part=name)
    return manifest


def _is_occupied(folder: Path) -> bool:
    """Whether there is a run; what is neither a run nor nothing is refused."""
    if folder.exists() and not folder.is_dir():
        raise InputError("output.is_file", file=f"--out {folder}")
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    if not (folder / MANIFEST).exists():
        raise InputError("training.out_is_taken", file=f"--out {folder}")
    return True


def _remove_run(folder: Path) -> None:
    # The manifest last: as long as it is there, what is left is known to be a run's.
    try:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder / EVENTS)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error


def _write_manifest(folder: Path, config: TrainConfig, command: str) -> None:
    manifest = {
        "magic": _MAGIC,
        "layout": _LAYOUT,
        "command": command,
        "hand_model": asdict(current_hand_model(*posed_by(config.network))),
        "detector": detector_digest(),
        "start": start_digest(config),
        "config": config.resolved(),
    }
    try:
        folder.mkdir(exist_ok=True)
        write_whole(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: Path, error: OSError) -> InputError:
    return InputError("training.cannot_write", file=folder, reason=error.strerror or str(error))
