"""What a folder of rendered samples is for, and who made it: its ``samples.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets.synthetic import SyntheticSettings
from fitter.errors import InputError
from fitter.hand_models.open_hand import load_open_hand

MANIFEST = "samples.json"

_LAYOUT = 1


@dataclass(frozen=True)
class SampleSource:
    """What defines a data set of rendered samples.

    Attributes:
        seed: of the engine; no two data sets that are to be independent may share it.
        count: samples.
        size: pixels of a picture's side.
        supersampling: see `SyntheticEngine`.
        settings: of the engine.
    """

    seed: int
    count: int
    size: int = 224
    supersampling: int = 1
    settings: SyntheticSettings = field(default_factory=SyntheticSettings)


def claim(folder: Path, source: SampleSource) -> None:
    """Write what a folder is for and who begins it, or compare it with what it says.

    Raises:
        InputError: it is for something else, was begun by another maker, holds other files, or
            cannot be written.
    """
    partial = folder / f"{MANIFEST}.partial"
    try:
        if (folder / MANIFEST).exists():
            require_same(folder, source)
            _require_same_maker(folder)
        elif any(path != partial for path in folder.iterdir()):
            raise InputError(f"{folder}: expected an empty folder or rendered samples, found other")
        else:
            manifest = {**_wanted(source), "made_by": _maker()}
            partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            partial.rename(folder / MANIFEST)
    except OSError as error:
        raise refused(folder, error) from error


def _wanted(source: SampleSource) -> dict[str, Any]:
    wanted = {"layout": _LAYOUT, **asdict(source)}
    del wanted["count"]
    return wanted


def _maker() -> dict[str, str]:
    """What samples depend on besides their source. Of the hand model it is mesh and joints: where
    its keypoints are is posed anew, see `init_net.samples.shards.true_hands`."""
    return {
        "fit-hands": version("fit-hands"),
        "hand model": load_open_hand(keypoint_offsets=False).sha256,
        "mediapipe": version("mediapipe"),
    }


def require_same(folder: Path, source: SampleSource) -> None:
    """Compare what a folder is for with what it is wanted for; the number of samples is free.

    Raises:
        InputError: they differ, or its manifest is damaged.
    """
    found = read_manifest(folder)
    for key, wanted in _wanted(source).items():
        if found.get(key) != wanted:
            raise InputError(
                f"{folder}: expected samples with {key} {wanted!r}, found a data set with "
                f"{found.get(key)!r}; choose another folder"
            )


def _require_same_maker(folder: Path) -> None:
    """Refuse to mix samples of two makers; of a folder from before it was said nobody knows."""
    found = read_manifest(folder).get("made_by")
    if found is None:
        return
    for name, mine in _maker().items():
        theirs = found.get(name) if isinstance(found, dict) else found
        if theirs != mine:
            raise InputError(
                f"{folder}: expected to add to samples of {name} {mine!r}, found some of "
                f"{theirs!r}; choose another folder"
            )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a folder says of itself: the fields of `SampleSource` but its count, and ``made_by``.

    Raises:
        InputError: there is no such file, or it is damaged or of another layout.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: expected rendered samples, found no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / MANIFEST}: expected JSON, found {error}") from error
    if not isinstance(manifest, dict) or manifest.get("layout") != _LAYOUT:
        raise InputError(f"{folder}: expected samples in layout {_LAYOUT}, found another")
    if not isinstance(manifest.get("size"), int):
        raise InputError(f"{folder / MANIFEST}: expected the size of pictures, found none")
    return manifest


def refused(folder: Path, error: OSError) -> InputError:
    """The sentence for a disk that refuses."""
    # NumPy names no reason when a disk is full.
    return InputError(f"cannot write samples to {folder}: {error.strerror or error}")
