"""The Python door: samples of data sets, and what is sent to the other door."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from PIL import Image

import fitter
from datasets.annotations import (
    AnnotatedHand,
    AnnotatedImage,
    AnnotatedImages,
    AnnotatedObject,
    Annotation,
)
from fitter import HandFitter
from fitter.inputs.samples import Given, without_samples
from tests.support.annotated import InMemoryImages
from tests.support.errors import raises
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    with Image.open(ROOT / "examples" / "open_palm.jpg") as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="module")
def plain() -> HandFitter:
    """One that needs no detector, no network and no mask."""
    options = {"init.source": "keypoints", "refine.stages": {}}
    return HandFitter(device="cpu", options=options)


def test_masks_of_samples_and_given_ones_are_taken_image_by_image(pixels) -> None:
    own, other = (np.full((1, *pixels.shape[:2]), value) for value in (True, False))
    samples = [AnnotatedImage(pixels, Annotation("a.jpg", None, ()), own)] * 2
    said = without_samples(Given([*samples, pixels], masks=[None, other[0], None]), ["masks"])
    assert [None if mask is None else bool(mask.all()) for mask in said.masks] == [
        True,
        False,
        None,
    ]


def test_the_k_of_a_sample_may_be_that_of_a_crop(plain, pixels) -> None:
    """Twice as far from the corner as the picture's middle is: as of one of double resolution."""
    height, width = pixels.shape[:2]
    K = np.array([[900.0, 0, width], [0, 900.0, height], [0, 0, 1]])
    crop = AnnotatedImage(pixels, Annotation("a.jpg", K, ()))
    assert plain(crop, use="keypoints") == []
    assert plain([crop, pixels], keypoints=[None, []], use="keypoints") == [[], []]
    assert plain([crop], [None], use="keypoints") == [[]]
    for image, use in ((crop, "keypoints"), (pixels, ())):
        with raises("intrinsics.other_resolution", whole=(2 * width, 2 * height)):
            plain(image, K, keypoints=[], use=use)


def test_a_whole_data_set_is_refused_before_a_sample_is_decoded(plain, tmp_path) -> None:
    class Unread(AnnotatedImages):
        names = ("a.jpg",) * 10**6

        def annotation(self, place: int) -> Annotation:
            raise AssertionError("it was read")

    with raises("door.dataset", count=10**6):
        plain(Unread())


def test_samples_none_of_which_has_what_is_used_are_refused(plain, pixels) -> None:
    nowhere = np.full((21, 2), np.nan)
    unmarked = AnnotatedHand("right", nowhere, np.full((21, 3), np.nan))
    sample, empty = (
        AnnotatedImage(pixels, Annotation("a.jpg", None, hands)) for hands in ((unmarked,), ())
    )
    for images in (sample, [sample, empty]):
        with raises("door.no_keypoints", file="use"):
            plain(images, use=("keypoints",))
        with raises("door.no_masks", file="use"):
            plain(images, use="masks")
    # Such a sample says that there is no hand.
    assert plain(empty, use="keypoints") == []


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "s3://bucket/x.tar"])
def test_a_tar_file_is_sent_to_the_other_door(plain, name) -> None:
    with raises("door.shard", file=name):
        plain(name)


def test_a_request_takes_a_data_set_by_its_folder_and_name(tmp_path) -> None:
    out = tmp_path / "p.zarr"
    with raises("door.run_dataset", file="dataset", found="str"):
        fitter.RunRequest("syn", out, dataset="synthetic")
    with raises("door.run_images", file="images", found="InMemoryImages"):
        fitter.RunRequest(InMemoryImages([]), out)
    with raises("door.run_images", file="images", found="ndarray"):
        fitter.RunRequest([np.zeros((64, 64, 3), np.uint8)], out)
    asked = fitter.DatasetRequest("synthetic", use="keypoints")
    assert fitter.RunRequest("syn", out, dataset=asked).dataset.use == ("keypoints",)
    with raises("dataset.use", file="--use", found="depth"):
        fitter.DatasetRequest("synthetic", use="depth")


def test_objects_that_a_samples_camera_does_not_see_are_left_out(pixels, tmp_path) -> None:
    """As a run over its data set does; poses that are none are refused by both."""
    mesh = tmp_path / "box.ply"
    trimesh.creation.box(extents=(0.05, 0.05, 0.05)).export(mesh)
    height, width = pixels.shape[:2]
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])

    def said(*places):
        objects = tuple(AnnotatedObject("box", np.eye(3), np.array(p), mesh) for p in places)
        sample = AnnotatedImage(pixels, Annotation("a.jpg", K, (), objects=objects), None)
        return without_samples(Given(sample), ["objects"]).objects

    seen, beside, behind = (0.0, 0.0, 0.5), (5.0, 0.0, 0.5), (0.0, 0.0, -0.5)
    assert [each.translation.tolist() for each in said(beside, seen, behind)] == [list(seen)]
    with raises("object.translation", file="image 0, box"):
        said(seen, (0.0, np.nan, 0.5))
