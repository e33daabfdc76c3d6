"""The codes of `initialisation_source` are those of the networks that a store was made with."""

from dataclasses import replace

import pytest

from fitter.config.options import Config
from fitter.store.result_store import ResultStore, decode_flags
from fitter.store.schema import VARIABLES, ImageRow, with_initialisations
from tests.support.store_rows import SPEC, fake_hand

NAMES = [None, "keypoints", "lifter", "mine"]


def test_codes_follow_from_the_offered_names(tmp_path):
    spec = replace(SPEC, images=["a", "b", "c", "d"], initialisations=("lifter", "mine"))
    rows = [
        ImageRow(image_status="ok", hands=(replace(fake_hand(i), initialisation_source=name),))
        for i, name in enumerate(NAMES)
    ]
    with ResultStore.create(tmp_path / "r.zarr", spec) as store:
        store.write_block(store.blocks()[0], rows)
    # Whoever reads asks for no package that offers networks.
    store = ResultStore.open(tmp_path / "r.zarr")
    stored = store.dataset().initialisation_source[:, 0]
    assert stored.values.tolist() == [0, 1, 2, 3]
    assert decode_flags(stored).values.tolist() == ["none", *NAMES[1:]]
    found = store.read_block(store.blocks()[0])
    assert [row.hands[0].initialisation_source for row in found] == NAMES


def test_a_name_that_was_not_offered_is_refused(tmp_path):
    spec = replace(SPEC, images=["a"], initialisations=("lifter",))
    row = ImageRow(image_status="ok", hands=(replace(fake_hand(0), initialisation_source="mine"),))
    with (
        ResultStore.create(tmp_path / "r.zarr", spec) as store,
        pytest.raises(ValueError, match="initialisation_source"),
    ):
        store.write_block(store.blocks()[0], [row])


def test_the_networks_that_ship_keep_their_codes():
    variables = {
        v.name: v for v in with_initialisations(VARIABLES, Config().init.offer.initialisations)
    }
    flags = variables["initialisation_source"].flags
    assert flags == ("none", "keypoints", "lifter", "handnet", "stereo")
