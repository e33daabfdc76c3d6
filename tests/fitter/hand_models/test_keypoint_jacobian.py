"""The keypoints' kinematics and their Jacobian against the readable twin and its differences."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitter.hand_models.keypoint_jacobian import (
    FINGER_KEYPOINTS,
    KeypointKinematics,
    by_finger,
    in_canonical_order,
)
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.hand_models.tangent import retract
from fitter.records import HandParams

SHAPES = 4


TIP_JOINTS = (15, 3, 6, 12, 9)


def random_model(generator: torch.Generator, tips: str) -> KeypointModel:
    """A random skeleton whose fingertips follow one bone, their finger's bones, all bones, or all
    bones and blend shapes."""

    def normal(*shape: int, scale: float = 0.05) -> Tensor:
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = torch.rand(5, 16, generator=generator, dtype=torch.float64)
    allowed = torch.ones_like(weights)
    if tips in ("one", "finger"):
        allowed.zero_()
        for tip, joint in enumerate(TIP_JOINTS):
            allowed[tip, joint] = 1
            if tips == "finger":
                allowed[tip, [0, joint - 1, joint - 2]] = 1
    weights = weights * allowed
    return KeypointModel(
        joint_template=normal(16, 3),
        joint_shapedirs=normal(16, 3, SHAPES, scale=0.01),
        tip_template=normal(5, 3),
        tip_shapedirs=normal(5, 3, SHAPES, scale=0.01),
        tip_weights=weights / weights.sum(-1, keepdim=True),
        tip_posedirs=normal(5, 3, 135, scale=0.01) if tips == "blended" else None,
        keypoint_offsets=normal(21, 3, scale=0.02),
    )


def random_params(generator: torch.Generator, batch: int, angle: float) -> HandParams:
    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    return HandParams(angle * normal(3), angle * normal(15, 3), normal(SHAPES), normal(3) + 0.5)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.02, 0.7, 1.5])
@pytest.mark.parametrize("tips", ["one", "finger", "all", "blended"])
def test_equals_its_twin_and_its_central_differences(angle: float, tips: str) -> None:
    generator = torch.Generator().manual_seed(7)
    model = random_model(generator, tips)
    params = random_params(generator, 3, angle)
    zero = torch.zeros(3, 51 + SHAPES, dtype=torch.float64)

    def moved(step: Tensor) -> Tensor:
        return by_finger(pose_keypoints(model, retract(params, step))[1])

    found = KeypointKinematics.of(model)(params)
    torch.testing.assert_close(found.points, moved(zero), rtol=0, atol=1e-12)
    # Only a finger's own pose columns are kept where no other finger moves it.
    width = 6 + SHAPES + (9 if tips in ("one", "finger") else 45)
    assert found.jacobian.shape == (3, 5, 5, 3, width)
    full = torch.stack([row_of(found, place) for place in range(75)], 1)
    # Central differences, because automatic differentiation of a composition of rotation vectors
    # passes through its singular representation at zero.
    for column in range(zero.shape[1]):
        step = zero.clone()
        step[:, column] = 1e-5
        slope = (moved(step) - moved(-step)) / 2e-5
        torch.testing.assert_close(full[..., column], slope.flatten(1), rtol=1e-7, atol=1e-8)


def row_of(found, place: int) -> Tensor:
    """(B, D) row of the dense Jacobian, by pulling back one coordinate of one finger's point."""
    unit = torch.zeros_like(found.points)
    unit.flatten(1)[:, place] = 1
    return found.pull_back(unit, unit.new_zeros(*unit.shape, 5, 3))[0]


@pytest.mark.parametrize("tips", ["finger", "blended"])
def test_hessians_are_pulled_back_by_the_dense_jacobian(tips: str) -> None:
    generator = torch.Generator().manual_seed(8)
    found = KeypointKinematics.of(random_model(generator, tips))(random_params(generator, 2, 0.5))
    dense = torch.stack([row_of(found, place) for place in range(75)], 1).unflatten(1, (5, 15))
    root = torch.randn(2, 5, 15, 15, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT
    pulled = found.pull_back(
        torch.zeros_like(found.points), hessian.unflatten(3, (5, 3)).unflatten(2, (5, 3))
    )[1]
    torch.testing.assert_close(pulled, (dense.mT @ hessian @ dense).sum(1))


def test_finger_layout_and_back() -> None:
    keypoints = torch.arange(21)[None]
    assert by_finger(keypoints)[0].tolist() == [list(row) for row in FINGER_KEYPOINTS]
    assert torch.equal(in_canonical_order(by_finger(keypoints)), keypoints)


class Operations(TorchDispatchMode):
    """Notes the names of what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **kwargs or {})


def test_the_finger_layout_copies_nothing_to_the_device() -> None:
    copies = {"lift_fresh", "_to_copy", "copy_", "index", "index_select"}
    keypoints = torch.zeros(2, 21, 3)
    with Operations() as seen:
        in_canonical_order(by_finger(keypoints))
    assert seen.names and not seen.names & copies
    with Operations() as seen:
        keypoints[:, torch.tensor(FINGER_KEYPOINTS)]
    assert seen.names & copies
