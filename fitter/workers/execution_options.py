"""Over what the work of a run is spread."""

from __future__ import annotations

from dataclasses import dataclass

from fitter.system.lock import WHOLE, Share


@dataclass(frozen=True)
class ExecutionOptions:
    """Over what the work is spread.

    Attributes:
        ray: "local", "auto" or the address of a Ray cluster; None for this process and some of its
            own that detect.
        workers: processes that detect; with Ray and without GPUs they also fit. None:
            one without Ray (one for each core beside a GPU), as many as fit the cluster with it.
        gpus_per_worker: GPUs of each of Ray's workers that fit, a share of one for several workers
            on a GPU; 0 for fits on CPUs, None for one where the cluster has any.
        timeout: seconds that one image may take to be detected.
        share: the blocks that this run computes, of runs that share a store out.
    """

    ray: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None
    timeout: float = 120.0
    share: Share = WHOLE
