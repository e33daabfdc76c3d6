"""The hand that a network itself poses, as one of the fit's model, and how that hand looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor
from torch.nn.functional import pad

from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Looks, Prediction
from fitter.hand_models.keypoint_model import pose_keypoints_from_rotations
from fitter.records import HandParams
from fitter.rotations import roma

_SAME_HAND = 1e-3
"""Of a hand's length: keypoints of one hand in single precision differ by less, those of two hand
models by more."""


def own_hands(model: FitModel, prediction: Prediction) -> HandParams:
    """The hands that a network poses, where it places them; NaN where it poses none or another hand
    model than the fit's.

    The keypoints tell which model it is: posed alike, none but the network's own has them.

    Args:
        model: right-hand model of the fit.
        prediction: of B hands.
    """
    rotations, said, wrist = prediction.posed
    like = model.keypoints.joint_shapedirs
    shapes, joints = like.shape[-1] - said.shape[1], model.keypoints.skeleton.rotations
    if rotations.shape[1] != joints + 1 or shapes < 0:
        return HandParams(
            *(
                like.new_full((len(wrist), *shape), torch.nan)
                for shape in ((3,), (joints, 3), (like.shape[-1],), (3,))
            )
        )
    rotations, betas = rotations.to(like), pad(said, (0, shapes)).to(like)
    _, keypoints = pose_keypoints_from_rotations(model.keypoints, rotations, betas)
    relative, wanted = keypoints - keypoints[:, :1], prediction.keypoints
    unit = (relative * wanted).sum((1, 2)) / relative.square().sum((1, 2))
    apart = (wanted - unit[:, None, None] * relative).norm(dim=-1).amax(1)
    same = (apart < _SAME_HAND * wanted.norm(dim=-1).amax(1)) & wrist.isfinite().all(1)
    vectors = roma.rotmat_to_rotvec(rotations)
    own = HandParams(vectors[:, 0], vectors[:, 1:], betas, wrist.to(like) - keypoints[:, 0])

    def of_the_same(values: Tensor) -> Tensor:
        return torch.where(same.view(-1, *[1] * (values.ndim - 1)), values, torch.nan)

    return own.map(of_the_same)


def predicted_looks(
    model: FitModel, predictions: Sequence[Prediction], initialisation: Tensor
) -> Looks | None:
    """How B hands look by the networks that their fits began at; None where none says it.

    It is said of the vertices and skin of the model that a network poses, so it counts where that
    is the fit's.

    Args:
        model: right-hand model of the fit.
        predictions: of the same hands.
        initialisation: (B,) which of them each fit began at, see `KeypointFit.initialisation`.
    """
    found: list[Looks] = []
    for number, prediction in enumerate(predictions, 1):
        begun = (initialisation == number) & prediction.looks.said
        if not bool(begun.any()):
            continue
        begun = begun & own_hands(model, prediction).transl.isfinite().all(1)
        if bool(begun.any()):
            found.append(prediction.looks.only(begun))
    if not found:
        return None
    names = [field.name for field in fields(Looks)]
    return Looks(**{name: _either([getattr(each, name) for each in found]) for name in names})


def _either(values: Sequence[Tensor]) -> Tensor:
    """The values (B, n, ...) of whichever is known, n the largest; NaN beyond what is said."""
    width = max(each.shape[1] for each in values)
    shape = (len(values[0]), width, *values[0].shape[2:])
    together = values[0].new_full(shape, torch.nan)
    for each in values:
        part = together[:, : each.shape[1]]
        part.copy_(torch.where(each.isfinite(), each, part))
    return together
