"""WSIM's network at its published size: what it is made of, and what a step of learning costs.

    python benchmarks/wsim_sizes.py
    python benchmarks/wsim_sizes.py --hand-model MANO_RIGHT.pkl --batch 8 --json sizes.json

ResNet-50, crops of 256 pixels, z of 1,000 numbers, a VAE's code of 128 (Yu et al. 2023, 3.2 and
4.1), each of the three decoders. The paper's batches are of 64. It prints a table in Markdown.
"""

from __future__ import annotations

import time
from typing import Any, cast

import torch
from measuring import parser, positive, run_command, use_threads, write_json
from torch import nn

from init_net.hand_model_id import OPEN_HAND
from init_net.mesh_records import MeshDraws, MeshInputs, MeshPredictions
from init_net.networks.build import build_network
from init_net.networks.config import MeshNetConfig
from init_net.networks.mesh_decoders.spiral import SpiralConvolution, SpiralDecoder
from init_net.networks.mesh_decoders.transformer import TransformerDecoder
from init_net.networks.mesh_net import MeshNet

DECODERS = ("spiral", "transformer", "parametric")
PUBLISHED_SIZE = 256
"""Pixels of a crop's side (Yu et al. 3.2)."""


def sizes(config: MeshNetConfig, batch: int, repeats: int) -> dict[str, Any]:
    """Parameters of each part, and the cost of a step.

    Args:
        config: of the network.
        batch: crops of a step.
        repeats: steps that are timed, after one that is not.

    Raises:
        InputError: there is no such hand model.
    """
    begun = time.process_time()
    network = cast(MeshNet, build_network(config, 0))
    built = time.process_time() - begun
    generator = torch.Generator().manual_seed(0)
    size = config.input_size
    image = torch.rand(batch, 3, size, size, generator=generator)
    inputs = MeshInputs(image, torch.full((batch,), 4.0))
    latent = 0 if config.vae is None else config.vae.latent
    draws = MeshDraws.drawn(batch, latent, generator)
    return {
        "decoder": config.decoder,
        "hand_model": network.hand.model.data.name,
        "vertices": len(network.hand.model.v_template),
        "input_size": size,
        "levels": _levels(network),
        "parts": {name: _count(part) for name, part in network.parts.items()},
        "build_seconds": round(built, 2),
        "batch": batch,
        "step_seconds": round(step_seconds(network, inputs, draws, repeats), 2),
        "hand_ms": round(_hand_seconds(network.eval(), inputs[:1], repeats) * 1e3, 1),
        "threads": torch.get_num_threads(),
    }


def _levels(network: MeshNet) -> list[int]:
    """Vertices of the decoder's meshes, from the coarsest."""
    decoder, whole = network.decoder, len(network.hand.model.v_template)
    if isinstance(decoder, SpiralDecoder):
        layers = [m for m in decoder.convolutions if isinstance(m, SpiralConvolution)]
        return [len(layer.path) for layer in layers]
    if isinstance(decoder, TransformerDecoder):
        return [decoder.up.shape[1], whole]
    return [whole]


def _count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


def step_seconds(network: MeshNet, inputs: MeshInputs, draws: MeshDraws, repeats: int) -> float:
    """Processor time of a step in which everything learns: forward, backward, Adam. The loss is a
    stand-in for eq. 8, whose cost is that of as many differences."""
    optimiser = torch.optim.Adam(network.train().parameters(), 1e-4)

    def step() -> None:
        said = network(inputs, draws=draws)
        _loss(said).backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    begun = time.process_time()
    for _ in range(repeats):
        step()
    return (time.process_time() - begun) / repeats


def _loss(said: MeshPredictions) -> torch.Tensor:
    compared = [said.regressed, said.joints, said.betas, said.twist, said.camera]
    compared += [said.vertices - said.parametric_vertices, said.parametric_joints]
    if said.refined is not None:
        compared += [said.refined.mean, said.refined.log_variance]
    return torch.stack([each.abs().mean() for each in compared]).sum()


def _hand_seconds(network: MeshNet, inputs: MeshInputs, repeats: int) -> float:
    """Processor time of one crop at inference, after one that is not timed."""
    with torch.no_grad():
        network(inputs)
        begun = time.process_time()
        for _ in range(repeats):
            network(inputs)
    return (time.process_time() - begun) / repeats


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__ or "")
    options.add_argument("--hand-model", default=OPEN_HAND, help="(default: the open hand)")
    options.add_argument("--batch", type=positive, default=8, help="crops a step (default: 8)")
    options.add_argument("--repeats", type=positive, default=2, help="(default: 2)")
    given = options.parse_args()
    use_threads(given.threads)
    found = []
    for decoder in DECODERS:
        config = MeshNetConfig.model_validate(
            {"decoder": decoder, "hand_model": given.hand_model, "input_size": PUBLISHED_SIZE}
        )
        found.append(sizes(config, given.batch, given.repeats))
    print("| decoder | levels | " + " | ".join(found[0]["parts"]) + " | step, s | crop, ms |")
    print("| --- " * (4 + len(found[0]["parts"])) + "|")
    for row in found:
        counts = " | ".join(f"{count:,}" for count in row["parts"].values())
        levels = ", ".join(map(str, row["levels"]))
        print(
            f"| {row['decoder']} | {levels} | {counts} | {row['step_seconds']:.2f} "
            f"| {row['hand_ms']:.1f} |"
        )
    write_json(given.json, {"networks": found})


if __name__ == "__main__":
    run_command(main)
