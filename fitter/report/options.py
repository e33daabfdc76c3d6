"""What a report is to look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from fitter.errors import InputError
from fitter.rendering.overlay_style import OverlayStyle

ReportOrder = Literal["worst", "best"]
ORDERS: tuple[ReportOrder, ...] = get_args(ReportOrder)

SMALLEST_THUMBNAIL, LARGEST_THUMBNAIL = 32, 1024


@dataclass(frozen=True)
class ReportOptions:
    """How a report is made.

    Attributes:
        thumbnail: height of the thumbnails, pixels, from 32 to 1024; they are most of the page.
        style: how hands are drawn in them; keypoints and captions only where it says so.
        order: which hands come first when the page is opened: "worst" or "best" by their score.
    """

    thumbnail: int = 128
    style: OverlayStyle = field(default_factory=OverlayStyle)
    order: ReportOrder = "worst"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: the thumbnails would be too small or too large, or there is no such order.
        """
        if not SMALLEST_THUMBNAIL <= self.thumbnail <= LARGEST_THUMBNAIL:
            raise InputError(
                "report.thumbnail",
                file="thumbnail",
                least=SMALLEST_THUMBNAIL,
                most=LARGEST_THUMBNAIL,
                found=self.thumbnail,
            )
        if self.order not in ORDERS:
            expected = " or ".join(ORDERS)
            raise InputError("report.order", file="order", expected=expected, found=self.order)
