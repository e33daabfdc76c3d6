"""Rendered hands with everything that is true of them: images, masks, depth, keypoints, parameters.

    from datasets.synthetic import SyntheticEngine, SyntheticSettings

    engine = SyntheticEngine(size=128, settings=SyntheticSettings(object_share=0.0))
    batch = engine.batch(seed=0, indices=range(2))
    batch.image             # (2, 128, 128, 3) uint8 sRGB
    batch.mask              # (2, 128, 128) float32, share of each pixel that the hand covers
    batch.keypoints_3d      # (2, 21, 3) float64 metres, camera frame
    batch.keypoints_2d      # (2, 21, 2) float64 pixels
    batch.visible           # (2, 21) bool, nothing hides the keypoint
    batch.intrinsics        # (2, 3, 3) float64

A sample depends on the seed and on its index alone. `write_dataset` writes any number of them in
FreiHAND's layout, as the command `synth-hands` does. `RigEngine` renders what the cameras of a rig
see of one scene, `write_rig_dataset` writes it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.synthetic.engine import SyntheticEngine
    from datasets.synthetic.files import write_dataset
    from datasets.synthetic.folder import SyntheticRequest
    from datasets.synthetic.records import SampleSpecs, SyntheticBatch
    from datasets.synthetic.rig_files import write_rig_dataset
    from datasets.synthetic.rig_request import RigRequest
    from datasets.synthetic.rig_scenes import RigEngine
    from datasets.synthetic.rig_shapes import dome_rig, rig_focus, stereo_rig
    from datasets.synthetic.settings import SyntheticSettings
    from datasets.synthetic.touching.engine import InteractionEngine

__all__ = [
    "InteractionEngine",
    "RigEngine",
    "RigRequest",
    "SampleSpecs",
    "SyntheticBatch",
    "SyntheticEngine",
    "SyntheticRequest",
    "SyntheticSettings",
    "dome_rig",
    "rig_focus",
    "stereo_rig",
    "write_dataset",
    "write_rig_dataset",
]
_MODULES = {
    "InteractionEngine": "touching.engine",
    "RigEngine": "rig_scenes",
    "RigRequest": "rig_request",
    "SampleSpecs": "records",
    "SyntheticBatch": "records",
    "SyntheticEngine": "engine",
    "SyntheticRequest": "folder",
    "SyntheticSettings": "settings",
    "dome_rig": "rig_shapes",
    "rig_focus": "rig_shapes",
    "stereo_rig": "rig_shapes",
    "write_dataset": "files",
    "write_rig_dataset": "rig_files",
}


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when it is asked for: rendering needs torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
