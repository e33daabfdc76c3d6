"""Bad masks and bad stages: what the command says, and which pictures go on."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import fitter.engine
from fitter import errors
from tests.support import bad_files
from tests.support.bad_commands import ALONE, FAST

pytestmark = pytest.mark.usefixtures("same_process")

STAGE = (
    "{solver: lm, iterations: 1, free: [global_orient, pose, shape, camera], "
    "energies: {silhouette_l2: 1, keypoints: 1}}"
)
SHORT = ["--set", "refine.stages={}", "--set", f"refine.stages.a={STAGE}", "--init", "keypoints"]
"""One short stage that compares with a mask, of hands that no network has initialised."""

FOLDERS = [
    ([], "masks: expected a folder with masks, found nothing there"),
    (
        ["b.png"],
        "masks: expected masks named like the pictures, such as 'a.png' for 'a.jpg', found none of "
        "them",
    ),
]

STAGES = [
    (
        "refine.stages.contuor.band=2",
        "unknown stage 'refine.stages.contuor'; did you mean 'contour'?",
    ),
    (
        "refine.stages.contour.energies.keypoint=1",
        "unknown name 'keypoint' in refine.stages.contour.energies; did you mean 'keypoints'?",
    ),
    (
        "refine.stages.contour.energies.silhouette_iou=1",
        "refine.stages.contour: expected energies that the solver lm knows, found 'silhouette_iou'",
    ),
    (
        "refine.stages.contour.solver=adam",
        "refine.stages.contour: expected a learning_rate for the solver adam or a rate for camera, "
        "found neither",
    ),
    (
        "refine.stages.contour.free=[pose]",
        "refine.stages.contour: expected free to list camera, global_orient, pose, shape for the "
        "solver lm, found pose",
    ),
]


def masks_in(folder: str, *names: str) -> None:
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (640, 480), 255).save(path)


@pytest.mark.parametrize(("names", "sentence"), FOLDERS)
def test_folders_of_masks(refused, tmp_path, names, sentence):
    masks_in(str(tmp_path / "masks"), *names)
    refused(f"{tmp_path}/{sentence}", *FAST, "--masks", tmp_path / "masks")


def test_masks_that_are_the_pictures(refused):
    refused(
        "photos: expected a mask for 'a.jpg', found the picture itself there",
        *FAST,
        "--masks",
        "photos",
    )


def test_pictures_that_share_a_mask(refused, tmp_path):
    for folder in ("pictures", "masks"):
        masks_in(str(tmp_path / folder), "a.png")
    (tmp_path / "pictures" / "a.jpg").write_bytes(bad_files.HAND.read_bytes())
    refused(
        f"{tmp_path}/masks: expected a mask for every picture of its own, found that 'a.jpg' and "
        "'a.png' share 'a.png'",
        *FAST,
        "--masks",
        tmp_path / "masks",
        images=str(tmp_path / "pictures"),
    )


def test_masks_without_stages(refused, tmp_path):
    masks_in(str(tmp_path / "masks"), "a.png")
    sentence = "--masks: expected stages that use masks, found refine.stages empty"
    arguments = ("--masks", tmp_path / "masks", "--set", "refine.stages={}")
    refused(sentence, *FAST, *arguments)


def test_masks_that_no_stage_compares_with(refused, tmp_path):
    masks_in(str(tmp_path / "masks"), "a.png")
    sentence = "--masks: expected stages that use masks, found colours that compare with none"
    stage = (
        "refine.stages.colours={solver: adam, iterations: 1, free: [lighting], learning_rate: 1, "
    )
    stages = ("refine.stages={}", stage + "energies: {photometric_pixel: 1}}")
    sets = (part for text in stages for part in ("--set", text))
    refused(sentence, *FAST, "--masks", tmp_path / "masks", *sets)


def test_stages_that_need_masks(refused):
    refused(
        "refine.stages.coarse: expected masks for silhouette_l2, from --masks or "
        "refine.segmentation and its weights, found neither; refine.stages={} goes without",
        *FAST,
        "--set",
        "refine.segmentation=none",
    )


@pytest.mark.parametrize(("override", "sentence"), STAGES)
def test_stages(refused, override, sentence):
    refused(f"--set {override}: {sentence}", *FAST, "--set", override)


def test_a_run_goes_on_with_its_own_masks_alone(say, tmp_path):
    for folder in ("masks", "moved", "others"):
        masks_in(str(tmp_path / folder), "a.bmp")
    # No picture's mask; and one of the same size, of other pixels.
    masks_in(str(tmp_path / "moved"), "b.png")
    Image.new("L", (640, 480), 0).save(tmp_path / "others" / "a.bmp")
    sizes = {(tmp_path / folder / "a.bmp").stat().st_size for folder in ("masks", "others")}
    assert len(sizes) == 1
    run = ["photos", "--out", "o.zarr", *FAST, *SHORT]
    assert say(*run, "--masks", tmp_path / "masks").status == 0
    assert say(*run, "--resume", "--masks", tmp_path / "moved").status == 0
    told = say(*run, "--resume", "--masks", tmp_path / "others")
    sentence = errors.sentence(
        "run.other_inputs", {"file": "o.zarr", "name": "a.jpg", "options": "--keypoints, --masks"}
    )
    assert (told.status, told.err) == (2, f"fit-hands: {sentence}\n")
    told = say(*run, "--resume")
    assert told.status == 2 and "configuration.inputs.masks was 'given' when" in told.err


def test_a_run_goes_on_with_its_own_appearance_alone(say, monkeypatch):
    run = ["photos", "--out", "o.zarr", *FAST, *SHORT]
    assert say(*run).status == 0
    # Where nothing is rendered, it shapes nothing.
    plain = ["photos", "--out", "plain.zarr", *FAST, *ALONE]
    assert say(*plain).status == 0
    with monkeypatch.context() as patch:
        other = {"appearance_sha256": "of another file"}
        patch.setattr(fitter.engine, "appearance_identity", lambda data: other)
        told = say(*run, "--resume")
        assert told.status == 2 and "model.appearance_sha256 was" in told.err
        assert say(*plain, "--resume").status == 0


def bad_masks(folder: Path) -> dict[str, str]:
    """Masks by stem and what is said of each."""
    grey = np.zeros((480, 640), np.uint8)
    grey[100:300, 200:400] = 255
    folder.mkdir()
    Image.fromarray(grey[:100, :50]).save(folder / "small.png")
    (folder / "empty.png").touch()
    (folder / "words.png").write_text("no mask")
    noise = np.random.default_rng(0).integers(0, 255, grey.shape, np.uint8)
    Image.fromarray(noise).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:600])
    (folder / "lost.png").symlink_to("nowhere.png")
    Image.fromarray(grey.astype(np.int32) * 1000).save(folder / "range.tif")
    return {
        "small": "masks/small.png: expected a mask of 640 x 480 pixels as its picture "
        "'small.jpg' has, or scaled from it, found 50 x 100",
        "empty": "masks/empty.png: expected a mask, found an empty file",
        "words": "masks/words.png: expected a mask, found a file in no known format",
        "cut": "masks/cut.png: expected a whole mask, found a damaged or cut-off file",
        "lost": "masks/lost.png: expected a mask, found no such file",
        "range": "masks/range.tif: expected grey values from 0 to 65535, found 0 to 255000",
    }


def test_a_bad_mask_fails_its_picture_alone(say, tmp_path):
    expected = bad_masks(tmp_path / "masks")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for stem in (*expected, "unmasked"):
        (pictures / f"{stem}.jpg").write_bytes(bad_files.HAND.read_bytes())
    hands = {"unmasked.jpg": bad_files.known_hands()}
    (tmp_path / "known.json").write_text(json.dumps(hands))
    inputs = ["--keypoints", tmp_path / "known.json", "--masks", tmp_path / "masks"]
    told = say(pictures, "--out", "o.zarr", "--device", "cpu", *inputs)
    assert told.status == 1
    rows = xr.open_zarr("o.zarr").load().set_xindex("image_name")
    for stem, sentence in expected.items():
        assert str(rows.image_error.sel(image_name=f"{stem}.jpg").values).startswith(sentence)
    assert bool(rows.valid.sel(image_name="unmasked.jpg")[0])
    assert f"{len(expected)} images have unusable masks" in told.err + told.out
