"""A network of parts that learns in stages, in a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from init_net.training.config import TrainConfig
from init_net.training.freezing import said
from init_net.training.plan import Stage, Supply, make_plan
from tests.support.training_cases import SMALL, ToyBatch, ToyTask

COUNT = 24
"""Items of the only source, of which 4 are in a batch: six steps an epoch."""

STAGES = {
    "Left": {"trains": ["left", "head"], "without": ["right", "fusion"], "steps": 5},
    "Right": {"trains": ["right"], "without": ["left", "fusion"], "epochs": 1.0,
              "learning_rate": 2e-3, "schedule": "linear", "decay_epochs": 0.5},
    "Fusion": {"trains": ["fusion"], "steps": 4, "losses": {"rotation": 0.0}},
    "All": {"steps": 6, "schedule": "steps", "decay_epochs": 0.5, "decay_factor": 0.5},
}  # fmt: skip
ENDS = {"Left": 5, "Right": 11, "Fusion": 15, "All": 21}


def staged_config(stages: dict | None = None, optimiser: dict | None = None, **run) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "network": SMALL.model_dump(),
            "stages": STAGES if stages is None else stages,
            "optimiser": {
                "batch_size": 4, "warmup_steps": 2, "ema_decay": 0.9, **(optimiser or {}),
            },
            "run": {
                "device": "cpu", "log_every": 4, "validate_every": 100, "checkpoint_minutes": 60.0,
                **run,
            },
        }
    )  # fmt: skip


def _front() -> nn.Module:
    return nn.Sequential(nn.Linear(42, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))


class PartedNetwork(nn.Module):
    """Two fronts of one kind, what joins them, and a head; statistics and dropout in each front."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = _front(), _front()
        self.fusion, self.head = (
            nn.Linear(16, 8),
            nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 63)),
        )

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in ("left", "right", "fusion", "head")}

    optional_parts = frozenset({"left", "right", "fusion"})

    def forward(self, positions: Tensor, absent: frozenset[str] = frozenset()) -> Tensor:
        fronts = [
            getattr(self, name)(positions.flatten(1))
            for name in ("left", "right")
            if name not in absent
        ]
        fused = self.fusion(torch.cat(fronts, 1)) if "fusion" not in absent else sum(fronts)
        return self.head(fused).unflatten(1, (21, 3))


class StagedTask(ToyTask):
    """The toy with `PartedNetwork`, and losses that each stage weighs; `asked` are the stages of
    batches in the order of their steps, `judged` those of validations."""

    def __init__(self, config: TrainConfig, before=lambda step: None) -> None:
        super().__init__(config, before)
        self.plan = make_plan(config, Supply([COUNT] * len(config.learned_from), 4))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.run.seed)
            self.network = PartedNetwork()
        self.judged: list[Stage] = []

    def losses(self, batch: ToyBatch, step: int) -> dict[str, Tensor]:
        self.seen.append(step)
        self.before(step)
        stage = self.plan.at(step)
        found = said(self.network, batch.positions, stage)
        terms = {
            "keypoints": (found - batch.keypoints).square().mean((1, 2)),
            "rotation": found.square().mean((1, 2)),
        }
        return {
            name: stage.losses[name] * term for name, term in terms.items() if stage.losses[name]
        }

    def validate(self, stage: Stage) -> dict[str, float]:
        assert not self.network.training
        self.judged.append(stage)
        batch = self.batch(10_000)
        found = said(self.network, batch.positions, stage)
        return {"error": (found - batch.keypoints).norm(dim=-1).mean().item()}
