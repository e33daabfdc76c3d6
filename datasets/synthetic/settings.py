"""What a caller may choose about a rendered data set; light, so that a command can check it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from fitter.conventions import NIMBLE_FILES, model_name
from fitter.errors import InputError

_LATER = ("glove_share", "child_share", "grey_share", "varied_object_share", "model")


@dataclass(frozen=True)
class SyntheticSettings:
    """What a caller may choose about a data set; all of it changes the samples.

    Attributes:
        object_share: of samples whose grasp holds an object, among poses that can hold one.
        occluder_share: of samples with an object in front of the hand.
        second_hand_share: of samples with another hand.
        bare_share: of arms without a sleeve.
        glove_share: of first hands in a glove.
        child_share: of first hands that are a child's.
        grey_share: of images without colours, half of them infrared.
        varied_object_share: of things in the grasp that are of more shapes than the simplest.
        view: "mixed", or one of its parts alone.
        model: folder of a NIMBLE model whose hands and skin are shown; None for the open hand.
        backgrounds: "procedural", "packages" (images with free licences in installed packages),
            "mixed" (both and more painted ones) or a folder of images.

    Raises:
        InputError: a share outside [0, 1], another view, or a model that is no folder.
    """

    object_share: float = 0.45
    occluder_share: float = 0.12
    second_hand_share: float = 0.15
    bare_share: float = 0.4
    glove_share: float = 0.0
    child_share: float = 0.0
    grey_share: float = 0.0
    varied_object_share: float = 0.0
    view: Literal["mixed", "egocentric", "third_person"] = "mixed"
    backgrounds: str = "procedural"
    model: Path | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("share") and not 0 <= value <= 1:
                raise InputError("synthetic.share", file=field.name, found=value)
        if self.view not in ("mixed", "egocentric", "third_person"):
            raise InputError("synthetic.view", file="view", found=self.view)
        if self.model is not None and model_name(self.model) != "nimble":
            raise InputError("synthetic.model", file=self.model)

    def description(self) -> dict[str, Any]:
        """What samples depend on. Shares that came later are left out where they are 0, so that
        data sets from before say the same of themselves."""
        values = asdict(self)
        if self.model is not None:
            values["model"] = {"name": model_name(self.model), "sha256": _digest(self.model)}
        return {k: v for k, v in values.items() if k not in _LATER or v}

    @classmethod
    def unoccluded(cls) -> Self:
        """Nothing but one hand with its own arm."""
        return cls(object_share=0.0, occluder_share=0.0, second_hand_share=0.0)


def _digest(folder: Path) -> str:
    """SHA-256 of the names and contents of NIMBLE's files in a folder; read once as long as they
    stay what they are.

    Raises:
        InputError: one of them cannot be read.
    """
    total = hashlib.sha256()
    for name in NIMBLE_FILES:
        path = folder / name
        try:
            facts = path.stat()
            digest = _digest_of_file(path.resolve(), facts.st_size, facts.st_mtime_ns)
        except OSError as error:
            raise InputError("synthetic.model_file", file=path, reason=error.strerror) from error
        total.update(f"{name} {digest}\n".encode())
    return total.hexdigest()


@cache
def _digest_of_file(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of a file; size and time tell a changed one from what was read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
