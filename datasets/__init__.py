"""Public data sets, rendered hands, and what a detector makes of hands.

    poses         random hand poses
    detector      a detector's keypoint definition and noise
    synthetic     rendered hands; the command `synth-hands`
    readers       the field's data sets, each as it lies on disk
    evaluation    hands compared with a data set's annotations; the command `eval-hands`

The name is shared with a package on the public index; `OWNER` lets the commands notice at start
when the other one is imported instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from datasets.readers import open_dataset

OWNER = "fit-hands"
__all__ = ["OWNER", "open_dataset"]

__getattr__, __dir__ = lazy_face(__name__, {"open_dataset": "datasets.readers"})
