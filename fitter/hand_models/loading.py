"""Loads a hand model by its name or file: the open hand, or MANO."""

from __future__ import annotations

from pathlib import Path

import torch

from fitter.errors import InputError
from fitter.hand_models.mano import ManoOptions, load_mano
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.skinning import HandModel
from fitter.hand_models.uv_atlas import with_atlas
from fitter.records import Side


def load_hand_model(
    source: str | Path = "open_hand",
    side: Side = "right",
    dtype: torch.dtype = torch.float32,
    mano: ManoOptions | None = None,
    children: bool = False,
) -> HandModel:
    """Load a hand model on the CPU, with texture coordinates: the file's own, or ours.

    Args:
        source: "open_hand" for the shipped model, or the path of a MANO file.
        side: the wanted hand; a file of the other hand is mirrored.
        dtype: of the model's floating-point buffers.
        mano: how to read a MANO file; None: `ManoOptions()`.
        children: with the open hand's shape components for children, see `load_open_hand`.

    Raises:
        InputError: the file is missing, unsafe, or no hand model; children of another model than
            the open hand are asked for.

    Example:
        ```python
        from fitter.hand_models import ManoOptions, load_hand_model

        open_hand = load_hand_model()
        mano = load_hand_model("MANO_RIGHT.pkl", "left", mano=ManoOptions(fingertips="freihand"))
        assert mano.data.side == "left" and mano.v_template.shape == (778, 3)
        ```
    """
    if source == "open_hand":
        data = load_open_hand(children=children)
    elif children:
        raise InputError("model.no_children", file=str(source))
    elif not Path(source).exists():
        raise InputError("model.unknown", file=str(source))
    else:
        data = load_mano(Path(source), mano or ManoOptions())
    data = with_atlas(data)
    return HandModel(data if data.side == side else data.mirrored(), dtype)
