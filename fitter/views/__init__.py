"""Hands that several calibrated cameras see: matched, placed and fitted together.

A hand that V cameras see is one state, its parameters in the rig's frame, and V rows: what each
camera saw of it, with the camera's pose (`RigRows`). Every energy is that of a hand in one camera,
evaluated for every row; `JointProblem` brings their derivatives back to the hands.
"""

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.views.joint_fit import JointFit, fit_rows
    from fitter.views.joint_problem import JointProblem
    from fitter.views.matching import ViewedHand, match_hands
    from fitter.views.rows import RigRows
    from fitter.views.triangulation import triangulate

__all__ = [
    "JointFit",
    "JointProblem",
    "RigRows",
    "ViewedHand",
    "fit_rows",
    "match_hands",
    "triangulate",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "JointFit": "fitter.views.joint_fit",
        "JointProblem": "fitter.views.joint_problem",
        "RigRows": "fitter.views.rows",
        "ViewedHand": "fitter.views.matching",
        "fit_rows": "fitter.views.joint_fit",
        "match_hands": "fitter.views.matching",
        "triangulate": "fitter.views.triangulation",
    },
)
