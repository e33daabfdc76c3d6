"""Several processes that train one network, each on its part of every batch: PyTorch's DDP.

    torchrun --nproc-per-node N -m init_net.training CONFIG

torchrun starts the processes and tells each its rank. Every rank has the network and the whole
configuration, and does the same steps: it prepares a batch, keeps its part, and the gradients are
averaged over the ranks, which is the gradient of the whole batch where every sample's loss is its
own. Statistics of batch normalisation are of the whole batch on GPUs, where `SyncBatchNorm` is
there, and else of a rank's part. What is dropped at random is drawn by each rank for its own part.
The first rank alone writes, validates and says something.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from fitter.errors import InputError, LostError
from fitter.records import TensorBatch
from init_net.training.task import Task

_PATIENCE = timedelta(hours=12)
"""That ranks wait for each other: samples may be rendered, and validations are long. One that has
ended does not make the others wait."""


class RankLostError(LostError):
    """Another process of the run has ended."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run.

    Attributes:
        rank: of this one, from 0 on.
        count: of them.
        local: of this one among those on its machine, which is the number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> Ranks:
        """As torchrun has set it; one process alone without torchrun."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if not all(name in os.environ for name in names):
            return cls()
        return cls(*(int(os.environ[name]) for name in names))

    @property
    def is_first(self) -> bool:
        """Whether this one writes, validates and speaks."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this rank, of a kind that was chosen."""
        if self.count == 1 or chosen.type != "cuda" or chosen.index is not None:
            return chosen
        return torch.device("cuda", self.local)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Be in touch with the other ranks while the block lasts.

        Raises:
            RankLostError: one of them has ended.
        """
        if self.count == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "nccl" if device.type == "cuda" else "gloo"
        try:
            distributed.init_process_group(backend, timeout=_PATIENCE)
            yield
        except RuntimeError as error:
            if not _is_lost(error):
                raise
            raise RankLostError("training.rank_lost", rank=self.rank) from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.count > 1:
            distributed.barrier()

    def part(self, batch: TensorBatch) -> TensorBatch:
        """The rows of a batch that this rank learns from."""
        if self.count == 1:
            return batch
        size = len(next(iter(vars(batch).values()))) // self.count
        found: TensorBatch = batch[self.rank * size : (self.rank + 1) * size]
        return found

    def mean(self, values: Tensor) -> Tensor:
        """Of values (N,) over the ranks; what is not finite in one is not finite in all."""
        if self.count > 1:
            distributed.all_reduce(values)
            values = values / self.count
        return values

    def require_even(self, batch_size: int) -> None:
        """Refuse batches that cannot be shared out.

        Raises:
            InputError: their size is no multiple of the number of ranks.
        """
        if batch_size % self.count:
            raise InputError(
                "training.uneven_batch",
                file="optimiser.batch_size",
                found=batch_size,
                count=self.count,
            )

    def synchronised(self, network: nn.Module, device: torch.device) -> nn.Module:
        """A network whose batch normalisation sees the whole batch, where PyTorch has that."""
        if self.count == 1 or device.type != "cuda":
            return network
        found: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return found

    def shared(self, task: Task[Any]) -> nn.Module:
        """The losses of a task, a module of batch and step, whose gradients are those of all ranks.

        To be made anew when other parts learn. All ranks then have the first one's weights.
        """
        losses = _Losses(task)
        if self.count == 1:
            return losses
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Some losses do not count, and then what feeds them alone has no gradient.
            return DistributedDataParallel(losses, find_unused_parameters=True)


class _Losses(nn.Module):
    """A task's losses as a module, which is what DDP wraps."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__()
        self.network = task.network
        self._task = [task]  # in a list: no module of this one

    def forward(self, batch: TensorBatch, step: int) -> dict[str, Tensor]:
        return self._task[0].losses(batch, step)


def _is_lost(error: RuntimeError) -> bool:
    """Whether an error says that another rank is gone: gloo's are of no type of their own."""
    is_distributed = isinstance(error, distributed.DistError)
    return is_distributed or "gloo" in str(error).lower()
