"""How a viewer is opened."""

from __future__ import annotations

from dataclasses import dataclass

from fitter.errors import InputError

LARGEST_PORT = 65535


@dataclass(frozen=True)
class ViewerOptions:
    """Where a viewer listens, and what it sends.

    Attributes:
        host: name or address of this machine that it listens at. "127.0.0.1" is for this machine
            alone, and for who comes to it by ssh; "0.0.0.0" for everybody who reaches it.
        port: that it listens at; the next free one where it is taken, and any with 0.
        picture_side: pixels of the longer side that pictures are reduced to before they are sent.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    picture_side: int = 1280

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: there is no such port (`viewer.port`), or pictures would have no pixels
                (`viewer.picture_side`).
        """
        if not 0 <= self.port <= LARGEST_PORT:
            raise InputError("viewer.port", file="port", most=LARGEST_PORT, found=self.port)
        if self.picture_side < 1:
            raise InputError("viewer.picture_side", file="picture_side", found=self.picture_side)
