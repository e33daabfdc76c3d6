"""Images a second: hands that are rendered, learned from, and seen by networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import Seconds, median_seconds
from torch import nn
from torch.nn.utils import clip_grad_norm_

from datasets.synthetic import SyntheticEngine
from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.records import ImageRecord
from init_net import TrainConfig, build_network, load_train_config
from init_net.records import CropPredictions
from init_net.samples.shards import ShardedSamples
from init_net.training.optimisation import WeightAverage, make_optimiser
from init_net.training.sample_tasks import HeldOut
from init_net.training.sources import LearnedFrom
from init_net.training.tasks import HandNetTask, LifterTask, SegmentationTask

ENGINES = ((128, 1), (128, 2), (224, 1))
"""Sides of images and supersampling; the last is that of the samples to learn from."""

INFERENCE_BATCHES = (1, 16, 64)

_TASKS = {"lifter": LifterTask, "handnet": HandNetTask, "segmentation": SegmentationTask}

_SEED = 3000
"""Of the images that are rendered to time it: neither that of training nor of validation."""


@dataclass(frozen=True)
class Speed:
    """How fast something is.

    Attributes:
        what: "data", "training" or "inference".
        name: of the engine or the network.
        batch: images, or hands for the lifter, at once.
        seconds: a batch, median over repeats.
        device: where it was computed.
    """

    what: str
    name: str
    batch: int
    seconds: Seconds
    device: str


@dataclass(frozen=True)
class SpeedOptions:
    """How it is measured.

    Attributes:
        device: of engine and networks; the detector is always on the CPU.
        images: that the engine renders at once.
        repeats: runs whose median counts.
    """

    device: torch.device
    images: int
    repeats: int


def speeds(
    networks: Mapping[str, nn.Module], samples: ShardedSamples, options: SpeedOptions
) -> list[Speed]:
    """All that is measured.

    Args:
        networks: kind -> network in eval mode on the device. A fresh one of the same configuration
            learns.
        samples: what is learned from and predicted.
        options: how.
    """
    found = [_network_speeds(kind, net, samples, options) for kind, net in networks.items()]
    training = [rows[0] for rows in found]
    inference = [row for rows in found for row in rows[1:]]
    return [*_engine_speeds(options), *training, *inference]


def _engine_speeds(options: SpeedOptions) -> list[Speed]:
    rows = []
    indices = range(options.images)

    def add(name: str, work: Callable[[], object]) -> None:
        seconds = median_seconds(work, options.repeats)
        rows.append(Speed("data", name, options.images, seconds, options.device.type))

    for size, supersampling in ENGINES:
        engine = SyntheticEngine(size, device=options.device, supersampling=supersampling)
        name = f"{size} px, supersampling {supersampling}"
        add(name, lambda engine=engine: engine.batch(_SEED, indices).image.cpu())
    with HandDetector(DetectorOptions(max_hands=2)) as detector:

        def draw_and_look() -> None:
            batch = engine.batch(_SEED, indices)
            cameras = batch.intrinsics.cpu().numpy()
            for pixels, K in zip(batch.image.cpu().numpy(), cameras, strict=True):
                detector.detect(ImageRecord("sample", Path("sample"), pixels, K, "given"))

        add(f"{name}, and the detector", draw_and_look)
    return rows


def _network_speeds(
    kind: str, network: nn.Module, samples: ShardedSamples, options: SpeedOptions
) -> list[Speed]:
    """Of a network: first how it learns, then how it works by the size of the batch."""
    config = load_train_config(kind, ["data.sightings=1"]).model_copy(
        update={"network": network.config, "further_data": ()}
    )
    student = build_network(network.config, config.run.seed).to(options.device)
    task = _TASKS[kind](config, student, LearnedFrom.rendered(samples), HeldOut(samples, {}))
    batch = task.batch(0)
    count = config.optimiser.batch_size
    device = options.device.type
    seconds = median_seconds(_training_step(task, config, batch), options.repeats)
    rows = [Speed("training", kind, count, seconds, device)]
    inputs = batch.inputs
    for size in INFERENCE_BATCHES:
        given = inputs[torch.arange(size) % count].to(options.device)

        def predict(given: object = given) -> None:
            with torch.no_grad():
                said = network(given)
            said = said.hands if isinstance(said, CropPredictions) else said
            (said if isinstance(said, torch.Tensor) else said.rotations).cpu()

        seconds = median_seconds(predict, options.repeats)
        rows.append(Speed("inference", kind, size, seconds, device))
    return rows


def _training_step(
    task: LifterTask | HandNetTask | SegmentationTask, config: TrainConfig, batch: object
) -> Callable[[], float]:
    """What a step of training does, in float32, with the same batch again and again."""
    network = task.network.train()
    optimiser = make_optimiser(network, config.optimiser)
    average = WeightAverage(network, config.optimiser.ema_decay)

    def step() -> float:
        total = torch.stack([term.mean() for term in task.losses(batch, 0).values()]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        clip_grad_norm_(network.parameters(), config.optimiser.clip_norm)
        optimiser.step()
        average.update_parameters(network)
        return total.item()

    return step
