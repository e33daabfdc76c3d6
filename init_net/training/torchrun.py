"""What torchrun tells the processes that it starts."""

from __future__ import annotations

import os


def is_started_by_torchrun() -> bool:
    """Whether this process is one of those that torchrun has started.

    Schedulers of clusters set RANK and WORLD_SIZE, too, and start nobody to be in touch with.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ
