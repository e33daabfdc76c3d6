"""The analytic derivatives of the surface against the model and automatic differentiation."""

import pytest
import torch

from fitter.hand_models import load_hand_model
from fitter.hand_models.tangent import retract
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.records import HandParams
from tests.support.mano_files import fabricate, random_params, write_plain


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = write_plain(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl", fabricate())
    return {
        "open_hand": load_hand_model("open_hand", dtype=torch.float64),
        "mano": load_hand_model(str(path), dtype=torch.float64),
    }


@pytest.mark.parametrize("name", ["open_hand", "mano"])
def test_vertices_and_derivatives_are_those_of_the_model(models, name):
    model = models[name]
    params = random_params(3)
    surface = SurfaceKinematics.of(model)(params)
    torch.testing.assert_close(surface.vertices, model(params).vertices, rtol=0, atol=1e-12)

    generator = torch.Generator().manual_seed(1)
    count = surface.vertices.shape[1]
    index = torch.randint(0, count, (3, 7, 2), generator=generator)
    cotangents = torch.randn(3, 7, 2, 3, generator=generator, dtype=torch.float64)
    rows = surface.rows(index, cotangents)

    def scalars(step):
        vertices = model(retract(params, step)).vertices
        chosen = vertices[torch.arange(3)[:, None, None], index]
        return (chosen * cotangents).sum((-1, -2))

    step = torch.zeros(3, rows.shape[-1], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(scalars, step)
    expected = jacobian[torch.arange(3), :, torch.arange(3)]
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-12)


def test_still_hand_and_batches_of_one(models):
    params = random_params(4)
    zero: HandParams = params.map(torch.zeros_like)
    kinematics = SurfaceKinematics.of(models["open_hand"])
    still = kinematics(zero)
    torch.testing.assert_close(still.vertices[0], models["open_hand"].v_template)
    together = kinematics(params)
    for i in range(4):
        for whole, alone in zip(together[:4], kinematics(params[i : i + 1])[:4], strict=True):
            torch.testing.assert_close(whole[i], alone[0], rtol=0, atol=1e-14)
