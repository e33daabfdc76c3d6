"""Some processes that hold an object of one kind each; a call goes to whichever is free."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Self

from fitter.errors import LostError
from fitter.system.isolation import Isolated, Lost


class ProcessPool:
    """Processes that may be lost over a call; close it, or use it in a ``with`` block.

    Attributes:
        lost: times that a process was lost so far.
    """

    def __init__(
        self,
        factory: Callable[..., object],
        arguments: tuple[object, ...],
        count: int,
        timeout: float,
    ) -> None:
        """Start them; `ready` waits for the first.

        Args:
            factory: at the top of a module, makes the object that each process holds.
            arguments: that it is made with.
            count: of processes.
            timeout: seconds that a call may take.
        """
        self.lost = 0
        self._timeout = timeout
        self._what = (factory, arguments)
        self._all: list[Isolated] = []
        self._free: SimpleQueue[Isolated] = SimpleQueue()
        self._threads: ThreadPoolExecutor
        self.grow(count)

    def grow(self, count: int) -> None:
        """Have `count` processes, at least those that there are; before the first call."""
        factory, arguments = self._what
        while len(self._all) < count:
            self._all.append(Isolated(factory, *arguments))
            self._free.put(self._all[-1])
        self._threads = ThreadPoolExecutor(len(self._all), thread_name_prefix="calls")

    def ready(self) -> None:
        """Wait until the first process has made its object.

        Raises:
            UserError: the object cannot be made.
            LostError: the process ended while it was made, twice.
        """
        try:
            self._all[0].ready()
        except Lost as lost:
            raise LostError("worker.lost_at_start", how=str(lost)) from lost

    def submit(self, method: str, *arguments: object) -> Future[Any]:
        """A promise of what `call` returns or raises."""
        return self._threads.submit(self.call, method, *arguments)

    def call(self, method: str, *arguments: object) -> Any:
        """What a method of the object returns, in the first process that is free.

        Raises:
            UserError: the method, or making the object, raised this.
            RuntimeError: it raised something else; the text is its traceback.
            Lost: the process ended before it had answered, or was ended.
        """
        process = self._free.get()
        try:
            return process.call(method, *arguments, timeout=self._timeout)
        except Lost:
            self.lost += 1
            raise
        finally:
            self._free.put(process)

    def close(self) -> None:
        """End all processes, whatever they do; a second call does nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.close()
        self._threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
