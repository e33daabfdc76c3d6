"""How overlays look. Nothing heavy is imported: a command refuses a bad style at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, Self, get_args

from fitter.errors import InputError

OverlayLook = Literal["mesh", "outline", "side-by-side", "appearance"]
OverlayView = Literal["side", "top", "back"]

LOOKS: tuple[OverlayLook, ...] = get_args(OverlayLook)
VIEWS: tuple[OverlayView, ...] = get_args(OverlayView)

_OPACITY: dict[OverlayLook, float] = {
    "mesh": 0.75,
    "outline": 1.0,
    "side-by-side": 0.75,
    "appearance": 1.0,
}


@dataclass(frozen=True)
class OverlayStyle:
    """How to render hands over their photograph.

    Attributes:
        look: "mesh" shades the mesh in the colour of its side; "outline" draws the silhouette's
            contour and creases alone; "side-by-side" puts the photograph, untouched, to the left of
            its mesh overlay; "appearance" shows the hand in its fitted skin and light (the mean
            skin in even light where no stage fitted them) and draws nothing else.
        opacity: of the mesh or of the lines; 0 leaves the photograph, 1 hides what is behind. None
            is 0.75 for a shaded mesh and 1 for "outline" and "appearance".
        skeleton: draw the keypoints of hands that have them. None is yes with a shaded mesh.
        captions: write side and score. None is yes with a shaded mesh.
        views: panels to the right of the overlay, in this order: all hands and known objects on
            plain ground, seen from the "side" (turned by 90 degrees about the vertical axis through
            their middle, the camera at the left), from the "top" (the camera below) or from the
            "back".
    """

    look: OverlayLook = "mesh"
    opacity: float | None = None
    skeleton: bool | None = None
    captions: bool | None = None
    views: Sequence[OverlayView] = ()

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: there is no such look or view, or the opacity is not in [0, 1].
        """
        if self.look not in LOOKS:
            expected = ", ".join(LOOKS)
            raise InputError("overlay.look", file="style", expected=expected, found=self.look)
        if isinstance(self.views, str):
            object.__setattr__(self, "views", (self.views,))
        object.__setattr__(self, "views", tuple(self.views))
        for view in self.views:
            if view not in VIEWS:
                expected = ", ".join(VIEWS)
                raise InputError("overlay.view", file="views", expected=expected, found=view)
        opacity = self.opacity
        if opacity is not None and not (isinstance(opacity, Real) and 0 <= opacity <= 1):
            raise InputError("overlay.opacity", file="opacity", found=opacity)

    @classmethod
    def of(
        cls,
        style: Self | OverlayLook | None,
        opacity: float | None = None,
        views: Sequence[OverlayView] | None = None,
    ) -> Self:
        """A style as users give it: a record or the name of a look, and what differs from it.

        Raises:
            InputError: see `OverlayStyle`.
        """
        given = style if isinstance(style, OverlayStyle) else cls(look=style or "mesh")
        return replace(
            given,
            opacity=given.opacity if opacity is None else opacity,
            views=given.views if views is None else views,
        )

    @property
    def resolved(self) -> ResolvedStyle:
        """The style with every choice made."""
        annotated = self.look in ("mesh", "side-by-side")
        return ResolvedStyle(
            look=self.look,
            opacity=_OPACITY[self.look] if self.opacity is None else float(self.opacity),
            skeleton=annotated if self.skeleton is None else self.skeleton,
            captions=annotated if self.captions is None else self.captions,
            views=tuple(self.views),
        )


@dataclass(frozen=True)
class ResolvedStyle:
    """What `OverlayStyle` says, with nothing left open."""

    look: OverlayLook
    opacity: float
    skeleton: bool
    captions: bool
    views: tuple[OverlayView, ...]
