"""Hand models: parameters in, posed mesh out, differentiable, batch first.

`load_hand_model` gives the open hand, MANO or NIMBLE; a `HandModel` poses it, `HandModel.mirrored`
is the other hand, and `inverse_kinematics` goes back from 21 keypoints to parameters. Beside them
stand the anatomical axes and limits of the joints, the pose prior, the skin's appearance, and
`Nimble`, the whole of NIMBLE. Frames, units and the orders of joints are those of
`fitter.conventions`.

Load a model, pose it, mirror it:

```python
import torch
from fitter.hand_models import load_hand_model
from fitter.records import HandParams

right = load_hand_model()  # or load_hand_model("MANO_RIGHT.pkl")
pose, betas = 0.2 * torch.randn(1, 15, 3), torch.randn(1, 10)  # axis-angle; shape
params = HandParams(torch.zeros(1, 3), pose, betas, torch.tensor([[0.0, 0.0, 0.5]]))
mesh = right(params)  # mesh.vertices (1, V, 3), mesh.joints, mesh.keypoints: metres
left = right.mirrored()(params.mirrored())
assert torch.allclose(left.vertices, mesh.vertices * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-6)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.hand_models.analytic_ik import inverse_kinematics, twist_angles
    from fitter.hand_models.anatomy import (
        Anatomy,
        anatomical_angles,
        anatomy_of,
        hand_pose_from_angles,
    )
    from fitter.hand_models.appearance import (
        Appearance,
        AppearanceModel,
        SurfaceMaps,
    )
    from fitter.hand_models.appearance_loading import load_appearance
    from fitter.hand_models.hand_size import HandSize
    from fitter.hand_models.keypoint_definitions import KeypointDefinition
    from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
    from fitter.hand_models.loading import load_hand_model
    from fitter.hand_models.mano import ManoOptions
    from fitter.hand_models.model_data import HandModelData
    from fitter.hand_models.nimble.layer import Nimble, NimbleMesh
    from fitter.hand_models.open_hand import load_open_hand
    from fitter.hand_models.pose_prior import PosePrior, load_pose_prior
    from fitter.hand_models.skinning import HandModel

__all__ = [
    "Anatomy",
    "Appearance",
    "AppearanceModel",
    "HandModel",
    "HandModelData",
    "HandSize",
    "KeypointDefinition",
    "KeypointModel",
    "ManoOptions",
    "Nimble",
    "NimbleMesh",
    "PosePrior",
    "SurfaceMaps",
    "anatomical_angles",
    "anatomy_of",
    "hand_pose_from_angles",
    "inverse_kinematics",
    "load_appearance",
    "load_hand_model",
    "load_open_hand",
    "load_pose_prior",
    "pose_keypoints",
    "twist_angles",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Anatomy": "fitter.hand_models.anatomy",
        "Appearance": "fitter.hand_models.appearance",
        "AppearanceModel": "fitter.hand_models.appearance",
        "HandModel": "fitter.hand_models.skinning",
        "HandModelData": "fitter.hand_models.model_data",
        "HandSize": "fitter.hand_models.hand_size",
        "KeypointDefinition": "fitter.hand_models.keypoint_definitions",
        "KeypointModel": "fitter.hand_models.keypoint_model",
        "ManoOptions": "fitter.hand_models.mano",
        "Nimble": "fitter.hand_models.nimble.layer",
        "NimbleMesh": "fitter.hand_models.nimble.layer",
        "PosePrior": "fitter.hand_models.pose_prior",
        "SurfaceMaps": "fitter.hand_models.appearance",
        "anatomical_angles": "fitter.hand_models.anatomy",
        "anatomy_of": "fitter.hand_models.anatomy",
        "hand_pose_from_angles": "fitter.hand_models.anatomy",
        "inverse_kinematics": "fitter.hand_models.analytic_ik",
        "load_appearance": "fitter.hand_models.appearance_loading",
        "load_hand_model": "fitter.hand_models.loading",
        "load_open_hand": "fitter.hand_models.open_hand",
        "load_pose_prior": "fitter.hand_models.pose_prior",
        "pose_keypoints": "fitter.hand_models.keypoint_model",
        "twist_angles": "fitter.hand_models.analytic_ik",
    },
)
