"""Batched solvers that know nothing of what they solve: many small problems, side by side.

`levenberg_marquardt` minimises sums of squares over any `Manifold`, `descend` anything that can be
differentiated, by Adam or by gradient descent with momentum. A batch of B gives what B batches of
one give; a problem that diverges never touches its neighbours.

Two circles through points about their centres, by their middle and their radius:

    >>> import torch
    >>> from fitter.solvers import Euclidean, LevenbergMarquardt, Residuals, Status
    >>> from fitter.solvers import levenberg_marquardt
    >>> angle = torch.linspace(0, 5, 7, dtype=torch.float64)
    >>> circle = torch.stack([angle.cos(), angle.sin()], -1)
    >>> points = torch.stack([3 * circle + 1, 0.5 * circle - 2])
    >>> def off_the_circle(x, points):
    ...     return (points - x[:2]).norm(dim=-1) - x[2]
    >>> start = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(2, 3)
    >>> problem = Residuals(off_the_circle, points)
    >>> found = levenberg_marquardt(problem, start, LevenbergMarquardt(), Euclidean(max_step=1.0))
    >>> found.params.round(decimals=3).tolist()
    [[1.0, 1.0, 3.0], [-2.0, -2.0, 0.5]]
    >>> bool((found.status == Status.CONVERGED).all())
    True
"""

from fitter.solvers.first_order import Descent, DescentResult, descend
from fitter.solvers.levenberg_marquardt import (
    LeastSquaresProblem,
    LevenbergMarquardt,
    Linearization,
    SolverResult,
    levenberg_marquardt,
)
from fitter.solvers.manifold import Euclidean, Manifold
from fitter.solvers.residuals import Residuals
from fitter.solvers.states import map_tensors
from fitter.solvers.status import Status

__all__ = [
    "Descent",
    "DescentResult",
    "Euclidean",
    "LeastSquaresProblem",
    "LevenbergMarquardt",
    "Linearization",
    "Manifold",
    "Residuals",
    "SolverResult",
    "Status",
    "descend",
    "levenberg_marquardt",
    "map_tensors",
]
