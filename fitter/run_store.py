"""What was asked of one run of `fit-hands`, and the store that remembers it.

The store keeps all that shapes its rows, so that a run is continued with what it was started with.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fitter.config import Config
from fitter.hand_models.appearance import APPEARANCE_PATH
from fitter.hand_models.pose_prior import POSE_PRIOR_PATH
from fitter.pipeline import Engine, Sources
from fitter.store import ResultStore, StoreSpec

_SHAPING_PACKAGES = (
    "fit-hands",
    "mediapipe",
    "numba",
    "numpy",
    "opencv-contrib-python",
    "roma",
    "torch",
    "zarr",
)
"""Packages whose versions are recorded with the results, because they shape the numbers; on a GPU
also Triton's, which compiles the rasteriser there."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for, besides the configuration.

    Attributes:
        images: folder of pictures, or one picture.
        out: the store.
        overlays: folder for overlays, made where it is missing, or None.
        intrinsics: the option ``--intrinsics`` as given, or None.
        keypoints: folder or file of keypoints that replace the detector's, or None.
        masks: folder of masks of the pictures, or None.
        resume: continue the store.
        overwrite: replace the store.
        quiet: no progress and no summary.
    """

    images: Path
    out: Path
    overlays: Path | None = None
    intrinsics: str | None = None
    keypoints: Path | None = None
    masks: Path | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False


def open_store(
    request: RunRequest, config: Config, sources: Sources, engine: Engine
) -> ResultStore:
    """Make the store of a run, or continue it where the request says so.

    Raises:
        InputError: see `ResultStore.create` and `ResultStore.resume`.
    """
    model = engine.models["right"].data
    refined = {"appearance_sha256": _sha256(APPEARANCE_PATH)} if config.refine.stages else {}
    resolved = config.resolved()
    # Where it ran, not "auto": blocks of a CPU and of a GPU are not of one run.
    resolved["run"]["device"] = engine.device.type
    spec = StoreSpec(
        images=[entry.name for entry in sources.entries],
        max_hands=config.detector.max_hands,
        block_size=config.run.block_size,
        num_betas=model.shapedirs.shape[-1],
        optional_sizes=_optional_sizes(config, engine),
        config=resolved | {"inputs": _inputs(request, sources)},
        model={
            "name": model.name,
            "sha256": model.sha256,
            "pose_prior_sha256": _sha256(POSE_PRIOR_PATH),
            **refined,
            "sides": "a left hand's parameters are those of this model mirrored in x",
        },
        versions=_versions(engine.device.type),
    )
    if request.resume:
        return ResultStore.resume(request.out, spec)
    return ResultStore.create(request.out, spec, overwrite=request.overwrite)


def _optional_sizes(config: Config, engine: Engine) -> dict[str, int]:
    """Lengths of the dimensions of what this run's options have it store."""
    refiner = engine.refiner
    vertices = len(engine.models["right"].data.v_template)
    light = 11 if config.refine.light == "ambient_directional" else 27
    sizes = {
        "vertex": vertices if config.output.save_vertices else 0,
        "offset_vertex": vertices if "offsets" in refiner.freed else 0,
        "colour_vertex": vertices if "vertex_colours" in refiner.freed else 0,
        "appearance_component": (
            refiner.model.appearance.count if "appearance" in refiner.freed else 0
        ),
        "light_coefficient": light if "lighting" in refiner.freed else 0,
    }
    return {name: size for name, size in sizes.items() if size}


def _versions(device: str) -> dict[str, str]:
    """Of Python and the packages that shape the numbers on this kind of device."""
    found = {name: version(name) for name in _SHAPING_PACKAGES}
    if device == "cuda":
        with suppress(PackageNotFoundError):  # which stages that draw will ask for
            found["triton"] = version("triton")
    return found | {"python": platform.python_version()}


def _inputs(request: RunRequest, sources: Sources) -> dict[str, object]:
    """What the rows come from, without the places it lies in.

    A store and its pictures may be moved, or named by another path, and continued. Other pictures
    of the same names are told by their bytes in total, other files by their content.
    """
    return {
        "image_bytes": sum(_size(entry.path) for entry in sources.entries),
        "intrinsics": None if request.intrinsics is None else _content(request.intrinsics),
        "keypoints": None if request.keypoints is None else _content(str(request.keypoints)),
        "masks": _masks_content(sources),
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nothing; the picture will say so itself
        return 0


def _content(option: str) -> str:
    """A file by its SHA-256, a folder by that of its JSON files' names and sizes, another text as
    it is."""
    path = Path(option)
    if path.is_dir():
        files = (
            (p.relative_to(path).as_posix(), _size(p)) for p in path.rglob("*.json") if p.is_file()
        )
        return _digest(sorted(files))
    if not path.is_file():
        return option
    return f"sha256:{_sha256(path)}"


def _masks_content(sources: Sources) -> str | None:
    """The SHA-256 of the names and contents of the masks that pictures of this run have.

    Of the contents, because masks that were corrected often keep their size, and they are small:
    reading them is little beside reading the pictures.
    """
    masks = sources.masks
    if masks is None:
        return None
    paths = (masks.path_of(entry.name) for entry in sources.entries)
    return _digest(
        [
            (path.relative_to(masks.folder).as_posix(), _sha256(path))
            for path in paths
            if path is not None
        ]
    )


def _digest(values: Sequence[tuple[str, object]]) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(values).encode()).hexdigest()}"


def _sha256(path: Path) -> str:
    """Of a file's content; an empty text for one that cannot be read."""
    if not path.is_file():  # nor would a pipe ever end
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # the picture whose mask it is will say so itself
        return ""
