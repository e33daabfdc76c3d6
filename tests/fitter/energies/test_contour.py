"""The outline's energy for the least-squares solver against the plain one by autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch import Tensor

from fitter.camera import project
from fitter.energies.contour import RowLimits, contour_l2, contour_l2_by_rows
from fitter.energies.residuals import Quadratic
from fitter.energies.scene import SceneView
from fitter.energies.silhouette import squared_l2
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.tangent import GLOBAL, TRANSL, TangentLayout, retract
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.raster import Fragments, MeshTopology, RasterSettings, rasterize
from fitter.records import HandParams
from tests.support.jointed_hands import jointed_hand
from tests.support.mano_files import fabricate, write_plain

SIDE, BAND = 40, 2.0
SETTINGS = RasterSettings(silhouette="edge", band=BAND)


@dataclass(frozen=True)
class Case:
    """A model with a batch of hands in front of the camera, and what is known of their outlines."""

    model: HandModel
    topology: MeshTopology
    params: HandParams
    view: SceneView

    def drawn(self, params: HandParams) -> tuple[Tensor, Fragments]:
        vertices = self.model(params).vertices
        positions = project(vertices, self.view.intrinsics)
        screen = torch.cat([positions, vertices[..., 2:]], -1)
        return screen, rasterize(screen, self.topology, (SIDE, SIDE), settings=SETTINGS)

    def energy(
        self, energy: Callable[..., Quadratic] = contour_l2, band: float = BAND
    ) -> Quadratic:
        side = self.view.mask.shape[-1]
        settings = RasterSettings(silhouette="edge", band=band)
        surface = SurfaceKinematics.of(self.model)(self.params)
        positions = project(surface.vertices, self.view.intrinsics)
        screen = torch.cat([positions, surface.vertices[..., 2:]], -1)
        fragments = rasterize(screen, self.topology, (side, side), settings=settings)
        return energy(surface, screen, (fragments, self.topology, band), self.view)

    def still(self) -> Tensor:
        return torch.zeros(len(self.params.transl), TangentLayout.of(self.params).size).double()

    def by_autograd(self) -> tuple[Tensor, Tensor]:
        """Value (B,) and gradient (B, D) of the same energy."""
        step = self.still().requires_grad_()
        fragments = self.drawn(retract(self.params, step))[1]
        value = squared_l2(fragments.alpha, self.view.mask, self.view.mask_weight) / SIDE**2
        return value.detach(), torch.autograd.grad(value.sum(), step)[0]

    def hand(self, index: int) -> Case:
        rows = slice(index, index + 1)
        return replace(self, params=self.params[rows], view=self.view[rows])


def outlines(mask: Tensor, weight: Tensor, intrinsics: Tensor) -> SceneView:
    """What is known of outlines (B, S, S) alone: without an image or keypoints."""
    batch, side = mask.shape[:2]
    return SceneView(
        image=mask.new_zeros(batch, side, side, 3),
        mask=mask,
        mask_weight=weight,
        image_weight=torch.ones_like(mask),
        intrinsics=intrinsics,
        keypoints=mask.new_zeros(batch, 21, 2),
        confidence=mask.new_zeros(batch, 21),
        focal_unknown=mask.new_zeros(batch),
    )


def case_of(model: HandModel, batch: int = 2) -> Case:
    """Bent hands 0.4 m away that fill most of the picture, with random masks and weights."""
    generator = torch.Generator().manual_seed(7)

    def noise(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    turn = noise(3)
    shapes = model.shapedirs.shape[-1]
    bend = 0.2 * noise(model.skeleton.rotations, 3)
    params = HandParams(turn, bend, 0.7 * noise(shapes), 0.0 * noise(3))
    middle = model(params).vertices.mean(1)
    place = torch.tensor([0.0, 0.0, 0.4]).double() + 0.01 * noise(3)
    params = replace(params, transl=place - middle)
    focal = torch.tensor([[70.0, 1.5, 20.0], [0.0, 66.0, 19.0], [0.0, 0.0, 1.0]]).double()
    view = outlines(
        mask=torch.rand(batch, SIDE, SIDE, generator=generator).double(),
        weight=3 * torch.rand(batch, SIDE, SIDE, generator=generator).double(),
        intrinsics=focal.repeat(batch, 1, 1),
    )
    return Case(model, MeshTopology(model.faces), params, view)


@pytest.fixture(scope="module", params=["open_hand", "mano", "nimble"])
def case(request, tmp_path_factory) -> Case:
    if request.param == "open_hand":
        return case_of(load_hand_model("open_hand", dtype=torch.float64))
    if request.param == "nimble":
        return case_of(jointed_hand())
    path = write_plain(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl", fabricate())
    model = load_hand_model(str(path), dtype=torch.float64)
    assert model.posedirs is not None
    return case_of(model)


def test_value_and_gradient_are_those_of_the_drawn_silhouette(case: Case) -> None:
    energy = case.energy()
    value, gradient = case.by_autograd()
    torch.testing.assert_close(energy.value, value, rtol=1e-9, atol=0)
    scale = float(gradient.abs().max())
    torch.testing.assert_close(energy.gradient, gradient, rtol=0, atol=1e-7 * scale)
    # Every part of the tangent vector moves the outline.
    layout = TangentLayout.of(case.params)
    for part in (GLOBAL, TRANSL, layout.betas, layout.pose):
        assert gradient[:, part].abs().amax() > 1e-3 * scale


def test_the_hessian_is_that_of_the_pixels(case: Case) -> None:
    """Gauss-Newton's: 2 sum of weight times the outer product of each pixel's derivatives."""
    case = case.hand(1)
    step = case.still().requires_grad_()
    alpha = case.drawn(retract(case.params, step))[1].alpha.flatten()
    moving = ((alpha > 0) & (alpha < 1)).nonzero().flatten()
    assert 50 < len(moving) < SIDE**2 / 2
    # A backward pass for each of a few pixels; the others weigh nothing.
    moving = moving[:: len(moving) // 25]
    some = torch.zeros(SIDE**2, dtype=torch.bool).index_fill(0, moving, True)
    weight = case.view.mask_weight * some.view(1, SIDE, SIDE)
    case = replace(case, view=replace(case.view, mask_weight=weight))
    rows = torch.stack([torch.autograd.grad(alpha[i], step, retain_graph=True)[0] for i in moving])
    jacobian = rows[:, 0]
    weight = case.view.mask_weight.flatten()[moving] / SIDE**2
    expected = 2 * jacobian.T @ (weight[:, None] * jacobian)
    hessian = case.energy().hessian[0]
    torch.testing.assert_close(hessian, expected, rtol=0, atol=1e-7 * float(expected.abs().max()))
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert eigenvalues.min() > -1e-12 * eigenvalues.max()


def test_the_kernels_give_what_a_row_for_each_pixel_gives(case: Case) -> None:
    for one, other in zip(case.energy(), case.energy(contour_l2_by_rows), strict=True):
        scale = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9 * scale)


@pytest.fixture(scope="module")
def large() -> Case:
    """Six hands that fill pictures of 128 x 128 pixels, the first of them flat and spread."""
    case = case_of(load_hand_model("open_hand", dtype=torch.float64), batch=6)
    pose = case.params.hand_pose.index_fill(0, torch.tensor([0]), 0)
    turn = case.params.global_orient.index_fill(0, torch.tensor([0]), 0)
    case = replace(case, params=replace(case.params, hand_pose=pose, global_orient=turn))
    view, factor = case.view, 128 / SIDE
    view = outlines(
        *(
            part.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :128, :128]
            for part in (view.mask, view.mask_weight)
        ),
        view.intrinsics * torch.tensor([[factor], [factor], [1.0]]).double(),
    )
    return replace(case, view=view)


@pytest.mark.parametrize("band", [6.0, 3.0, 1.5])
@pytest.mark.parametrize("at_once", [1, 20_000, 2**16])
def test_a_fixed_number_of_rows_holds_every_pixel_of_the_band(
    large: Case, band: float, at_once: int
) -> None:
    """What runs on a GPU, where no number of pixels is known beforehand, all hands at once or a few
    at a time."""
    limits = replace(RowLimits.of_band(128, band), at_once=at_once)
    exact = large.energy(band=band)
    by_rows = large.energy(partial(contour_l2_by_rows, limits=limits), band)
    for one, other in zip(by_rows, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9 * float(other.abs().max()))


def test_rows_that_are_too_few_are_missed(large: Case) -> None:
    """So that the test above can tell."""
    limits = RowLimits(places=128)
    few, exact = large.energy(partial(contour_l2_by_rows, limits=limits)), large.energy()
    torch.testing.assert_close(few.value, exact.value, rtol=1e-9, atol=0)
    assert ((few.hessian - exact.hessian).norm(dim=(1, 2)) > 0.1 * exact.hessian.norm()).any()


@pytest.mark.parametrize("side, band", [(64, 1.5), (128, 6.0), (256, 3.0)])
def test_memory_for_rows_goes_with_the_area_of_the_band(side: int, band: float) -> None:
    limits = RowLimits.of_band(side, band)
    assert limits.places == 12 * side * band
    assert RowLimits.of_band(side, side).places == side**2


def test_a_batch_gives_what_batches_of_one_give(case: Case) -> None:
    together = case.energy()
    for hand in range(2):
        for many, one in zip(together, case.hand(hand).energy(), strict=True):
            torch.testing.assert_close(many[hand], one[0], rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def plain() -> Case:
    return case_of(load_hand_model("open_hand", dtype=torch.float64))


def check(energy: Quadratic, case: Case) -> None:
    """Finite, and what the plain energy says."""
    assert all(part.isfinite().all() for part in energy)
    value, gradient = case.by_autograd()
    torch.testing.assert_close(energy.value, value, rtol=1e-9, atol=0)
    scale = float(gradient.abs().max())
    torch.testing.assert_close(energy.gradient, gradient, rtol=0, atol=1e-7 * scale)


def test_pixels_of_no_weight_do_not_count(plain: Case) -> None:
    weight = plain.view.mask_weight.clone()
    weight[0], weight[1, :20] = 0, 0
    mask = plain.view.mask.clone()
    changed = mask.clone()
    changed[0], changed[1, :20] = 1 - mask[0], 5.0
    some, other = (
        replace(plain, view=replace(plain.view, mask_weight=weight, mask=m)).energy()
        for m in (mask, changed)
    )
    for one, two in zip(some, other, strict=True):
        assert torch.equal(one, two)
        assert one[0].eq(0).all() and one[1].abs().max() > 0


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_empty_and_full_masks(plain: Case, mask: float) -> None:
    view = replace(plain.view, mask=torch.full_like(plain.view.mask, mask))
    case = replace(plain, view=view)
    check(case.energy(), case)


def moved(case: Case, place: tuple[float, float, float]) -> Case:
    """Hand 0 elsewhere, hand 1 as it is."""
    transl = case.params.transl.clone()
    transl[0] += transl.new_tensor(place)
    return replace(case, params=replace(case.params, transl=transl))


@pytest.mark.parametrize(
    "place", [(5.0, 0.0, 0.0), (0.0, 0.0, -2.0), (0.0, 0.0, -0.4), (0.0, 0.0, 1e4)]
)
def test_hands_that_are_not_seen_or_cross_the_camera(plain: Case, place: tuple) -> None:
    """Beside the picture, behind the camera, about it, and too small for a pixel."""
    case = moved(plain, place)
    energy = case.energy()
    check(energy, case)
    neighbour = plain.hand(1).energy()
    for many, one in zip(energy, neighbour, strict=True):
        torch.testing.assert_close(many[1], one[0], rtol=1e-9, atol=1e-12)


def test_no_hand_is_seen_at_all(plain: Case) -> None:
    case = moved(plain.hand(0), (0.0, 0.0, -2.0))
    energy = case.energy()
    expected = (case.view.mask_weight * case.view.mask.square()).mean((1, 2))
    torch.testing.assert_close(energy.value, expected)
    assert energy.gradient.eq(0).all() and energy.hessian.eq(0).all()


def test_a_hand_of_nan_is_alone_with_it(plain: Case) -> None:
    case = moved(plain, (torch.nan, 0.0, 0.0))
    energy = case.energy()
    for many, one in zip(energy, plain.hand(1).energy(), strict=True):
        torch.testing.assert_close(many[1], one[0], rtol=1e-9, atol=1e-12)


def test_single_precision_is_near_double(plain: Case) -> None:
    single = HandModel(plain.model.data, torch.float32)
    case = Case(
        single,
        plain.topology,
        plain.params.to(torch.float32),
        plain.view.to(torch.float32),
    )
    for one, two in zip(case.energy(), plain.energy(), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), two, rtol=0, atol=2e-3 * float(two.abs().max()))
