"""The base of every part of a configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from fitter.errors import sentence

MISTAKE = "mistake"
"""The type of what `mistake` makes, among Pydantic's own."""


class Section(BaseModel):
    """Part of a configuration: cannot change, knows its keys, takes no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def mistake(code: str, **facts: Any) -> PydanticCustomError:
    """What a section's validator raises; `fitter.config.files` makes an `InputError` of it.

    Args:
        code: of the error.
        facts: of the error, but for `file`, which is the option that the section is.
    """
    said = sentence(code, facts)
    return PydanticCustomError(MISTAKE, "{said}", {"said": said, "code": code, "facts": facts})
