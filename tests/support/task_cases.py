"""Tasks on a few rendered samples, and a network that says what it is told to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fitter.records import TensorBatch
from fitter.rotations import roma
from init_net.records import CropInputs, CropPredictions, LifterInputs
from init_net.training.config import TrainConfig

COUNT, UNSEEN, SIZE = 14, 5, 48
NETWORKS = {
    "lifter": {"kind": "lifter", "width": 32, "blocks": 1},
    "handnet": {"kind": "handnet", "input_size": 32, "hidden": [32]},
    "segmentation": {
        "kind": "segmentation", "input_size": 32, "decoder_channels": [16, 16, 8, 8, 8],
    },
}  # fmt: skip
CPU = torch.device("cpu")


def configured(
    folder: Path, network: str, batch_size: int = 4, seed: int = 0, **more
) -> TrainConfig:
    def samples(name: str, seed: int, count: int) -> dict:
        return {"folder": str(folder / name), "seed": seed, "count": count, "size": SIZE,
                "backgrounds": "procedural"}  # fmt: skip

    return TrainConfig.model_validate(
        {
            "network": NETWORKS[network],
            "data": samples("data", 31, COUNT),
            "validation": samples("validation", 32, 6),
            "optimiser": {"batch_size": batch_size},
            "run": {"device": "cpu", "seed": seed},
            **more,
        }
    )


class Says(nn.Module):
    """A network that answers from a record, hand after hand, and keeps what it was asked."""

    def __init__(self, answers: TensorBatch | Tensor) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.answers, self.asked = answers, []

    def forward(
        self, inputs: LifterInputs | CropInputs, absent: frozenset[str] = frozenset()
    ) -> TensorBatch | Tensor:
        start = sum(len(given.confidence) for given in self.asked)
        count = len(self.answers.betas if isinstance(self.answers, TensorBatch) else self.answers)
        self.asked.append(inputs)
        start %= count
        return self.answers[start : start + len(inputs.confidence)]

    def regress(self, inputs: CropInputs, absent: frozenset[str]) -> TensorBatch | Tensor:
        """As a `HandNet` says hands alone."""
        return self(inputs)

    def segment(self, inputs: CropInputs, absent: frozenset[str]) -> TensorBatch | Tensor:
        """As a network with masks says them alone."""
        return self(inputs)


class SaysHands(Says):
    """The same of a `HandNet` without a decoder, in training."""

    def forward(self, inputs: CropInputs, absent: frozenset[str] = frozenset()) -> CropPredictions:
        hands = super().forward(inputs)
        pose = roma.rotmat_to_rotvec(hands.rotations).flatten(1)
        return CropPredictions(hands, None, None, pose)
