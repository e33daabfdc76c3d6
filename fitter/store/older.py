"""What results of earlier versions call things: they are read under today's names, never continued.

The two tables are also those of ``CHANGELOG.md``.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

RENAMED_VARIABLES = {"start_source": "initialisation_source"}
"""Variables of a store, name until format version 2 -> name since."""

RENAMED_OPTIONS = {
    "detector.second_look": "detector.second_pass",
    "fit.network_depth_trust": "fit.network_depth_confidence",
    "fit.network_direction_trust": "fit.network_direction_confidence",
    "fit.network_most_trust": "fit.network_max_confidence",
    "fit.num_starts": "fit.num_initialisations",
    "fit.start_iterations": "fit.initialisation_iterations",
}
"""Options of a configuration, name until 0.1 -> name since."""

FORMAT_VERSION = 6
"""Of the stores that are made, and can be continued."""

READ_VERSIONS = (2, 3, 4, 5, 6)
"""Of the stores that can be read."""

ADDED_VARIABLES = frozenset(
    {
        "hand_size",
        "hand_size_source",
        "hands_beyond",
        "hands_left_out",
        "intrinsics_note",
        "interaction_status",
        "keypoint_visibility",
        "object_gap",
        "penetration_depth",
        "predicted_error_mm",
        "relative_place",
        "relative_place_std",
        "texture",
        "time",
        "touch_group",
    }
)
"""Variables that stores of versions before `FORMAT_VERSION` lack."""

_OLDER_NAME = {new: old for old, new in RENAMED_VARIABLES.items()}


def stored_name(name: str, stored: Container[str]) -> str | None:
    """What a store calls a variable.

    Args:
        name: of today's.
        stored: what knows by ``in`` which variables the store has.

    Returns:
        That name or an earlier one; None where the store has neither.
    """
    older = _OLDER_NAME.get(name)
    return next((n for n in (name, older) if n is not None and n in stored), None)


def with_todays_options(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with today's names for its options, in their order."""
    return {
        section: {
            RENAMED_OPTIONS.get(f"{section}.{name}", f".{name}").partition(".")[2]: value
            for name, value in options.items()
        }
        if isinstance(options, Mapping)
        else options
        for section, options in configuration.items()
    }
