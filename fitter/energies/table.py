"""The table of all energies, made of the functions that declare themselves as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import getdoc

from torch import Tensor

from fitter.config.energies import DECLARATIONS, Need
from fitter.energies import (  # noqa: F401, each declares its energies when it is imported
    contour,
    keypoints,
    keypoints_2d,
    known_objects,
    motion,
    photometric,
    priors,
    regularisers,
    silhouette,
    size,
    surface,
    touching,
)
from fitter.energies.declare import FIRST_ORDER, LEAST_SQUARES, Term
from fitter.energies.inputs import HandInputs, KeypointInputs, SceneInputs
from fitter.energies.residuals import Quadratic


@dataclass(frozen=True)
class Energy:
    """An energy of B hands, not weighted.

    Attributes:
        name: in a configuration.
        needs: what it looks at beside the hand.
        first_order: how it is computed for first-order solvers.
        least_squares: how it is computed for Levenberg-Marquardt; None where it is not.
    """

    name: str
    needs: frozenset[Need]
    first_order: Term
    least_squares: Term | None

    @property
    def equation(self) -> str:
        """What it is and where the formula comes from: the first paragraph of its function's
        docstring, on one line."""
        documented = getdoc(self.first_order.function) or ""
        return " ".join(documented.split("\n\n")[0].split())

    def value(self, inputs: SceneInputs | KeypointInputs) -> Tensor:
        """(B,) the energy of each hand, differentiable.

        Raises:
            ValueError: it takes an input that it does not declare to need.
        """
        found = self.first_order(inputs)
        return found.value if isinstance(found, Quadratic) else found

    def quadratic(self, inputs: KeypointInputs | HandInputs) -> Quadratic:
        """The energy of each hand and its derivatives by `least_squares.variables`.

        Raises:
            ValueError: Levenberg-Marquardt cannot minimise it.
        """
        if self.least_squares is None:
            raise ValueError(f"{self.name} is no energy for Levenberg-Marquardt")
        return self.least_squares(inputs)


def _table() -> dict[str, Energy]:
    table = {}
    for name, declared in DECLARATIONS.items():
        squares = LEAST_SQUARES[name] if declared.least_squares else None
        first = FIRST_ORDER.get(name, squares)
        if first is None:
            raise ValueError(f"no function is declared as the energy {name!r}")
        table[name] = Energy(name, declared.needs, first, squares)
    return table


ENERGIES: Mapping[str, Energy] = _table()
"""Every energy by its name in a configuration."""
