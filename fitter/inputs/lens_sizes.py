"""Whether a lens is that of an image: its resolution, and what it shows."""

from __future__ import annotations

from dataclasses import replace

from fitter.errors import InputError
from fitter.inputs.camera_matrices import Belongs, require_size
from fitter.inputs.undistortion import share_that_is_seen
from fitter.lens import Lens, LensModel

LEAST_SEEN: dict[LensModel, float] = {"pinhole": 0.5, "fisheye": 0.2}
"""Share of an image at which rays of the lens's model have to arrive. In the corners polynomials
often fail, and a fisheye shows a circle; coefficients of another K or in another order fail nearly
everywhere."""


def of_size(lens: Lens, size: tuple[int, int], origin: str, image: str, of: Belongs) -> Lens:
    """The lens of an image.

    A lens that was calibrated at another resolution of the same aspect is scaled: images are often
    resized. Sides may differ by the rounding of the smaller one.

    Args:
        lens: as given.
        size: (width, height) of the image, pixels.
        origin: what to name in messages.
        image: its name, likewise.
        of: what the lens is given for.

    Returns:
        The lens with the image's size.

    Raises:
        InputError: the lens is of images of another aspect (`lens.other_camera`), its K can hardly
            be of the image (see `require_size`), or its model shows too little of the image
            (`lens.blind`).
    """
    if lens.size is None:
        require_size(lens.intrinsics, size, origin, image, of)
        found = replace(lens, size=size)
    else:
        # No two sides of one aspect, rounded to whole pixels, differ by more than that.
        off = abs(lens.size[0] * size[1] - lens.size[1] * size[0])
        if off > max(max(size), max(lens.size)):
            raise InputError(
                "lens.other_camera", file=origin, image=image, expected=lens.size, found=size
            )
        found = lens.scaled_to(size)
        require_size(found.intrinsics, size, origin, image, of)
    share = 1.0 if lens.is_straight else share_that_is_seen(found, size)
    least = LEAST_SEEN[lens.model]
    if share < least:
        raise InputError("lens.blind", file=origin, image=image, least=least, found=share)
    return found
