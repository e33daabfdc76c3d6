"""The store of a run, which remembers all that shapes its rows, so that a run is continued with
what it was started with. Each part of the engine says itself what tells it from another."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, cast

from fitter.config.options import Config
from fitter.detection.identity import detector_identity, detector_packages
from fitter.engine import Engine
from fitter.groups.sharing import Sharing
from fitter.inputs.frame_sources import FrameSources
from fitter.inputs.sources import Sources
from fitter.lens import MOST_COEFFICIENTS
from fitter.run.inputs import RunInputs
from fitter.run.request import RunRequest
from fitter.store.block_sizes import choose_block_size
from fitter.store.layout import StoreSpec, is_result_store
from fitter.store.result_store import ResultStore
from fitter.store.row_kinds import ALL_KINDS
from fitter.store.schema import TRACK_INITIALISATION
from fitter.store.tracks import TRACKS

_SHAPING_PACKAGES = (
    "fit-hands",
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
"""Packages whose versions are recorded with the results, because they shape the numbers; also those
of the detector, and on a GPU Triton's, which compiles the rasteriser there."""


class Fitter(Protocol):
    """Whoever fits the hands of a run."""

    engine: Engine
    """With the model that is fitted."""
    device: str
    """Where it is fitted, "cpu" or "cuda"."""


def open_store(
    request: RunRequest,
    config: Config,
    inputs: RunInputs,
    fitter: Fitter,
    sharing: Sharing[Any] | None,
) -> ResultStore:
    """Make the store of a run, or continue it where the request says so.

    Args:
        request: of the run.
        config: of the run.
        inputs: all images that there are now, and what is given for them.
        fitter: who fits the hands.
        sharing: what the images share, or None.

    Raises:
        InputError: see `ResultStore.create` and `ResultStore.resume`.
    """
    continues = request.resume and is_result_store(request.out)
    spec = _spec(config, inputs, fitter)
    size = config.run.block_size
    if not size and continues:
        size = ResultStore.open(request.out, ALL_KINDS).block_size
    asked = {} if sharing is None else sharing.pass_sizes
    widest = replace(
        spec, optional_sizes={**spec.optional_sizes, **asked}, is_pass=sharing is not None
    )
    spec = _in_blocks(spec, size or choose_block_size(len(inputs.listing), widest.row_bytes))
    if sharing is not None:
        kept = {k: v for k, v in spec.optional_sizes.items() if k in sharing.reads}
        rows, tracks = kept | sharing.pass_sizes, sharing.name == TRACKS
        spec = replace(
            spec,
            has_people=inputs.given.people is not None,
            has_tracks=tracks,
            initialisations=[*spec.initialisations, *([TRACK_INITIALISATION] if tracks else [])],
            pass_sizes=[rows] * (sharing.passes - 1),
        )
    share = request.execution.share
    if request.resume:
        return ResultStore.resume(request.out, spec, share)
    return ResultStore.create(request.out, spec, request.overwrite, share)


def _in_blocks(spec: StoreSpec, size: int) -> StoreSpec:
    """For blocks of so many images."""
    run = {**spec.config["run"], "block_size": size}
    return replace(spec, block_size=size, config={**spec.config, "run": run})


def _spec(config: Config, inputs: RunInputs, fitter: Fitter) -> StoreSpec:
    """Of the run, with blocks of one image."""
    engine, device = fitter.engine, fitter.device
    model = engine.meshes.data
    detects, backend = inputs.given.detects, config.detector.used_backend
    resolved = config.resolved()
    # Where it ran, not "auto": blocks of a CPU and of a GPU are not of one run.
    resolved["run"] |= {"device": device}
    return StoreSpec(
        images=cast("Sequence[str]", inputs.listing),  # gone through in order, once
        max_hands=config.detector.slots,
        block_size=1,
        num_betas=model.shapedirs.shape[-1],
        joints=model.skeleton.names,
        pose_joints=model.skeleton.pose_names,
        initialisations=config.init.offer.initialisations,
        optional_sizes=_optional_sizes(config, engine) | _of_lenses(inputs),
        detects=detects,
        config=resolved | {"inputs": inputs.given.kinds},
        model={
            **engine.identity,
            **(detector_identity(backend, config.detector.used_file) if detects else {}),
            "sides": "a left hand's parameters are those of this model mirrored in x",
        },
        versions=_versions(device, detector_packages(backend) if detects else ()),
        dataset={} if inputs.given.files is None else inputs.given.files.dataset_place,
        rig=inputs.given.rig if isinstance(inputs.given, FrameSources) else None,
    )


def _optional_sizes(config: Config, engine: Engine) -> dict[str, int]:
    """Lengths of the dimensions of what this run's options have it store."""
    refiner = engine.refiner
    vertices = len(engine.meshes.data.v_template)
    light = 11 if config.refine.light == "ambient_directional" else 27
    texels = config.refine.texture_size if "texture" in refiner.freed else 0
    sizes = {
        "vertex": vertices if config.output.save_vertices else 0,
        "offset_vertex": vertices if "offsets" in refiner.freed else 0,
        "colour_vertex": vertices if "vertex_colours" in refiner.freed else 0,
        "appearance_component": (
            refiner.model.appearance.count if "appearance" in refiner.freed else 0
        ),
        "light_coefficient": light if "lighting" in refiner.freed else 0,
        "texel_row": texels,
        "texel_column": texels,
    }
    return {name: size for name, size in sizes.items() if size}


def _of_lenses(inputs: RunInputs) -> dict[str, int]:
    """The dimension of the variables that tell of lenses, where some may distort."""
    given = inputs.given
    has_lenses = isinstance(given, Sources) and given.intrinsics.has_lenses
    return {"lens_coefficient": MOST_COEFFICIENTS} if has_lenses else {}


def _versions(device: str, of_detector: Sequence[str]) -> dict[str, str]:
    """Of Python and the packages that shape the numbers on this kind of device."""
    found = {name: version(name) for name in _SHAPING_PACKAGES}
    optional = [*of_detector, *(["triton"] if device == "cuda" else [])]
    for name in optional:
        with suppress(PackageNotFoundError):  # which whoever needs it will ask for
            found[name] = version(name)
    return found | {"python": platform.python_version()}
