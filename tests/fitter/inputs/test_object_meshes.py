"""Meshes of objects: read as what they are whatever their file, or refused in a sentence."""

import time

import numpy as np
import pytest
import trimesh

from fitter.inputs import object_meshes
from fitter.inputs.object_meshes import MOST_FACES, object_mesh, read_object_mesh
from tests.support.errors import raises
from tests.support.object_files import box, open_box, write_mesh


def volume(mesh):
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return (a * np.cross(b, c)).sum() / 6


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "glb", "off", "PLY"])
def test_every_kind_of_file_reads_the_same(tmp_path, ending):
    sphere = trimesh.creation.icosphere(2, 0.05)
    found = read_object_mesh(write_mesh(tmp_path / f"sphere.{ending}", sphere))
    assert found.vertices.shape == (162, 3) and found.faces.shape == (320, 3)
    assert found.vertices.dtype == np.float64 and found.faces.dtype == np.int64
    assert volume(found) == pytest.approx(sphere.volume, rel=1e-4)
    assert trimesh.Trimesh(found.vertices, found.faces, process=False).is_watertight


def test_texture_seams_are_no_holes(tmp_path):
    corners = box().vertices
    lines = [f"v {x} {y} {z}" for x, y, z in corners]
    lines += [f"vt {n / 36} {n % 7 / 7}" for n in range(36)]
    faces = box().faces + 1
    lines += [
        "f " + " ".join(f"{v}/{3 * n + k + 1}" for k, v in enumerate(face))
        for n, face in enumerate(faces)
    ]
    path = tmp_path / "textured.obj"
    path.write_text("mtllib missing.mtl\n" + "\n".join(lines) + "\n")
    found = read_object_mesh(path)
    assert found.vertices.shape == (8, 3) and found.faces.shape == (12, 3)


def test_a_mesh_that_is_inside_out_is_turned():
    whole = box()
    found = object_mesh(whole.vertices, whole.faces[:, ::-1], "box")
    assert volume(found) == pytest.approx(0.08**3)


def test_several_closed_parts_are_one_object():
    parts = trimesh.util.concatenate([box(), box().apply_translation([0.2, 0, 0])])
    assert len(object_mesh(parts.vertices, parts.faces, "two").faces) == 24


def test_an_open_mesh_is_refused_by_the_count_of_its_open_edges():
    mesh = open_box()
    with raises("object.mesh_open", found=3, count=18):
        object_mesh(mesh.vertices, mesh.faces, "open")
    for close in ("holes", "hull"):
        closed = object_mesh(mesh.vertices, mesh.faces, "open", close)
        assert volume(closed) == pytest.approx(0.08**3)
        assert trimesh.Trimesh(closed.vertices, closed.faces, process=False).is_watertight


def test_holes_are_filled_and_what_is_no_hole_is_refused():
    cup = trimesh.creation.cylinder(0.03, 0.1)
    rim = cup.vertices[cup.faces][..., 2].min(axis=1) < 0.05 - 1e-9
    found = object_mesh(cup.vertices, cup.faces[rim], "cup", "holes")
    assert volume(found) == pytest.approx(cup.volume)
    whole = object_mesh(cup.vertices, cup.faces, "cup", "holes")
    assert len(whole.faces) == len(cup.faces)
    faces = box().faces.copy()
    faces[0] = faces[0, ::-1]
    with raises("object.mesh_holes", file="turned"):
        object_mesh(box().vertices, faces, "turned", "holes")


def test_triangles_that_face_both_ways_are_refused():
    faces = box().faces.copy()
    faces[0] = faces[0, ::-1]
    with raises("object.mesh_turned", found=3, count=18):
        object_mesh(box().vertices, faces, "turned")


def test_millimetres_are_told():
    with raises("object.mesh_large", found=80.0, metres=0.08):
        object_mesh(1000 * box().vertices, box().faces, "mm")
    with raises("object.mesh_small"):
        object_mesh(1e-3 * box().vertices, box().faces, "km")


