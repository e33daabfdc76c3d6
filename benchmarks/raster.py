"""Milliseconds and memory an image of the rasteriser, forward and with backward, and its parity.

python benchmarks/raster.py
python benchmarks/raster.py --device cuda --batch-sizes 16 256 1024 --json raster.json
python benchmarks/raster.py --parity 100

One thing is varied at a time around the open hand in random poses, 16 images of 128x128. Faces
are varied on spheres. A pair is a pixel and a face, or a contour edge, that the CPU kernels compute
with; it is counted by a routine of its own, outside the clock, once for the forward and backward
passes together.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import trimesh
from measuring import median_seconds, parser, positive, run_command, use_threads, write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from datasets.poses import sample_hand_angles
from fitter.device import choose_device
from fitter.hand_models import anatomy_of, hand_pose_from_angles, load_hand_model
from fitter.raster import Fragments, MeshTopology, RasterSettings, rasterize
from fitter.raster.cpu.common import usable_vertices
from fitter.raster.cpu.edge import contour_side
from fitter.raster.cpu.soft import LANES
from fitter.records import HandParams

SILHOUETTES = ("none", "edge", "soft")
SHARE = 0.8
"""Of the image's shorter side that a mesh spans."""


@dataclass(frozen=True)
class Work:
    """What is rendered: `batch` images of size x size; `subdivisions` of a sphere, or the hand."""

    silhouette: str
    batch: int = 16
    size: int = 128
    subdivisions: int | None = None
    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Figures:
    """What was measured; times and counts are an image's.

    Attributes:
        work: what was rendered.
        faces: of the mesh.
        forward: wall and processor milliseconds of the forward pass.
        both: of a forward and a backward pass.
        peak_mb: memory that both passes needed at once, their results included.
        pairs: pixel-face and pixel-edge pairs.
        pair_ns: nanoseconds of both passes a pair: processor time, on a GPU wall time.
    """

    work: Work
    faces: int
    forward: tuple[float, float]
    both: tuple[float, float]
    peak_mb: float | None
    pairs: float
    pair_ns: float


