"""Errors are asked for by their code and facts; the wording stands in one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fitter.errors import InputError, UserError


@contextmanager
def raises(
    code: str, error: type[UserError] = InputError, **facts: Any
) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """The block raises an error of this code and these facts; it may have further ones."""
    with pytest.raises(error) as raised:
        yield raised
    found = raised.value
    assert found.code == code, f"expected {code}, found {found.code}: {found}"
    assert {name: found.facts.get(name) for name in facts} == facts
