"""How a function becomes an energy: a decorator that names it and the inputs it takes.

    @energy("normal_consistency", "vertices", "neighbours", "stage.normal_reduction")
    def normal_consistency(vertices: Tensor, graph: SurfaceGraph, reduction: Reduction) -> Tensor:
        ...

The function itself stays what it is, a function of tensors. The names of the inputs are attributes
of the records of `fitter.energies.inputs`, with dots for attributes of attributes. What has to be
known or rendered for them is declared under the same name in `fitter.config.energies`, where the
configuration can read it without PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, TypeVar

from fitter.config.energies import DECLARATIONS

Variables = Literal["points", "hand_pose", "joints", "betas", "shape", "tangent"]
"""By what the derivatives of a least-squares energy are:

points: (B, 5, 5, 3) the keypoints in the finger layout; Hessian (B, 5, 5, 3, 5, 3), a finger each.
hand_pose: (B, 3 R); Hessian (B, 3 R, 3 R).
joints: (B, 3 R), the hand's pose again; Hessian (B, R, 3, 3), a joint each.
betas: (B, S); Hessian (B, S), its diagonal.
shape: (B, S) by the betas again; Hessian (B, S, S).
tangent: (B, D) the hand's tangent vector (`fitter.hand_models.tangent`); Hessian (B, D, D).
"""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Term:
    """One way to compute an energy.

    Attributes:
        function: of tensors.
        takes: the inputs that are its arguments, in order, by name.
        variables: what its derivatives are by; None for one that PyTorch differentiates.
    """

    function: Callable[..., Any]
    takes: tuple[str, ...]
    variables: Variables | None = None

    def __call__(self, inputs: object) -> Any:
        """What the function makes of the inputs, one of the records of `fitter.energies.inputs`."""
        return self.function(*(attrgetter(name)(inputs) for name in self.takes))


FIRST_ORDER: dict[str, Term] = {}
"""What `energy` has declared so far."""

LEAST_SQUARES: dict[str, Term] = {}
"""What `least_squares` has declared so far."""


def energy(name: str, *takes: str) -> Callable[[F], F]:
    """Declare a function that returns one value a hand, (B,), as an energy for first-order solvers.

    Args:
        name: in a configuration; a line of `fitter.config.energies.DECLARATIONS`.
        takes: the names of the inputs that are its arguments, in order.
    """
    return _declared(FIRST_ORDER, name, takes, None)


def least_squares(name: str, *takes: str, by: Variables) -> Callable[[F], F]:
    """Declare a function that returns a `Quadratic` as an energy for Levenberg-Marquardt.

    Its value is the energy for first-order solvers too, unless `energy` declares another function
    of the same name.

    Args:
        name: as of `energy`.
        takes: as of `energy`.
        by: see `Variables`.
    """
    return _declared(LEAST_SQUARES, name, takes, by)


def _declared(
    table: dict[str, Term], name: str, takes: tuple[str, ...], by: Variables | None
) -> Callable[[F], F]:
    if name not in DECLARATIONS:
        raise ValueError(f"{name!r} has no line in fitter.config.energies.DECLARATIONS")
    if name in table:
        raise ValueError(f"{name!r} is declared twice")

    def declare(function: F) -> F:
        table[name] = Term(function, takes, by)
        return function

    return declare
