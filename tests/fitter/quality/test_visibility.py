"""Which keypoints are seen: against the renders' truth, and one cause after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.keypoint_states import OUTSIDE, VISIBLE
from datasets.synthetic import SyntheticEngine, SyntheticSettings
from fitter.camera import SquareCrop, crop_intrinsics
from fitter.hand_models import load_hand_model
from fitter.quality import visibility
from fitter.quality.visibility import (
    BORDER,
    HANDS_STD,
    SIDE,
    SceneHand,
    VisibilityModel,
    behind_others,
    combined,
    in_square,
    inside_image,
    mask_visibility,
    mesh_visibility,
)
from fitter.records import HandParams
from tests.support.refine_scenes import camera, scene_model, true_hands


@pytest.fixture(scope="module")
def model() -> VisibilityModel:
    return VisibilityModel.of(load_hand_model("open_hand", dtype=torch.float32))


def unit_camera(count: int) -> torch.Tensor:
    """K that maps a hand's square to [0, 1]."""
    return camera(count, 1)


def test_what_hides_itself_is_what_the_renderer_says(model) -> None:
    batch = SyntheticEngine(96, SyntheticSettings.unoccluded(), supersampling=1).batch(4, range(40))
    hands = batch.specs.hand
    window = SquareCrop.around(batch.keypoints_2d, 1.2, 1)
    found = mesh_visibility(model, hands, crop_intrinsics(batch.intrinsics, window)).numpy()
    state = batch.keypoint_state.numpy()
    known = state != OUTSIDE
    seen = state == VISIBLE
    agrees = ((found > 0.5) == seen)[known].mean()
    assert 0.25 < seen[known].mean() < 0.9  # both happen
    assert agrees > 0.9
    assert found[known & seen].mean() > 0.8 > 0.3 > found[known & ~seen].mean()


def test_each_hand_of_a_batch_is_as_it_is_alone(model) -> None:
    hands = true_hands(scene_model(), 5)
    together = mesh_visibility(model, hands, unit_camera(5))
    for row in range(5):
        alone = mesh_visibility(model, hands[row : row + 1], unit_camera(1))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


def test_a_surface_hides_what_is_behind_it_and_nothing_else(model, monkeypatch) -> None:
    """Against the equation, pixel by pixel."""
    monkeypatch.setattr(visibility, "_REACH", 1)
    corners = torch.tensor([[[0.0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]]).double()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    K = in_square(torch.eye(3).double()[None])
    deep = torch.linspace(0.9, 1.1, 21).double()
    keypoints = torch.stack([0.5 * deep, 0.5 * deep, deep], -1)[None]
    found = visibility.unhidden(
        visibility.MeshTopology(faces), corners, keypoints, K, (0.02, HANDS_STD)
    )
    wanted = 1 - torch.sigmoid((deep - 0.02 - 1) * torch.pi / (3**0.5 * HANDS_STD))
    torch.testing.assert_close(found[0], wanted, rtol=1e-6, atol=1e-9)


def test_nothing_hides_a_keypoint_beside_the_mesh() -> None:
    corners = torch.tensor([[[0.0, 0, 1], [0.1, 0, 1], [0, 0.1, 1]]]).double()
    keypoints = torch.full((1, 21, 3), 0.8).double() * torch.tensor([2.0, 2.0, 2.5])
    topology = visibility.MeshTopology(torch.tensor([[0, 1, 2]]))
    K = in_square(torch.eye(3).double()[None])
    assert (visibility.unhidden(topology, corners, keypoints, K, (0.0, 0.01)) == 1).all()


def test_the_square_has_a_border() -> None:
    K = in_square(torch.eye(3)[None])[0]
    corner = K @ torch.tensor([-BORDER, 1 + BORDER, 1.0])
    torch.testing.assert_close(corner, torch.tensor([0.0, SIDE, 1.0]))


def test_a_mask_denies_what_it_does_not_show() -> None:
    mask, weight = np.zeros((64, 64)), np.ones((64, 64))
    mask[:, 32:] = 1
    weight[48:] = 0
    positions = np.zeros((21, 2)) + [40, 10]
    positions[1:4] = [[10, 10], [31.5, 10], [10, 60]]
    positions[4] = [-5, 10]
    found = mask_visibility(mask, weight, positions)
    # Denied; at the border of the hand; where the mask is not believed; outside of it.
    assert found[1] == 0
    assert (np.delete(found, 1) == 1).all()
    assert mask_visibility(0.7 * mask, 0.5 * weight, positions)[0] == pytest.approx(0.85)


def scene_hand(params: HandParams, depth: float, shift: float = 0.0) -> SceneHand:
    model = load_hand_model("open_hand", dtype=torch.float64)
    mesh = model(params)
    move = np.array([shift, 0, depth])
    keypoints = mesh.keypoints[0].numpy() + move
    positions = 500 * keypoints[:, :2] / keypoints[:, 2:] + 250
    return SceneHand(mesh.vertices[0].numpy() + move, model.data.faces, keypoints, positions)


def test_a_hand_in_front_hides_the_one_behind() -> None:
    params = true_hands(scene_model(), 1, seed=3)
    near, far, apart = scene_hand(params, 0), scene_hand(params, 0.3), scene_hand(params, 0, 1.5)
    K = np.array([[500, 0, 250], [0, 500, 250], [0, 0, 1.0]])
    free = behind_others([near, far, apart], K)
    # The hand a few decimetres behind is seen a little smaller about the same middle.
    assert free[0].min() > 0.99 and free[2].min() == 1
    assert free[1].mean() < 0.5
    np.testing.assert_array_equal(behind_others([far], K), np.ones((1, 21)))


def test_places_outside_the_image() -> None:
    positions = torch.tensor([[[0.0, 5], [-0.1, 5], [10, 20], [10.1, 5], [3, 20.1]]])
    found = inside_image(positions, torch.tensor([[10.0, 20.0]]))
    assert found.tolist() == [[True, False, True, False, False]]


def test_fit_and_network_are_asked_alike() -> None:
    fit = torch.tensor([[0.2, 0.9, 0.5, 0.0, 1.0]])
    network = torch.tensor([[0.8, 0.9, torch.nan, 0.0, 0.0]])
    found = combined(fit, network)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.9, 0.5, 0.01, 0.5]]))
    torch.testing.assert_close(combined(network[:, :2], fit[:, :2]), found[:, :2])
