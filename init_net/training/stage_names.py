"""Whether stages name parts of the network that are there: known before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Collection

from fitter.errors import InputError
from init_net.training.config import TrainConfig


def require_names(config: TrainConfig, parts: Collection[str]) -> None:
    """Refuse stages that name parts which the network has not.

    Args:
        config: of the run.
        parts: names of the network's parts.

    Raises:
        InputError: there is such a stage, or one that trains a part which it leaves out.
    """
    for name, stage in config.stages.items():
        for option in ("trains", "without"):
            for part in getattr(stage, option) or ():
                if part not in parts:
                    raise InputError(
                        "training.unknown_part",
                        file=f"stages.{name}.{option}",
                        part=part,
                        known=", ".join(parts) or "none",
                        network=config.network.kind,
                    )
        for part in stage.without:
            if part in (stage.trains or ()):
                raise InputError("training.absent_part", file=f"stages.{name}", part=part)