def test_vertices_that_are_not_finite_count_where_a_triangle_has_them():
    vertices = np.vstack([box().vertices, [[np.nan] * 3]])
    assert len(object_mesh(vertices, box().faces, "spare").vertices) == 8
    vertices[0, 1] = np.nan
    with raises("object.mesh_not_finite", found=1, count=8):
        object_mesh(vertices, box().faces, "nan")


@pytest.mark.parametrize(
    ("vertices", "faces", "code"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3), int), "object.mesh_empty"),
        (np.zeros((4, 2)), [[0, 1, 2]], "object.mesh_empty"),
        (box().vertices, [[0, 1, 8]], "object.mesh_corners"),
        (box().vertices, [[0, 1, 2.5]], "object.mesh_corners"),
        (box().vertices, "words", "object.mesh_empty"),
        (box().vertices * [1, 1, 0], box().faces, "object.mesh_flat"),
    ],
)
def test_what_is_no_body_is_refused(vertices, faces, code):
    with raises(code):
        object_mesh(vertices, faces, "none")


@pytest.mark.parametrize("ending", ["obj", "ply", "stl"])
def test_a_million_faces_are_refused_before_they_are_parsed(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(object_meshes, "MOST_FACES", 300)
    monkeypatch.setattr(trimesh, "load_mesh", None)  # which would take ten seconds
    path = write_mesh(tmp_path / f"fine.{ending}", trimesh.creation.icosphere(2, 0.05))
    with raises("object.mesh_faces", file=path, most=300, found=320):
        read_object_mesh(path)


def test_arrays_of_too_many_faces_are_refused():
    with raises("object.mesh_faces", found=MOST_FACES + 1):
        object_mesh(box().vertices, np.zeros((MOST_FACES + 1, 3), int), "fine")


def test_files_that_are_no_mesh_are_refused(tmp_path):
    with raises("object.no_mesh", reason="no file there"):
        read_object_mesh(tmp_path / "none.obj")
    trimesh.PointCloud(box().vertices).export(tmp_path / "points.ply")
    with raises("object.mesh_no_triangles"):
        read_object_mesh(tmp_path / "points.ply")
    with raises("object.no_mesh"):
        read_object_mesh(tmp_path / "nul\0.obj")
    with raises("object.mesh_kind", found=".txt"):
        read_object_mesh(tmp_path / "none.txt")
    (tmp_path / "folder.obj").mkdir()
    with raises("object.no_mesh"):
        read_object_mesh(tmp_path / "folder.obj")
    for ending, content in (("glb", b"glTF no"), ("ply", b"ply\nno"), ("stl", b""), ("obj", b"")):
        path = tmp_path / f"bad.{ending}"
        path.write_bytes(content)
        with pytest.raises(Exception) as raised:
            read_object_mesh(path)
        assert raised.value.code in ("object.mesh_unreadable", "object.mesh_no_triangles"), ending


def test_no_other_file_is_read(tmp_path, monkeypatch):
    path = write_mesh(tmp_path / "box.obj")
    path.write_text("mtllib other.mtl\nusemtl a\n" + path.read_text())
    (tmp_path / "other.mtl").write_text("newmtl a\nmap_Kd picture.png\n")
    opened, real = [], open
    monkeypatch.setattr("builtins.open", lambda *a, **k: opened.append(a[0]) or real(*a, **k))
    read_object_mesh(path)
    assert not [name for name in opened if "other" in str(name)]


def test_a_mesh_is_read_once_until_it_changes(tmp_path):
    path = write_mesh(tmp_path / "box.obj")
    first = read_object_mesh(path)
    assert read_object_mesh(path) is first
    time.sleep(0.01)
    write_mesh(path, box(0.1))
    assert np.ptp(read_object_mesh(path).vertices) == pytest.approx(0.1)
