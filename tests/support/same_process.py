"""A stand-in for `fitter.system.isolation.Isolated`, for tests that are not about processes."""

import traceback
from collections.abc import Callable
from typing import Any

from fitter.errors import UserError


class SameProcess:
    """The object in this process: a start loads nothing a second time, and nothing can be lost."""

    pid = None

    def __init__(self, factory: Callable[..., object], *arguments: object) -> None:
        self._what, self._held = (factory, arguments), None

    def ready(self) -> None:
        factory, arguments = self._what
        self._held = self._held or factory(*arguments)

    def call(self, method: str, *arguments: object, timeout: float) -> Any:
        self.ready()
        try:
            return getattr(self._held, method)(*arguments)
        except UserError:
            raise
        except Exception:  # as another process would: told with its traceback
            raise RuntimeError(traceback.format_exc()) from None

    def close(self) -> None:
        self._held = None
