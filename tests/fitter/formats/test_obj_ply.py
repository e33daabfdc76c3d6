"""OBJ and PLY: trimesh reads the numbers that went in, in the camera's frame."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from fitter.formats.files import write_files
from fitter.formats.hand_asset import HandAsset
from fitter.formats.meshes import mesh_files
from fitter.formats.skin import encoded
from tests.support import exported_hands as hands
from tests.support.errors import raises
from tests.support.fitted_stores import posed_hand


def written(folder, kind, assets, stem):
    write_files(folder, mesh_files(kind, assets, stem, alone=len(assets) == 1))
    return trimesh.load_scene(folder / f"{stem}.{kind}", process=False)


@pytest.fixture
def textured():
    return HandAsset.of(posed_hand(1), hands.open_hand(), "right", hands.texture())


@pytest.fixture
def coloured():
    meshes = hands.with_blend_shapes()
    rng = np.random.default_rng(0)
    added = rng.uniform(-0.2, 0.2, meshes.data.v_template.shape).astype(np.float32)
    row = posed_hand(2, "left", vertex_colours=added)
    return HandAsset.of(row, meshes, "left")


@pytest.mark.parametrize("stem", ["hand", "my photo (1).jpg_0_right"])
def test_obj_with_a_texture(tmp_path, textured, stem):
    (mesh,) = written(tmp_path, "obj", [textured], stem).geometry.values()
    data = textured.data
    np.testing.assert_allclose(
        mesh.vertices[mesh.faces], textured.vertices[data.faces], rtol=1e-8, atol=1e-9
    )
    np.testing.assert_allclose(mesh.visual.uv[mesh.faces], data.uv[data.uv_faces], rtol=1e-8)
    np.testing.assert_allclose(
        mesh.vertex_normals[mesh.faces], textured.normals[data.faces], atol=1e-6
    )
    picture = np.array(mesh.visual.material.image.convert("RGB"))
    np.testing.assert_array_equal(picture, encoded(hands.texture().colours))


def test_obj_keeps_the_model_s_vertices(tmp_path, textured):
    written(tmp_path, "obj", [textured], "hand")
    lines = (tmp_path / "hand.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    np.testing.assert_array_equal(vertices.astype(np.float32), textured.vertices.astype(np.float32))
    faces = [line.split()[1:] for line in lines if line.startswith("f ")]
    corners = np.array([[corner.split("/") for corner in face] for face in faces], int) - 1
    np.testing.assert_array_equal(corners[..., 0], textured.data.faces)
    np.testing.assert_array_equal(corners[..., 1], textured.data.uv_faces)


def test_obj_of_two_hands(tmp_path, textured, coloured):
    scene = written(tmp_path, "obj", [textured, coloured], "both")
    assert {p.name for p in tmp_path.iterdir()} == {
        *("both.obj", "both.mtl", "both.right.png", "both.right.measured.png")
    }
    meshes = {len(mesh.faces): mesh for mesh in scene.geometry.values()}
    for hand in (textured, coloured):
        mesh = meshes[len(hand.data.faces)]
        np.testing.assert_allclose(
            mesh.vertices[mesh.faces], hand.vertices[hand.data.faces], rtol=1e-8, atol=1e-9
        )


def test_ply(tmp_path, textured, coloured):
    (mesh,) = written(tmp_path, "ply", [textured, coloured], "both").geometry.values()
    vertices = np.concatenate([textured.vertices, coloured.vertices])
    np.testing.assert_array_equal(mesh.vertices.astype(np.float32), vertices.astype(np.float32))
    faces = [textured.data.faces, coloured.data.faces + len(textured.vertices)]
    np.testing.assert_array_equal(mesh.faces, np.concatenate(faces))
    colours = np.concatenate([encoded(h.skin.colours) for h in (textured, coloured)])
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], colours)
    normals = np.concatenate([textured.normals, coloured.normals])
    np.testing.assert_allclose(mesh.vertex_normals, normals, atol=1e-6)


def test_a_failure_leaves_no_file(tmp_path, textured, monkeypatch):
    """Whichever of the three cannot be written."""
    files = mesh_files("obj", [textured], "hand")
    real = Path.write_bytes
    for broken in files:

        def write(path, content, broken=broken):
            if path.name == f"{broken}.partial":
                real(path, content[: len(content) // 2])
                raise OSError(28, "No space left on device")
            return real(path, content)

        monkeypatch.setattr(Path, "write_bytes", write)
        with raises("output.cannot_write", reason="No space left on device"):
            write_files(tmp_path, files)
        assert not [*tmp_path.iterdir()]
