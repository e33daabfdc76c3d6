"""Keypoints in the definition that is asked for."""

import pytest
import torch

from fitter.conventions import FINGERTIP_VERTICES, KEYPOINT_ORDERS
from fitter.hand_models import ManoOptions, load_hand_model
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.records import HandParams
from tests.support.mano_files import fabricate, write_plain

TIPS = [4, 8, 12, 16, 20]
JOINTS = [k for k in range(21) if k not in TIPS]


def params(count: int = 3, shapes: int = 10) -> HandParams:
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> torch.Tensor:
        return 0.3 * torch.randn(count, *size, generator=generator, dtype=torch.float64)

    return HandParams(draw(3), draw(15, 3), draw(shapes), draw(3))


@pytest.fixture(scope="module")
def open_hand():
    return load_hand_model("open_hand", "right", torch.float64)


def canonical(joints: torch.Tensor, tips: torch.Tensor) -> torch.Tensor:
    order = list(KEYPOINT_ORDERS["mano_tips"])
    return torch.cat([joints, tips], 1)[:, order]


def test_mediapipe_is_what_the_fit_compares(open_hand) -> None:
    hand = params()
    found = KeypointDefinition.of(open_hand, "mediapipe").keypoints(hand)
    torch.testing.assert_close(found, open_hand(hand).keypoints)


@pytest.mark.parametrize("name", ["mano", "openpose", "ho3d"])
def test_joints_and_fingertips(open_hand, name) -> None:
    hand, mesh = params(), open_hand(params())
    found = KeypointDefinition.of(open_hand, name).keypoints(hand)
    wanted = canonical(mesh.joints, mesh.vertices[:, open_hand.tip_vertices])
    torch.testing.assert_close(found, wanted)
    assert (found - mesh.keypoints).norm(dim=-1).amax() > 5e-3  # no detector's marks


def test_freihand_regresses_joints_from_the_posed_mesh(open_hand) -> None:
    hand, mesh = params(), open_hand(params())
    found = KeypointDefinition.of(open_hand, "freihand").keypoints(hand)
    regressor = torch.as_tensor(open_hand.data.joint_regressor)
    wanted = canonical(regressor @ mesh.vertices, mesh.vertices[:, open_hand.tip_vertices])
    torch.testing.assert_close(found, wanted)
    posed = KeypointDefinition.of(open_hand, "mano").keypoints(hand)
    distance = (found - posed)[:, JOINTS].norm(dim=-1)
    assert 1e-4 < distance.amax() < 0.02
    still = HandParams(*(0 * value for value in vars(hand).values()))
    rest = [KeypointDefinition.of(open_hand, n).keypoints(still) for n in ("freihand", "mano")]
    torch.testing.assert_close(rest[0], rest[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "tips"),
    [("mano", "smplx"), ("openpose", "smplx"), ("freihand", "freihand"), ("ho3d", "ho3d")],
)
def test_on_mano_every_definition_has_its_fingertips(tmp_path, name, tips) -> None:
    # The file says which vertices are fingertips; a definition takes its own all the same.
    model = load_hand_model(
        write_plain(tmp_path / "MANO_RIGHT.pkl", fabricate()),
        "right",
        torch.float64,
        ManoOptions(fingertips="manopth_right"),
    )
    hand = params()
    found = KeypointDefinition.of(model, name).keypoints(hand)
    wanted = model(hand).vertices[:, list(FINGERTIP_VERTICES[tips])]
    torch.testing.assert_close(found[:, TIPS], wanted)
