"""Objects beside pictures: where they are found, how a pose may be said, what is refused."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from fitter.contact import ObjectMesh, PosedObject
from fitter.inputs.images import ImageEntry
from fitter.inputs.object_files import ObjectFolder
from fitter.inputs.object_poses import PosedIn, posed_object, require_in
from tests.support.errors import raises
from tests.support.object_files import (
    AHEAD,
    CAMERA,
    SIZE,
    UPRIGHT,
    box,
    entry,
    open_box,
    write_mesh,
    write_objects,
)

TURN = Rotation.from_rotvec([0.3, -1.1, 0.4])


def picture(name="a.jpg", **more):
    return PosedIn(
        **{"name": name, "size": SIZE, "intrinsics": np.array(CAMERA), "intrinsics_source": "given"}
        | more
    )


@pytest.fixture
def folder(tmp_path):
    """Objects of two pictures that share a mesh, and of one in a subfolder with its own."""
    write_mesh(tmp_path / "box.obj")
    write_mesh(tmp_path / "sub" / "ball.ply", trimesh.creation.icosphere(2, 0.03))
    write_objects(tmp_path / "a.json", [entry()])
    write_objects(tmp_path / "b.json", {"objects": [entry()], "K": CAMERA})
    write_objects(tmp_path / "sub" / "c.json", [entry("ball.ply"), entry("box.obj")])
    write_objects(tmp_path / "none.json", [])
    return tmp_path


def test_objects_are_those_of_the_picture_of_the_same_name(folder):
    objects = ObjectFolder.open(folder)
    objects.require_for([ImageEntry(name, folder / name) for name in ("a.jpg", "z.jpg")])
    (found,) = objects.objects_of(picture())
    np.testing.assert_allclose(np.sort(found.vertices[:, 2]), [0.56] * 4 + [0.64] * 4)
    ball, cube = objects.objects_of(picture("sub/c.png"))
    assert (len(ball.mesh.vertices), len(cube.mesh.vertices)) == (162, 8)
    assert cube.mesh is found.mesh  # read once
    assert objects.objects_of(picture("none.jpg")) == objects.objects_of(picture("z.jpg")) == ()
    assert objects.intrinsics("a.jpg") is None
    np.testing.assert_array_equal(objects.intrinsics("b.jpg"), CAMERA)


def test_an_object_may_be_one_hands():
    given = {"mesh": box(), "translation": AHEAD, "rotation": UPRIGHT}
    assert posed_object(given, "here").hand is None
    left = posed_object(given | {"hand": "left"}, "here")
    assert left.hand == posed_object(left, "here").hand == "left"
    for wrong in ("both", 1, ["left"]):
        with raises("object.hand", file="here"):
            posed_object(given | {"hand": wrong}, "here")


@pytest.mark.parametrize(
    "said",
    [
        {"rotation": TURN.as_matrix()},
        {"rotation": np.round(TURN.as_matrix(), 4)},
        {"quaternion": TURN.as_quat()[[3, 0, 1, 2]]},
        {"quaternion": -TURN.as_quat()[[3, 0, 1, 2]]},
    ],
)
def test_a_pose_can_be_said_in_several_ways(said):
    given = {"mesh": box(), "translation": AHEAD} | said
    found = posed_object(given, "here")
    np.testing.assert_allclose(found.rotation, TURN.as_matrix(), atol=1e-4)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-12)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = found.rotation, AHEAD
    again = posed_object({"mesh": (box().vertices, box().faces), "pose": pose}, "here")
    np.testing.assert_allclose(again.vertices, found.vertices, atol=1e-12)
    posed = posed_object(found, "here")
    np.testing.assert_allclose(posed.vertices, found.vertices, atol=1e-12)


SHEARED = np.array(UPRIGHT) + [[0, 0.1, 0], [0, 0, 0], [0, 0, 0]]

BAD = {
    "object.entry": "words",
    "object.unknown_key": entry(scale=2),
    "object.no_key": {"rotation": UPRIGHT, "translation": AHEAD},
    "object.two_poses": entry(pose=np.eye(4)),
    "object.rotation": entry(rotation=SHEARED),
    "object.rotation_shape": entry(rotation=[1, 0, 0]),
    "object.mirrored": entry(rotation=np.diag([1, 1, -1])),
    "object.translation": entry(translation=[0, np.nan, 1]),
    "object.quaternion": {"mesh": "box.obj", "translation": AHEAD, "quaternion": [1, 1, 0, 0]},
    "object.pose": {"mesh": "box.obj", "pose": np.eye(3)},
    "object.mesh": entry(mesh=4),
    "object.mesh_missing": entry("missing.obj"),
    "object.close": entry(close="tape"),
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_no_object_is_refused(folder, code):
    with raises(code):
        posed_object(BAD[code], "here", [folder])


def test_a_missing_mesh_says_where_it_was_looked_for(folder):
    write_objects(folder / "sub" / "d.json", [entry("gone.obj")])
    looked = f"{folder / 'sub' / 'gone.obj'} or {folder / 'gone.obj'}"
    with raises("object.mesh_missing", mesh="gone.obj", looked=looked):
        ObjectFolder.open(folder).objects_of(picture("sub/d.jpg"))
    write_objects(folder / "d.json", [entry("gone.obj")])
    with raises("object.mesh_missing", looked=str(folder / "gone.obj")):  # once
        ObjectFolder.open(folder).objects_of(picture("d.jpg"))


@pytest.mark.parametrize("missing", ["rotation", "translation"])
def test_a_pose_has_both_parts(folder, missing):
    given = entry()
    del given[missing]
    with raises("object.no_key", key=missing):
        posed_object(given, "here", [folder])


def test_an_open_mesh_may_be_closed(folder):
    write_mesh(folder / "open.obj", open_box())
    with raises("object.mesh_open", found=3):
        posed_object(entry("open.obj"), "here", [folder])
    found = posed_object(entry("open.obj", close="hull"), "here", [folder])
    assert len(found.mesh.faces) == 12
    given = PosedObject(
        ObjectMesh("open", np.array(open_box().vertices), np.array(open_box().faces)),
        np.eye(3),
        np.array(AHEAD),
    )
    with raises("object.mesh_open"):
        posed_object(given, "here")


@pytest.mark.parametrize(
    ("translation", "code"),
    [
        ([0, 0, 0.03], "object.behind"),
        ([0, 0, -0.6], "object.behind"),
        ([0.5, 0, 0.6], "object.outside"),
        ([0, -0.5, 0.6], "object.outside"),
        ([0, 0, 600], "object.far"),
    ],
)
def test_a_pose_of_another_picture_is_refused(translation, code):
    found = posed_object({"mesh": box(), "rotation": UPRIGHT, "translation": translation}, "here")
    with raises(code, file="here"):
        require_in(picture(), [found], "here")


def test_an_object_that_reaches_into_the_picture_or_covers_it_is_in_it():
    for translation, metres in (([0.3, 0, 0.6], 0.08), ([0, 0, 0.6], 1.0)):
        given = {"mesh": box(metres), "rotation": UPRIGHT, "translation": translation}
        require_in(picture(), [posed_object(given, "here")], "here")


def test_a_pose_needs_the_camera_that_it_is_in(folder):
    objects = ObjectFolder.open(folder)
    with raises("object.no_camera"):
        objects.objects_of(picture(intrinsics_source="default"))
    assert objects.objects_of(picture("none.jpg", intrinsics_source="default")) == ()
    other = np.array(CAMERA)
    other[0, 0] = 650
    with raises("object.other_camera", image="b.jpg"):
        objects.objects_of(picture("b.jpg", intrinsics=other))
    assert objects.objects_of(picture("b.jpg", intrinsics=np.array(CAMERA) + [[0.1], [0], [0]]))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("words", "object.layout"),
        ({"K": CAMERA}, "object.layout"),
        ({"objects": [], "k": CAMERA}, "object.unknown_key"),
        ({"objects": [], "K": [1, 2]}, "intrinsics.shape"),
    ],
)
def test_a_file_of_another_kind_is_refused(folder, content, code):
    write_objects(folder / "bad.json", content)
    with raises(code):
        ObjectFolder.open(folder).objects_of(picture("bad.jpg"))


def test_other_objects_have_another_digest(folder):
    objects = ObjectFolder.open(folder)
    before = {name: objects.digest(name) for name in ("a.jpg", "b.jpg", "sub/c.png", "none.jpg")}
    assert objects.digest("z.jpg") is None and None not in before.values()
    write_mesh(folder / "box.obj", box(0.1))
    after = {name: objects.digest(name) for name in before}
    assert {name for name in before if before[name] == after[name]} == {"none.jpg"}
    (folder / "a.json").write_text("{")
    assert objects.digest("a.jpg") != after["a.jpg"]


def test_the_folder_must_be_the_pictures(folder, tmp_path):
    with raises("object.none", wanted="z.json"):
        ObjectFolder.open(folder).require_for([ImageEntry("z.jpg", folder / "z.jpg")])
    with raises("object.shared", shared="a.json"):
        ObjectFolder.open(folder).require_for(
            [ImageEntry(name, folder / name) for name in ("a.jpg", "a.png")]
        )
    with raises("object.no_folder"):
        ObjectFolder.open(folder / "nowhere")
    with raises("object.not_a_folder"):
        ObjectFolder.open(folder / "a.json")
