"""The presets of published recipes."""

from __future__ import annotations

from fitter.config.options import Config, load_config
from fitter.config.stages import StageConfig
from tests.support.paths import ROOT

CONFIGS = ROOT / "configs"
PRESETS = ("realistic_hands", "s2hand", "nimble_render_compare")


def preset(name: str, *overrides: str) -> Config:
    """One, with overrides."""
    return load_config(CONFIGS / f"{name}.yaml", overrides)


def stage_of(name: str) -> StageConfig:
    """Its only stage."""
    (stage,) = preset(name).refine.stages.values()
    return stage
