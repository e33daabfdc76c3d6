"""What several images share: made of the rows of one pass over them, given to the next.

`Sharing` says what is shared and how it is made; `fitter.run` does the passes, whatever it is.
`PeopleSharing` makes the shape of each person's hand.

rows of a pass -> `Sharing.share` -> shared values -> `Sharing.given` -> tasks of the next pass
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.groups.joint_shape import JointShape, joint_shapes
    from fitter.groups.people import PeopleSharing
    from fitter.groups.sharing import Sharing

__all__ = ["JointShape", "PeopleSharing", "Sharing", "joint_shapes"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "JointShape": "fitter.groups.joint_shape",
        "PeopleSharing": "fitter.groups.people",
        "Sharing": "fitter.groups.sharing",
        "joint_shapes": "fitter.groups.joint_shape",
    },
)
