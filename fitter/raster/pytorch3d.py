"""Our cameras and our rasteriser's outputs in PyTorch3D, for users who have it.

Nothing else in the project uses PyTorch3D; it is imported when a function here needs it.

Frames. Ours is x right, y down, z forward with column vectors, ``x_cam = R x + t``, and pixels from
the image's top left corner, pixel centres at 0.5. PyTorch3D's camera is x LEFT, y UP, z forward
with row vectors, ``X_cam = X R' + T``, so ``R' = R^T diag(-1, -1, 1)`` and
``T = diag(-1, -1, 1) t``. Its screen space is our pixels. Its normalised device coordinates (NDC)
are x left, y up from the image's centre, with the shorter side from -1 to 1:
``x_ndc = (W / 2 - u) / h``, ``y_ndc = (H / 2 - v) / h``, h = min(H, W) / 2.

The 4x4 K
    PyTorch3D takes a calibration matrix K of shape (N, 4, 4) where the field has 3x3 matrices. A
    3x3 K does not become one by a row and a column of the identity. PyTorch3D multiplies
    (X, Y, Z, 1) by the matrix and divides by the FOURTH component of the product, so the fourth row
    must bring the depth there; the third row brings 1, so that the third result is 1 / Z, which is
    what its unprojection expects::

        [ fx   s  px   0 ]        divided by Z:  (fx X + s Y) / Z + px
        [  0  fy  py   0 ]                       fy Y / Z + py
        [  0   0   0   1 ]                       1 / Z
        [  0   0   1   0 ]

    With the identity's row (0, 0, 0, 1) instead nothing is ever divided by Z: an orthographic
    camera, without an error.
    - Screen space (``in_ndc=False``, which needs ``image_size=((H, W),)``): fx, s, fy in pixels and
      px, py = cx, cy, all as they stand in the 3x3 K. Although X and Y point left and up there,
      no sign changes: PyTorch3D itself moves the result by -2 (px, py) and so arrives at minus the
      image position, before it scales to NDC.
    - NDC (``in_ndc=True``): fx / h, s / h, fy / h, and px = (W / 2 - cx) / h,
      py = (H / 2 - cy) / h: the principal point points left and up, too.
    `intrinsics_4x4` makes both. The skew s has no other way in: focal_length and principal_point
    have no place for it.

Differences from our rasteriser's rules that remain: arithmetic is float32; a pixel centre exactly
on a face's border is outside; faces whose area is below 1e-8 in NDC are dropped; equally near faces
have no fixed order; the soft silhouette multiplies only the nearest `faces_per_pixel` faces. There
is no edge silhouette.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from fitter.raster.topology import MeshTopology
from fitter.raster.types import MAX_POSITION, SATURATED, Fragments, RasterSettings

if TYPE_CHECKING:
    from pytorch3d.renderer import PerspectiveCameras
    from pytorch3d.structures import Meshes


def intrinsics_4x4(K: Tensor, image_size: tuple[int, int], in_ndc: bool = False) -> Tensor:
    """The calibration matrix that PyTorch3D's perspective cameras take (module docstring).

    Args:
        K: (B, 3, 3) ``[[fx, s, cx], [0, fy, cy], [0, 0, 1]]`` in pixels.
        image_size: (H, W) in pixels.
        in_ndc: for a camera with ``in_ndc=True``, else for one in screen space.

    Returns:
        (B, 4, 4), dtype of K, differentiable in it.
    """
    height, width = image_size
    linear, centre = K[:, :2, :2], K[:, :2, 2:]
    if in_ndc:
        half = min(height, width) / 2
        middle = K.new_tensor([[width / 2], [height / 2]])
        linear, centre = linear / half, (middle - centre) / half
    top = torch.cat([linear, centre, torch.zeros_like(centre)], dim=2)
    bottom = K.new_tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    return torch.cat([top, bottom.expand(len(K), 2, 4)], dim=1)


def cameras_from_intrinsics(
    K: Tensor, R: Tensor, t: Tensor, image_size: tuple[int, int]
) -> PerspectiveCameras:
    """PyTorch3D cameras that project as ``u = K (R x + t)`` does in our frames.

    They are in screen space (``in_ndc=False``) and hold both the 4x4 K, which decides, and focal
    length and principal point for code that reads those. PyTorch3D's transforms are float32, so
    everything is cast; gradients flow to K, R and t.

    Args:
        K: (B, 3, 3) pixels, last row (0, 0, 1).
        R: (B, 3, 3) rotation to camera axes x right, y down, z forward.
        t: (B, 3) metres.
        image_size: (H, W) in pixels, the same for all.

    Raises:
        ImportError: PyTorch3D is not installed.
    """
    from pytorch3d.renderer import PerspectiveCameras

    K, R, t = K.float(), R.float(), t.float()
    flip = K.new_tensor([-1.0, -1.0, 1.0])
    return PerspectiveCameras(
        focal_length=torch.stack([K[:, 0, 0], K[:, 1, 1]], dim=1),
        principal_point=K[:, :2, 2],
        K=intrinsics_4x4(K, image_size),
        R=R.transpose(1, 2) * flip,
        T=t * flip,
        in_ndc=False,
        image_size=torch.tensor([image_size], device=K.device).expand(len(K), 2),
        device=K.device,
    )


def rasterize_pytorch3d(
    vertices_screen: Tensor,
    topology: MeshTopology,
    image_size: tuple[int, int],
    settings: RasterSettings | None = None,
    faces_per_pixel: int = 50,
) -> Fragments:
    """`fitter.raster.rasterize` through PyTorch3D's rasteriser; differences: module docstring.

    Args:
        vertices_screen: (B, V, 3) x and y in pixels, depth in metres, on any device.
        topology: faces (F, 3) or (B, F, 3), rows of -1 are no face.
        image_size: (H, W) in pixels.
        settings: thresholds; None is `RasterSettings()`. `band` is not used.
        faces_per_pixel: how many of the nearest faces the soft silhouette multiplies.

    Raises:
        ImportError: PyTorch3D is not installed.
        ValueError: the edge silhouette is asked for.
    """
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes

    settings = settings or RasterSettings()
    if settings.silhouette == "edge":
        raise ValueError("PyTorch3D has no edge silhouette; silhouette must be none or soft")
    dtype, size = vertices_screen.dtype, (len(vertices_screen), *image_size)
    meshes, rows = _meshes(vertices_screen.float(), topology.faces, image_size, settings.near)
    if len(rows) == 0:
        face_index = torch.full(size, -1, dtype=torch.int32, device=vertices_screen.device)
        depth = vertices_screen.new_zeros(size)
        alpha = depth.clone() if settings.silhouette == "soft" else None
        return Fragments(face_index, vertices_screen.new_zeros((*size, 3)), depth, alpha)

    packed, depth, barycentrics, _ = rasterize_meshes(
        meshes, image_size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=True
    )
    seen = packed[..., 0] >= 0
    face_index = torch.where(seen, rows[packed[..., 0].clamp(min=0)], -1).int()
    barycentrics = torch.where(seen[..., None], barycentrics[..., 0, :], 0.0).to(dtype)
    depth = torch.where(seen, depth[..., 0], 0.0).to(dtype)
    if settings.silhouette == "none":
        return Fragments(face_index, barycentrics, depth)

    alpha = _soft_alpha(meshes, image_size, settings, faces_per_pixel)
    return Fragments(face_index, barycentrics, depth, alpha.to(dtype))


def _soft_alpha(
    meshes: Meshes, image_size: tuple[int, int], settings: RasterSettings, faces_per_pixel: int
) -> Tensor:
    """(B, H, W) float32: the soft silhouette of meshes in NDC."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes

    # Outside, D >= cut is the same as a squared distance of at most this; distances are squared
    # there, in NDC, and negative inside.
    reach = settings.sigma * math.log(1.0 / settings.cut - 1.0)
    packed, _, _, squared = rasterize_meshes(
        meshes,
        image_size,
        blur_radius=reach,
        faces_per_pixel=faces_per_pixel,
        perspective_correct=True,
        # Without it a face's depth is extrapolated to pixels outside, to behind the camera even.
        clip_barycentric_coords=True,
    )
    counts = packed >= 0
    # log(1 - D) with D = sigmoid(-squared / sigma)
    terms = logsigmoid(torch.where(counts, squared, 1.0) / settings.sigma)
    product = torch.where(counts, terms, 0.0).sum(dim=-1).exp()
    return 1.0 - torch.where(product < SATURATED, 0.0, product)


