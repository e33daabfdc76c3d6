"""The tables of docs/detector.md, printed as Markdown by `measure_keypoints.py`."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from detector_sightings import MARGIN, Sightings, facing_seen
from keypoint_forms import distances, offset_points, solve_mesh, solve_offsets, solve_view_offsets

from datasets.detector import DetectorNoise, HandPairs, measure_scatter
from datasets.detector.keypoint_definition import facing
from datasets.detector.noise import CONFIDENCE_EDGES
from datasets.detector.scatter import resampled, swapped_fingers
from fitter.conventions import BONES, FINGERS, KEYPOINT_NAMES, MODEL_TO_KEYPOINTS
from fitter.hand_models import load_open_hand

STATE_NAMES = ("visible", "behind the hand itself", "behind something else")
VIEWS = {
    "palm": (-1.01, -0.5),
    "edge": (-0.5, 0.5),
    "back": (0.5, 1.01),
}
"""Limits of `facing`."""
PAIRS = (
    ("index tip, index DIP", 8, 7),
    ("index tip, index MCP", 8, 5),
    ("index tip, middle tip", 8, 12),
    ("index MCP, middle MCP", 5, 9),
    ("wrist, thumb CMC", 0, 1),
    ("wrist, middle tip", 0, 12),
)


def print_tables(
    sightings: Sightings, offsets: np.ndarray, pairs: HandPairs, noise: DetectorNoise
) -> None:
    """Print everything; offsets (21, 3) are in canonical order."""
    found = len(sightings.points) / sightings.rendered
    print(f"{sightings.rendered} renders, seed {sightings.seed}: found {found:.1%}\n")
    _forms(sightings)
    _keypoints(sightings, offsets)
    _states(sightings, pairs)
    _confidence(pairs)
    _views(sightings, pairs)
    _depth(pairs)
    _bones(pairs)
    _correlation(pairs, noise)
    _sampled(pairs, noise)


def row(*cells: object) -> None:
    """One row of a Markdown table; numbers that are not whole with three digits."""
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")


def head(title: str, *cells: str) -> None:
    """Title and head of a table."""
    print(f"\n**{title}**\n")
    row(*cells)
    row(*["---"] * len(cells))


def shipped() -> np.ndarray:
    """(21, 3) the offsets that the keypoint fit uses, canonical order, metres."""
    return load_open_hand().keypoint_offsets[list(MODEL_TO_KEYPOINTS)]


def _forms(sightings: Sightings) -> None:
    train, test = sightings.select(slice(0, None, 2)), sightings.select(slice(1, None, 2))
    offsets = solve_offsets(train)
    view = solve_view_offsets(train, facing_seen(train))
    side = facing_seen(test)[:, None, None]
    mesh = solve_mesh(train, load_open_hand(), offsets)
    used = [len(v) for v in mesh.vertices]
    forms = {
        "joints and tip vertices": test.points,
        "offsets of the shipped model": offset_points(test, shipped()),
        "offsets from the bones": offset_points(test, offsets),
        "offsets that depend on the view": offset_points(test, view[:, 0] + side * view[:, 1]),
        f"means of {min(used)} to {max(used)} vertices": mesh.points(test),
    }
    head(
        "Forms of the definition, on the half of the renders that they were not solved on: "
        "distance from the detection, % of hand size",
        *("form", "median", "68 %", "95 %", "median of visible ones"),
    )
    for name, points in forms.items():
        far = 100 * distances(test, points)
        quantiles = np.quantile(far, (0.5, 0.68, 0.95))
        row(name, *map(float, quantiles), float(np.median(far[test.states == 0])))


def _keypoints(sightings: Sightings, offsets: np.ndarray) -> None:
    halves = [solve_offsets(sightings.select(slice(i, None, 2))) for i in (0, 1)]
    side = facing_seen(sightings)
    view = solve_view_offsets(sightings, side)
    seen = view[:, 0] + side[:, None, None] * view[:, 1]
    forms = (shipped(), offsets, seen)
    far = [100 * distances(sightings, offset_points(sightings, o)) for o in forms]
    head(
        "Offsets from joints and tip vertices, mm in the rest frame; distances, % of hand size",
        *("keypoint", "offset", "from shipped ones", "between halves", "by facing"),
        *("median of shipped ones", "median", "median by facing"),
    )
    for k, name in enumerate(KEYPOINT_NAMES):

        def apart(a: np.ndarray, b: np.ndarray, k: int = k) -> str:
            return f"{1000 * np.linalg.norm(a[k] - b[k]):.1f}"

        offset = ", ".join(f"{1000 * x:.1f}" for x in offsets[k])
        medians = [float(np.median(f[:, k])) for f in far]
        shift = ", ".join(f"{1000 * x:.1f}" for x in view[k, 1])
        changes = (apart(offsets, shipped()), apart(*halves), shift)
        row(name, offset, *changes, *medians)


def view_masks(side: np.ndarray) -> dict[str, np.ndarray]:
    """Which hands (N,) are seen from which side."""
    return {name: (side >= low) & (side < high) for name, (low, high) in VIEWS.items()}


def position_errors(pairs: HandPairs) -> np.ndarray:
    """(B, 21) distances in % of hand size."""
    return 100 * MARGIN * (pairs.detected_positions - pairs.positions).norm(dim=-1).numpy()


def core_and_tail(distance: np.ndarray) -> tuple[float, float, float]:
    """Standard deviations of a coordinate in the core and in the tail, and the tail's share:
    two round Gaussians fitted to distances (n,) by expectation maximisation."""
    square = distance**2
    core, tail, share = np.median(square) / 1.4, 10 * np.median(square), 0.1
    for _ in range(200):
        densities = [
            weight / variance * np.exp(-0.5 * square / variance)
            for weight, variance in ((1 - share, core), (share, tail))
        ]
        own = densities[1] / (densities[0] + densities[1])
        share = own.mean()
        core = ((1 - own) * square).sum() / (2 * (1 - own).sum())
        tail = (own * square).sum() / (2 * own.sum())
    return float(np.sqrt(core)), float(np.sqrt(tail)), float(share)


def _scatter_row(name: str, far: np.ndarray) -> None:
    core, tail, share = core_and_tail(far)
    quantiles = map(float, np.quantile(far, (0.5, 0.68, 0.95)))
    row(name, far.size, *quantiles, core, tail, f"{share:.0%}")


_QUANTILES = ("keypoints", "median", "68 %", "95 %", "sigma of core", "sigma of tail", "tail")


def _states(sightings: Sightings, pairs: HandPairs) -> None:
    far = position_errors(pairs)
    head("Distance by what hides the keypoint, % of hand size", "state", *_QUANTILES)
    for state, name in enumerate(STATE_NAMES):
        _scatter_row(name, far[sightings.states == state])
    other = swapped_fingers(pairs)
    shares = (other != np.arange(5)).mean(0)
    print("\nFingers taken for another one: ", end="")
    print(", ".join(f"{n} {s:.1%}" for n, s in zip(FINGERS, shares, strict=True)))


def _confidence(pairs: HandPairs) -> None:
    far, states = position_errors(pairs), pairs.states.numpy()
    classes = np.digitize(pairs.detected_confidence.numpy(), CONFIDENCE_EDGES)
    edges = (0.0, *CONFIDENCE_EDGES, 1.0)
    head(
        "Distance by the detector's confidence, % of hand size: median and 95 %",
        *("confidence", "share", "all", "visible", "behind the hand itself"),
    )
    for group, (low, high) in enumerate(pairwise(edges)):
        chosen = classes == group
        cells = [f"{low:g} to {high:g}", f"{chosen.mean():.0%}"]
        for own in (chosen, chosen & (states == 0), chosen & (states == 1)):
            cells.append("{:.1f}, {:.1f}".format(*np.quantile(far[own], (0.5, 0.95))))
        row(*cells)


def _views(sightings: Sightings, pairs: HandPairs) -> None:
    far = position_errors(pairs)
    masks = view_masks(facing(pairs.bones).numpy())
    masks["egocentric"] = sightings.egocentric
    masks["third person"] = ~sightings.egocentric
    head("Distance by view, % of hand size", "view", *_QUANTILES)
    for name, mask in masks.items():
        _scatter_row(name, far[mask])


def _depth(pairs: HandPairs) -> None:
    """Lines and spreads of all, and of two halves."""
    whole = measure_scatter(pairs)
    halves = [measure_scatter(pairs[torch.arange(i, len(pairs.depth), 2)]) for i in (0, 1)]
    middle = 4
    head(
        "True relative depth for the detector's, crop units: gain seen from the palm, from the "
        "edge, from the back; sigma at confidence 0.78; Spearman correlation of the residual's "
        "size and the 2D error's",
        *("keypoint", "palm", "edge", "back", "sigma", "correlation", "gains of halves differ"),
    )
    left = pairs.depth - whole.expected_depth(pairs.detected_depth, pairs.detected_bones)
    far = (pairs.detected_positions - pairs.positions).norm(dim=-1)
    for k in range(20):
        a, _, _, d = whole.depth_line[k].tolist()
        change = (halves[0].depth_line[k] - halves[1].depth_line[k])[[0, 3]].abs().sum().item()
        both = [x.argsort().argsort().double() for x in (left[:, k + 1].abs(), far[:, k + 1])]
        rank = torch.corrcoef(torch.stack(both))[0, 1].item()
        sigma = whole.depth[k, middle].item()
        row(KEYPOINT_NAMES[k + 1], a - d, a, a + d, sigma, f"{rank:.2f}", f"{change:.2f}")


def _bones(pairs: HandPairs) -> None:
    whole = measure_scatter(pairs)
    better = whole.expected_bones(pairs.detected_bones)
    head(
        "Angle between true and detected bones, degrees",
        *("bone", "median", "68 %", "95 %", "median, tilt corrected", "tilt gain"),
    )
    for k, (palm, tip) in enumerate(BONES):
        angles = angle_between(pairs.bones[:, k], pairs.detected_bones[:, k])
        quantiles = map(float, np.quantile(angles, (0.5, 0.68, 0.95)))
        corrected = float(np.median(angle_between(pairs.bones[:, k], better[:, k])))
        name = f"{KEYPOINT_NAMES[palm]} to {KEYPOINT_NAMES[tip]}"
        row(name, *quantiles, corrected, whole.tilt_line[k, 0].item())


def angle_between(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Degrees between unit vectors (..., 3)."""
    return torch.rad2deg(torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)) * 2).numpy()


