"""`fit-hands --dataset`: images, K, keypoints and masks from whoever offers a reader."""

import json
import pickle

import numpy as np
import pytest
import xarray as xr

from fitter.errors import InputError, sentence
from fitter.inputs import datasets
from fitter.inputs.annotated import DatasetFiles, DatasetHandle
from fitter.inputs.dataset_request import DatasetRequest
from fitter.store.reader import StoreReader, decode_flags
from fitter.workers.overlay_renderer import OverlayRenderer
from tests.support import errors, tiny_dataset
from tests.support.bad_commands import ALONE
from tests.support.same_process import SameProcess
from tests.support.shard_files import K
from tests.support.tiny_dataset import write_tiny

GIVEN = ["--use", "keypoints", "--device", "cpu", *ALONE]


@pytest.fixture
def tiny(monkeypatch):
    tiny_dataset.offer_tiny(monkeypatch)
    yield
    monkeypatch.undo()
    for cached in (datasets.dataset_names, datasets.dataset_offer):
        cached.cache_clear()


@pytest.fixture
def fit(tiny, same_process, tmp_path, say):
    """Fits a tiny data set, whose images these are; what is said, and the results by name."""

    def run(*more: object, **said: dict):
        folder = tmp_path / "tiny"
        if said:
            write_tiny(folder, **said)
        out = tmp_path / "r.zarr"
        told = say("--dataset", "tiny", folder, "--out", out, *GIVEN, *more)
        results = xr.open_zarr(out).load() if out.exists() else None
        return told, results

    return run


def other_inputs(folder, name):
    options = f"--dataset tiny {folder / 'tiny'}"
    return sentence(
        "run.other_inputs", {"file": folder / "r.zarr", "name": name, "options": options}
    )


def test_images_k_and_keypoints_come_from_the_data_set(fit, tmp_path):
    told, results = fit(b={}, a={})
    assert told.status == 0
    assert results.image_name.values.tolist() == ["a.img", "b.img"]
    assert set(decode_flags(results.intrinsics_source).values) == {"given"}
    np.testing.assert_array_equal(results.intrinsics.values[0], K)
    # The hand is where the data set says, and no detector was asked.
    truth = tiny_dataset.Tiny(tmp_path / "tiny", "good").annotation(0).hands[0].keypoints_2d
    np.testing.assert_allclose(results.keypoints_2d_detected.values[:, 0], [truth] * 2, atol=1e-3)
    store = StoreReader.open(tmp_path / "r.zarr")
    place = {"name": "tiny", "folder": str(tmp_path / "tiny"), "split": "good"}
    assert store.dataset_place == place
    used = {"name": "tiny", "split": "good", "use": ["keypoints"]}
    assert store.configuration["inputs"]["dataset"] == used
    assert "detector_networks_sha256" not in store.model


def test_what_is_wrong_with_an_image_fails_it_alone(fit):
    damaged = dict.fromkeys(["damaged"], True)
    images = {
        "a": {},
        "b": damaged,
        "c": {"no_k": True},
        "d": {"size": [100, 100]},
        "e": {"side": None},
        "f": {"no_hand": True},
        "g": {"unmarked": [8]},
    }
    told, results = fit(**images)
    assert told.status == 1
    reasons = dict(zip("abcdefg", results.image_error.values.tolist(), strict=True))
    facts = {"dataset": "tiny", "expected": "100x100", "found": "640x480", "reason": "damaged"}
    for name, code in {
        "b": "dataset.unreadable",
        "c": "dataset.no_intrinsics",
        "d": "dataset.image_size",
    }.items():
        assert reasons[name] == sentence(code, facts)
    assert reasons["e"] == "hand 0: " + sentence("dataset.no_side", {})
    assert [reasons[name] for name in "afg"] == ["", "", ""]
    status = decode_flags(results.image_status).values.tolist()
    assert status == ["ok", "failed", "failed", "failed", "failed", "no_hand", "ok"]
    confidence = results.keypoint_confidence.values[6, 0]
    assert confidence[8] == 0 and np.delete(confidence, 8).all()


def test_a_data_set_without_k_leaves_it_to_others(fit, tmp_path):
    told, results = fit("--split", "bad", a={"no_k": True})
    assert told.status == 0
    assert decode_flags(results.intrinsics_source).values.tolist() == ["default"]
    told, results = fit("--split", "bad", "--intrinsics", "700,700,320,240", "--overwrite")
    assert told.status == 0 and results.intrinsics.values[0, 0, 0] == 700


def test_masks_are_used_on_request(fit):
    assert fit(a={"mask": True}, b={})[0].status == 0
    told, _ = fit("--use", "masks,keypoints", "--overwrite")
    expected = sentence("run.masks_unused", {"file": "--use masks", "found": "refine.stages empty"})
    assert told.status == 2 and told.err == f"fit-hands: {expected}\n"
    stages = [
        "--set",
        "refine.stages={a: {solver: adam, learning_rate: 0.01, iterations: 1, free: [camera], ",
    ]
    stages[1] += "energies: {silhouette_l2: 1}}}"
    told, results = fit("--use", "masks,keypoints", *stages, "--overwrite", "--init", "keypoints")
    assert "masks found for 1 of 2 images" in told.err
    assert decode_flags(results.mask_source).values[0, 0] in ("given", "rejected")


