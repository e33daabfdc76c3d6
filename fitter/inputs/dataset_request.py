"""Which data set a run takes its images from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from fitter.errors import InputError

DatasetPart = Literal["keypoints", "masks"]
"""What a run may use of a data set beside images and K."""


@dataclass(frozen=True)
class DatasetRequest:
    """Which data set a run takes its images from; the folder is the run's images.

    Attributes:
        name: of an installed reader, such as ``freihand``.
        split: its name; None for the one that evaluations are made on.
        use: what to use beside images and K; one name or several.
    """

    name: str
    split: str | None = None
    use: DatasetPart | Sequence[DatasetPart] = ()

    def __post_init__(self) -> None:
        """Refuse parts that no data set has."""
        object.__setattr__(self, "use", used_parts(self.use))


def used_parts(use: str | Sequence[str]) -> tuple[DatasetPart, ...]:
    """What is used, each once.

    Args:
        use: one name, or several.

    Raises:
        InputError: `dataset.use`: no data set has such a part.
    """
    parts = get_args(DatasetPart)
    found = dict.fromkeys([use] if isinstance(use, str) else use)
    for part in found:
        if part not in parts:
            raise InputError("dataset.use", file="--use", known=", ".join(parts), found=part)
    return tuple(cast(DatasetPart, part) for part in found)  # since the loop above
