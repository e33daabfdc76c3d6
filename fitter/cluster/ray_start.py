"""Starting Ray, or joining a cluster, quietly, and noticing when it is gone."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fitter.cluster.head_watch import Address, HeadWatch, require_cluster
from fitter.errors import InputError, LostError, sentence
from fitter.system.streams import said_to
from fitter.workers.execution_options import ExecutionOptions

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
    "RAY_worker_niceness": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
}
"""No reports to anybody, no second progress bar, workers as important as the driver."""

_OBJECT_STORE = 1 << 30
"""Bytes of shared memory of a Ray of our own; what waits in it are crops and rows of a few batches
for each worker."""


def first_line(error: Exception) -> str:
    """The first line of what an error says; its type's name where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def resources() -> tuple[float, float]:
    """CPUs and GPUs of the cluster."""
    import ray

    found = ray.cluster_resources()
    return found.get("CPU", 1.0), found.get("GPU", 0.0)


def start_ray(execution: ExecutionOptions, said: Path, stack: ExitStack) -> None:
    """Start Ray or join a cluster, quietly; `stack` ends it."""
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    is_local = execution.ray == "local"
    if is_local:  # nobody else is in this Ray; without it, it writes a key to the home folder
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("ray.not_installed", file="--ray", reason=error) from error
    logging.getLogger("ray").setLevel(logging.CRITICAL + 1)
    data = logging.getLogger("ray.data")
    for handler in [h for h in data.handlers if type(h) is logging.StreamHandler]:
        data.removeHandler(handler)
    stack.enter_context(said_to(said))
    options: dict[str, Any] = {}
    if is_local:
        cpus = execution.workers or os.cpu_count() or 1
        options = {
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
        }
    else:
        require_cluster(execution.ray or "auto")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            address=execution.ray,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **options,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise LostError("ray.not_started", reason=first_line(error)) from error
    stack.callback(ray.shutdown)
    for number, before in handlers.items():  # Ray has put one of its own in place of SIGTERM's
        signal.signal(number, before)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    stack.enter_context(HeadWatch(_addresses(), lambda: _farewell(sys.stderr)))


def _addresses() -> list[Address]:
    """Where Ray's head, and its process on this machine, listen."""
    import ray

    host, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    addresses: list[Address] = [(host, int(port))]
    with contextlib.suppress(AttributeError):
        addresses.append(_node().raylet_socket_name)
    return addresses


def _node() -> Any:
    """Ray's processes on this machine. Not part of what Ray promises: any attribute may lack."""
    import ray

    return ray._private.worker._global_node


def _farewell(terminal: Any) -> None:
    """Say that Ray is gone, and end what is left of a Ray of our own."""
    print(f"\nfit-hands: {sentence('ray.head_gone', {})}", file=terminal, flush=True)
    with contextlib.suppress(Exception):  # empty for a cluster that is not ours
        for infos in _node().all_processes.values():
            for info in infos:
                info.process.kill()
