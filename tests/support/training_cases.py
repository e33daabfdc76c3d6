"""A task that is learned in a second, and samples that need no rendering."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fitter.errors import sentence
from fitter.fitting.observations import unknown_features
from fitter.records import TensorBatch
from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig
from init_net.records import LifterInputs
from init_net.samples.shards import SAMPLE_FIELDS, SampleSource
from init_net.training.command import train_hands
from init_net.training.config import TrainConfig
from init_net.training.plan import Supply, make_plan
from init_net.training.task import WHOLE

SMALL = LifterConfig(width=16, blocks=1, dropout=0.2)
"""Drops features at random, so that the state of the generators matters."""


def small_config(network=SMALL, optimiser=None, **run) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "network": network.model_dump(),
            "optimiser": {
                "steps": 12, "batch_size": 4, "warmup_steps": 3, "ema_decay": 0.9,
                **(optimiser or {}),
            },
            "run": {
                "device": "cpu", "log_every": 2, "validate_every": 5, "checkpoint_minutes": 60.0,
                **run,
            },
        }
    )  # fmt: skip


@dataclass(frozen=True)
class ToyBatch(TensorBatch):
    positions: Tensor
    confidence: Tensor
    depth: Tensor
    bones: Tensor
    focal: Tensor
    features: Tensor
    keypoints: Tensor

    @property
    def inputs(self) -> LifterInputs:
        return LifterInputs(
            self.positions, self.confidence, self.depth, self.bones, self.focal, self.features
        )


class ToyTask:
    """Finds depth where there is none; `before` is called with every step of the losses."""

    def __init__(self, config: TrainConfig, before=lambda step: None) -> None:
        self.config, self.before = config, before
        self.network = build_network(config.network, config.run.seed)
        self.plan = make_plan(config, Supply([20] * len(config.learned_from), 4))
        self.seen = []

    def batch(self, step: int, rows: slice = WHOLE) -> ToyBatch:
        generator = torch.Generator().manual_seed(1000 * self.config.run.seed + step)
        count = self.config.optimiser.batch_size
        positions = torch.rand(count, 21, 2, generator=generator) - 0.5
        keypoints = torch.cat([positions - positions[:, :1], positions[..., :1] ** 2], -1)
        whole = ToyBatch(
            positions,
            torch.ones(count, 21),
            torch.full((count, 21), torch.nan),
            torch.full((count, 20, 3), torch.nan),
            torch.full((count,), 2.0),
            unknown_features(count, positions),
            keypoints,
        )
        return whole[rows]

    def losses(self, batch: ToyBatch, step: int) -> dict[str, Tensor]:
        self.seen.append(step)
        worse = self.before(step)
        hands = self.network(batch.inputs)
        keypoints = (hands.keypoints - batch.keypoints).square().mean((1, 2))
        return {"keypoints": keypoints * (1.0 if worse is None else worse),
                "betas": 0.1 * hands.betas.square().mean(1)}  # fmt: skip

    def validate(self, stage=None) -> dict[str, float]:
        assert not self.network.training
        batch = self.batch(10_000)
        error = (self.network(batch.inputs).keypoints - batch.keypoints).norm(dim=-1)
        return {"error": error.mean().item()}

    def pictures(self, stage) -> np.ndarray:
        assert not self.network.training
        return np.full((4, 6, 3), 7, np.uint8)


def toy_tasks(monkeypatch, before=lambda step: None) -> None:
    """Let `train-hands` learn the toy instead of hands."""
    monkeypatch.setattr(
        "init_net.training.tasks.build_task",
        lambda config, device, network: ToyTask(config, before),
    )


def blank_samples(folder: Path, source: SampleSource) -> None:
    """What `render_shards` takes for a whole data set, of zeros and a camera."""
    shapes = {"image": (source.size, source.size, 3), "mask": (source.size, source.size)}
    keypoints = {"keypoints_3d": (21, 3), "keypoints_2d": (21, 2), "keypoint_state": (21,),
                 "intrinsics": (3, 3), "global_orient": (3,), "hand_pose": (15, 3),
                 "betas": (10,), "transl": (3,)}  # fmt: skip
    shapes |= keypoints
    shard = folder / "shard-000000000"
    shard.mkdir(parents=True)
    for name, (dtype, _) in SAMPLE_FIELDS.items():
        array = np.zeros((source.count, *shapes.get(name, ())), dtype)
        if name == "intrinsics":
            array[:] = np.eye(3)
        np.save(shard / f"{name}.npy", array)
    manifest = {"layout": 1, **asdict(source), "settings": source.settings.description()}
    del manifest["count"]
    (folder / "samples.json").write_text(json.dumps(manifest))


def said(code: str, **facts: object) -> str:
    return sentence(code, facts)


def trained(say, *arguments: object):
    return say("toy.yaml", "--quiet", *arguments, command=train_hands)