def test_a_continued_run_notices_other_annotations_and_adds_images(fit, tmp_path):
    assert fit(a={}, b={})[0].status == 0
    assert "nothing left to do" in fit("--resume")[0].err
    told, _ = fit("--resume", a={}, b={"unmarked": [3]})
    expected = other_inputs(tmp_path, "b.img")
    assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")
    write_tiny(tmp_path / "tiny", a={}, b={})
    told, results = fit("--resume", a={}, b={}, c={})
    assert told.status == 0 and results.sizes["image"] == 3


def test_a_continued_run_notices_other_confidence(fit, tmp_path):
    assert fit(a={"confidence": 0.5})[0].status == 0
    assert "nothing left to do" in fit("--resume", a={"confidence": 0.5})[0].err
    told, _ = fit("--resume", a={"confidence": 0.9})
    expected = other_inputs(tmp_path, "a.img")
    assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")


def test_an_image_is_found_by_its_name_where_the_data_set_has_grown(tiny, tmp_path):
    """A process that opens it later has other images at the places that were told."""
    folder = write_tiny(tmp_path / "t", c={"unmarked": [3]})
    request = DatasetRequest("tiny", use=["keypoints"])
    image = DatasetFiles.of(DatasetHandle.of(request, str(folder))).file_of("c.img")
    write_tiny(folder, b={"size": [100, 100]}, a={}, c={"unmarked": [3]})
    image.dataset.forget()
    assert image.read()[0].shape == (480, 640, 3)
    (hand,) = image.hands()
    assert np.flatnonzero(hand.confidence == 0).tolist() == [3]
    write_tiny(folder, b={}, a={})
    image.dataset.forget()
    assert image.stamp() is None
    for read in (image.read, image.hands, image.intrinsics):
        with errors.raises("image.missing", file=str(folder / "c.img")):
            read()


def test_what_is_stored_of_a_failure_does_not_depend_on_how_the_folder_was_spelled(
    fit, tmp_path, same_process, say, monkeypatch
):
    images = {"a": {"damaged": True}, "b": {"size": [1, 1]}, "c": {"side": None}}
    reasons = fit(**images)[1].image_error.values.tolist()
    assert all(reasons) and not any(str(tmp_path) in reason for reason in reasons)
    monkeypatch.chdir(tmp_path)
    for number, spelled in enumerate(("tiny", "tiny/", "./tiny//", f"{tmp_path}//tiny/.")):
        out = tmp_path / f"{number}.zarr"
        say("--dataset", "tiny", spelled, "--out", out, *GIVEN)
        assert xr.open_zarr(out).image_error.values.tolist() == reasons


def test_overlays_do_not_go_into_the_data_set(fit, tmp_path):
    place = tmp_path / "tiny" / "drawn"
    told, results = fit("--overlays", place, a={})
    facts = {"file": f"--overlays {place}", "root": tmp_path / "tiny"}
    expected = sentence("overlay.inside_images", facts)
    assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")
    assert results is None and not place.exists()


def test_a_process_that_draws_opens_the_data_set_before_its_first_overlay(
    fit, tmp_path, monkeypatch
):
    made = []

    class Told(SameProcess):
        def __init__(self, factory, *arguments):
            super().__init__(factory, *arguments)
            made.append((factory, arguments))

    monkeypatch.setattr("fitter.workers.process_pool.Isolated", Told)
    assert fit("--overlays", tmp_path / "drawn", a={})[0].status == 0
    ((factory, arguments),) = [one for one in made if one[0] is OverlayRenderer]
    handle = DatasetHandle.of(DatasetRequest("tiny", use=["keypoints"]), str(tmp_path / "tiny"))
    handle.forget()
    opened = []
    real = tiny_dataset.open_tiny
    monkeypatch.setattr(
        tiny_dataset, "open_tiny", lambda *found: opened.append(found) or real(*found)
    )
    factory(*arguments)
    assert opened == [(tmp_path / "tiny", "good")]


def test_a_continued_run_tells_of_the_folder_that_its_data_set_is_in_now(fit, tmp_path, say):
    assert fit(a={}, b={})[0].status == 0
    (tmp_path / "tiny").rename(tmp_path / "moved")
    out = tmp_path / "r.zarr"
    told = say("--dataset", "tiny", tmp_path / "moved", "--out", out, *GIVEN, "--resume")
    assert told.status == 0, told.err
    store = StoreReader.open(out)
    assert store.dataset_place["folder"] == str(tmp_path / "moved")
    assert xr.open_zarr(out, consolidated=False).sizes["image"] == 2


