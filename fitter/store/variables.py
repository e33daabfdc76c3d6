"""What a variable of a result store is, and how a field of a row declares one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Variable:
    """One stored variable.

    Attributes:
        name: its name in the store.
        outer: ("image",) or ("image", "hand").
        dims: the dimensions of one row's value, after `outer`.
        dtype: a NumPy type name, or "string" for text of any length.
        long_name: what it is, in one line.
        units: unit ("m", "pixel", "radian", "1" for a pure number); empty for text and flags.
        frame: the coordinate frame, where the variable has one.
        flags: for flag variables, the text of each code, starting at code 0.
    """

    name: str
    outer: tuple[str, ...]
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str
    frame: str
    flags: tuple[str, ...]

    @property
    def fill(self) -> float | int | bool | str:
        """What an empty slot holds."""
        if self.dtype.startswith("float"):
            return float("nan")
        return "" if self.dtype == "string" else False if self.dtype == "bool" else 0

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes in the manner of the CF conventions."""
        found: dict[str, Any] = {"long_name": self.long_name}
        if self.units:
            found["units"] = self.units
        if self.frame:
            found["frame"] = self.frame
        if self.flags:
            found["flag_values"] = list(range(len(self.flags)))
            found["flag_meanings"] = " ".join(self.flags)
        return found

    def as_stored(self, attributes: Mapping[str, Any]) -> Variable:
        """The variable with the flags that a store's own attributes tell of."""
        if not self.flags:
            return self
        return replace(self, flags=tuple(attributes["flag_meanings"].split()))

    def encode(self, value: Any, sizes: Mapping[str, int]) -> Any:
        """Check one row's value and turn it into what is stored.

        Raises:
            ValueError: the shape or the flag is none the variable knows.
        """
        if self.flags:
            if value not in self.flags[1:]:
                raise ValueError(f"{self.name} must be one of {self.flags[1:]}, got {value!r}")
            return self.flags.index(value)
        expected = tuple(sizes[dim] for dim in self.dims)
        if np.shape(value) != expected:
            raise ValueError(f"{self.name} must have shape {expected}, got {np.shape(value)}")
        return value


def stored(
    long_name: str,
    dims: str = "",
    dtype: str = "float32",
    units: str = "",
    frame: str = "",
    flags: tuple[str, ...] = (),
) -> Any:
    """Declare a dataclass field that is also a stored variable; `dims` are split at spaces."""
    description = {
        "dims": tuple(dims.split()),
        "dtype": "uint8" if flags else dtype,
        "long_name": long_name,
        "units": units,
        "frame": frame,
        "flags": flags,
    }
    return field(default=None, metadata=description)


def as_of(row: type, name: str) -> Any:
    """Declare a field that another kind of rows has, too, of the same name and meaning."""
    known = {each.name: each.metadata for each in fields(row)}
    return field(default=None, metadata=known[name])


def declared(row_type: type, outer: tuple[str, ...]) -> tuple[Variable, ...]:
    """The variables that the fields of a type of rows are, with the dimensions before their own."""
    return tuple(Variable(f.name, outer, **f.metadata) for f in fields(row_type) if f.metadata)
