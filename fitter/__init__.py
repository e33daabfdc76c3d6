"""The engine that turns photographs into 3D hands.

`fit` finds and fits the hands of an image, `HandFitter` those of many, `fit_views` those that
several calibrated cameras see, `fit_to_store` those of a folder into a store on disk, and
`open_results` and `open_frames` read stores. All give `FittedHand` records, of several cameras
`FrameHand`, which their `save` and `export_results` write as files that other programs read.

```python
import fitter

hands = fitter.fit("photo.jpg")
print(hands[0].side, hands[0].score, hands[0].keypoints_3d.shape, hands[0].vertices.shape)
```

The parts are offered by the rooms: `fitter.hand_models`, `fitter.raster`, `fitter.rendering`,
`fitter.solvers`, `fitter.energies`, `fitter.masks`, `fitter.inputs`, `fitter.store`. The trained
networks are in the package `init_net`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.api import HandFitter, fit, fit_to_store, fit_views
    from fitter.config.options import Config, load_config
    from fitter.errors import InputError, LostError
    from fitter.export.exporter import export_results
    from fitter.export.request import ExportRequest
    from fitter.fitted_hand import FittedHand, hand_texture, render_hands
    from fitter.frame_hand import FrameHand
    from fitter.inputs.dataset_request import DatasetRequest
    from fitter.inputs.frame_choice import FrameChoice
    from fitter.inputs.videos import video_frames
    from fitter.lens import Lens
    from fitter.records import HandObservation
    from fitter.rendering.overlay_style import OverlayStyle
    from fitter.report import ReportOptions, write_report
    from fitter.results import FrameResults, Results, open_frames, open_results
    from fitter.rig import Rig, RigCamera
    from fitter.run.request import RunRequest
    from fitter.viewer import Viewer, ViewerOptions, open_viewer
    from fitter.workers.execution_options import ExecutionOptions

__all__ = [
    "Config",
    "DatasetRequest",
    "ExecutionOptions",
    "ExportRequest",
    "FittedHand",
    "FrameChoice",
    "FrameHand",
    "FrameResults",
    "HandFitter",
    "HandObservation",
    "InputError",
    "Lens",
    "LostError",
    "OverlayStyle",
    "ReportOptions",
    "Results",
    "Rig",
    "RigCamera",
    "RunRequest",
    "Viewer",
    "ViewerOptions",
    "export_results",
    "fit",
    "fit_to_store",
    "fit_views",
    "hand_texture",
    "load_config",
    "open_frames",
    "open_results",
    "open_viewer",
    "render_hands",
    "video_frames",
    "write_report",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Config": "fitter.config.options",
        "DatasetRequest": "fitter.inputs.dataset_request",
        "ExecutionOptions": "fitter.workers.execution_options",
        "ExportRequest": "fitter.export.request",
        "FittedHand": "fitter.fitted_hand",
        "FrameChoice": "fitter.inputs.frame_choice",
        "FrameHand": "fitter.frame_hand",
        "FrameResults": "fitter.results",
        "HandFitter": "fitter.api",
        "HandObservation": "fitter.records",
        "InputError": "fitter.errors",
        "LostError": "fitter.errors",
        "OverlayStyle": "fitter.rendering.overlay_style",
        "Lens": "fitter.lens",
        "ReportOptions": "fitter.report",
        "Results": "fitter.results",
        "Rig": "fitter.rig",
        "RigCamera": "fitter.rig",
        "RunRequest": "fitter.run.request",
        "Viewer": "fitter.viewer",
        "ViewerOptions": "fitter.viewer",
        "export_results": "fitter.export.exporter",
        "fit": "fitter.api",
        "fit_to_store": "fitter.api",
        "fit_views": "fitter.api",
        "hand_texture": "fitter.fitted_hand",
        "load_config": "fitter.config.options",
        "open_frames": "fitter.results",
        "open_results": "fitter.results",
        "open_viewer": "fitter.viewer",
        "render_hands": "fitter.fitted_hand",
        "video_frames": "fitter.inputs.videos",
        "write_report": "fitter.report",
    },
)
