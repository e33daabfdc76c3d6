"""A store of results as one page to look at: thumbnails, filters, failures with their reasons.

```python
import fitter

written = fitter.write_report("results.zarr", "report.html", images="photos", overwrite=True)
print(written.hands, written.size)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.report.options import ReportOptions
    from fitter.report.summary import ReportSummary
    from fitter.report.writing import write_report

__all__ = ["ReportOptions", "ReportSummary", "write_report"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "ReportOptions": "fitter.report.options",
        "ReportSummary": "fitter.report.summary",
        "write_report": "fitter.report.writing",
    },
)
