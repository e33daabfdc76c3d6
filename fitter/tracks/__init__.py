"""Hands of videos as tracks: one identity a hand, one side, one shape, and motion that is smooth.

rows of a pass -> `associate`: which hands of which frames are one -> shapes (`fitter.groups`) and
messages of all other frames to each (`smoother`) -> tasks of the next pass

`TrackSharing` is all that to a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.tracks.association import Association, Track, associate
    from fitter.tracks.sharing import TrackSharing

__all__ = ["Association", "Track", "TrackSharing", "associate"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Association": "fitter.tracks.association",
        "Track": "fitter.tracks.association",
        "TrackSharing": "fitter.tracks.sharing",
        "associate": "fitter.tracks.association",
    },
)
