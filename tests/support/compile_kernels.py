"""Compile every kernel of the GPU rasteriser for the architecture given, with no GPU at hand.

Run by test_raster_gpu in a process of its own, because there Triton must not interpret. Every
launch that a forward and a backward pass make is turned into a compilation down to machine code,
with the very arguments of the launch; prints one JSON object, kernel by kernel, of what was found.
"""

import json
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from fitter.raster import RasterSettings
from fitter.raster.gpu import autograd as gpu
from fitter.raster.topology import MeshTopology

ARCHITECTURE = int(sys.argv[1])


class NoDevice:
    """What Triton asks of a driver before it compiles."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", ARCHITECTURE, 32)


found: dict[str, dict] = {}
launch = triton.JITFunction.run


def compile_only(self, *arguments, grid, warmup, **options):
    kernel = launch(self, *arguments, grid=grid, warmup=True, **options)
    ptx = kernel.asm["ptx"]
    soft = options.get("SOFT", False)
    entry = found.setdefault(self.__name__, {"variants": 0, "cubin": 0, "fused": 0, "target": ""})
    entry["variants"] += 1
    entry["cubin"] = max(entry["cubin"], len(kernel.asm["cubin"]))
    # The exponential function's own code is made of fused operations.
    entry["fused"] += 0 if soft else ptx.count("fma.rn.f64")
    entry["target"] = next(line for line in ptx.splitlines() if line.startswith(".target"))


def draw_both_ways(faces, vertices, image_size, silhouette):
    vertices = vertices.requires_grad_()
    settings = RasterSettings(silhouette=silhouette)
    fragments = gpu.rasterize_gpu(vertices, MeshTopology(faces), image_size, settings)
    outputs = (fragments.barycentrics, fragments.depth, fragments.alpha)
    sum(output.sum() for output in outputs if output is not None).backward()


if __name__ == "__main__":
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    refused = ""
    try:
        draw_both_ways(faces, torch.rand(1, 4, 3), (16, 16), "none")
    except ValueError as error:
        refused = str(error)
    driver.set_active(NoDevice())
    triton.JITFunction.run = compile_only
    gpu._check_device = lambda vertices: None
    for silhouette in ("none", "soft", "edge"):
        draw_both_ways(faces, torch.rand(2, 4, 3), (16, 24), silhouette)
    # Triton makes constants of arguments that are 1, which some expressions do not survive. That
    # happens before there is an architecture, so one of them will do.
    for silhouette in ("soft", "edge") if "--ones" in sys.argv else ():
        vertices = torch.rand(1, 3, 3, dtype=torch.float64)
        draw_both_ways(faces[:1].int(), vertices, (1, 1), silhouette)
    print(json.dumps({"refused": refused, "kernels": found}))
