"""How hands of videos become tracks."""

from __future__ import annotations

from pydantic import Field

from fitter.config.section import Section


class TracksConfig(Section):
    """What is made of the hands that the frames of a video show: one track of each.

    The noises say how much a hand's motion changes: white acceleration, whose integral over a time
    t has the standard deviation ``noise * sqrt(t)``. They are those of motion that is usual
    (`fitter.tracks.calibration.USUAL`), and larger where a track's motion changes faster. They are
    at the scale of the energies: where these count an image for more than it says, motion is
    smoother with a smaller noise.
    """

    enabled: bool = Field(
        True,
        description="hands of videos are tracked; false, or --no-tracks, fits every frame alone",
    )
    rounds: int = Field(
        1,
        ge=1,
        le=5,
        description="times that tracks are made of the fits to all frames before the fits that are "
        "kept: one pass over the frames each, and one for the last fits",
    )
    max_gap: float = Field(
        10.0,
        ge=0,
        description="seconds for which a hand may be out of sight and still be the same",
    )
    least_frames: int = Field(
        3, ge=1, description="frames that a track has at least; hands of fewer are fitted alone"
    )
    fill_gaps: int = Field(
        0,
        ge=0,
        description="frames of a gap in a track up to which the hand is filled in where its track "
        "has it, as --fill-gaps says; 0 for none",
    )
    pose_components: int = Field(
        18, ge=0, description="components of the pose whose motion is smooth; 0 for none"
    )
    # not published, as are the others: chosen on rendered videos
    place_noise: float = Field(
        0.4,
        gt=0,
        description="of the place: acceleration over distance, along and across the line of sight",
    )
    turn_noise: float = Field(0.8, gt=0, description="of the rotation, radians")
    pose_noise: float = Field(
        1.5, gt=0, description="of the pose's components, standard deviations of hands"
    )
