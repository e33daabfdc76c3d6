"""The table of energies: one declaration and one function each, and what they say of themselves."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace

import pytest
import torch

import fitter.energies
from fitter.config.energies import DECLARATIONS, RENDERED, Need
from fitter.config.stages import StageConfig
from fitter.energies import ENERGIES, Quadratic, declare
from fitter.refinement.objective import Objective, StageTask
from fitter.refinement.scene import FIELDS
from tests.support.held_things import balls_in
from tests.support.refine_scenes import scene_model, task_of, true_hands, view_of


@pytest.fixture(scope="module")
def task() -> StageTask:
    model = scene_model(torch.float64)
    seen = task_of(model, view_of(model, true_hands(model, 2), 32))
    return replace(seen, objects=balls_in(model, 2))


def objective_of(task: StageTask, name: str) -> Objective:
    stage = StageConfig(
        solver="adam", iterations=1, free=list(FIELDS), energies={name: 1.0}, learning_rate=0.01
    )
    return Objective.of(task, stage, task.model.start(true_hands(task.model, 2)))


def test_the_example_of_the_energies_runs() -> None:
    result = doctest.testmod(fitter.energies)
    assert result.failed == 0 and result.attempted > 5


def test_every_declaration_has_its_function_and_every_function_its_declaration() -> None:
    assert list(ENERGIES) == list(DECLARATIONS)
    assert set(declare.FIRST_ORDER) | set(declare.LEAST_SQUARES) == set(ENERGIES)
    squares = {name for name, declared in DECLARATIONS.items() if declared.least_squares}
    assert set(declare.LEAST_SQUARES) == squares
    for name, energy in ENERGIES.items():
        assert energy.name == name and energy.needs == DECLARATIONS[name].needs


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_says_its_equation_and_where_it_is_from(name: str) -> None:
    said = ENERGIES[name].equation
    assert re.search("``[^`]+``", said) and "\n" not in said
    assert re.search(r"Seeber|S2HAND|Zhao|19\d\d|20\d\d|ours|log-likelihood", said)


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_needs_all_that_it_declares_to_be_made(task, name: str) -> None:
    """Without what is rendered or built for it, it is refused and not computed of other things."""
    objective = objective_of(task, name)
    needs = objective.needs - {Need.KEYPOINTS, Need.MASK, Need.IMAGE, Need.CAMERA}
    # Colours are not rendered without a silhouette.
    for need in needs - ({Need.SILHOUETTE} if Need.COLOURS in needs else set()):
        bereft = replace(objective, needs=objective.needs - {need})
        with pytest.raises(ValueError, match="does not declare to need"):
            bereft(objective.start)
    assert objective.raster is None or needs & RENDERED


def test_a_function_is_declared_under_a_known_name_once() -> None:
    with pytest.raises(ValueError, match="no line in"):
        fitter.energies.energy("laplacien", "vertices")
    with pytest.raises(ValueError, match="declared twice"):
        fitter.energies.energy("laplacian", "vertices")


def test_an_energy_of_first_order_is_none_of_least_squares(task) -> None:
    inputs = objective_of(task, "laplacian").inputs(task.model.start(true_hands(task.model, 2)))
    with pytest.raises(ValueError, match="laplacian"):
        ENERGIES["laplacian"].quadratic(inputs)
    squares = ENERGIES["shape_prior"].quadratic(inputs)
    assert isinstance(squares, Quadratic)
    assert torch.equal(squares.value, ENERGIES["shape_prior"].value(inputs))
