"""The encoder that all arms of `render_and_compare.py` begin with.

Both papers begin with ImageNet's weights. Nothing is downloaded here: an encoder learns instead
where the detector saw the keypoints of the training samples, and nothing else. A quarter of
those hands it saw only when it was told roughly where to look. All that lies behind the encoder
begins with noise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from arms import Plan, seen_by_the_detector
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from fitter.system.lock import WriterLock
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import AutoencoderConfig
from init_net.networks.encoders import split_encoder
from init_net.samples.config import AugmentationConfig
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.shards import ShardedSamples
from init_net.samples.sightings import FOUND, TOLD
from init_net.weights import load_network, save_weights

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder

BATCH, STEPS, RATE = 16, 4_000, 2e-3
"""Three and a half epochs: six minutes of one core."""

CYCLE, FALL = 8_000, 1_000
"""Steps of the cycle that the rate follows, and of its fall to 0 at the end, before the cycle's."""

BETA = 0.02
"""Crop units: below it errors count squared."""

EVERY = 250
"""Steps between states that are kept."""

_STREAM = 23
"""Apart from what else a seed decides."""


class KeypointRegressor(nn.Module):
    """An encoder whose mean features say where 21 keypoints are, crop units about the middle."""

    def __init__(self, encoder: str) -> None:
        super().__init__()
        parts = split_encoder(encoder, 2, 3)
        self.encoder = nn.Sequential(*parts.front, *parts.tail)
        self.head = nn.Linear(parts.channels[-1], 42)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] to (B, 21, 2)."""
        features = self.encoder(2 * image - 1).mean((2, 3))
        said: Tensor = self.head(features)
        return said.unflatten(1, (21, 2))


def started(encoder: str, samples: Path, learned: int, sizes: tuple[int, float], out: Path) -> Path:
    """The file of an encoder that has learned, and of what it learned with; made where it is not.

    Args:
        encoder: its name in timm.
        samples: folder of rendered ones that the detector has looked at.
        learned: leading samples that are learned from.
        sizes: side of the crops, pixels, and their margin.
        out: the file, of safetensors.
    """
    if out.exists():
        return out
    size, margin = sizes
    crops = _crops(samples, learned, size, margin)
    torch.manual_seed(0)
    network = KeypointRegressor(encoder).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    cosine = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, CYCLE, pct_start=0.03)
    first = 0
    state = out.with_suffix(".pt")
    learning = {"network": network, "optimiser": optimiser, "cosine": cosine}
    if state.exists():
        kept = torch.load(state, weights_only=True)
        first = kept.pop("step")
        for name, each in learning.items():
            each.load_state_dict(kept[name])
    total = 0.0
    for step, batch in enumerate(_batches(crops, first), first + 1):
        loss = keypoint_loss(network(batch.image), batch, size)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cosine.step()
        for group in optimiser.param_groups:
            group["lr"] *= min(1.0, (STEPS - step) / FALL)
        total += float(loss.detach())
        if step % EVERY == 0:
            print(f"encoder, step {step} of {STEPS}: {total / EVERY:.5f}", file=sys.stderr)
            total = 0.0
            states = {name: each.state_dict() for name, each in learning.items()}
            torch.save({**states, "step": step}, state)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, out)
    state.unlink(missing_ok=True)
    return out


def keypoint_loss(said: Tensor, crops: CropSamples, size: int) -> Tensor:
    """Of positions (B, 21, 2), crop units about the middle; each keypoint counts as far as the
    detector is sure of it."""
    seen = crops.keypoints / size - 0.5
    errors = smooth_l1_loss(said, seen, beta=BETA, reduction="none").sum(-1)
    return (crops.confidence * errors).sum() / crops.confidence.sum().clamp_min(1e-6)


def start_file(plan: Plan, network: AutoencoderConfig, branch: Path | None = None) -> Path:
    """Weights that a network begins with, made where they are not there: of its encoder, which has
    learned. Everything else in the file is noise.

    Args:
        plan: what is learned from, and where it is kept.
        network: its options.
        branch: weights of a network whose 2D branch is taken, too.

    Raises:
        InputError: another process is at it.
    """
    plan.work.mkdir(parents=True, exist_ok=True)
    name = "start" if branch is None else f"start-{branch.parent.name}"
    file = plan.work / f"{name}.safetensors"
    lock = WriterLock(plan.work / "start.arm")
    try:
        if not file.exists():
            sizes = (network.input_size, network.margin)
            learned = started(
                network.encoder,
                plan.samples,
                plan.trained,
                sizes,
                plan.work / "encoder.safetensors",
            )
            _write(file, network, load_file(learned), branch)
    finally:
        lock.release()
    return file


def encoder_names(encoder: str) -> list[str]:
    """Names of an encoder's weights in a `KeypointRegressor`, in the order of its modules."""
    names = KeypointRegressor(encoder).state_dict()
    return [name for name in names if name.startswith("encoder.")]


def _write(
    file: Path, config: AutoencoderConfig, learned: Mapping[str, Tensor], branch: Path | None
) -> None:
    """Put an encoder that has learned, and a 2D branch, into a network of noise."""
    estimator = None if branch is None else config.estimator
    config = AutoencoderConfig(
        encoder=config.encoder,
        appearance="none",
        estimator=estimator,
        input_size=config.input_size,
    )
    network = cast("HandAutoencoder", build_network(config, 0))
    part = network.parts["encoder"]
    # The same modules in the same order, under other names; what follows has not learned.
    names = encoder_names(config.encoder)
    own = list(part.state_dict())[: len(names)]
    pairs = zip(own, names, strict=True)
    part.load_state_dict({one: learned[other] for one, other in pairs}, strict=False)
    if branch is not None:
        theirs = cast("HandAutoencoder", load_network(branch))
        network.parts["estimator"].load_state_dict(theirs.parts["estimator"].state_dict())
    info = WeightsInfo(config, "benchmarks/render_and_compare.py", STEPS, data={}, figures={})
    save_weights(file, network, info)


def _crops(samples: Path, learned: int, size: int, margin: float) -> Cropper:
    """Varied crops of the samples that are learned from, in which the detector saw the hand."""
    sharded = ShardedSamples(samples)
    seen = seen_by_the_detector(sharded, np.arange(learned), (FOUND, TOLD))
    return Cropper(sharded.subset(seen), size, margin, AugmentationConfig(noise=0.0))


def _batches(crops: Cropper, first: int) -> Iterator[CropSamples]:
    """Those of the steps from `first` on."""
    for step in range(first, STEPS):
        generator = np.random.default_rng([step, _STREAM])
        rows = generator.integers(len(crops.samples), size=BATCH)
        yield crops.crop(rows.tolist(), (step, _STREAM))
