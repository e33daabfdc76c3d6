"""A configuration, and what a call from Python says beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fitter.config.files import Flag
from fitter.config.options import Config, load_config, model_flags
from fitter.errors import InputError


def configured(
    model: str | Path | None,
    device: str | None,
    max_hands: int | None,
    config: Config | str | Path | None,
    options: Mapping[str, Any],
) -> Config:
    """The configuration of a `fitter.HandFitter`; what is None does not override it.

    Args:
        model, device, max_hands, config, options: see `fitter.HandFitter`.

    Raises:
        InputError: the configuration or an option cannot be used.
    """
    if not isinstance(options, Mapping):
        raise InputError("door.options", file="options", found=type(options).__name__)
    flags: dict[str, Flag] = {}
    if model is not None:
        flags |= model_flags(f"model={str(model)!r}", str(model))
    if device is not None:
        flags["run.device"] = Flag(f"device={device!r}", device)
    if max_hands is not None:
        flags["detector.max_hands"] = Flag(f"max_hands={max_hands}", max_hands)
    for name, value in options.items():
        if "." not in name:
            raise InputError("door.option", file="options", found=name)
        flags[name] = Flag(f"{name}={value!r}", value)
    if not isinstance(config, Config):
        return load_config(config, (), flags)
    if not flags:
        return config
    return load_config(None, (), _as_flags(config.resolved()) | flags)


def _as_flags(values: Mapping[str, Any], prefix: str = "") -> dict[str, Flag]:
    """Every option of a configuration, as if a flag had said it."""
    found: dict[str, Flag] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"
        if isinstance(value, Mapping) and prefix == "":
            found |= _as_flags(value, f"{full}.")
        else:
            found[full] = Flag(f"{full}={value!r}", value)
    return found
