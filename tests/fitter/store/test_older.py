"""Today's names for what earlier versions stored, and stores in folders that may only be read."""

import json
import os
import shutil

import numpy as np

from fitter.store.files import require_resumable
from fitter.store.older import (
    ADDED_VARIABLES,
    FORMAT_VERSION,
    RENAMED_OPTIONS,
    RENAMED_VARIABLES,
    with_todays_options,
)
from fitter.store.optional_variables import (
    LENS_VARIABLES,
    PASS_VARIABLES,
    PEOPLE_VARIABLES,
    TRACK_VARIABLES,
)
from fitter.store.reader import StoreReader
from fitter.store.schema import VARIABLES
from tests.support.errors import raises
from tests.support.store_rows import SPEC, contents

VERSION_3 = frozenset(
    {
        "appearance", "betas", "box", "detection_score", "detector_relative_depth",
        "detector_relative_xyz", "file_size", "file_time", "final_cost", "fit_error",
        "fit_status", "focal_scale", "global_orient", "hand_pose", "image_error",
        "image_height", "image_status", "image_width", "initialisation_source",
        "inputs_digest", "intrinsics", "intrinsics_source", "iterations", "joints_3d",
        "keypoint_confidence", "keypoints_2d", "keypoints_2d_detected", "keypoints_3d",
        "lighting", "mask_agreement", "mask_iou", "mask_source", "refine_iterations",
        "refine_status", "residual_px", "score", "side", "side_score", "transl", "valid",
        "vertex_colours", "vertex_offsets", "vertices",
    }
)  # fmt: skip
"""The variables of stores of format version 3."""


def test_options_have_todays_names_in_their_order():
    older = {"fit": {"max_iterations": 30, "num_starts": 4}, "inputs": None, "init": {"fit": 1}}
    found = with_todays_options(older)
    assert found == {**older, "fit": {"max_iterations": 30, "num_initialisations": 4}}
    assert list(found["fit"]) == ["max_iterations", "num_initialisations"]
    for renamed in (RENAMED_OPTIONS, RENAMED_VARIABLES):
        assert not {*renamed} & {*renamed.values()}


def test_what_may_only_be_read_is_read(undisturbed, tmp_path, monkeypatch):
    path = shutil.copytree(undisturbed, tmp_path / "results.zarr")
    before, opened = contents(path), os.open

    def refuse_to_write(file, flags, *rest, **others):
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), file
        return opened(file, flags, *rest, **others)

    for entry in (path, *path.rglob("*")):
        entry.chmod(0o500 if entry.is_dir() else 0o400)
    try:
        with monkeypatch.context() as reading:
            reading.setattr(os, "open", refuse_to_write)
            store = StoreReader.open(path)
            rows = [row for block in store.committed_blocks() for row in store.read_block(block)]
            assert len(rows) == 11 and store.dataset().load().sizes["image"] == 11
            assert store.configuration == SPEC.config
    finally:
        for entry in (path, *path.rglob("*")):
            entry.chmod(0o700)
    assert contents(path) == before


def test_every_variable_that_an_older_store_lacks_is_named():
    shared = {"shape_information", "motion_information"}
    optional = (
        PEOPLE_VARIABLES | LENS_VARIABLES | TRACK_VARIABLES | PASS_VARIABLES | shared
    )  # no store need have them
    assert {v.name for v in VARIABLES} - VERSION_3 == ADDED_VARIABLES | optional


def test_stores_from_before_a_variable_are_read_without_it(undisturbed, tmp_path):
    path = shutil.copytree(undisturbed, tmp_path / "results.zarr")
    metadata = json.loads((path / "zarr.json").read_text())
    for name in ADDED_VARIABLES:
        shutil.rmtree(path / name)
        metadata["consolidated_metadata"]["metadata"].pop(name)
    (path / "zarr.json").write_text(json.dumps(metadata))
    with raises("store.lost", file=path):
        StoreReader.open(path)
    whole = StoreReader.open(undisturbed)
    before = [row for block in whole.committed_blocks() for row in whole.read_block(block)]
    metadata["attributes"]["format_version"] = FORMAT_VERSION - 1
    (path / "zarr.json").write_text(json.dumps(metadata))
    store = StoreReader.open(path)
    rows = [row for block in store.committed_blocks() for row in store.read_block(block)]
    assert len(rows) == len(before) == 11
    for row, same in zip(rows, before, strict=True):
        wanted = [(same, row), *zip(same.hands, row.hands, strict=True)]
        for stored, found in wanted:
            for name, value in vars(found).items():
                if name in ADDED_VARIABLES:
                    assert value is None
                elif name != "hands":
                    np.testing.assert_array_equal(value, getattr(stored, name))
    known = {
        name
        for row in before
        for one in (row, *row.hands)
        for name, value in vars(one).items()
        if value is not None
    }
    assert known >= ADDED_VARIABLES
    with raises("store.older_names", file=path):
        require_resumable(path)
