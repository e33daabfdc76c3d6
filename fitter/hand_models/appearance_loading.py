"""Which skin a hand model has: the open hand's basis, NIMBLE's textures, or one colour."""

from __future__ import annotations

import hashlib
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from fitter.errors import InputError
from fitter.hand_models.appearance import (
    APPEARANCE_FILE,
    APPEARANCE_PATH,
    Appearance,
    read_appearance,
    uniform_appearance,
)
from fitter.hand_models.assets import read_bytes
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.nimble.appearance import NimbleAppearance
from fitter.hand_models.nimble.textures import read_textures

_Key = tuple[Path, int, int, str, torch.dtype]
_SHARED: WeakValueDictionary[_Key, NimbleAppearance] = WeakValueDictionary()
"""NIMBLE's appearances that somebody has: hundreds of megabytes, which need not be there twice."""


def load_appearance(model_data: HandModelData, dtype: torch.dtype = torch.float32) -> Appearance:
    """The appearance of a hand model of either side, on the CPU.

    The open hand has a basis of its own, NIMBLE the textures of its folder. A mirrored model keeps
    its order of vertices and its texture, and flips the winding of `uv_faces`, so both sides have
    the same appearance. Models without a basis get `uniform_appearance`. While somebody has that of
    a NIMBLE file it is given again, without reading the file.

    Raises:
        InputError: the model calls itself open_hand and has another number of vertices, or NIMBLE's
            textures cannot be read.
    """
    if model_data.appearance_file is not None:
        return _nimble_appearance(model_data, model_data.appearance_file, dtype)
    count = len(model_data.v_template)
    if model_data.name != "open_hand":
        return uniform_appearance(count, dtype)
    appearance = read_appearance(APPEARANCE_PATH, dtype)
    if len(appearance.vertex_mean) != count:
        found = len(appearance.vertex_mean)
        raise InputError("appearance.vertices", file=APPEARANCE_FILE, expected=count, found=found)
    return appearance


def _nimble_appearance(
    model_data: HandModelData, file: Path, dtype: torch.dtype
) -> NimbleAppearance:
    if not file.exists():
        read_textures(file.parent)  # which says so
    facts = file.stat()
    key = (file.resolve(), facts.st_mtime_ns, facts.st_size, model_data.sha256, dtype)
    found = _SHARED.get(key)
    if found is None:
        # Whoever asks next may want gradients.
        with torch.inference_mode(False):
            found = NimbleAppearance.of(read_textures(file.parent), model_data).to(dtype)
        _SHARED[key] = found
    return found


def appearance_identity(model_data: HandModelData) -> dict[str, str]:
    """What tells a model's appearance from others, for the store.

    Raises:
        InputError: its file cannot be read.
    """
    file = model_data.appearance_file
    if file is None:
        content = APPEARANCE_PATH.read_bytes()
        return {"appearance_sha256": hashlib.sha256(content).hexdigest()}
    _, digest = read_bytes(file, "NIMBLE's textures")
    return {"appearance_sha256": digest}
