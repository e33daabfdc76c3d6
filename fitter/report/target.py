"""Where a page may be written, checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

from fitter.errors import InputError
from fitter.store.files import require_store


def check_target(out: Path, store: Path, overwrite: bool) -> None:
    """Make sure that there is a store, and that a page of it may be made at `out`.

    Raises:
        InputError: there is none, or it may not; the code says why.
    """
    require_store(store)
    if not out.name or out.is_dir():
        raise InputError("report.is_folder", file=out)
    if not out.parent.is_dir():
        raise InputError("output.no_folder", file=out, folder=out.parent)
    if out.resolve().is_relative_to(store.resolve()):
        raise InputError("report.inside_results", file=out, store=store)
    if out.exists() and not overwrite:
        raise InputError("report.taken", file=out)
