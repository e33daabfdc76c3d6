"""Networks of named parts, which a training run may freeze, and leave out, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

NOTHING: frozenset[str] = frozenset()
"""No part."""


class HasParts(Protocol):
    """A network whose training has stages (`init_net.training.stage_config.StageConfig`).

    Every parameter and buffer belongs to exactly one part. A frozen part is in eval mode, so that
    it stays bit for bit what it was: its normalisation moves no statistics.
    """

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Its parts by name, in the order in which data pass through them."""
        ...

    @property
    def optional_parts(self) -> frozenset[str]:
        """Names of those that it can do without."""
        ...

    def absence_fault(self, absent: frozenset[str]) -> str | None:
        """Why it cannot do without some of its optional parts together, in words; None if it can.
        A network without this method can do without any of them."""
        ...

    def __call__(self, inputs: Any, absent: frozenset[str] = NOTHING) -> Any:
        """Its outputs, computed without the parts that are `absent`."""
        ...
