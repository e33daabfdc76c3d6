"""Whether a configuration is for the cameras that a run has."""

from __future__ import annotations

from fitter.config.detection import DetectorConfig
from fitter.config.networks import require_cameras
from fitter.config.options import Config
from fitter.errors import InputError


def require_rig(config: Config, cameras: int) -> None:
    """Refuse a configuration that is for rigs of other numbers of cameras.

    Args:
        config: of a run.
        cameras: of its rig; 1 for single images.

    Raises:
        InputError: see `require_cameras` and `require_views`.
    """
    require_cameras(config.asked_networks, cameras)
    require_views(config.detector, cameras)


def require_views(detector: DetectorConfig, cameras: int) -> None:
    """Refuse to ask for hands that more cameras show than there are: none would be valid.

    Args:
        detector: its options.
        cameras: of the rig; 1 for single images.

    Raises:
        InputError: `views.few_cameras`: `least_views` is larger.
    """
    if detector.least_views > cameras:
        raise InputError(
            "views.few_cameras",
            file="detector.least_views",
            expected=cameras,
            found=detector.least_views,
        )
