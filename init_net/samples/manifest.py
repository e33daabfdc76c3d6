"""What a folder of samples is for, and who made it: its ``samples.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from datasets.synthetic import SyntheticSettings
from fitter.errors import InputError
from fitter.hand_models.open_hand import load_open_hand
from fitter.system.files import write_whole

MANIFEST = "samples.json"

_LAYOUT = 1


class Source(Protocol):
    """What defines the samples of a folder."""

    @property
    def count(self) -> int:
        """Samples; a folder that holds fewer of the same grows."""
        ...

    def description(self) -> dict[str, Any]:
        """What they depend on besides their number, JSON: ``size`` and ``seed`` among it."""
        ...


@dataclass(frozen=True)
class SampleSource:
    """What defines a data set of rendered samples.

    Attributes:
        seed: of the engine; no two data sets that are to be independent may share it.
        count: samples.
        size: pixels of an image's side.
        supersampling: see `SyntheticEngine`.
        settings: of the engine.
    """

    seed: int
    count: int
    size: int = 224
    supersampling: int = 1
    settings: SyntheticSettings = field(default_factory=SyntheticSettings)

    def description(self) -> dict[str, Any]:
        """See `Source`."""
        said = {**asdict(self), "settings": self.settings.description()}
        del said["count"]
        return said


@dataclass(frozen=True)
class StereoSource:
    """What defines a data set of rendered pairs; see `init_net.samples.stereo_shards`.

    Attributes:
        seed, count, size, supersampling, settings: as of `SampleSource`; a sample is a pair.
        baselines: metres, least and largest distance of a pair's cameras; each has its own.
    """

    seed: int
    count: int
    baselines: tuple[float, float]
    size: int = 224
    supersampling: int = 1
    settings: SyntheticSettings = field(default_factory=SyntheticSettings)

    def description(self) -> dict[str, Any]:
        """See `Source`."""
        said = {**asdict(self), "settings": self.settings.description()}
        del said["count"]
        return {**said, "baselines": list(self.baselines)}


@dataclass(frozen=True)
class OneViewSource:
    """The samples that one camera of the pairs sees; `camera` is "left" or "right"."""

    pairs: StereoSource
    camera: str

    @property
    def count(self) -> int:
        """See `Source`."""
        return self.pairs.count

    def description(self) -> dict[str, Any]:
        """See `Source`."""
        return {**self.pairs.description(), "camera": self.camera}


def claim(folder: Path, source: Source) -> None:
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
            raise InputError("samples.other_folder", file=folder)
        else:
            manifest = {**_wanted(source), "made_by": _maker()}
            write_whole(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    except OSError as error:
        raise refused(folder, error) from error


def _wanted(source: Source) -> dict[str, Any]:
    return {"layout": _LAYOUT, **source.description()}


def _maker() -> dict[str, str]:
    """What samples depend on besides their source. Of the hand model it is mesh and joints: where
    its keypoints are is posed anew, see `init_net.samples.shards.true_hands`. No detector: what one
    sees in them is kept apart, see `init_net.samples.sightings`."""
    return {
        "fit-hands": version("fit-hands"),
        "hand model": load_open_hand(keypoint_offsets=False).sha256,
    }


def require_same(folder: Path, source: Source) -> None:
    """Compare what a folder is for with what it is wanted for; the number of samples is free.

    Raises:
        InputError: they differ, or its manifest is damaged.
    """
    found = read_manifest(folder)
    for key, wanted in _wanted(source).items():
        if found.get(key) != wanted:
            raise InputError(
                "samples.other_option",
                file=folder,
                option=key,
                expected=wanted,
                found=found.get(key),
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
                "samples.other_maker", file=folder, maker=name, expected=mine, found=theirs
            )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a folder says of itself: the description of its `Source`, and ``made_by``.

    Raises:
        InputError: there is no such file, or it is damaged or of another layout.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("samples.no_manifest", file=folder, manifest=MANIFEST) from None
    except (OSError, ValueError) as error:
        reason = str(error)
        raise InputError("samples.bad_manifest", file=folder / MANIFEST, reason=reason) from error
    if not isinstance(manifest, dict) or manifest.get("layout") != _LAYOUT:
        raise InputError("samples.other_layout", file=folder, expected=_LAYOUT)
    if not isinstance(manifest.get("size"), int):
        raise InputError("samples.no_size", file=folder / MANIFEST)
    if not isinstance(manifest.get("seed"), int):
        raise InputError("samples.no_seed", file=folder / MANIFEST)
    return manifest


def refused(folder: Path, error: OSError) -> InputError:
    """What is said of a disk that refuses."""
    # NumPy names no reason when a disk is full.
    return InputError("samples.cannot_write", file=folder, reason=error.strerror or str(error))
