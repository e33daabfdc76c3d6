"""The differentiable rasteriser: its backends agree, and its derivatives are derivatives."""

import math

import pytest
import torch

from fitter.raster import MeshTopology, RasterSettings, rasterize, stack_meshes
from fitter.rendering.shading import interpolate
from tests.support.raster_cases import (
    Case,
    assert_parity,
    ball,
    degenerate_cases,
    draw,
    random_gradient,
    ring,
)

SILHOUETTES = ("edge", "soft")
CASES = degenerate_cases()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("silhouette", SILHOUETTES)
@pytest.mark.parametrize("seed", range(3))
def test_kernel_and_reference_agree_on_posed_meshes(seed, silhouette, dtype):
    # A sigma that reaches several pixels in so small an image.
    settings = {"dtype": dtype, "silhouette": silhouette, "sigma": 1e-3}
    case = ring(seed, (20, 20))
    assert len(case.faces) == 200
    results = [draw(case, backend, **settings) for backend in ("reference", "cpu")]
    assert_parity(*results)
    assert random_gradient(*results[0][1:]).abs().max() > 1


@pytest.mark.parametrize("silhouette", SILHOUETTES)
@pytest.mark.parametrize("name", CASES)
def test_kernel_and_reference_agree_on_degenerate_cases(name, silhouette):
    for sigma in (1e-4, 3e-3):
        settings = {"silhouette": silhouette, "sigma": sigma, "band": 1.5}
        results = [draw(CASES[name], backend, **settings) for backend in ("reference", "cpu")]
        assert_parity(*results)


def test_degenerate_cases_are_what_their_names_say():
    shown = {name: draw(case)[0].mask.sum().item() for name, case in CASES.items()}
    empty = {"behind the camera", "nothing in view", "just out of view", "no faces"}
    assert {name for name, count in shown.items() if count == 0} == empty | {"smaller than a pixel"}
    assert shown["larger than the picture"] == 32 * 32
    whole = draw(ring(3))[0].mask.sum().item()
    assert 0 < shown["crossing the near plane"] != whole
    reaches_in = draw(CASES["just out of view"], silhouette="edge")[0].alpha.max()
    assert 0 < reaches_in < 0.5


@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_each_mesh_of_a_batch_is_drawn_as_alone(silhouette):
    alone = [ring(1), ball(2), ring(4)]
    vertices, topology = stack_meshes([c.vertices[0] for c in alone], [c.faces for c in alone])
    together = draw(Case(vertices, topology.faces), silhouette=silhouette)
    one_edge_table = torch.nn.utils.rnn.pad_sequence(
        [MeshTopology(c.faces).edges for c in alone], batch_first=True, padding_value=-1
    )
    assert torch.equal(topology.edges, one_edge_table)
    (gradient,) = torch.autograd.grad([o.square().sum() for o in together[2]], together[1])
    for index, case in enumerate(alone):
        fragments, points, outputs = draw(case, silhouette=silhouette)
        for name, value in vars(fragments).items():
            if value is not None:
                assert torch.equal(vars(together[0])[name][index], value[0]), name
        (expected,) = torch.autograd.grad([o.square().sum() for o in outputs], points)
        count = points.shape[1]
        assert torch.equal(gradient[index, :count], expected[0])
        assert (gradient[index, count:] == 0).all()


