"""Hands as the keypoints left them, refined against the image stage after stage.

`Refiner` is the door: hands and their crops in, refined hands out. Below it, `run_stages` runs the
stages of a configuration over a `StageTask`, and `Objective` and `LeastSquaresObjective` are what a
stage minimises, for first-order solvers and for Levenberg-Marquardt. `stuck` fits hands again that
stay in known objects.
"""

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.refinement.least_squares import LeastSquaresObjective
    from fitter.refinement.objective import Objective, StageTask
    from fitter.refinement.refiner import Refined, Refiner
    from fitter.refinement.scene import SceneModel, draw
    from fitter.refinement.stages import StagesResult, run_stages
    from fitter.refinement.viewed import ViewedScenes

__all__ = [
    "LeastSquaresObjective",
    "Objective",
    "Refined",
    "Refiner",
    "SceneModel",
    "StageTask",
    "StagesResult",
    "ViewedScenes",
    "draw",
    "run_stages",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "LeastSquaresObjective": "fitter.refinement.least_squares",
        "Objective": "fitter.refinement.objective",
        "Refined": "fitter.refinement.refiner",
        "Refiner": "fitter.refinement.refiner",
        "SceneModel": "fitter.refinement.scene",
        "StageTask": "fitter.refinement.objective",
        "StagesResult": "fitter.refinement.stages",
        "ViewedScenes": "fitter.refinement.viewed",
        "draw": "fitter.refinement.scene",
        "run_stages": "fitter.refinement.stages",
    },
)
