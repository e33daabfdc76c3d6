"""Small mesh networks on each hand model, what they see, and what is drawn for them."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch

from init_net.mesh_records import MeshDraws, MeshInputs
from init_net.networks.config import MeshNetConfig, RefinerConfig
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import write_small_mano

SIZE = 32
LATENT, CODE = 12, 6
DECODERS = ("spiral", "transformer", "parametric")
MODELS = ("open_hand", "mano", "nimble")


@cache
def model_source(name: str) -> str:
    """Where a hand model of `MODELS` lies."""
    if name == "mano":
        return str(write_small_mano(Path(mkdtemp(prefix="mano-")) / "MANO_RIGHT.pkl"))
    return str(nimble_folder()) if name == "nimble" else name


def small_mesh_net(**options: object) -> MeshNetConfig:
    """A configuration of few numbers; options change it."""
    small = {
        "encoder": "mobilenetv3_small_050",
        "latent": LATENT,
        "channels": [8, 4],
        "hidden": [8],
        "input_size": SIZE,
        "vae": RefinerConfig(latent=CODE, hidden=[16]),
    }
    return MeshNetConfig(**{**small, **options})


def mesh_inputs(batch: int = 3, seed: int = 0) -> MeshInputs:
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, SIZE, SIZE, generator=random)
    return MeshInputs(image, torch.linspace(2, 5, batch))


def mesh_draws(batch: int = 3, seed: int = 0, latent: int = CODE) -> MeshDraws:
    return MeshDraws.drawn(batch, latent, torch.Generator().manual_seed(seed))
