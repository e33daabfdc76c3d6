"""Compare two result stores: identical, or the largest difference of each variable.

    python scripts/compare_stores.py before.zarr after.zarr

Lengths may differ by `--metres`, positions in the image by `--pixels`; flags, texts, counts and
which values are missing must be equal. Other real numbers (angles, coefficients, scores) are told
and have no bound, for the same difference in metres may be any difference in them. Variables of
older stores are compared under today's names; when a file was last changed (`file_time`) is left
out. The exit status is 1 where something differs that may not.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from fitter import InputError
from fitter.results import open_either
from fitter.store.result_store import decode_flags

LEFT_OUT = ("file_time",)
"""Variables that two runs with the same results do not share."""

TOLERANCES = {"m": 1e-6, "pixel": 1e-3}
"""Unit -> the largest difference that is allowed, unless an option says otherwise."""


@dataclass(frozen=True)
class Difference:
    """How one variable differs.

    Attributes:
        name: today's, of the variable.
        told: how it differs, for people.
        allowed: it stays within its tolerance, or has none.
    """

    name: str
    told: str
    allowed: bool


def differences(
    before: xr.Dataset, after: xr.Dataset, tolerances: dict[str, float]
) -> list[Difference]:
    """How two stores differ, variable by variable; empty where they are identical.

    Args:
        before, after: as `fitter.Results.dataset` gives them, under today's names.
        tolerances: unit -> the largest difference that is allowed.
    """
    found = []
    for name in sorted({*before.variables, *after.variables} - {*LEFT_OUT}, key=str):
        missing = next((side for side in (before, after) if name not in side.variables), None)
        if missing is not None:
            side = "first" if missing is before else "second"
            found.append(Difference(str(name), f"is not in the {side} store", False))
        else:
            found += _compared(str(name), before[name], after[name], tolerances)
    return found


def _compared(
    name: str, before: xr.DataArray, after: xr.DataArray, tolerances: dict[str, float]
) -> list[Difference]:
    if before.shape != after.shape:
        return [Difference(name, f"has shapes {before.shape} and {after.shape}", False)]
    if before.attrs.get("flag_meanings") != after.attrs.get("flag_meanings"):
        # Tables of two versions may have different codes for a text.
        before, after = decode_flags(before), decode_flags(after)
    one, other = before.values, after.values
    if one.dtype.kind != "f" or other.dtype.kind != "f":
        count = int((one != other).sum())
        return [Difference(name, f"{count} of {one.size} values differ", False)] if count else []
    if np.array_equal(one, other, equal_nan=True):
        return []
    empty = int((np.isfinite(one) != np.isfinite(other)).sum())
    if empty:
        return [Difference(name, f"{empty} of {one.size} values are finite in one alone", False)]
    unit = str(after.attrs.get("units", "1"))
    both = np.isfinite(one)
    most = float(np.abs(one[both].astype(float) - other[both].astype(float)).max(initial=0.0))
    allowed = most <= tolerances.get(unit, np.inf) and np.array_equal(
        one[~both], other[~both], equal_nan=True
    )
    told = f"largest difference {most:.3g}" + (f" {unit}" if unit != "1" else "")
    return [Difference(name, told if allowed else f"{told}, too much", allowed)]


def main() -> None:
    """Compare two stores and print what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stores", nargs=2, type=Path, metavar="STORE")
    for option, unit in (("--metres", "m"), ("--pixels", "pixel")):
        default = TOLERANCES[unit]
        parser.add_argument(
            option,
            type=float,
            default=default,
            help=f"largest difference that is allowed (default: {default:g})",
        )
    options = parser.parse_args()
    try:
        before, after = (open_either(store).dataset().load() for store in options.stores)
    except InputError as error:
        parser.exit(2, f"{Path(sys.argv[0]).name}: {error}\n")
    tolerances = {"m": options.metres, "pixel": options.pixels}
    found = differences(before, after, tolerances)
    for difference in found:
        print(f"{difference.name}: {difference.told}")
    wrong = sum(not difference.allowed for difference in found)
    print(f"{wrong} too different" if wrong else "within the tolerances" if found else "identical")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
