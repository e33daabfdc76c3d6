"""`fit-hands --init`: where fits start, and what the store says of it."""

import numpy as np
import pytest
import xarray as xr

from fitter.store.result_store import decode_flags
from tests.support.bad_commands import FAST

pytestmark = pytest.mark.usefixtures("same_process")

WITHOUT_STAGES = ["--set", "refine.stages={}"]


def fitted(say, *options: str) -> xr.Dataset:
    say("photos", "--out", "o.zarr", "--overwrite", *FAST, *options)
    return xr.open_zarr("o.zarr").load().isel(image=0, hand=0)


def test_the_store_says_where_each_fit_started(here, say):
    sources = {}
    for source in ("keypoints", "network", "both"):
        hand = fitted(say, "--init", source, *WITHOUT_STAGES)
        sources[source] = str(decode_flags(hand.initialisation_source).values)
        assert bool(hand.valid) and np.isfinite(hand.keypoints_3d).all()
    assert sources["keypoints"] == "keypoints"
    assert sources["network"] == "lifter"
    assert sources["both"] in ("keypoints", "lifter")


def test_networks_are_taken_and_left_out(here, say):
    both = fitted(say, "--set", "init.handnet=shipped", *WITHOUT_STAGES)
    assert str(decode_flags(both.initialisation_source).values) in ("lifter", "handnet")
    hand = fitted(
        say, "--set", "init.handnet=shipped", "--set", "init.lifter=null", *WITHOUT_STAGES
    )
    assert str(decode_flags(hand.initialisation_source).values) == "handnet"


def test_masks_are_a_networks_unless_another_is_asked_for(here, say):
    keypoints = ["--init", "keypoints"]
    assert str(decode_flags(fitted(say, *keypoints).mask_source).values) == "network"
    hand = fitted(say, *keypoints, "--set", "refine.segmentation=grabcut")
    assert str(decode_flags(hand.mask_source).values) in ("grabcut", "rejected")
    hand = fitted(say, *keypoints, *WITHOUT_STAGES)
    assert str(decode_flags(hand.mask_source).values) == "none"
