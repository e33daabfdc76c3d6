"""Several processes that train one network, each on its part of every batch: PyTorch's DDP.

    torchrun --nproc-per-node N -m init_net.training CONFIG

torchrun starts the processes and tells each its rank. Every rank has the network and the whole
configuration, and does the same steps: it prepares its rows of a batch, and the gradients are
averaged over the ranks, which is the gradient of the whole batch where every sample's loss is its
own. Statistics of batch normalisation are of the whole batch on GPUs, where `SyncBatchNorm` is
there, and else of a rank's part. What is dropped at random is drawn by each rank for its own part.
The first rank alone writes, validates and says something; another one says why it ends where the
first does not end for the same reason.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from fitter.errors import InputError, LostError, UserError
from fitter.records import TensorBatch
from fitter.system.messages import one_line
from init_net.training.task import Task
from init_net.training.torchrun import is_started_by_torchrun

_PATIENCE = timedelta(hours=12)
"""That ranks wait for each other: samples may be rendered, and validations are long. One that has
ended does not make the others wait."""

_WORD = timedelta(seconds=30)
"""That a rank which ends waits for the first one to end for the same reason. They do not start at
the same moment, and torchrun ends all when one has ended."""

_GLOO = re.compile(r"\[\S*gloo/\S*:\d+\] ")
"""How gloo begins to say that a connection failed; its errors are of no type of their own. A check
of its arguments, which is a fault of ours, begins with "enforce fail"."""


class RankLostError(LostError):
    """This process has lost touch with another one of the run, which most often has ended."""


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
        if not is_started_by_torchrun():
            return cls()
        return cls(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))

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

        What ends the block is told while they can still be reached, see `tell`: they end when this
        one is gone.

        Raises:
            RankLostError: one of them has ended, or cannot be reached.
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
        except UserError as error:
            self.tell(error)
            raise
        except RuntimeError as error:
            reason = _reason_of_loss(error)
            if reason is None:
                raise
            raise RankLostError("training.rank_lost", rank=self.rank, reason=reason) from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.count > 1:
            distributed.barrier()

    def tell(self, error: UserError) -> None:
        """Let it be known why this rank ends.

        The first one's reason is left for the others to read; saying it is up to the caller. What
        ends another rank is said here, once, unless it is what ends the first one as well.
        """
        if self.count == 1:
            return
        reason = one_line(str(error))
        try:
            if self._is_said(reason):
                return
        except distributed.DistError:
            pass  # Nobody is there to have said it.
        print(f"train-hands: rank {self.rank}: {reason}", file=sys.stderr, flush=True)

    def _is_said(self, reason: str) -> bool:
        """Whether somebody says a reason, or this rank has said it before; torchrun keeps what
        each of them has said."""
        kept = distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=_WORD,
            wait_for_workers=False,
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        first, own = (f"train-hands/{attempt}/{rank}" for rank in (0, self.rank))
        if self.is_first or kept.check([own]):
            kept.set(own, reason)
            return True
        kept.set(own, reason)
        end = time.monotonic() + _WORD.total_seconds()
        while not kept.check([first]):
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return bool(kept.get(first) == reason.encode())

    def rows(self, batch_size: int) -> slice:
        """Of every batch: those that this rank prepares and learns from."""
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def mean(self, values: Tensor) -> Tensor:
        """Of values (N,) over the ranks; what is not finite in one is not finite in all."""
        if self.count > 1:
            distributed.all_reduce(values)
            values = values / self.count
        return values

    def require_even(self, batch_size: int, together: int = 1) -> None:
        """Refuse batches that cannot be shared out.

        Args:
            batch_size: rows of a batch.
            together: rows that one rank has to have together, from its first row on.

        Raises:
            InputError: their size is no multiple of the number of ranks, or a rank's share none of
                `together`.
        """
        if batch_size % self.count == 0 and batch_size // self.count % together:
            raise InputError(
                "training.odd_batch",
                file="optimiser.batch_size",
                found=batch_size,
                count=self.count,
                multiple=self.count * together,
            )
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
        # Slow to import, and of no use to one process.
        from init_net.networks.encoders import synchronised

        return synchronised(network)

    def shared(self, task: Task[Any]) -> nn.Module:
        """The losses of a task, a module of batch and step, whose gradients are those of all ranks.

        To be made anew when other parts learn. All ranks then have the first one's weights.
        """
        losses = _Losses(task)
        if self.count == 1:
            return losses
        # Some losses do not count, and then what feeds them alone has no gradient: DDP sees that in
        # the first step, and it is so in all steps of a stage.
        return DistributedDataParallel(losses, static_graph=True)


class _Losses(nn.Module):
    """A task's losses as a module, which is what DDP wraps."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__()
        self.network = task.network
        self._task = [task]  # in a list: no module of this one

    def forward(self, batch: TensorBatch, step: int) -> dict[str, Tensor]:
        return self._task[0].losses(batch, step)


def _reason_of_loss(error: RuntimeError) -> str | None:
    """Why another rank cannot be reached, in a line; None of an error that says something else."""
    text = str(error)
    if not (isinstance(error, distributed.DistError) or _GLOO.search(text)):
        return None
    # What follows is advice, and addresses within libraries.
    first = _GLOO.sub("", text).split("\n")[0].split(". ")[0]
    return one_line(first.strip().rstrip(".")) or type(error).__name__
