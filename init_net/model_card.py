"""What is said of a network's weights, and their card for people, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from fitter.detection.networks.weights import detector_digest
from init_net.hand_model_id import HandModelId, current_hand_model
from init_net.networks.config import LifterConfig, NetworkConfig

_TITLES = {
    "lifter": ("HandLifter", "2D keypoints and the detector's features to a relative 3D hand"),
    "handnet": ("HandNet", "image and 2D keypoints to the parameters of a hand"),
    "segmentation": ("HandSegmentation", "image and 2D keypoints to the mask of a hand"),
    "stereo": ("StereoHandNet", "two views of a hand to its parameters"),
    "joint_vae": ("JointVAE", "joints that were regressed from a mesh to those that pose it"),
    "mesh_net": ("MeshNet", "an image to a hand's mesh, and to the parameters of a hand model"),
    "autoencoder": ("HandAutoencoder", "an image to pose, shape, texture and light of a hand"),
}


@dataclass(frozen=True)
class WeightsInfo:
    """What is said of a network's weights.

    Attributes:
        network: its configuration.
        command: that trained it.
        steps: of the training.
        data: what it has learned from and was validated on, JSON-able: name of a data set ->
            option -> value.
        figures: of the last validation.
        hand_model: that its keypoints, rotations and shape are of.
        options: of the training, JSON-able: section of its configuration -> option -> value; empty
            in files from before they were kept.
        figures_step: steps done when the figures were measured; None likewise, and without figures.
        detector: sha256 of the detector's weights, hexadecimal digits: whose keypoints, and whose
            features if it takes any, it has learned from; None in files from before it was kept.
    """

    network: NetworkConfig
    command: str
    steps: int
    data: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, float]
    hand_model: HandModelId = field(default_factory=current_hand_model)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    figures_step: int | None = None
    detector: str | None = field(default_factory=detector_digest)


def model_card(info: WeightsInfo, network: nn.Module, size: int) -> str:
    """The text of the card.

    Args:
        info: what is said of them.
        network: that they are of, for their number.
        size: of their file, bytes.
    """
    title, meaning = _TITLES[info.network.kind]
    if getattr(info.network, "decoder_channels", None):
        meaning += ", and its mask"
    number = sum(parameter.numel() for parameter in network.parameters())
    of = info.options.get("optimiser", {}).get("steps")
    stages = ", ".join(info.options.get("stages", {}))
    lines = [
        f"# {title}: {meaning}",
        "",
        f"{number:,} weights in half precision, {size / 1e6:.2f} MB. Trained for {info.steps:,} "
        f"{'' if of is None else f'of {of:,} '}steps"
        f"{f', in the stages {stages}' if stages else ''}; the weights are their exponential "
        "moving average. Keypoints, rotations and shape are those of the hand model "
        f"{info.hand_model.name}, whose sha256 is `{info.hand_model.sha256}`.",
        *_detector(info),
        "",
        "## Training",
        "",
        "```",
        info.command,
        "```",
        "",
        _origin(info),
        "",
        *_table("data", info.data),
        "",
        "## Figures",
        "",
        *_figures(info),
        "",
        "## Network",
        "",
        "| option | value |",
        "| --- | --- |",
        *(f"| {name} | {json.dumps(value)} |" for name, value in _options(info).items()),
        *_training_options(info),
    ]
    return "\n".join(lines) + "\n"


def _options(info: WeightsInfo) -> dict[str, Any]:
    return info.network.model_dump(mode="json")


def _origin(info: WeightsInfo) -> str:
    """Where the hands are from."""
    rendered = "rendered by this project; docs/synthetic.md says how."
    if any("dataset" in column for column in info.data.values()):
        return f"Hands of a dataset below are its own; every other was {rendered}"
    return f"Every hand was {rendered}"


def _detector(info: WeightsInfo) -> list[str]:
    """Lines on which detector it has learned from, where that is known."""
    if info.detector is None:
        return []
    also = ", and the features that it takes," if isinstance(info.network, LifterConfig) else ""
    return [
        "",
        f"The keypoints that it has learned from{also} are those of the detector whose sha256 is "
        f"`{info.detector}`.",
    ]


def _figures(info: WeightsInfo) -> list[str]:
    if not info.figures:
        return ["None: they were not validated yet."]
    after = "" if info.figures_step is None else f" after {info.figures_step:,} steps"
    return [
        f"On the held-out samples{after}, as `train-hands` computes them:",
        "",
        "| figure | value |",
        "| --- | --- |",
        *(f"| {name} | {value:.6g} |" for name, value in info.figures.items()),
    ]


def _training_options(info: WeightsInfo) -> list[str]:
    """Lines on how to train the same, where that is known."""
    if not info.options:
        return []
    return [
        "",
        "## Options of the training",
        "",
        "With those of the network and the data above, they are its whole configuration; losses "
        "are weights of terms.",
        "",
        "| option | value |",
        "| --- | --- |",
        *(
            f"| {section}.{name} | {json.dumps(value)} |"
            for section, values in info.options.items()
            for name, value in values.items()
        ),
    ]


def _table(what: str, columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines of a table with a column for each mapping and a row for each of their names."""
    rows = list(dict.fromkeys(name for column in columns.values() for name in column))
    cells = [[str(column.get(row, "")) for column in columns.values()] for row in rows]
    return [
        f"| {' | '.join([what, *columns])} |",
        f"| {' | '.join(['---'] * (1 + len(columns)))} |",
        *(f"| {' | '.join([row, *line])} |" for row, line in zip(rows, cells, strict=True)),
    ]
