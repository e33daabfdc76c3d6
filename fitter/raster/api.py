"""The rasteriser's public face: what goes in, what comes out, and the rules every backend keeps.

The visible surface
    Pixel (row, column) is tested at its centre (column + 0.5, row + 0.5).
    A pixel belongs to a face when the three edge functions there have no differing signs, so both
    windings are rendered and the border is inside. An edge function is evaluated as
    ``(a - p) x (b - p)``, which changes its sign exactly when a and b change places: two faces
    that share an edge leave no gap along it, whatever the rounding. A pixel whose centre lies
    outside the face's bounding box, or at which all three are zero, is outside. A pixel that
    several faces contain goes to the nearest, and of equally near ones to the lowest face index, so
    no pixel is hit twice.
    A face is dropped whole when one of its vertices is nearer than `RasterSettings.near`, is not
    finite, or lies further than `MAX_POSITION` pixels from the origin, or when its area in the
    image is zero. There is no clipping: a mesh that crosses the near plane loses its crossing
    faces. Dropped faces take no part in a silhouette either, and their vertices get no gradient
    from them.
    Barycentrics and depth are perspective-correct: with screen-space weights b and depths z,
    ``1 / depth = sum_i b_i / z_i`` and ``barycentric_i = depth * b_i / z_i`` (Heckbert and
    Moreton, "Interpolation for polygon texture mapping and shading", 1991, rational linear
    interpolation). All arithmetic is float64 inside, in the same order in every backend, whatever
    the vertices' dtype.
    Barycentrics and depth are differentiable in the vertices of the pixel's face, x, y and z, at a
    fixed face index.

The silhouette `alpha`, differentiable in the vertices' x and y
    "soft" (Liu et al., "Soft Rasterizer", ICCV 2019, eqs. 1 and 5): ``1 - prod_j (1 - D_j)`` over
    ALL faces, ``D_j = sigmoid(s_j d_j^2 / sigma)``, d the distance from the pixel's centre to the
    face's border in normalised device coordinates, in which the image's shorter side measures 2,
    s = 1 inside the face (border included) and -1 outside. A face from outside which D_j is below
    `RasterSettings.cut` counts as 0 there. Of equally near sides of a face the first of (b, c),
    (c, a), (a, b) is differentiated. Where the product is below `SATURATED` it counts as 0, with no
    gradient.
    "edge": hard coverage with a soft band along the outline, for far less work. Let c be the
    nearest point to the pixel's centre p on any contour edge that counts there, and
    ``x = +|p - c|`` in pixels where the pixel shows a face, -|p - c| where it does not. Then with
    ``t = clamp((x / band + 1) / 2, 0, 1)``, ``alpha = t^2 (3 - 2 t)``; with no such edge nearer
    than `band` it is 1 or 0. An edge is a contour edge when exactly one of its faces is rendered,
    or when both are and lie on the same side of it in the image; a face's area here has the sign of
    ``(b - a) x (c - a)`` with a, b, c as they stand in the row of `MeshTopology.edges`. At a pixel
    that shows no face all contour edges count. At one that does, contours in front of other parts
    of the mesh must not: an edge counts only if the pixel that holds the point c + `LOOK_BEYOND` u
    shows no face or lies outside the image, with ``u = (c - p) / |c - p|``, or, where that is
    rounding because |p - c| <= `ON_EDGE`, with the edge's unit normal away from its first rendered
    face. Of equally near edges the lowest row of `MeshTopology.edges` is taken. The derivative
    moves c with the edge's two ends; where |p - c| <= `ON_EDGE` it is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.raster.topology import MeshTopology
from fitter.raster.types import Backend, Fragments, RasterSettings
from fitter.shapes import check_shapes


def rasterize(
    vertices_screen: Tensor,
    faces: Tensor | MeshTopology,
    image_size: tuple[int, int],
    *,
    settings: RasterSettings | None = None,
    backend: Backend | None = None,
) -> Fragments:
    """Render a batch of meshes: the nearest face at every pixel and the silhouette (rules above).

    Differentiable in `vertices_screen` through barycentrics, depth and alpha, once.

    Args:
        vertices_screen: (B, V, 3) float32 or float64: x and y in pixels, depth in metres.
        faces: (F, 3) integer vertex indices shared by the batch, or (B, F, 3) for another mesh in
            each image, of either winding; a row of -1 is no face. A `MeshTopology` of them is
            checked once and keeps the table of edges from call to call; a tensor is checked, and
            its edges are found if they are needed, in every call.
        image_size: (H, W) in pixels.
        settings: thresholds; None is `RasterSettings()`.
        backend: "cpu" is the Numba kernel, "gpu" the Triton kernel, "reference" their readable and
            slow twin in PyTorch, on any device. None takes the kernel of the tensors' device. "gpu"
            takes tensors on the CPU, too, where Triton's interpreter is switched on.

    Raises:
        ValueError: for a shape, dtype, device or index that does not fit, naming what was expected.

    Example:
        ```python
        import torch
        from fitter.raster import RasterSettings, rasterize

        # A triangle 1 m away on an image of 8 by 8 pixels; `fitter.raster` shows a hand.
        corners = torch.tensor([[[1.0, 1.0, 1.0], [7.0, 1.0, 1.0], [1.0, 7.0, 1.0]]])
        corners.requires_grad_()
        settings = RasterSettings(silhouette="edge")
        seen = rasterize(corners, torch.tensor([[0, 1, 2]]), (8, 8), settings=settings)
        assert seen.mask.sum() == 21 and seen.face_index[0, 2, 2] == 0
        seen.alpha.sum().backward()  # the covered area, in pixels
        assert corners.grad[0, 1, 0] > 0  # it grows as the second corner moves right
        ```
    """
    topology = faces if isinstance(faces, MeshTopology) else MeshTopology(faces)
    _check(vertices_screen, topology, image_size)
    if backend is None:
        backend = "cpu" if vertices_screen.device.type == "cpu" else "gpu"
    if backend == "cpu":
        if vertices_screen.device.type != "cpu":
            raise ValueError(f"backend 'cpu' takes CPU tensors, got {vertices_screen.device}")
        from fitter.raster.cpu.autograd import rasterize_cpu as implementation
    elif backend == "gpu":
        from fitter.raster.gpu.autograd import rasterize_gpu as implementation
    elif backend == "reference":
        from fitter.raster.reference import rasterize_reference as implementation
    else:
        raise ValueError(f"backend must be 'cpu', 'gpu' or 'reference', got {backend!r}")
    return implementation(vertices_screen, topology, image_size, settings or RasterSettings())


def _check(vertices_screen: Tensor, topology: MeshTopology, image_size: tuple[int, int]) -> None:
    check_shapes(vertices_screen=(vertices_screen, ("B", "V", 3)))
    if vertices_screen.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"vertices_screen must be float32 or float64, got {vertices_screen.dtype}")
    faces = topology.faces
    check_shapes(faces=(faces, (len(vertices_screen), "F", 3) if faces.ndim == 3 else ("F", 3)))
    if faces.is_floating_point() or faces.is_complex() or faces.dtype == torch.bool:
        raise ValueError(f"faces must be integers, got {faces.dtype}")
    if faces.device != vertices_screen.device:
        raise ValueError(
            f"vertices_screen and faces must be on one device, got {vertices_screen.device} and "
            f"{faces.device}"
        )
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(f"image_size must be (H, W), both at least 1, got {image_size}")
    lowest, highest = topology.index_range
    if lowest < 0 or highest >= vertices_screen.shape[1]:
        raise ValueError(
            f"faces must index the {vertices_screen.shape[1]} vertices, got indices from "
            f"{lowest} to {highest}"
        )
