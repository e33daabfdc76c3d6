"""Loads a hand model by its name, file or folder: the open hand, MANO, or NIMBLE."""

from __future__ import annotations

from pathlib import Path

import torch

from fitter.conventions import model_name
from fitter.errors import InputError
from fitter.hand_models.mano import ManoOptions, load_mano
from fitter.hand_models.nimble.model_data import load_nimble
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
    mano_file: str | Path | None = None,
) -> HandModel:
    """Load a hand model on the CPU, with texture coordinates: the file's own, or ours.

    Args:
        source: "open_hand" for the shipped model, the path of a MANO file, or the folder of a
            NIMBLE model, whose skin is the hand.
        side: the wanted hand; a file of the other hand is mirrored.
        dtype: of the model's floating-point buffers.
        mano: how to read a MANO file; None: `ManoOptions()`.
        children: with the open hand's shape components for children, see `load_open_hand`.
        mano_file: a MANO file for NIMBLE's keypoints, see `load_nimble`.

    Raises:
        InputError: the file is missing, unsafe, or no hand model; children of another model than
            the open hand, or MANO's keypoints of another than NIMBLE, are asked for.

    Example:
        ```python
        from fitter.hand_models import ManoOptions, load_hand_model

        open_hand = load_hand_model()
        mano = load_hand_model("MANO_RIGHT.pkl", "left", mano=ManoOptions(fingertips="freihand"))
        assert mano.data.side == "left" and mano.v_template.shape == (778, 3)
        ```
    """
    name = model_name(source)
    if mano_file is not None and name != "nimble":
        raise InputError("model.no_mano", file=str(mano_file))
    if name == "open_hand":
        data = load_open_hand(children=children)
    elif children:
        raise InputError("model.no_children", file=str(source))
    elif not Path(source).exists():
        raise InputError("model.unknown", file=str(source))
    elif name == "nimble":
        keypoints = None if mano_file is None else Path(mano_file)
        data = load_nimble(Path(source), keypoints, mano)
    else:
        data = load_mano(Path(source), mano or ManoOptions())
    data = with_atlas(data)
    return HandModel(data if data.side == side else data.mirrored(), dtype)
