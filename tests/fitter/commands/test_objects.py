"""`fit-hands --objects`: what reaches the fit, what is refused, what fails its picture alone."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import fitter
from fitter.errors import sentence
from tests.support import bad_files
from tests.support.bad_commands import ALONE, FAST
from tests.support.errors import raises
from tests.support.object_files import (
    CAMERA,
    UPRIGHT,
    box,
    entry,
    open_box,
    write_mesh,
    write_objects,
)
from tests.support.taken_objects import TakenObjects

pytestmark = pytest.mark.usefixtures("same_process")

K_OPTION = ["--intrinsics", "600,600,320,240"]
STAGE = (
    "{solver: lm, iterations: 1, free: [global_orient, pose, shape, camera], "
    "energies: {keypoints: 1, object_penetration: 1}}"
)
TOUCHING = [*ALONE, "--set", f"refine.stages.a={STAGE}"]
"""One short stage that looks at objects, of hands that no network has initialised."""
RUN = ["photos", "--out", "o.zarr", *FAST, *TOUCHING]


@pytest.fixture
def objects(tmp_path) -> Path:
    """A folder with the objects of a.jpg."""
    folder = tmp_path / "objects"
    write_mesh(folder / "box.obj")
    write_objects(folder / "a.json", [entry()])
    return folder


def test_objects_reach_the_fit_and_a_continued_run_knows_them(say, objects, tmp_path, monkeypatch):
    taken = TakenObjects(monkeypatch)
    run = [*RUN, *K_OPTION]
    told = say(*run, "--objects", objects)
    assert told.status == 0 and "objects known for 1 of 1 image" in told.err
    ((found,),) = taken.objects
    assert found.mesh.name.endswith("box.obj") and found.translation.tolist() == [0, 0, 0.6]
    gaps = xr.open_zarr("o.zarr").load().object_gap.values[0]
    assert np.isfinite(gaps[0]) and np.isnan(gaps[1:]).all()
    assert "nothing left to do" in say(*run, "--resume", "--objects", objects).err
    time.sleep(0.01)
    write_mesh(objects / "box.obj", box(0.07))
    told = say(*run, "--resume", "--objects", objects)
    options = "--intrinsics, --keypoints, --objects"
    facts = {"file": "o.zarr", "name": "a.jpg", "options": options}
    expected = sentence("run.other_inputs", facts)
    assert (told.status, told.err) == (2, f"fit-hands: {expected}\n")
    told = say(*run, "--resume")
    assert told.status == 2 and "configuration.inputs.objects was 'given' when" in told.err


def test_overlays_show_the_objects(say, objects, tmp_path):
    """As the Python door draws them."""
    run = [*RUN, *K_OPTION, "--objects", objects, "--overlays", "looked"]
    assert say(*run, "--overlay-style", "outline").status == 0
    with Image.open("photos/a.jpg") as file:
        photograph = np.asarray(file.convert("RGB"))
    with Image.open("looked/a.jpg.jpg") as file:
        drawn = np.asarray(file).astype(int)
    hands = [hand for hand in fitter.open_results("o.zarr")["a.jpg"] if hand.valid]
    with_object, without = (
        fitter.render_hands(photograph, hands, "outline", objects=things)
        for things in ([entry(str(objects / "box.obj"))], [])
    )
    # A cube of 8 cm whose front is 56 cm away: 600 * 0.04 / 0.56 pixels to each side.
    lines = (with_object != without).any(-1)
    changed = np.argwhere(lines)
    assert np.abs(drawn - with_object)[lines].mean() < 0.3 * np.abs(drawn - without)[lines].mean()
    np.testing.assert_allclose(changed.min(0), [240 - 43, 320 - 43], atol=3)
    assert changed.max(0)[1] == pytest.approx(320 + 43, abs=3)  # a hand hides its lower edge
    behind = entry(str(objects / "box.obj"), translation=[0.0, 0.0, -0.6])
    with raises("object.behind"):
        fitter.render_hands(photograph, hands, objects=[behind])
    with raises("door.objects"):
        fitter.render_hands(photograph, hands, objects=behind)
    same = fitter.render_hands(photograph, hands, "outline", objects=None)
    np.testing.assert_array_equal(same, without)


def test_objects_have_no_place_without_a_hand(objects):
    black = np.zeros((480, 640, 3), np.uint8)
    with raises("hand.no_camera", file="objects"):
        fitter.render_hands(black, [], objects=[entry(str(objects / "box.obj"))])


def test_k_may_stand_beside_the_objects(say, objects):
    write_objects(objects / "a.json", {"objects": [entry()], "K": CAMERA})
    assert say(*RUN, "--objects", objects).status == 0
    rows = xr.open_zarr("o.zarr").load()
    np.testing.assert_array_equal(rows.intrinsics.values[0], CAMERA)
    told = say(*RUN, "--overwrite", "--objects", objects, "--intrinsics", "700,700,320,240")
    assert told.status == 1
    assert "with K [[700.0" in str(xr.open_zarr("o.zarr").load().image_error.values[0])


def test_a_folder_of_other_pictures_is_refused(refused, objects, tmp_path):
    (objects / "a.json").rename(objects / "b.json")
    facts = {"file": objects, "wanted": "a.json", "image": "a.jpg"}
    refused(sentence("object.none", facts), *FAST, "--objects", objects)
    nowhere = tmp_path / "nowhere"
    refused(sentence("object.no_folder", {"file": nowhere}), *FAST, "--objects", nowhere)


def test_objects_that_no_stage_looks_at_are_refused(refused, objects):
    told = sentence("run.objects_unused", {"file": "--objects", "found": "none"})
    refused(told, *FAST, *ALONE, "--objects", objects)


def test_objects_of_frames_are_refused(refused, objects, tmp_path):
    told = sentence(
        "views.option", {"file": "--objects", "why": "since objects are placed in one camera"}
    )
    refused(told, "--views", tmp_path / "rig.json", "--objects", objects)


def bad_objects(folder: Path) -> dict[str, str]:
    """Objects by the stem of their picture, and how what is said of each begins."""
    nan = box()
    vertices = np.array(nan.vertices)
    vertices[0] = np.nan
    write_mesh(folder / "box.obj")
    write_mesh(folder / "open.ply", open_box())
    write_mesh(folder / "millimetres.stl", box(80))
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    lines += ["f {} {} {}".format(*(face + 1)) for face in nan.faces]
    (folder / "nan.obj").write_text("\n".join(lines))
    (folder / "million.obj").write_text("v 0 0 0\n" + "f 1 1 1\n" * 1_000_000)
    said = {
        "open": ([entry("open.ply")], "open.ply: expected a closed mesh, found 3 of 18 edges open"),
        "millimetres": (
            [entry("millimetres.stl")],
            "millimetres.stl: expected metres and at most 5 across, found 80, probably millimetres",
        ),
        "nan": ([entry("nan.obj")], "nan.obj: expected finite vertices, found 1 of 8"),
        "million": (
            [entry("million.obj")],
            "million.obj: expected at most 100,000 triangles, found 1,000,000",
        ),
        "elsewhere": (
            [entry(translation=[1, 0, 0.6])],
            "elsewhere.json: expected box.obj within the 640 x 480 pixels of 'elsewhere.jpg'",
        ),
        "behind": (
            [entry(translation=[0, 0, -0.6])],
            "behind.json: expected box.obj in front of the camera of 'behind.jpg'",
        ),
        "turned": (
            [entry(), entry(rotation=np.array(UPRIGHT) * 2)],
            "turned.json, object 1: expected a rotation, found R times its transpose",
        ),
        "lost": ([entry("lost.glb")], "lost.json, object 0: expected the mesh 'lost.glb' at "),
        "key": ([entry(colour="red")], "key.json, object 0: expected no key but mesh, rotation"),
        "layout": ({"K": CAMERA}, "layout.json: expected a list of objects"),
    }
    for stem, (content, _) in said.items():
        write_objects(folder / f"{stem}.json", content)
    (folder / "json.json").write_text("[{")
    return {stem: expected for stem, (_, expected) in said.items()} | {
        "json": "json.json: expected JSON with objects"
    }


def test_bad_objects_fail_their_picture_alone(say, tmp_path):
    expected = bad_objects(tmp_path / "objects")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for stem in (*expected, "fine", "unheld"):
        (pictures / f"{stem}.jpg").write_bytes(bad_files.HAND.read_bytes())
    write_objects(tmp_path / "objects" / "fine.json", [entry()])
    hands = dict.fromkeys([f"{stem}.jpg" for stem in (*expected, "fine", "unheld")])
    hands = dict.fromkeys(hands, bad_files.known_hands())
    (tmp_path / "known.json").write_text(json.dumps(hands))
    inputs = ["--keypoints", tmp_path / "known.json", "--objects", tmp_path / "objects"]
    told = say(pictures, "--out", "o.zarr", "--device", "cpu", *inputs, *K_OPTION, *TOUCHING)
    assert told.status == 1
    rows = xr.open_zarr("o.zarr").load().set_xindex("image_name")
    for stem, begins in expected.items():
        assert str(rows.image_error.sel(image_name=f"{stem}.jpg").values).startswith(begins)
    for stem in ("fine", "unheld"):
        assert bool(rows.valid.sel(image_name=f"{stem}.jpg")[0])


def test_a_pose_in_a_guessed_camera_fails_its_picture(say, objects):
    assert say(*RUN, "--objects", objects).status == 1
    said = str(xr.open_zarr("o.zarr").load().image_error.values[0])
    assert said == sentence("object.no_camera", {"file": "a.json", "image": "a.jpg"})
