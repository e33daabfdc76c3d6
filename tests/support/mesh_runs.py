"""A mesh network and a JointVAE so small that they learn in a second or two."""

from __future__ import annotations

from pathlib import Path

from init_net.training.config import TrainConfig
from tests.support.task_cases import configured

VAE = {"latent": 8, "hidden": [16]}
NETWORK = {
    "kind": "mesh_net",
    "encoder": "mobilenetv3_small_050",
    "input_size": 32,
    "latent": 16,
    "decoder": "spiral",
    "channels": [8, 8, 4, 4],
    "hidden": [8],
    "vae": VAE,
}
LEARNS = ["encoder", "decoder", "parameters", "camera"]
STAGES = {"integrated": {"steps": 3, "trains": LEARNS}, "whole": {"steps": 2}}
OPTIMISER = {"batch_size": 4, "warmup_steps": 0}
RUN = {"device": "cpu", "log_every": 1, "validate_every": 100}


def mesh_config(folder: Path, network: dict | None = None, **more) -> TrainConfig:
    """On the samples of `folder`; in two stages where nothing else is given."""
    plain = configured(folder, "segmentation").resolved()
    return TrainConfig.model_validate(
        {
            "network": {**NETWORK, **(network or {})},
            "data": plain["data"],
            "validation": plain["validation"],
            "optimiser": OPTIMISER,
            "run": RUN,
            "stages": STAGES,
            **more,
        }
    )


def vae_config(**more) -> TrainConfig:
    """Of the JointVAE that such a network has, by itself."""
    return TrainConfig.model_validate(
        {
            "network": {"kind": "joint_vae", **VAE},
            "posed_hands": {"count": 8, "held_out": 6, "noise": 0.002},
            "optimiser": {**OPTIMISER, "steps": 4},
            "run": RUN,
            **more,
        }
    )