def test_misuse_is_said_in_one_sentence(tiny, say, tmp_path):
    out = tmp_path / "r.zarr"
    write_tiny(tmp_path / "t", a={})
    for arguments, expected in {
        ("--dataset", "none", "t"): sentence(
            "dataset.not_offered", {"file": "--dataset", "known": "tiny", "found": "none"}
        ),
        ("--dataset", "tiny", "a", "b"): sentence(
            "usage.dataset_folder", {"file": "--dataset", "found": 2}
        ),
        ("--split", "good", "photos"): sentence("usage.dataset_missing", {"file": "--split"}),
        ("--use", "depth", "--dataset", "tiny", "t"): sentence(
            "dataset.use", {"file": "--use", "known": "keypoints, masks, objects", "found": "depth"}
        ),
        ("--dataset", "tiny", "s3://bucket/t"): sentence(
            "dataset.address", {"file": "s3://bucket/t", "dataset": "tiny"}
        ),
        ("--dataset", "tiny", "--split", "val", tmp_path / "t"): sentence(
            "dataset.split",
            {"file": tmp_path / "t", "dataset": "tiny", "known": "good, bad", "found": "val"},
        ),
    }.items():
        told = say(*arguments, "--out", out)
        assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")
    assert not out.exists()


def test_what_travels_to_a_worker_is_small_whatever_the_data_set_holds(tiny, tmp_path):
    names = {f"image{k:06}": {} for k in range(20_000)}
    handle = DatasetHandle.of(DatasetRequest("tiny"), str(write_tiny(tmp_path / "t", **names)))
    files = DatasetFiles.of(handle)
    image = files.file_of("image012345.img")
    assert image.place == 12345 and len(pickle.dumps(image)) < 1000
    assert pickle.loads(pickle.dumps(image)).read()[0].shape == (480, 640, 3)
    assert files.file_of("image").stamp() is None  # there is none of this name


def test_a_folder_of_rendered_samples_is_no_folder_of_photographs(refused, here):
    (here / "rendered" / "training" / "mask").mkdir(parents=True)
    (here / "rendered" / "synthetic.json").write_text(json.dumps({}))
    refused(
        sentence("list.rendered", {"file": "rendered", "folder": "rendered"}), images="rendered"
    )


def test_the_first_image_does_not_pay_for_opening(tiny, tmp_path, monkeypatch):
    """A process opens the data set before the time of its first image begins, from any folder."""
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "t", a={})
    files = DatasetFiles.of(DatasetHandle.of(DatasetRequest("tiny"), "t"))
    prepare, there = pickle.loads(pickle.dumps((files.absolute().prepare, files.absolute())))
    monkeypatch.chdir("/")
    opened = []
    real = tiny_dataset.open_tiny
    monkeypatch.setattr(
        tiny_dataset, "open_tiny", lambda *found: opened.append(found) or real(*found)
    )
    there.dataset.forget()
    prepare()
    assert opened == [(tmp_path / "t", "good")]
    image = there.file_of("a.img")
    assert image.read()[0].shape == (480, 640, 3) and len(opened) == 1
    (tmp_path / "t" / "tiny.json").unlink()
    there.dataset.forget()
    prepare()  # what is wrong is the images' to say
    with pytest.raises(InputError):
        image.read()


@pytest.mark.parametrize(
    ("part", "without"), [("keypoints", {"unmarked": list(range(21))}), ("masks", {})]
)
def test_what_is_used_is_there_for_at_least_one_image(fit, tmp_path, part, without):
    more = ["--use", part, "--init", "keypoints", "--set"]
    more.append(
        "refine.stages={a: {solver: adam, learning_rate: 0.01, iterations: 1, free: [camera], "
        "energies: {silhouette_l2: 1}}}"
    )
    told, results = fit(*more, a=without, b=without)
    facts = {"file": f"--use {part}", "dataset": "tiny", "folder": str(tmp_path / "tiny")}
    assert told.err == f"fit-hands: {sentence(f'dataset.no_{part}', facts)}\n"
    assert told.status == 2 and results is None


def test_a_single_image_without_keypoints_has_no_hands(fit):
    told, results = fit(a={"unmarked": list(range(21))}, b={})
    assert told.status == 0
    assert decode_flags(results.image_status).values.tolist() == ["no_hand", "ok"]


def test_a_data_sets_own_k_is_not_doubted(fit, tmp_path):
    told, _ = fit(a={"k": [[700, 0, -50], [0, 700, 240], [0, 0, 1]]})
    assert told.status == 0 and "principal point" not in told.err
    (tmp_path / "k.json").write_text('{"a.img": [[700, 0, -50], [0, 700, 240], [0, 0, 1]]}')
    told, _ = fit("--intrinsics", tmp_path / "k.json", "--overwrite")
    assert "principal point lies outside 1 image" in told.err
    told, results = fit("--intrinsics", "700,700,-50,240", "--overwrite")
    assert told.status == 1 and "or of a part of one" in results.image_error.item()


def test_samples_are_counted_from_both_ends(tmp_path):
    images = tiny_dataset.Tiny(write_tiny(tmp_path / "t", a={}, b={}), "good")
    for place in (-1, 1, np.int64(1)):
        assert images[place].annotation.name == "b.img"
    for place in (-3, 2):
        with pytest.raises(IndexError, match=f"one of 2 images, found {place}"):
            images[place]
    for place in ("a", slice(1), 0.0):
        with pytest.raises(TypeError, match="number of an image"):
            images[place]
    assert len(list(images)) == 2
