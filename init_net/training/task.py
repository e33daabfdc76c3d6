"""What a training run learns, as its loop sees it."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from fitter.records import TensorBatch
from init_net.training.plan import Plan, Stage

Samples = TypeVar("Samples", bound=TensorBatch)

WHOLE = slice(None)
"""All rows of a batch."""


class Task(Protocol[Samples]):
    """What is learned: a network, its batches and its losses.

    Attributes:
        network: on the device where it is trained.
        plan: which stage each step belongs to: which sources a batch has, how much each loss
            counts, and which parts the network does without (`init_net.training.freezing.said`).
    """

    network: nn.Module
    plan: Plan

    def batch(self, step: int, rows: slice = WHOLE) -> Samples:
        """CPU tensors of a training step, or those `rows` of them that are wanted.

        Each row depends on the seed, the step and its place in the batch alone, whichever others
        are wanted: a generator of its own, never a global one.
        Called from several threads at once, in any order of steps, those of the next stage among
        them.
        """
        ...

    def losses(self, batch: Samples, step: int) -> dict[str, Tensor]:
        """Loss terms of a batch, on the network's device: name -> (B,), already weighted.

        The total is the sum of their means. Called under autocast; what the network drops at
        random may come from PyTorch's global generators, which are seeded for each step.
        """
        ...

    def validate(self, stage: Stage) -> dict[str, float]:
        """Figures on held-out samples of what a stage learns; the network is in eval mode, with
        averaged weights."""
        ...

    def pictures(self, stage: Stage) -> np.ndarray | None:
        """(H, W, 3) uint8 sRGB: some held-out samples as they are beside what the network says of
        them, which is as in `validate`; None for nothing to see. Asked for where somebody looks."""
        ...
