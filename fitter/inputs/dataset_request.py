"""Which data set a run takes its images from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from fitter.errors import InputError

DatasetPart = Literal["keypoints", "masks", "objects"]
"""What a run may use of a data set beside images and K."""


@dataclass(frozen=True)
class DatasetRequest:
    """Which data set a run takes its images from; the folder is the run's images.

    Attributes:
        name: of an installed reader, such as ``freihand``.
        split: its name; None for the one that evaluations are made on.
        use: what to use beside images and K; one name or several.
        models: folder of the meshes of the data set's objects, a folder or a file for each after
            the object's name; None for the folder ``models`` of the data set. Of use beside
            ``use="objects"`` alone.
    """

    name: str
    split: str | None = None
    use: DatasetPart | Sequence[DatasetPart] = ()
    models: Path | None = None

    def __post_init__(self) -> None:
        """Refuse parts that no data set has, and meshes of objects that are not used."""
        object.__setattr__(self, "use", used_parts(self.use))
        if self.models is None:
            return
        object.__setattr__(self, "models", Path(self.models))
        if "objects" not in self.use:
            raise InputError("dataset.models_unused", file=f"--object-models {self.models}")
        if not self.models.is_dir():
            raise InputError("object.no_folder", file=self.models)


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
