"""The configuration of a run: options with their types and bounds, files, presets, overrides.

`load_config` reads a file or a preset and overrides; `Config` holds every option. What packages of
networks add to it is a `NetworkOffer`.

    >>> from fitter.config import load_config
    >>> config = load_config("s2hand", ["fit.max_iterations=10"])
    >>> config.fit.max_iterations, list(config.refine.stages)
    (10, ['refinement'])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.config.detection import DetectorConfig
    from fitter.config.files import ConfigKind, Flag, find_preset, load_kind
    from fitter.config.networks import NetworkOffer, NetworkOptions, OfferedNetwork
    from fitter.config.options import (
        FIT,
        Config,
        FitConfig,
        InitConfig,
        ModelConfig,
        find_config,
        load_config,
    )
    from fitter.config.section import Section
    from fitter.config.stages import RefineConfig, StageConfig

__all__ = [
    "FIT",
    "Config",
    "ConfigKind",
    "DetectorConfig",
    "FitConfig",
    "Flag",
    "InitConfig",
    "ModelConfig",
    "NetworkOffer",
    "NetworkOptions",
    "OfferedNetwork",
    "RefineConfig",
    "Section",
    "StageConfig",
    "find_config",
    "find_preset",
    "load_config",
    "load_kind",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Config": "fitter.config.options",
        "ConfigKind": "fitter.config.files",
        "DetectorConfig": "fitter.config.detection",
        "FIT": "fitter.config.options",
        "FitConfig": "fitter.config.options",
        "Flag": "fitter.config.files",
        "InitConfig": "fitter.config.options",
        "ModelConfig": "fitter.config.options",
        "NetworkOffer": "fitter.config.networks",
        "NetworkOptions": "fitter.config.networks",
        "OfferedNetwork": "fitter.config.networks",
        "RefineConfig": "fitter.config.stages",
        "Section": "fitter.config.section",
        "StageConfig": "fitter.config.stages",
        "find_config": "fitter.config.options",
        "find_preset": "fitter.config.files",
        "load_config": "fitter.config.options",
        "load_kind": "fitter.config.files",
    },
)