def _correlation(pairs: HandPairs, noise: DetectorNoise) -> None:
    fakes = resampled(pairs, noise)
    values = [_signed_ranks(p) for p in (pairs, fakes)]
    head(
        "Rank correlation of errors in x (first) and y (second): measured, sampled",
        *("keypoints", "measured", "sampled"),
    )
    for name, a, b in PAIRS:
        cells = []
        for ranks in values:
            cells.append(
                ", ".join(
                    f"{np.corrcoef(ranks[:, a, i], ranks[:, b, i])[0, 1]:.2f}" for i in (0, 1)
                )
            )
        row(name, *cells)
    ranks = values[0].reshape(len(values[0]), 42)
    variance = np.linalg.eigvalsh(np.corrcoef(ranks.T))[::-1]
    shares = np.cumsum(variance) / variance.sum()
    told = ", ".join(f"{n} {shares[n - 1]:.0%}" for n in (1, 2, 4, 8, 16, 24))
    print(f"\nShare of the 42 coordinates' variance in their leading components: {told}")


def _signed_ranks(pairs: HandPairs) -> np.ndarray:
    error = (pairs.detected_positions - pairs.positions).numpy()
    return error.argsort(0).argsort(0).astype(float)


def _sampled(pairs: HandPairs, noise: DetectorNoise) -> None:
    fakes = resampled(pairs, noise)
    head(
        "The noise against what it was measured on: 10, 50, 90, 99 %",
        *("quantity", "measured", "sampled"),
    )

    def compare(name: str, values: list[np.ndarray]) -> None:
        levels = (0.1, 0.5, 0.9, 0.99)
        row(name, *(", ".join(f"{q:.3g}" for q in np.quantile(v, levels)) for v in values))

    both = (pairs, fakes)
    far = [position_errors(p) for p in both]
    compare("2D error, % of hand size", far)
    compare("mean 2D error of a hand", [f.mean(1) for f in far])
    compare("confidence", [p.detected_confidence.numpy() for p in both])
    compare("mean confidence of a hand", [p.detected_confidence.mean(1).numpy() for p in both])
    depth = [(p.detected_depth - p.depth)[:, 1:].abs().numpy() for p in both]
    compare("depth error, crop units", depth)
    angles = [angle_between(p.bones, p.detected_bones) for p in both]
    compare("bone angle, degrees", angles)
    compare("mean bone angle of a hand", [a.mean(1) for a in angles])
