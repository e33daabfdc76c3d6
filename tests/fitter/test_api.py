"""The Python door: the same hands as the command's, and one clear error for what is no input."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shutil
from dataclasses import fields
from pathlib import Path

import fsspec
import numpy as np
import pytest
import trimesh
from PIL import Image

import fitter
from datasets.annotations import AnnotatedHand, AnnotatedImage, Annotation
from fitter import FittedHand, HandFitter, HandObservation
from fitter.config.options import load_config
from tests.support.errors import raises
from tests.support.paths import ROOT

NAMES = ("open_palm.jpg", "two_hands.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    (folder / "images").mkdir()
    for name in NAMES:
        shutil.copy(ROOT / "examples" / name, folder / "images")
    matrices = json.loads((ROOT / "examples" / "intrinsics.json").read_text())
    (folder / "K.json").write_text(json.dumps({name: matrices[name] for name in NAMES}))
    return folder


@pytest.fixture(scope="module")
def matrices(folder) -> list[np.ndarray]:
    found = json.loads((folder / "K.json").read_text())
    return [np.array(found[name]) for name in NAMES]


@pytest.fixture(scope="module")
def hand_fitter() -> HandFitter:
    return HandFitter(device="cpu")


@pytest.fixture(scope="module")
def hands(hand_fitter, folder, matrices) -> list[list[FittedHand]]:
    return hand_fitter([folder / "images" / name for name in NAMES], matrices)


@pytest.fixture(scope="module")
def pixels(folder) -> np.ndarray:
    with Image.open(folder / "images" / NAMES[0]) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="module")
def plain() -> HandFitter:
    """One that needs no detector, no network and no mask."""
    options = {"init.source": "keypoints", "refine.stages": {}}
    return HandFitter(device="cpu", options=options)


def given(hand: FittedHand) -> dict[str, object]:
    return {"side": hand.side, "keypoints": hand.keypoints_2d_detected}


def require_same(found: FittedHand, wanted: FittedHand, *apart: str) -> None:
    """Every field in the precision in which it is stored, and the same model."""
    assert found.meshes.data.identity == wanted.meshes.data.identity
    apart = (*apart, "meshes")
    for field in fields(FittedHand):
        if field.name in apart:
            continue
        a, b = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(b, float):
            assert np.float32(a) == np.float32(b), field.name
        elif isinstance(b, np.ndarray):
            np.testing.assert_array_equal(a, b.astype(a.dtype), err_msg=field.name)
        else:
            assert a == b, field.name


@pytest.fixture(scope="module")
def store(folder) -> Path:
    request = fitter.RunRequest(
        images=[str(folder / "images")],
        out=folder / "results.zarr",
        intrinsics=str(folder / "K.json"),
        quiet=True,
    )
    summary = fitter.fit_to_store(request, load_config(None, ["run.device=cpu"]))
    assert summary.hands == 3 and not summary.has_failures
    return request.out


def test_the_numbers_are_those_of_the_command(hands, store) -> None:
    results = fitter.open_results(store)
    assert list(results) == [*NAMES] and len(results) == 2
    for name, wanted in zip(NAMES, hands, strict=True):
        assert results.status(name) == "ok" and results.error(name) is None
        for found, hand in zip(results[name], wanted, strict=True):
            require_same(found, hand, "image_name")
            assert found.image_name == name and hand.image_name.endswith(name)


def test_a_hand_says_what_it_is(hands) -> None:
    (palm,), both = hands
    assert {hand.side for hand in both} == {"left", "right"}
    assert palm.valid and 0.3 < palm.score <= 1 and palm.keypoints_3d.shape == (21, 3)
    assert palm.vertices.shape == (palm.faces.max() + 1, 3) and palm.intrinsics_source == "given"
    values = palm.to_dict()
    assert values["side"] == palm.side and "fit_error" not in values
    assert all(value is not None for value in values.values())
    mesh = palm.mesh()
    assert isinstance(mesh, trimesh.Trimesh) and np.array_equal(mesh.faces, palm.faces)
    np.testing.assert_allclose(mesh.vertices, palm.vertices)


def test_every_field_is_documented() -> None:
    text = inspect.getdoc(FittedHand)
    assert [f.name for f in fields(FittedHand) if f"\n    {f.name}: " not in text] == []


def test_overlays_show_the_hand(hands, pixels) -> None:
    (palm,), both = hands
    copy = pixels.copy()
    overlay = palm.overlay(pixels)
    assert np.array_equal(pixels, copy) and overlay.shape == pixels.shape
    changed = (overlay != pixels).any(-1)
    x0, y0, x1, y1 = palm.box.astype(int)
    assert changed[y0:y1, x0:x1].mean() > 0.3
    assert np.array_equal(fitter.render_hands(pixels, []), pixels)
    with raises("hand.other_image"):
        both[0].overlay(pixels[:-1])


def test_arrays_are_as_good_as_files(hand_fitter, hands, pixels, matrices) -> None:
    (found,) = hand_fitter(pixels, matrices[0])
    (alone,) = hand_fitter(np.stack([pixels, pixels]), matrices[0])[1]
    # The last digits depend on what is fitted together.
    for other in (found, alone):
        np.testing.assert_allclose(other.keypoints_3d, hands[0][0].keypoints_3d, atol=1e-6)
    assert found.image_name == "image 0" and alone.image_name == "image 1"


def test_keypoints_and_masks_may_be_given(plain, hands, pixels, matrices) -> None:
    (palm,) = hands[0]
    (found,) = plain(pixels, matrices[0], keypoints=[given(palm)])
    assert np.array_equal(found.keypoints_2d_detected, palm.keypoints_2d_detected)
    assert found.side == palm.side and found.residual_px < 10 and found.mask_source is None
    known = HandObservation(
        palm.keypoints_2d_detected, np.ones(21), palm.side, side_score=1.0, score=1.0
    )
    several = plain([pixels] * 2, matrices[0], keypoints=[[known], []])
    assert [len(each) for each in several] == [1, 0]
    np.testing.assert_allclose(several[0][0].keypoints_3d, found.keypoints_3d, atol=1e-9)
    mask = fitter.render_hands(pixels, [palm]) != pixels
    masked = HandFitter(device="cpu", options={"init.source": "keypoints"})
    (found,) = masked(pixels, matrices[0], keypoints=[given(palm)], masks=mask.any(-1))
    assert found.mask_source == "given"


def test_hands_below_a_score_are_refused_and_kept(plain, hands, pixels) -> None:
    options = {"init.source": "keypoints", "refine.stages": {}, "output.min_quality": 1.0}
    palm = given(hands[0][0])
    (kept,) = plain(pixels, keypoints=[palm])
    (refused,) = HandFitter(device="cpu", options=options)(pixels, keypoints=[palm])
    assert kept.valid and kept.score < 1 and kept.predicted_error_mm > 0
    assert ((kept.keypoint_visibility >= 0) & (kept.keypoint_visibility <= 1)).all()
    assert refused.is_refused and not refused.has_failed and "at least 1 " in refused.fit_error
    require_same(refused, kept, "valid", "fit_error")
    assert len(refused.mesh().vertices) == len(kept.vertices)


def test_hands_that_could_not_be_fitted_say_so(plain, pixels) -> None:
    points = np.full((21, 2), 100.0)
    (failed,) = plain(pixels, keypoints=[{"side": "right", "keypoints": points}])
    assert not failed.valid and failed.vertices is None and "span at least" in failed.fit_error
    for use in (failed.mesh, lambda: failed.overlay(pixels)):
        with raises("hand.not_fitted"):
            use()


BAD = {
    "floats": ({"images": np.zeros((8, 8, 3))}, "array.dtype"),
    "4 channels": ({"images": np.zeros((80, 80, 4), np.uint8)}, "array.channels"),
    "no pixels": ({"images": np.zeros((0, 80, 3), np.uint8)}, "array.empty"),
    "grey": ({"images": np.zeros((80, 80), np.uint8)}, "array.shape"),
    "no image": ({"images": 7}, "door.images"),
    "K of 4 x 4": ({"K": np.eye(4)}, "intrinsics.pose"),
    "K for others": ({"images": 2, "K": [np.eye(3)]}, "door.count"),
    "K of two sizes": ({"images": 2, "K": [np.eye(3), np.eye(2)]}, "intrinsics.shape"),
    "no list of masks": ({"images": 2, "masks": "ab"}, "door.count"),
    "an observation of 20 rows": (
        {"keypoints": [HandObservation(np.ones((20, 2)), np.ones(20), "left", 1.0, 1.0)]},
        "keypoints.shape",
    ),
    "20 rows": (
        {"keypoints": [{"side": "left", "keypoints": np.zeros((20, 2))}]},
        "keypoints.shape",
    ),
    "no side": ({"keypoints": [{"keypoints": np.ones((21, 2))}]}, "keypoints.side"),
    "a bare array": ({"keypoints": [np.ones((21, 2))]}, "door.hands"),
    "a size in centimetres": ({"hand_size": 18.5}, "hand_size.metres"),
    "sizes for others": ({"images": 2, "hand_size": [0.18]}, "door.count"),
    "keypoints of others": ({"images": 2, "keypoints": [[]]}, "door.count"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(plain, pixels, case) -> None:
    values, code = BAD[case]
    images = values.get("images", pixels)
    call = (
        {"images": [pixels] * images if images == 2 else images}
        if isinstance(images, int)
        else {"images": images}
    )
    with raises(code):
        plain(**call, **{name: value for name, value in values.items() if name != "images"})


def test_a_file_that_is_no_image_is_named(plain, tmp_path) -> None:
    (tmp_path / "a.jpg").write_text("nothing")
    with raises("image.format", file=tmp_path / "a.jpg"):
        plain(tmp_path / "a.jpg", keypoints=[])


def test_a_mask_of_another_size_is_refused(hands, pixels) -> None:
    masked = HandFitter(device="cpu", options={"init.source": "keypoints"})
    with raises("array.shape"):
        masked(pixels, keypoints=[given(hands[0][0])], masks=np.ones((5, 5), bool))


def test_models_and_options_are_checked_at_once(tmp_path) -> None:
    (tmp_path / "MANO_RIGHT.pkl").write_text("<!doctype html><html></html>")
    with raises("model.other_format"):
        HandFitter(model=tmp_path / "MANO_RIGHT.pkl")
    with raises("door.option"):
        HandFitter(options={"max_iterations": 3})
    for options in ({"fit.max_iteration": 3}, {"fit.max_iterations": "three"}):
        with pytest.raises(fitter.InputError):
            HandFitter(options=options)


def test_options_are_laid_over_a_configuration() -> None:
    config = load_config("detailed", ["fit.max_iterations=7"])
    found = HandFitter(config=config, max_hands=5, options={"fit.num_initialisations": 1}).config
    wanted = config.resolved()
    wanted["detector"]["max_hands"] = 5
    wanted["fit"]["num_initialisations"] = 1
    assert found.resolved() == wanted
    assert HandFitter(config=config).config is config


def test_some_cameras_may_be_unknown(plain, hands, pixels, matrices) -> None:
    given_hands = [[given(hands[0][0])]] * 2
    (first,), (second,) = plain([pixels] * 2, [None, matrices[0]], keypoints=given_hands)
    assert [first.intrinsics_source, second.intrinsics_source] == ["default", "given"]


def test_a_request_takes_texts_for_paths() -> None:
    request = fitter.RunRequest("photos", "a.zarr", masks="masks")
    assert list(request.images) == ["photos"]
    assert request.out == Path("a.zarr") and request.masks == Path("masks")


def test_an_image_that_is_not_finished_has_no_hands(store) -> None:
    results = fitter.open_results(store)
    assert NAMES[0] in results and "gone.jpg" not in results and results.get("gone.jpg") is None
    row = dataclasses.replace(results._row(NAMES[0]), image_status=None)
    assert row.hands and results._hands(NAMES[0], row) == []
    with raises("results.no_image"):
        results["gone.jpg"]


def test_records_are_frozen(hands) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        hands[0][0].score = 1.0


def test_known_sizes_are_kept_through_the_stages(
    hand_fitter, hands, pixels, folder, matrices
) -> None:
    names = [folder / "images" / name for name in NAMES]
    found = hand_fitter(names, matrices, hand_size=[0.16, None])
    assert found[0][0].hand_size == pytest.approx(0.16, abs=1e-3)
    assert found[0][0].hand_size_source == "given" and found[0][0].refine_status is not None
    assert [hand.hand_size_source for hand in found[1]] == ["fitted"] * len(found[1])
    assert found[1][0].hand_size == pytest.approx(hands[1][0].hand_size, abs=1e-3)
    # A smaller hand that looks the same is as much nearer.
    ratio = found[0][0].hand_size / hands[0][0].hand_size
    depths = [hand.keypoints_3d[:, 2].mean() for hand in (found[0][0], hands[0][0])]
    assert depths[0] / depths[1] == pytest.approx(ratio, rel=0.05)


def test_keypoints_come_in_the_definition_asked_for(plain, hands, pixels, matrices) -> None:
    asked = HandFitter(
        device="cpu",
        options={
            "init.source": "keypoints",
            "refine.stages": {},
            "output.keypoint_definition": "mano",
        },
    )
    seen = [given(hands[0][0])]
    marks, joints = (each(pixels, matrices[0], keypoints=seen)[0] for each in (plain, asked))
    np.testing.assert_array_equal(joints.keypoints_2d, marks.keypoints_2d)
    np.testing.assert_array_equal(joints.joints_3d, marks.joints_3d)
    np.testing.assert_allclose(joints.keypoints_3d[0], joints.joints_3d[0], atol=1e-6)
    np.testing.assert_allclose(joints.keypoints_3d[9:12], joints.joints_3d[4:7], atol=1e-6)
    assert np.abs(joints.keypoints_3d - marks.keypoints_3d).max() > 5e-3


def test_a_data_sets_sample_brings_its_k_and_what_is_asked_for(plain, hands, pixels, matrices):
    (found,) = hands[0]
    marked = found.keypoints_2d.copy()
    marked[4] = np.nan
    hand = AnnotatedHand(found.side, marked, np.full((21, 3), np.nan))
    masks = np.ones((1, *pixels.shape[:2]), bool)
    sample = AnnotatedImage(pixels, Annotation("a.jpg", matrices[0], (hand,)), masks)
    nobody = AnnotatedImage(pixels, Annotation("b.jpg", None, ()))
    (first,), none = plain([sample, nobody], use=("keypoints",))
    assert none == []
    np.testing.assert_array_equal(first.intrinsics, matrices[0])
    np.testing.assert_allclose(first.keypoints_2d_detected[5:], marked[5:], atol=1e-3)
    assert first.keypoint_confidence[4] == 0 and first.keypoint_confidence[5] == 1
    other = matrices[0] * [[2, 1, 1], [1, 2, 1], [1, 1, 1]]
    (alone,) = plain(sample, other, use=("keypoints",))
    np.testing.assert_array_equal(alone.intrinsics, other)
    # Of several, where nothing was given for one, its own.
    K, seen = [None, other, other], [None, [given(first)], [given(first)]]
    for one, wanted in zip(
        plain([sample, pixels, sample], K, keypoints=seen, use=("keypoints",)),
        (matrices[0], other, other),
        strict=True,
    ):
        np.testing.assert_array_equal(one[0].intrinsics, wanted)
    with raises("door.count", file="K", expected=2):
        plain([sample, pixels], [None], use=("keypoints",))
    with raises("dataset.use", found="depth"):
        plain(sample, use=("depth",))
    nobodys = dataclasses.replace(hand, side=None)
    with raises("dataset.no_side", file="image 0, hand 0"):
        plain(AnnotatedImage(pixels, Annotation("a.jpg", None, (nobodys,))), use=("keypoints",))


def test_an_address_is_as_good_as_a_path(plain, hands, folder, matrices):
    memory = fsspec.filesystem("memory")
    memory.pipe("/door/a.jpg", (folder / "images" / NAMES[0]).read_bytes())
    given = [{"side": hand.side, "keypoints": hand.keypoints_2d} for hand in hands[0]]
    (here,) = plain(folder / "images" / NAMES[0], matrices[0], keypoints=given)
    (there,) = plain("memory://door/a.jpg", matrices[0], keypoints=given)
    np.testing.assert_array_equal(here.keypoints_3d, there.keypoints_3d)
    assert there.image_name == "memory://door/a.jpg"
    with raises("image.folder", file="memory://door"):
        plain("memory://door")
    memory.rm("/door", recursive=True)
    with raises("image.missing", file="memory://door/a.jpg"):
        plain("memory://door/a.jpg")


def test_a_data_set_goes_into_a_store(tmp_path, folder, hands, matrices) -> None:
    images = tmp_path / "evaluation" / "rgb"
    images.mkdir(parents=True)
    shutil.copy(folder / "images" / NAMES[0], images / "00000000.jpg")
    for kind, entry in (("K", matrices[0]), ("xyz", hands[0][0].keypoints_3d)):
        (tmp_path / f"evaluation_{kind}.json").write_text(json.dumps([entry.tolist()]))
    asked = fitter.DatasetRequest("freihand", use="keypoints")
    request = fitter.RunRequest(tmp_path, tmp_path / "r.zarr", dataset=asked, quiet=True)
    options = ["run.device=cpu", "init.source=keypoints", "refine.stages={}"]
    summary = fitter.fit_to_store(request, load_config(None, options))
    assert (summary.images, summary.with_hands, summary.hands) == (1, 1, 1)
