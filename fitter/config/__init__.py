"""The configuration: every option of a run, typed, from files, presets and overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.config.files import ConfigKind, Flag, find_preset, load_kind
    from fitter.config.options import (
        FIT,
        Config,
        DetectorConfig,
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
        "DetectorConfig": "fitter.config.options",
        "FIT": "fitter.config.options",
        "FitConfig": "fitter.config.options",
        "Flag": "fitter.config.files",
        "InitConfig": "fitter.config.options",
        "ModelConfig": "fitter.config.options",
        "RefineConfig": "fitter.config.stages",
        "Section": "fitter.config.section",
        "StageConfig": "fitter.config.stages",
        "find_config": "fitter.config.options",
        "find_preset": "fitter.config.files",
        "load_config": "fitter.config.options",
        "load_kind": "fitter.config.files",
    },
)