@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_result_does_not_depend_on_threads(silhouette):
    case = Case(torch.cat([ring(seed).vertices for seed in range(5)]), ring(0).faces)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            _, vertices, outputs = draw(case, silhouette=silhouette)
            results.append((*outputs, random_gradient(vertices, outputs)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_gradient_is_that_of_finite_differences(silhouette, backend):
    # Two overlapping triangles and one behind that they cut off; no pixel is near a jump.
    generator = torch.Generator().manual_seed(5)
    vertices = torch.rand((2, 7, 3), generator=generator, dtype=torch.float64)
    vertices = vertices * torch.tensor([9.0, 8.0, 1.0]) + torch.tensor([-0.5, -0.5, 0.5])
    faces = torch.tensor([[0, 1, 2], [2, 3, 1], [4, 5, 6]])
    attributes = torch.rand((2, 7, 2), generator=generator, dtype=torch.float64)
    topology = MeshTopology(faces)
    settings = RasterSettings(silhouette=silhouette, sigma=2e-2, band=1.3)

    def outputs(vertices, attributes):
        fragments = rasterize(vertices, topology, (7, 8), settings=settings, backend=backend)
        assert fragments.mask.any() and not fragments.mask.all()
        seen = interpolate(fragments, faces, attributes)
        return fragments.alpha, fragments.depth, fragments.barycentrics, seen

    inputs = (vertices.requires_grad_(), attributes.requires_grad_())
    assert torch.autograd.gradcheck(outputs, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


def square(left: float, right: float, top: float, bottom: float, dtype=torch.float64):
    points = [[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]
    return torch.tensor([points], dtype=dtype), torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_sum_of_alpha_follows_the_area(silhouette):
    settings = RasterSettings(silhouette=silhouette, sigma=2e-3)
    height, slopes, sums = 13.4, [], []
    steps = torch.arange(17) / 16
    for step in steps.tolist():
        vertices, faces = square(7.2, 20.3 + step, 8.1, 8.1 + height)
        vertices.requires_grad_()
        alpha = rasterize(vertices, faces, (32, 32), settings=settings).alpha
        (gradient,) = torch.autograd.grad(alpha.sum(), vertices)
        slopes.append(gradient[0, [1, 2], 0].sum().item())
        sums.append(alpha.sum().item())
    # The right side moved by one pixel, and on the way the gradient said so.
    assert sums[-1] - sums[0] == pytest.approx(height, rel=0.03)
    assert sum(slopes[:-1]) / 16 == pytest.approx(height, rel=0.04)
    assert sums[0] == pytest.approx((20.3 - 7.2) * height, rel=0.03)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_soft_alpha_of_one_triangle_is_the_published_formula(backend):
    # Soft Rasterizer, equations 1 and 5: a plain loop over pixels and sides.
    case, (height, width), sigma, cut = ring(0), (20, 28), 4e-3, 1e-3
    triangle = [(5.3, 3.2), (21.9, 8.8), (9.1, 16.4)]
    vertices = torch.tensor([[[*p, 1.0] for p in triangle]], dtype=case.vertices.dtype)
    settings = RasterSettings(silhouette="soft", sigma=sigma, cut=cut)
    found = rasterize(
        vertices, torch.tensor([[0, 1, 2]]), (height, width), settings=settings, backend=backend
    ).alpha[0]
    cut_off = 0
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            distances, signs = [], []
            for (ax, ay), (bx, by) in zip(triangle, triangle[1:] + triangle[:1], strict=True):
                along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / math.dist(
                    (ax, ay), (bx, by)
                ) ** 2
                along = min(max(along, 0), 1)
                distances.append(
                    math.dist((x, y), (ax + along * (bx - ax), ay + along * (by - ay)))
                )
                signs.append((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0)
            d = min(distances) * 2 / height  # the shorter side measures 2
            sign = 1 if all(signs) or not any(signs) else -1
            expected = 1 / (1 + math.exp(-sign * d**2 / sigma))
            if expected < cut:
                expected, cut_off = 0, cut_off + 1
            assert found[row, column].item() == pytest.approx(expected, abs=1e-8)
    assert 0 < cut_off < height * width


def test_edge_alpha_is_a_smooth_step_across_the_outline():
    band = 2.0
    vertices, faces = square(8.3, 24.0, -50.0, 80.0)
    settings = RasterSettings(silhouette="edge", band=band)
    alpha = rasterize(vertices, faces, (16, 32), settings=settings).alpha[0]
    inside = torch.arange(16) + 0.5 - 8.3
    t = ((inside / band + 1) / 2).clamp(0, 1).double()
    torch.testing.assert_close(alpha[7, :16], t**2 * (3 - 2 * t))
    assert (alpha == alpha[:1]).all()


@pytest.mark.parametrize("in_front", [True, False])
def test_outlines_within_the_mesh_make_no_edge(in_front):
    # A small square before (or behind) a large one: only the large one's outline is seen.
    large, faces = square(5.2, 27.4, 4.1, 26.7)
    small, _ = square(12.3, 18.1, 11.2, 19.9)
    small[..., 2] = 0.5 if in_front else 2.0
    both = torch.cat([large, small], dim=1)
    settings = RasterSettings(silhouette="edge")
    alone = rasterize(large, faces, (32, 32), settings=settings)
    together = rasterize(both, torch.cat([faces, faces + 4]), (32, 32), settings=settings)
    assert torch.equal(alone.alpha, together.alpha)
    assert ((alone.alpha > 0) & (alone.alpha < 1)).sum() > 50


def test_an_outline_through_pixel_centres_is_half_covered():
    vertices, faces = square(4.5, 20.5, 4.5, 20.5)
    alpha = rasterize(vertices, faces, (32, 32), settings=RasterSettings(silhouette="edge")).alpha
    assert (alpha[0, 5:20, [4, 20]] == 0.5).all() and (alpha[0, [4, 20], 5:20] == 0.5).all()
    assert (alpha[0, 6:19, 6:19] == 1).all()


@pytest.mark.parametrize("other_winding", [False, True])
@pytest.mark.parametrize("backend", ["reference", "cpu", "gpu"])
def test_pixels_on_a_contour_edge_are_half_covered_and_have_no_derivative(backend, other_winding):
    # The middle pixel's centre lies on a slanted side, to rounding: which way from the pixel to
    # the side is then noise, and so is whether the pixel shows the face.
    count, size, device = 40, 17, torch.device("cpu")
    if backend == "gpu":
        pytest.importorskip("triton")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cpu":  # the interpreter takes its time for every tile
            count, size = 16, 7
    half, middle = count // 2, size // 2
    generator = torch.Generator().manual_seed(0)
    angle, before, after = torch.rand((3, count), generator=generator, dtype=torch.float64)
    along = torch.stack([(7 * angle).cos(), (7 * angle).sin()], dim=-1)
    inward = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
    ends = (-(3 + 2 * before)[:, None] * along, (3 + 2 * after)[:, None] * along)
    vertices = torch.ones((count, 7, 3), dtype=torch.float64)
    vertices[:, :3, :2] = size / 17 * torch.stack([*ends, 7 * inward], dim=1) + size / 2
    # In the second half of the batch a larger face lies behind: that side is no outline there.
    large = torch.tensor([[-40.0, -40, 2], [90, -40, 2], [-40, 90, 2], [0, 0, -1]]).double()
    vertices[:, 3:] = large
    front = [2, 1, 0] if other_winding else [0, 1, 2]
    faces = torch.tensor([[front, [-1, -1, -1]]] * half + [[front, [3, 4, 5]]] * half)
    vertices = vertices.to(device).requires_grad_()
    settings = RasterSettings(silhouette="edge", band=2.0)
    found = rasterize(vertices, faces.to(device), (size, size), settings=settings, backend=backend)
    alpha = found.alpha[:, middle, middle]
    halves = torch.full((half,), 0.5).double()
    torch.testing.assert_close(alpha[:half].cpu(), halves, rtol=0, atol=1e-9)
    assert (found.contour_edge[:half, middle, middle] >= 0).all()
    assert 0 < found.mask[:half, middle, middle].sum() < half
    assert (alpha[half:] == 1).all() and (found.contour_edge[half:] == -1).all()
    (gradient,) = torch.autograd.grad(alpha.sum(), vertices, retain_graph=True)
    assert (gradient == 0).all()
    (gradient,) = torch.autograd.grad(found.alpha.sum(), vertices)
    assert (gradient[:half].abs().amax(dim=(1, 2)) > 0.5).all() and gradient.isfinite().all()


@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_a_disc_descends_onto_a_mask(silhouette):
    size = 48
    angle = torch.linspace(0, 2 * math.pi, 25)[:-1]
    rim = torch.stack([angle.cos(), angle.sin()], dim=-1)
    faces = torch.tensor([[24, k, (k + 1) % 24] for k in range(24)])
    topology = MeshTopology(faces)
    rows, columns = torch.meshgrid(*[torch.arange(size) + 0.5] * 2, indexing="ij")
    target = ((columns - 29) ** 2 + (rows - 21) ** 2 < 11.5**2).float()
    state = torch.tensor([17.0, 30.0, 7.0], requires_grad=True)  # centre and radius
    optimiser = torch.optim.Adam([state], lr=0.6)
    for step in range(120):
        # A wide border finds the mask; a narrow one is not widened by the many faces along it.
        wide = step < 60
        settings = RasterSettings(
            silhouette=silhouette, sigma=1e-3 if wide else 1e-4, band=3.0 if wide else 1.0
        )
        points = torch.cat([state[:2] + state[2] * rim, state[None, :2]])
        vertices = torch.cat([points, torch.ones(25, 1)], dim=1)[None]
        fragments = rasterize(vertices, topology, (size, size), settings=settings)
        if step == 0:
            assert iou(fragments.mask[0], target > 0) < 0.1
        optimiser.zero_grad()
        (fragments.alpha[0] - target).square().sum().backward()
        optimiser.step()
    assert iou(fragments.mask[0], target > 0) > 0.95
    torch.testing.assert_close(state.detach(), torch.tensor([29.0, 21, 11.5]), atol=0.3, rtol=0)


def iou(a, b) -> float:
    return ((a & b).sum() / (a | b).sum()).item()


def test_what_is_not_asked_for_is_not_there():
    fragments = draw(ball(0))[0]
    assert fragments.alpha is None and fragments.contour_edge is None
    assert draw(ball(0), silhouette="soft")[0].contour_edge is None
    with torch.no_grad():
        assert not draw(ball(0), silhouette="soft")[0].alpha.requires_grad


@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_each_output_can_be_differentiated_alone(silhouette):
    # The sum of the parts is the whole: cotangents that are missing count as zero.
    _, vertices, outputs = draw(ring(2), silhouette=silhouette)
    whole = torch.autograd.grad([o.sum() for o in outputs], vertices, retain_graph=True)[0]
    parts = [torch.autograd.grad(o.sum(), vertices, retain_graph=True)[0] for o in outputs]
    torch.testing.assert_close(sum(parts), whole)
    assert (parts[2][..., 2] == 0).all()  # the silhouette does not know depth
