"""Measure where on the open hand the detector puts its 21 keypoints, and how it errs.

    python scripts/measure_keypoints.py SAMPLES [--count N] [--write]

SAMPLES is a folder of rendered hands with known geometry and what MediaPipe made of them
(`init_net.samples.shards`). No photograph enters. Prints the tables of docs/detector.md; with
--write the assets are written as well:

    mediapipe_definition.json     `datasets.detector.keypoint_definition.KeypointDefinition`
    mediapipe_scatter.json        `datasets.detector.keypoint_definition.KeypointScatter`
    detector_noise.safetensors    `datasets.detector.noise.DetectorNoise`

`open_hand_keypoints.json`, the offsets that the keypoint fit uses, is written only with
--adopt: all results of fits depend on it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from detector_sightings import (  # noqa: E402
    Sightings,
    facing_seen,
    hand_pairs,
    read_sightings,
)
from detector_tables import print_tables  # noqa: E402
from keypoint_forms import (  # noqa: E402
    MeshForm,
    offset_points,
    solve_mesh,
    solve_offsets,
    solve_view_offsets,
)
from safetensors.torch import save_file  # noqa: E402

from datasets.detector import (  # noqa: E402
    DetectorNoise,
    KeypointDefinition,
    KeypointScatter,
    measure_noise,
    measure_scatter,
)
from datasets.detector.keypoint_definition import (  # noqa: E402
    MEDIAPIPE_DEFINITION,
    MEDIAPIPE_SCATTER,
    definition_content,
    mesh_digest,
    padded,
)
from datasets.detector.noise import NOISE_PATH  # noqa: E402
from fitter.conventions import KEYPOINT_NAMES, MODEL_TO_KEYPOINTS  # noqa: E402
from fitter.hand_models import load_open_hand  # noqa: E402
from fitter.hand_models.open_hand import KEYPOINTS_FILE  # noqa: E402

ABOUT = (
    "Where MediaPipe's hand landmarks lie on the open hand, and how they scatter about that; "
    "measured on renders by scripts/measure_keypoints.py."
)
TO_MODEL = np.argsort(MODEL_TO_KEYPOINTS)
"""Turns rows in canonical order into [16 joints, 5 tips]."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", type=Path, help="folder written by init_net.samples.shards")
    parser.add_argument("--count", type=int, help="leading samples to use (default: all)")
    parser.add_argument("--write", action="store_true", help="write the assets")
    parser.add_argument("--adopt", action="store_true", help=f"write {KEYPOINTS_FILE} as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    sightings = read_sightings(arguments.samples, arguments.count)
    offsets = solve_offsets(sightings)
    view_offsets = solve_view_offsets(sightings, facing_seen(sightings))
    pairs = hand_pairs(sightings, offset_points(sightings, offsets))
    noise = measure_noise(pairs)
    print_tables(sightings, offsets, pairs, noise)
    if arguments.write:
        mesh = solve_mesh(sightings, load_open_hand(), offsets)
        write_definition(sightings, (offsets, view_offsets), mesh)
        write_scatter(sightings, measure_scatter(pairs))
        write_noise(sightings, noise)
    if arguments.adopt:
        write_offsets(sightings, offsets)


def provenance(sightings: Sightings) -> dict[str, str]:
    """What a figure in an asset comes from."""
    return {
        "about": ABOUT,
        "v_template_sha256": mesh_digest(load_open_hand().v_template),
        "seed": str(sightings.seed),
        "rendered": str(sightings.rendered),
        "detected": str(len(sightings.points)),
    }


def write_definition(
    sightings: Sightings, offsets: tuple[np.ndarray, np.ndarray], mesh: MeshForm
) -> None:
    """Write `MEDIAPIPE_DEFINITION`; offsets (21, 3) and (21, 2, 3) are in canonical order."""
    template = load_open_hand().v_template
    index, weights = padded(mesh.vertices, mesh.weights)
    definition = KeypointDefinition(
        "mediapipe", "right", len(template), index, weights, *(o[TO_MODEL] for o in offsets)
    )
    _write_json(MEDIAPIPE_DEFINITION, provenance(sightings) | definition_content(definition))


def write_scatter(sightings: Sightings, scatter: KeypointScatter) -> None:
    """Write `MEDIAPIPE_SCATTER`."""
    tables = {name: np.round(value.numpy(), 4).tolist() for name, value in vars(scatter).items()}
    _write_json(MEDIAPIPE_SCATTER, provenance(sightings) | tables)


def write_noise(sightings: Sightings, noise: DetectorNoise) -> None:
    """Write `NOISE_PATH`."""
    save_file(vars(noise), NOISE_PATH, provenance(sightings))
    # The library makes it readable for its owner alone.
    NOISE_PATH.chmod(0o644)


def write_offsets(sightings: Sightings, offsets: np.ndarray) -> None:
    """Write the offsets of the keypoint fit."""
    content = {
        "about": "Where MediaPipe's hand landmarks lie on the open hand, relative to its joints "
        "and fingertip vertices, metres in the rest frame, fixed to the bone; measured on renders "
        "by scripts/measure_keypoints.py.",
        "order": [KEYPOINT_NAMES[MODEL_TO_KEYPOINTS.index(i)] for i in range(21)],
        "pictures": len(sightings.points),
        "v_template_sha256": mesh_digest(load_open_hand().v_template),
        "offsets": np.round(offsets[TO_MODEL], 5).tolist(),
    }
    _write_json(MEDIAPIPE_DEFINITION.parent / KEYPOINTS_FILE, content)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
