"""The tables of `docs/` on hand models: keypoints, joints, and what the open hand's files hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from doc_table import table
from safetensors import safe_open

from fitter.conventions import (
    FINGERS,
    FINGERTIP_VERTICES,
    JOINT_NAMES,
    KEYPOINT_NAMES,
    KEYPOINT_ORDERS,
    MODEL_TO_KEYPOINTS,
    PARENTS,
)
from fitter.hand_models import load_open_hand
from fitter.hand_models.appearance import APPEARANCE_FILE
from fitter.hand_models.open_hand import KEYPOINTS_FILE

ASSETS = Path(__file__).resolve().parents[1] / "fitter" / "hand_models" / "assets"


def keypoints() -> str:
    """The 21 keypoints, and where each comes from in a model."""
    rows = []
    for number, (name, entry) in enumerate(zip(KEYPOINT_NAMES, MODEL_TO_KEYPOINTS, strict=True)):
        source = f"joint {entry}" if entry < 16 else f"tip of the {FINGERS[entry - 16]}"
        rows.append((number, f"`{name}`", source))
    return table(("keypoint", "name", "in the model"), rows)


def joints() -> str:
    """The 16 joints of the models."""
    rows = (
        (number, f"`{name}`", parent, MODEL_TO_KEYPOINTS.index(number))
        for number, (name, parent) in enumerate(zip(JOINT_NAMES, PARENTS, strict=True))
    )
    return table(("joint", "name", "parent", "keypoint"), rows)


def orders() -> str:
    """`KEYPOINT_ORDERS`."""
    return table(
        ("name", "canonical keypoint k is the foreign keypoint"),
        ((f"`{name}`", " ".join(map(str, order))) for name, order in KEYPOINT_ORDERS.items()),
    )


def fingertips() -> str:
    """`FINGERTIP_VERTICES`."""
    return table(
        ("name", *FINGERS),
        ((f"`{name}`", *tips) for name, tips in FINGERTIP_VERTICES.items()),
    )


def open_hand() -> str:
    """What the open hand's file holds."""
    data = load_open_hand()
    tips = ", ".join(map(str, data.tip_vertices))
    rows = [
        ("vertices", len(data.v_template)),
        ("faces", len(data.faces)),
        ("texture coordinates", len(data.uv)),
        ("joints", data.skin_weights.shape[1]),
        ("shape components", data.shapedirs.shape[-1]),
        ("pose components", len(data.hands_components)),
        ("most joints that move one vertex", int((data.skin_weights > 0).sum(1).max())),
        ("fingertip vertices, thumb to little", tips),
        ("sha256 in the results, of the file and the offsets", f"`{data.sha256}`"),
    ]
    return table(("", ""), rows)


def bone_lengths() -> str:
    """Bones of the open hand's mean shape, and its keypoint offsets."""
    data = load_open_hand()
    joint_positions = data.joint_regressor @ data.v_template
    points = np.concatenate([joint_positions, data.v_template[list(data.tip_vertices)]])
    points = 1000 * points[list(MODEL_TO_KEYPOINTS)]
    rows = []
    for number, finger in enumerate(FINGERS):
        chain = points[[0, *range(4 * number + 1, 4 * number + 5)]]
        lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
        rows.append((finger, *(f"{length:.1f}" for length in lengths)))
    return table(("mm", "wrist to base", "1st segment", "2nd segment", "to the tip"), rows)


def keypoint_offsets() -> str:
    """How far the open hand's keypoints lie off its joints and fingertip vertices."""
    offsets = np.array(json.loads((ASSETS / KEYPOINTS_FILE).read_text("utf-8"))["offsets"])
    return table(
        ("keypoint", "toward the wrist (x), mm", "out of the back (y), mm", "to the thumb (z), mm"),
        (
            (f"`{name}`", *(f"{value:.1f}" for value in np.round(1000 * offsets[entry], 1) + 0.0))
            for name, entry in zip(KEYPOINT_NAMES, MODEL_TO_KEYPOINTS, strict=True)
        ),
    )


def shape_variance() -> str:
    """Share of the shape components in the variance, from the file's metadata."""
    with safe_open(ASSETS / "open_hand.safetensors", "np") as file:
        shares = json.loads(file.metadata()["provenance"])["variance_explained"]
    total = np.cumsum(shares)
    return table(
        ("component", "share of the variance", "together"),
        (
            (k + 1, f"{100 * share:.1f} %", f"{100 * total[k]:.1f} %")
            for k, share in enumerate(shares)
        ),
    )


def appearance() -> str:
    """What the components of the open hand's skin hold, and how well they restore other skins."""
    with safe_open(ASSETS / APPEARANCE_FILE, framework="np") as file:
        provenance = json.loads(file.metadata()["provenance"])
    shares = np.array(provenance["variance_explained"])
    errors = provenance["held_out_error_8_bit_steps"]
    rows = [
        (number, f"{share:.2%}", f"{together:.2%}")
        for number, (share, together) in enumerate(
            zip(shares, shares.cumsum(), strict=True), start=1
        )
    ]
    restored = ", ".join(f"{error:.2f} in the {space} space" for space, error in errors.items())
    return (
        table(("component", "share of the variance", "together"), rows)
        + "\n\nMean error of 10 components on held-out random skins, in steps of 8-bit sRGB: "
        + restored
        + "."
    )