def _meshes(
    vertices: Tensor, faces: Tensor, image_size: tuple[int, int], near: float
) -> tuple[Meshes, Tensor]:
    """The renderable faces in NDC, and the row of `faces` that each of the packed ones had."""
    from pytorch3d.structures import Meshes

    height, width = image_size
    half = min(height, width) / 2
    x, y, z = vertices.unbind(dim=-1)
    points = torch.stack([(width / 2 - x) / half, (height / 2 - y) / half, z], dim=-1)
    usable = (z >= near) & torch.isfinite(z)
    usable = usable & (x.abs() <= MAX_POSITION) & (y.abs() <= MAX_POSITION)
    faces = faces.long().expand(len(vertices), -1, 3)
    # What no face may use must be harmless: 0 times infinity would reach the gradient.
    points = torch.where(usable[..., None], points, 0.0)
    kept_faces, kept_rows = [], []
    for image, table in enumerate(faces):
        known = (table >= 0).all(dim=-1)
        renderable = known.clone()
        renderable[known] = usable[image][table[known]].all(dim=-1)
        kept_faces.append(table[renderable])
        kept_rows.append(torch.nonzero(renderable)[:, 0])
    rows = torch.cat(kept_rows) if kept_rows else faces.new_zeros(0)
    return Meshes(verts=list(points), faces=kept_faces), rows
