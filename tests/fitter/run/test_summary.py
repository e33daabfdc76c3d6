"""What is told at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitter.run.summary import Summary
from fitter.run.telling import report


@pytest.mark.parametrize("found", [None, 3])
def test_rejected_masks_are_told_wherever_they_come_from(found):
    """Given ones, of which some are found, and those that the fit makes itself."""
    told: list[str] = []
    report(
        Summary(images=3, seconds=1.0, masks_rejected=2, masks_found=found),
        Path("o"),
        None,
        told.append,
    )
    assert "2 hands fitted without a mask, because it contradicted the keypoints" in told
    assert any(line.startswith("masks found") for line in told) == (found is not None)
    told.clear()
    report(Summary(images=3, seconds=1.0, masks_found=found), Path("o"), None, told.append)
    assert told and not any("without a mask" in line for line in told)
