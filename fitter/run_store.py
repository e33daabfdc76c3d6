"""What was asked of one run of `fit-hands`, and the store that remembers it.

The store keeps all that shapes its rows, so that a run is continued with what it was started with.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.config.options import Config
from fitter.detection.mediapipe_task import require_bundle
from fitter.engine import Engine
from fitter.hand_models.appearance import APPEARANCE_PATH
from fitter.hand_models.pose_prior import POSE_PRIOR_PATH
from fitter.inputs.sources import Sources, file_digest, stamps
from fitter.records import InputError
from fitter.rows import IMAGE_STATUS
from fitter.store import ResultStore
from fitter.store_layout import StoreSpec, choose_block_size, is_result_store
from fitter.store_lock import WHOLE, Share

_SHAPING_PACKAGES = (
    "fit-hands",
    "mediapipe",
    "numba",
    "numpy",
    "opencv-contrib-python",
    "roma",
    "segmentation-models-pytorch",
    "timm",
    "torch",
    "torchvision",
    "zarr",
)
"""Packages whose versions are recorded with the results, because they shape the numbers; on a GPU
also Triton's, which compiles the rasteriser there."""


@dataclass(frozen=True)
class Spread:
    """Over what the work is spread.

    Attributes:
        ray: "local", "auto" or the address of a Ray cluster; None for this process and some of its
            own that look at pictures.
        workers: processes that look at pictures; with Ray and without GPUs they also fit. None:
            one without Ray (one for each core beside a GPU), as many as fit the cluster with it.
        gpus_per_worker: GPUs of each of Ray's workers that fit, a share of one for several workers
            on a GPU; 0 for fits on CPUs, None for one where the cluster has any.
        timeout: seconds that one picture may take to be looked at.
        share: the blocks that this run computes, of runs that share a store out.
    """

    ray: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None
    timeout: float = 120.0
    share: Share = WHOLE


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for, besides the configuration.

    Attributes:
        images: a folder of pictures, a picture or several, a pattern, a list of them, or "-".
        out: the store.
        overlays: folder for overlays, made where it is missing, or None.
        intrinsics: the option ``--intrinsics`` as given, or None.
        keypoints: folder or file of keypoints that replace the detector's, or None.
        masks: folder of masks of the pictures, or None.
        resume: continue the store.
        overwrite: replace the store.
        quiet: no progress and no summary.
        spread: over what the work is spread.
    """

    images: Sequence[str]
    out: Path
    overlays: Path | None = None
    intrinsics: str | None = None
    keypoints: Path | None = None
    masks: Path | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    spread: Spread = field(default_factory=Spread)

    def beside(self, ending: str) -> Path:
        """A file beside the store, of this run's share of it."""
        share = self.spread.share
        part = "" if share == WHOLE else f".{share.number}-of-{share.of}"
        return self.out.with_name(f"{self.out.name}{part}.{ending}")


class Fitter(Protocol):
    """Whoever fits the hands of a run."""

    engine: Engine
    """With the model that is fitted."""
    device: str
    """Where it is fitted, "cpu" or "cuda"."""


def open_store(
    request: RunRequest, config: Config, sources: Sources, fitter: Fitter
) -> ResultStore:
    """Make the store of a run, or continue it where the request says so.

    Args:
        request: of the run.
        config: of the run.
        sources: all pictures that there are now.
        fitter: who fits the hands.

    Raises:
        InputError: see `ResultStore.create` and `ResultStore.resume`.
    """
    continues = request.resume and is_result_store(request.out)
    size = config.run.block_size
    if not size:
        count = len(sources.names)
        size = ResultStore.open(request.out).block_size if continues else choose_block_size(count)
    spec = _spec(config, sources, fitter, size)
    share = request.spread.share
    if request.resume:
        return ResultStore.resume(request.out, spec, share)
    return ResultStore.create(request.out, spec, request.overwrite, share)


def _spec(config: Config, sources: Sources, fitter: Fitter, block_size: int) -> StoreSpec:
    engine, device = fitter.engine, fitter.device
    model = engine.models["right"].data
    refined = {"appearance_sha256": file_digest(APPEARANCE_PATH)} if config.refine.stages else {}
    resolved = config.resolved()
    # Where it ran, not "auto": blocks of a CPU and of a GPU are not of one run.
    resolved["run"] |= {"device": device, "block_size": block_size}
    return StoreSpec(
        images=sources.names,
        max_hands=config.detector.max_hands,
        block_size=block_size,
        num_betas=model.shapedirs.shape[-1],
        optional_sizes=_optional_sizes(config, engine),
        config=resolved | {"inputs": sources.kinds},
        model={
            "name": model.name,
            "sha256": model.sha256,
            "pose_prior_sha256": file_digest(POSE_PRIOR_PATH),
            **refined,
            **_task_digest(config, sources),
            **_network_digests(engine),
            "sides": "a left hand's parameters are those of this model mirrored in x",
        },
        versions=_versions(device),
    )


def _network_digests(engine: Engine) -> dict[str, str]:
    """What tells the networks from others, where there are any."""
    if engine.initializer is None:
        return {}
    return {f"{name}_sha256": digest for name, digest in engine.initializer.digests.items()}


def _task_digest(config: Config, sources: Sources) -> dict[str, str]:
    """What tells the detector's task file from another, where there is one and it is used."""
    if config.detector.task is None or sources.keypoints is not None:
        return {}
    path = Path(config.detector.task)
    require_bundle(path)  # with Ray nobody on this machine has read it
    return {"detector_task_sha256": file_digest(path)}


@dataclass(frozen=True)
class ChangedImage:
    """An image whose file is another than the one that was fitted.

    Attributes:
        place: in the store.
        name: of the image.
        is_gone: whether there is no file any more.
        has_failed: whether there is no result that could be lost.
    """

    place: int
    name: str
    is_gone: bool
    has_failed: bool


def changed_images(store: ResultStore, sources: Sources) -> Iterator[ChangedImage]:
    """Images whose files have another size or time of change than when they were fitted.

    Args:
        store: of which committed blocks are read, one at a time.
        sources: all pictures of the store.

    Raises:
        InputError: another K, mask or other keypoints are given for an image than it was fitted
            with, so that the store would become one of two runs.
    """
    failed = IMAGE_STATUS.index("failed")
    names = ("file_size", "file_time", "inputs_digest", "image_status")
    for block in store.committed_blocks():
        part = sources.part(block.start, sources.names[block.start : block.stop])
        columns = (store.read(name, block) for name in names)
        rows = zip(*columns, strict=True)
        for place, (size, changed, digest, status) in enumerate(rows, block.start):
            now = stamps(part, place)
            name = part.names[place - block.start]
            if now["inputs_digest"] != digest:
                raise InputError(
                    f"{store.path} cannot be resumed: what is given for {name} now (--intrinsics, "
                    "--keypoints, --masks) is not what it was fitted with; use --overwrite to "
                    "replace the store, or another --out"
                )
            before = None if np.isnan(changed) else (size, changed)
            if now["file"] != before:
                yield ChangedImage(place, name, now["file"] is None, status == failed)


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
