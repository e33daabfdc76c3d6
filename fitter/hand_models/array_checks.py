"""Checks what a model file holds before anything is computed with it: keys, types, shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fitter.errors import InputError
from fitter.shapes import Pattern, filled

Kind = Literal["numbers", "integers"]


@dataclass(frozen=True)
class ArrayChecks:
    """Checks arrays of one file against each other.

    Attributes:
        file: the file, for errors.
        expected: what it should be, for errors.
        sizes: what the names in patterns stand for; names met first are added, so that several
            files that belong together can share it.
        squeeze: take away leading axes of length 1 that a pattern does not have.
    """

    file: Path
    expected: str
    sizes: dict[str, int] = field(default_factory=dict)
    squeeze: bool = False

    def keys(self, content: Mapping[str, Any], wanted: Iterable[str]) -> None:
        """Check that a dictionary has its keys.

        Raises:
            InputError: it lacks some; all of them are named.
        """
        missing = [key for key in wanted if key not in content]
        if missing:
            raise InputError(
                "model.keys_missing",
                file=self.file,
                expected=self.expected,
                missing=", ".join(missing),
            )

    def array(self, key: str, value: Any, pattern: Pattern, kind: Kind = "numbers") -> np.ndarray:
        """One array: of numbers, of the right shape, finite.

        Args:
            key: its name in the file.
            value: what the file holds under it.
            pattern: its shape, see `fitter.shapes`.
            kind: "integers" refuses fractions and keeps the type.

        Returns:
            Numbers in native floating point, float32 where the file has no more, else float64.

        Raises:
            InputError: it is no such array; the message says what was expected and found.
        """
        admitted = "iu" if kind == "integers" else "iuf"
        if not isinstance(value, np.ndarray) or value.dtype.kind not in admitted:
            raise InputError(
                "model.array_type",
                file=self.file,
                numbers=kind,
                array=key,
                found=str(getattr(value, "dtype", type(value).__name__)),
            )
        array = value
        while self.squeeze and array.ndim > len(pattern) and len(array) == 1:
            array = array[0]
        shape = filled(pattern, array.shape, self.sizes)
        if array.shape != shape:
            raise InputError(
                "model.array_shape",
                file=self.file,
                array=key,
                shape=shape,
                expected=self.expected,
                found=value.shape,
            )
        if kind == "integers":
            return array
        single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
        array = array.astype(np.float32 if single else np.float64, copy=False)
        broken = array.size - np.count_nonzero(np.isfinite(array))
        if broken:
            raise InputError("model.array_not_finite", file=self.file, array=key, count=broken)
        return array
