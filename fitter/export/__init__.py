"""Whole stores as files that other programs read: `export_results` and what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.export.exporter import export_results
    from fitter.export.request import ExportRequest
    from fitter.export.summary import ExportSummary

__all__ = ["ExportRequest", "ExportSummary", "export_results"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "ExportRequest": "fitter.export.request",
        "ExportSummary": "fitter.export.summary",
        "export_results": "fitter.export.exporter",
    },
)
