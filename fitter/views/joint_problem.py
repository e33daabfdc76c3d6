"""Hands that several cameras see, as one least-squares problem a hand.

What images say is evaluated row by row by the problem of hands in one camera each, weighted, and
brought back to the hands; what is known of hands in general counts once a hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self

from torch import Tensor

from fitter.config.energies import DECLARATIONS, EnergyName
from fitter.energies.inputs import HandInputs
from fitter.energies.residuals import Quadratic
from fitter.energies.weighted import prior_quadratic
from fitter.fitting.fit_model import FitModel
from fitter.hand_models.known_shape import KnownShape
from fitter.records import HandParams
from fitter.solvers import LeastSquaresProblem, Linearization
from fitter.views.rows import RigRows, RootJoint, pull_back


def of_images(weights: Mapping[EnergyName, float]) -> dict[EnergyName, float]:
    """The weights of the energies that look at images."""
    return {name: weight for name, weight in weights.items() if DECLARATIONS[name].uses_image}


class OwnEnergy(Protocol):
    """An energy of B hands that depends on no camera."""

    def __call__(self, hands: HandParams) -> Quadratic:
        """Value (B,) and derivatives by the hands' tangent vectors."""
        ...

    def select(self, index: Tensor) -> OwnEnergy:
        """That of the hands at `index` (n,) alone."""
        ...


@dataclass(frozen=True)
class JointProblem:
    """The objective of B hands over their N rows; a `LeastSquaresProblem`.

    Attributes:
        model: right-hand model.
        rows: the cameras of the N rows.
        seen: the objective of the N rows, each a hand in its camera, of energies that look at
            images; it holds no shape.
        weights: of all energies; of them those that look at no image are added up here.
        known: of the B hands' shapes, which stays.
        own: a further energy of the B hands, weighted, by their tangent vectors; None for none. It
            counts once a hand.
    """

    model: FitModel
    rows: RigRows
    seen: LeastSquaresProblem[HandParams]
    weights: Mapping[EnergyName, float]
    known: KnownShape
    own: OwnEnergy | None = None

    @property
    def root(self) -> RootJoint:
        """The joint about which hands turn."""
        return RootJoint.of(self.model.keypoints)

    def linearize(self, params: HandParams) -> Linearization:
        """The weighted sum over each hand's rows, and its priors once."""
        space, size, rows = self.model.pose_space, self.model.size, self.rows
        params = self.known.sized(size, params)
        found = self.seen.linearize(rows.in_views(params, self.root))
        slope, curved = pull_back(rows, self.root, found.gradient, found.hessian)
        prior = prior_quadratic(HandInputs(params, space, size), self.weights)
        if self.own is not None:
            prior = Quadratic(*(a + b for a, b in zip(prior, self.own(params), strict=True)))
        pairs = zip((found.cost, slope, curved), prior, strict=True)
        cost, *derivatives = (rows.sum(rows.weighted(part)) + own for part, own in pairs)
        return Linearization(cost, *self.known.restrict(size, params.betas, *derivatives))

    def select(self, index: Tensor) -> Self:
        """The problem of the hands at `index` (n,), which may repeat, alone."""
        rows, places = self.rows.select(index)
        seen = self.seen.select(places)
        own = None if self.own is None else self.own.select(index)
        return replace(self, rows=rows, seen=seen, known=self.known[index], own=own)

    def weighted(self, weight: Tensor) -> Self:
        """The same with other weights of the rows (N,)."""
        return replace(self, rows=replace(self.rows, weight=weight))
