"""Whether two configurations are of one run: what may change between its parts, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNBOUND: frozenset[str] = frozenset(
    {
        "data.folder",
        "data.workers",
        "pairs.folder",
        "pairs.workers",
        "validation.folder",
        "validation.workers",
        "run.loaders",
        "run.device",
        "run.checkpoint_minutes",
    }
)
"""Options that may change between the parts of one run: where and how fast, not what."""

_WHETHER = "run.start"
"""Option of which only whether it is given is compared: the weights that a run began with may lie
elsewhere, and their digest is compared where they are (`run_folder.check_run`)."""

_UNBOUND_OF_DATASETS = ("samples", "workers")
"""The same of each data set."""

LIKE_EARLIER: Mapping[str, Any] = {
    "data.share": None,
    "data.portion": None,
    "validation.portion": None,
    "validation.share": None,
    "run.start": None,
    "run.start_parts": None,
    "optimiser.schedule": "cosine",
    "optimiser.decay_epochs": None,
    "optimiser.decay_factor": 0.5,
    "optimiser.betas": [0.9, 0.999],
    "augmentation.keypoint_dropout": 0.0,
    "augmentation.all_keypoints_dropout": 0.0,
    "augmentation.grey_share": 0.1,
    "data.view": "mixed",
    "validation.view": "mixed",
    "validation.beside": False,
    "network.margin": 1.4,
    "network.decoder_channels": None,
    "further_data": [],
    "pairs": None,
    "posed_hands": None,
    "pairs.learned": 0.7,  # the same pairs as pairs.portion's
    "pairs.portion": [0.0, 0.7],
    "data.hand_model": "open_hand",
    "validation.hand_model": "open_hand",
    "data.sightings": 2,
    "validation.sightings": 1,
    **{
        f"{samples}.{share}_share": 0.0
        for samples in ("data", "validation")
        for share in ("glove", "child", "grey", "varied_object")
    },
}
"""Options that earlier versions had and this one has not, or the other way round, and the value
with which a run is the same with and without them."""

_LIKE_EARLIER_OF_DATASETS: Mapping[str, Any] = {
    "portion": None,
    "parameters": "annotated",
    "view": "mixed",
    "hand_model": "open_hand",
}
"""The same of each data set, and of each of `further_data`."""


def first_difference(
    wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    """The first option in which two resolved configurations are not one run's.

    Args:
        wanted, found: of `TrainConfig.resolved`.

    Returns:
        Name, value in `wanted` and value in `found` (None where it is missing); None if there is no
        such option. Options of `UNBOUND` do not count, nor do those of `LIKE_EARLIER` that
        changed nothing.
    """
    mine, others = (
        {name: value for name, value in _flat(values) if not _is_like_earlier(name, value)}
        for values in (wanted, found)
    )
    for name in [*mine, *(name for name in others if name not in mine)]:
        ours, theirs = mine.get(name), others.get(name)
        is_same = (ours is None) == (theirs is None) if name == _WHETHER else ours == theirs
        if not (is_same or _is_unbound(name)):
            return name, ours, theirs
    return None


def _is_like_earlier(name: str, value: Any) -> bool:
    option = _of_dataset(name, "further_data.")
    known = LIKE_EARLIER if option is None else _LIKE_EARLIER_OF_DATASETS
    return (option or name, value) in known.items()


def _is_unbound(name: str) -> bool:
    return name in UNBOUND or _of_dataset(name) in _UNBOUND_OF_DATASETS


def _of_dataset(name: str, *more: str) -> str | None:
    """The option that a name is of a data set, or of a section that begins with one of `more`; None
    for one of anything else."""
    section, _, option = name.rpartition(".")
    return option if section.startswith(("datasets.", "validation_datasets.", *more)) else None


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            value = {str(k): each for k, each in enumerate(value)}
        options += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return options
