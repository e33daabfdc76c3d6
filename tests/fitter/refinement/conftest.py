"""Three hands that a stage begins off their truth."""

from __future__ import annotations

import pytest

from fitter.records import HandParams
from fitter.refinement.objective import StageTask
from fitter.refinement.scene import SceneModel
from tests.support.refine_scenes import perturbed, scene_model, task_of, true_hands, view_of


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return scene_model()


@pytest.fixture(scope="module")
def truth(model) -> HandParams:
    return true_hands(model, 3)


@pytest.fixture(scope="module")
def task(model, truth) -> StageTask:
    return task_of(model, view_of(model, truth))


@pytest.fixture(scope="module")
def begun(truth) -> HandParams:
    return perturbed(truth)