def hands(count: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The open hand in random poses and attitudes: screen vertices (B, V, 3), faces."""
    model = load_hand_model("open_hand", "right", torch.float64)
    angles = torch.as_tensor(sample_hand_angles(rng, count))
    shapes = model.data.shapedirs.shape[-1]
    params = HandParams(
        global_orient=torch.as_tensor(rng.normal(scale=1.5, size=(count, 3))),
        hand_pose=hand_pose_from_angles(angles, anatomy_of(model.data).axes),
        betas=torch.as_tensor(rng.normal(scale=0.7, size=(count, shapes))),
        transl=torch.zeros(count, 3, dtype=torch.float64),
    )
    return framed(model(params).vertices, size), torch.as_tensor(model.data.faces)


def spheres(count: int, size: int, subdivisions: int) -> tuple[Tensor, Tensor]:
    """Spheres of 20 * 4^subdivisions faces, each rotated a little."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.1)
    rotations = [trimesh.transformations.euler_matrix(*[0.7 * k] * 3)[:3, :3] for k in range(count)]
    points = np.stack([mesh.vertices @ matrix.T for matrix in rotations])
    return framed(torch.from_numpy(points), size), torch.from_numpy(np.array(mesh.faces))


def framed(points: Tensor, size: int) -> Tensor:
    """Points (B, V, 3) in metres as seen from half a metre away, centred, `SHARE` of the image."""
    points = points - points.mean(dim=1, keepdim=True)
    z = points[..., 2:] + 0.5
    place = points[..., :2] / z
    low, high = place.amin(dim=1), place.amax(dim=1)
    scale = SHARE * size / (high - low).amax(dim=-1)
    place = (place - (low + high)[:, None] / 2) * scale[:, None, None] + size / 2
    return torch.cat([place, z], dim=-1).float()


def count_pairs(
    vertices: Tensor, topology: MeshTopology, size: int, settings: RasterSettings
) -> float:
    """Pairs an image: every pixel of the (widened) box around a face or a contour edge."""
    corners = vertices.double().cpu()[:, topology.faces.cpu()]  # (B, F, 3, 3)
    pairs = _pixels_in_boxes(corners, 0.0, size, 1)
    if settings.silhouette == "soft":
        reach = np.sqrt(-np.log(settings.cut / (1 - settings.cut)) * settings.sigma) * size / 2
        pairs += _pixels_in_boxes(corners, reach, size, LANES)
    elif settings.silhouette == "edge":
        edges = topology.edges.cpu().numpy()
        for image in vertices.double().cpu():
            points = image.numpy()
            usable = usable_vertices(points, settings.near)
            sides = [contour_side(points, edges, row, usable) for row in range(len(edges))]
            contour = edges[np.array(sides) != 0, :2]
            pairs += _pixels_in_boxes(image[contour][None], settings.band, size, 1)
    return pairs / len(vertices)


def _pixels_in_boxes(points: Tensor, reach: float, size: int, lanes: int) -> float:
    low, high = points[..., :2].amin(dim=-2) - reach, points[..., :2].amax(dim=-2) + reach
    first, last = (low - 0.5).ceil().clamp_min(0), (high - 0.5).floor().clamp_max(size - 1)
    extent = (last - first + 1).clamp_min(0)
    columns = (extent[..., 0] / lanes).ceil() * lanes
    return float((columns * extent[..., 1]).sum())


def cotangents_of(fragments: Fragments) -> tuple[list[Tensor], list[Tensor]]:
    """The differentiable outputs and random cotangents for them."""
    outputs = [fragments.barycentrics, fragments.depth]
    outputs += [] if fragments.alpha is None else [fragments.alpha]
    generator = torch.Generator().manual_seed(0)
    return outputs, [torch.randn(o.shape, generator=generator).to(o) for o in outputs]


def measure(work: Work, repeats: int, seed: int) -> Figures:
    use_threads(work.threads)
    if work.subdivisions is None:
        vertices, faces = hands(work.batch, work.size, np.random.default_rng(seed))
    else:
        vertices, faces = spheres(work.batch, work.size, work.subdivisions)
    vertices, topology = vertices.to(work.device), MeshTopology(faces.to(work.device))
    settings = RasterSettings(silhouette=work.silhouette)
    size = (work.size, work.size)

    def wait() -> None:
        if work.device != "cpu":
            torch.cuda.synchronize()

    def forward() -> Fragments:
        fragments = rasterize(vertices.requires_grad_(), topology, size, settings=settings)
        wait()
        return fragments

    _, cotangents = cotangents_of(forward())

    def both() -> None:
        fragments = forward()
        outputs = [fragments.barycentrics, fragments.depth, fragments.alpha]
        torch.autograd.grad(outputs[: len(cotangents)], vertices, cotangents)
        wait()

    times = [median_seconds(run, repeats) for run in (forward, both)]
    once, twice = ((1e3 * t.wall / work.batch, 1e3 * t.cpu / work.batch) for t in times)
    pairs = count_pairs(vertices.detach(), topology, work.size, settings)
    return Figures(
        work=work,
        faces=len(faces),
        forward=once,
        both=twice,
        peak_mb=peak_megabytes(both, work),
        pairs=pairs,
        pair_ns=1e6 * twice[work.device == "cpu"] / pairs,
    )


def peak_megabytes(run: Callable[[], None], work: Work) -> float | None:
    """Highest memory an image while `run` runs, above that before; None where Linux is not."""
    if work.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 1e6 / work.batch
    if not sys.platform.startswith("linux"):
        return None
    # What was freed before must not be at hand, or it would be used without being seen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (proc(5))
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e3 / work.batch


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1])


def sweep(arguments: object, base: Work) -> Iterator[Work]:
    """The base, then each thing varied alone."""
    yield base
    for name in ("batch", "size", "subdivisions", "threads"):
        for value in getattr(arguments, f"{name}_values"):
            if value != getattr(base, name):
                yield replace(base, **{name: value})


