"""An autoencoder so small that it learns in a second or two."""

from __future__ import annotations

from pathlib import Path

from init_net.training.config import TrainConfig
from tests.support.task_cases import configured

NETWORK = {
    "kind": "autoencoder",
    "encoder": "mobilenetv3_small_050",
    "input_size": 32,
    "hidden": [16],
    "estimator": {"stacks": 1, "channels": 8, "depth": 1, "map_size": 16},
}
STAGES = {
    "keypoints_2d": {
        "steps": 2, "trains": ["estimator"], "without": ["encoder", "geometry", "texture"],
    },
    "hand": {"steps": 2, "without": ["estimator"]},
    "together": {"steps": 2},
}  # fmt: skip
OF_S2HAND = {
    "location": 10.0, "orientation": 1.0, "pixel": 0.02, "ssim": 0.1, "shape": 0.02,
    "texture": 1.0, "scale": 1.0, "limits": 0.1, "estimator": 10.0, "consistency": 10.0,
}  # fmt: skip


def autoencoder_config(folder: Path, network: dict | None = None, **more) -> TrainConfig:
    """On the samples of `folder`; S2HAND in its three stages where nothing else is given."""
    plain = configured(folder, "segmentation").resolved()
    given = {"stages": STAGES, "losses": OF_S2HAND, **more}
    optimiser = {"batch_size": 4, "warmup_steps": 0}
    run = {"device": "cpu", "log_every": 1, "validate_every": 100}
    return TrainConfig.model_validate(
        {
            "network": {**NETWORK, **(network or {})},
            "data": plain["data"],
            "validation": plain["validation"],
            "optimiser": optimiser,
            "run": run,
            **given,
        }
    )
