"""Measure NIMBLE on a folder of its files: `python scripts/measure_nimble.py DIR`.

Prints a table in Markdown: the time and memory of a hand, how deep the skin is in the muscles in
random poses before and after it is moved out, and, where DIR has a MANO_RIGHT.pkl of the same hand
(as `scripts/build_nimble_fixture.py` writes one), how far three definitions of the keypoints are
from MANO's own in the same poses.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.poses import sample_hand_angles
from fitter.hand_models import HandModel, anatomy_of
from fitter.hand_models.mano import load_mano
from fitter.hand_models.nimble import Nimble, load_nimble
from fitter.hand_models.nimble.keypoint_order import KEYPOINT_JOINTS
from fitter.hand_models.nimble.model_data import skin_data
from fitter.metrics.points import mpjpe, pa_mpjpe
from fitter.records import HandParams

HANDS, BATCH = 64, 8
STEPS = 300
SEED = 0


def main() -> None:
    """Print the tables of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--hands", type=int, default=HANDS, help=f"poses (default {HANDS})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        print_times(options.folder)
        print_collisions(options.folder, options.hands)
        if (options.folder / "MANO_RIGHT.pkl").exists():
            print_keypoints(options.folder, options.hands)


def print_times(folder: Path) -> None:
    """Seconds to read, milliseconds and megabytes of a hand."""
    start = time.perf_counter()
    hand = Nimble.load(folder)
    read, memory = time.perf_counter() - start, resident()
    textures = hand.textures
    assert textures is not None
    params = random_hands(hand, BATCH)
    skins = torch.zeros(1, textures.count)
    mesh = hand(params)
    print(f"read: {read:.1f} s, {memory:.0f} MB resident, {peak():.0f} MB at most")
    print("\n| step | ms a hand |\n|---|---|")
    for name, work, count in (
        ("skin, muscles, bones, joints", lambda: hand(params, separated=False), BATCH),
        ("the same, skin moved out of muscles", lambda: hand(params), BATCH),
        ("MANO's vertices", lambda: hand.to_mano(mesh.skin), BATCH),
        ("three maps", lambda: textures.image(skins), 1),
    ):
        print(f"| {name} | {1e3 * best(work) / count:.1f} |")
    print(f"\n{resident():.0f} MB resident, {peak():.0f} MB at most")


def print_collisions(folder: Path, count: int) -> None:
    """How deep the skin is in the muscles, moved out never, once, twice."""
    hand = Nimble.load(folder, textures=False)
    depths: list[list[Tensor]] = [[], [], []]
    for rows in torch.arange(count).split(BATCH):
        mesh = hand(random_hands(hand, len(rows), int(rows[0])), separated=False)
        for passes in depths:
            apart = hand.separate(mesh)
            passes.append(apart.depth)
            mesh = type(mesh)(**{**vars(mesh), "skin": apart.skin})
    print(f"\nskin in muscles, of {count} random poses\n")
    print("| moved out | hands with any | vertices a hand | mean depth, mm | deepest, mm |")
    print("|---|---|---|---|---|")
    for times, found in zip(("never", "once", "twice"), depths, strict=True):
        depth = 1e3 * torch.cat(found)
        inside = depth > 0
        mean = depth.sum() / inside.sum().clamp_min(1)
        hands = int(inside.any(1).sum())
        print(
            f"| {times} | {hands} | {inside.sum() / count:.1f} | {mean:.2f} | {depth.max():.1f} |"
        )


def print_keypoints(folder: Path, count: int) -> None:
    """Error of three definitions of the keypoints against MANO's joints and fingertips, on the same
    surface: NIMBLE is first fitted to the vertices of posed MANO hands."""
    mano = HandModel(load_mano(folder / "MANO_RIGHT.pkl"), torch.float64)
    layer = Nimble.load(folder, textures=False, dtype=torch.float64)
    own = HandModel(skin_data(layer.geometry), torch.float64)
    mapped = HandModel(load_nimble(folder, folder / "MANO_RIGHT.pkl"), torch.float64)
    start = prior_hands(own, count)
    pose = start.hand_pose[:, list(own.skeleton.finger_rows)]
    truth = mano(HandParams(start.global_orient, pose, start.betas[:, :10], start.transl))
    params = fitted(lambda hand: layer.to_mano(own(hand).vertices), start, truth.vertices)
    apart = 1e3 * (layer.to_mano(own(params).vertices) - truth.vertices).norm(dim=-1).mean()
    rig = own(params).joints[:, list(KEYPOINT_JOINTS)]
    rows = {
        "joints of the rig, by name": rig,
        "NIMBLE's jreg_mano": own(params).keypoints,
        "MANO's regressor and fingertips": mapped(params).keypoints,
    }
    print(f"\n{count} MANO hands, NIMBLE's skin fitted to them, {apart:.2f} mm apart\n")
    print("| keypoints | error, mm | after Procrustes, mm |\n|---|---|---|")
    for name, points in rows.items():
        found, wanted = points.numpy(), truth.keypoints.numpy()
        error, aligned = (1e3 * each(found, wanted).mean() for each in (mpjpe, pa_mpjpe))
        print(f"| {name} | {error:.2f} | {aligned:.2f} |")


def fitted(
    points_of: Callable[[HandParams], Tensor], start: HandParams, wanted: Tensor
) -> HandParams:
    """Parameters whose points (B, N, 3) come nearest to others, by Adam."""
    with torch.enable_grad():
        leaves = {name: value.clone().requires_grad_() for name, value in vars(start).items()}
        solver = torch.optim.Adam(leaves.values(), lr=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(solver, STEPS)
        for _ in range(STEPS):
            solver.zero_grad()
            off = points_of(HandParams(**leaves)) - wanted
            (1e6 * off.square().sum(-1).mean() + 1e-3 * leaves["betas"].square().sum()).backward()
            solver.step()
            schedule.step()
    return HandParams(**{name: value.detach() for name, value in leaves.items()})


def random_hands(hand: Nimble, count: int, seed: int = SEED) -> HandParams:
    """Natural poses, shapes of unit variance, any rotation; float32."""
    own = HandModel(skin_data(hand.geometry), torch.float64)
    params = prior_hands(own, count, seed)
    return HandParams(*(value.float() for value in vars(params).values()))


def prior_hands(model: HandModel, count: int, seed: int = SEED) -> HandParams:
    """Natural poses of the pose sampler, float64."""
    generator = np.random.default_rng([SEED, seed])
    angles = torch.from_numpy(sample_hand_angles(generator, count))
    pose = anatomy_of(model.data).hand_pose(angles)
    betas = torch.from_numpy(generator.normal(size=(count, model.shapedirs.shape[-1])))
    orient = torch.from_numpy(generator.normal(size=(count, 3)))
    return HandParams(orient, pose, betas, torch.zeros(count, 3, dtype=torch.float64))


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Least seconds of some repetitions."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def peak() -> float:
    """Most megabytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """Megabytes that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