def parity(count: int, size: int, seed: int) -> list[dict[str, float | str]]:
    """Numba against the reference on hands in random poses: largest differences."""
    vertices, faces = hands(count, size, np.random.default_rng(seed))
    topology = MeshTopology(faces)
    rows = []
    for silhouette in ("edge", "soft"):
        settings = RasterSettings(silhouette=silhouette)
        worst = dict.fromkeys(("barycentrics", "depth", "alpha", "gradient"), 0.0)
        other_faces = 0
        for image in track(vertices.split(1), description=f"{silhouette}, {count} poses"):
            results = []
            for backend in ("reference", "cpu"):
                points = image.clone().requires_grad_()
                fragments = rasterize(
                    points, topology, (size, size), settings=settings, backend=backend
                )
                outputs, cotangents = cotangents_of(fragments)
                gradient = torch.autograd.grad(outputs, points, cotangents)[0]
                results.append((fragments, outputs, gradient))
            (expected, *left), (found, *right) = results
            other_faces += int((expected.face_index != found.face_index).sum())
            for name, a, b in zip(worst, left[0], right[0], strict=False):
                worst[name] = max(worst[name], float((a - b).detach().abs().max()))
            relative = (left[1] - right[1]).abs().max() / left[1].abs().max()
            worst["gradient"] = max(worst["gradient"], float(relative))
        rows.append({"silhouette": silhouette, "poses": count, "other faces": other_faces, **worst})
    return rows


def show(figures: Sequence[Figures]) -> None:
    table = Table(title="rasteriser, per image")
    for heading in ("mesh", "faces", "batch", "size", "threads", "silhouette"):
        table.add_column(heading, justify="right")
    for heading in ("forward: ms", "CPU", "both: ms", "CPU", "peak MB", "pairs", "ns a pair"):
        table.add_column(heading, justify="right")
    for f in figures:
        w = f.work
        mesh = "hand" if w.subdivisions is None else "sphere"
        numbers = (f.faces, w.batch, w.size, w.threads)
        peak = "" if f.peak_mb is None else f"{f.peak_mb:.2f}"
        times = [f"{t:.3f}" for t in (*f.forward, *f.both)]
        pairs = (peak, f"{f.pairs:.0f}", f"{f.pair_ns:.1f}")
        table.add_row(mesh, *map(str, numbers), w.silhouette, *times, *pairs)
    Console(width=130).print(table)


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    for flag, name, values in (
        ("--batch-sizes", "batch", [1, 16, 64]),
        ("--image-sizes", "size", [64, 128, 256]),
        ("--sphere-subdivisions", "subdivisions", [2, 3, 4, 5]),
        ("--thread-counts", "threads", [1]),
    ):
        options.add_argument(flag, type=positive, nargs="*", default=values, dest=f"{name}_values")
    options.add_argument("--silhouettes", nargs="+", choices=SILHOUETTES, default=SILHOUETTES)
    options.add_argument("--repeats", type=int, default=5, help="runs whose median is reported")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--seed", type=int, default=0, help="of the hands' poses")
    options.add_argument(
        "--parity", type=int, metavar="N", help="instead compare with the reference on N poses"
    )
    arguments = options.parse_args()
    use_threads(arguments.threads)
    if arguments.parity:
        rows = parity(arguments.parity, 128, arguments.seed)
        for row in rows:
            print(row["silhouette"], end=": ")
            print(", ".join(f"{name} {value:.3g}" for name, value in list(row.items())[1:]))
        write_json(arguments.json, {"parity": rows})
        return
    figures = []
    for silhouette in arguments.silhouettes:
        device = choose_device(arguments.device).type
        base = Work(silhouette, threads=arguments.threads, device=device)
        for work in sweep(arguments, base):
            figures.append(measure(work, arguments.repeats, arguments.seed))
    show(figures)
    write_json(arguments.json, {"figures": figures})


if __name__ == "__main__":
    run_command(main)
