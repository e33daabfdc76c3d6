"""GLB: what a viewer shows is the fitted hand, and the validator of the format agrees."""

import io
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from fitter.formats.glb import glb, influences
from fitter.formats.hand_asset import HandAsset
from fitter.formats.skin import encoded
from tests.support import exported_hands as hands
from tests.support.fitted_stores import posed_hand
from tests.support.glb_files import CAMERA, Glb, validated


def asset(meshes, row, name="hand", texture=None):
    return HandAsset.of(row, meshes, name, texture, {"image": "a.jpg", "score": 0.5})


def textured(side="right"):
    return asset(hands.open_hand(), posed_hand(1, side), side, hands.texture())


def untextured(side="right"):
    meshes = hands.with_blend_shapes()
    return asset(meshes, hands.offset_hand(2, side, meshes.data), side)


def mapped():
    """With a normal map, as NIMBLE has one: mostly flat, of any length."""
    hand = textured()
    rng = np.random.default_rng(0)
    normals = (rng.normal(size=(16, 16, 3)) * 0.2 + [0, 0, 1]).astype(np.float32)
    return replace(hand, skin=replace(hand.skin, normals=normals))


CASES = {
    "textured": lambda: [textured()],
    "of the mean skin": lambda: [asset(hands.open_hand(), posed_hand(3))],
    "left": lambda: [textured("left")],
    "untextured, MANO's layout": lambda: [untextured()],
    "left, untextured": lambda: [untextured("left")],
    "with a normal map": lambda: [mapped()],
    "two hands": lambda: [textured(), untextured("left")],
}


@pytest.mark.parametrize("case", CASES)
def test_a_viewer_shows_the_fitted_vertices(case):
    assets = CASES[case]()
    found = Glb.read(glb(assets))
    for place, hand in enumerate(assets):
        shown = found.skinned(place) @ CAMERA
        assert np.abs(shown - hand.vertices[hand.corners.vertices]).max() < 1e-6
        used = np.unique(hand.corners.vertices)
        assert len(used) == len(np.unique(hand.data.faces))


@pytest.mark.parametrize("case", CASES)
def test_the_validator_finds_no_fault(case, tmp_path):
    path = tmp_path / "hand.glb"
    path.write_bytes(glb(CASES[case]()))
    issues = validated(path)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_stands_upright_before_the_viewer(side):
    """y up and z toward the viewer: what the camera saw above is above, what was near is in front,
    and faces look outward."""
    hand = textured(side)
    shown = Glb.read(glb([hand])).skinned()
    seen = hand.vertices[hand.corners.vertices]
    np.testing.assert_allclose(shown, seen * [1, -1, -1], atol=1e-6)
    mesh = trimesh.Trimesh(shown, hand.corners.faces, process=True)
    inside = shown.mean(axis=0)
    outward = ((mesh.triangles_center - inside) * mesh.face_normals).sum(axis=1)
    assert (mesh.area_faces * np.sign(outward)).sum() > 0.5 * mesh.area


def test_it_moves_when_its_joints_do():
    """A joint's node turned moves what hangs on it as the model does, and nothing else."""
    hand = textured()
    found = Glb.read(glb([hand]))
    before = found.skinned()
    (node,) = [n for n in found.json["nodes"] if n["name"] == "right_index_pip"]
    node["rotation"] = [0.0, 0.0, 0.0, 1.0]
    moved = np.abs(found.skinned() - before).max(axis=1) > 1e-7
    weights = hand.data.skin_weights[hand.corners.vertices][:, [2, 3]].sum(axis=1)
    assert moved.any() and not moved[weights == 0].any() and moved[weights > 0.5].mean() > 0.9


def test_trimesh_reads_mesh_and_texture():
    hand = textured()
    scene = trimesh.load_scene(io.BytesIO(glb([hand])), file_type="glb", process=False)
    (mesh,) = [g for g in scene.geometry.values() if len(g.faces) == len(hand.data.faces)]
    rest = hand.rig.rest_vertices[hand.data.faces]
    np.testing.assert_allclose(mesh.vertices[mesh.faces], rest, atol=1e-7)
    np.testing.assert_allclose(mesh.visual.uv[mesh.faces], hand.data.uv[hand.data.uv_faces],
                               atol=1e-7)  # fmt: skip
    picture = np.array(mesh.visual.material.baseColorTexture.convert("RGB"))
    np.testing.assert_array_equal(picture, encoded(hands.texture().colours))


def test_the_texture_is_where_the_model_has_it():
    """glTF's texture coordinates start at the top: a texel's row is v of the file, not 1 - v."""
    hand = textured()
    found = Glb.read(glb([hand]))
    picture = np.array(Image.open(io.BytesIO(found.image())))
    uv = found.attributes(0)["TEXCOORD_0"]
    side = len(picture)
    u, v = hand.corners.uv.T
    rows, columns = ((1 - v) * side).astype(int), (u * side).astype(int)
    mine = encoded(hand.skin.texture)[rows, columns]
    np.testing.assert_array_equal(picture[(uv[:, 1] * side).astype(int), columns], mine)


def test_the_normal_map_is_stored_as_gltf_has_it():
    hand = mapped()
    found = Glb.read(glb([hand]))
    (material,) = found.json["materials"]
    (place,) = {material["normalTexture"]["index"]} - {
        material["pbrMetallicRoughness"]["baseColorTexture"]["index"]
    }
    picture = np.array(Image.open(io.BytesIO(found.image(found.json["textures"][place]["source"]))))
    unit = hand.skin.normals / np.linalg.norm(hand.skin.normals, axis=-1, keepdims=True)
    np.testing.assert_allclose(picture / 255 * 2 - 1, unit, atol=1 / 255 + 1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_tangents_follow_the_texture(side):
    """A step along u is a step along the tangent, one along v along normal x tangent x sign: the
    frame that `SurfaceMaps.normal` is in."""
    hand = textured(side)
    flat = np.zeros((4, 4, 3), np.float32) + [0, 0, 1]
    hand = replace(hand, skin=replace(hand.skin, normals=flat))
    found = Glb.read(glb([hand])).attributes(0)
    tangent, sign = found["TANGENT"][:, :3], found["TANGENT"][:, 3:]
    np.testing.assert_allclose((tangent * found["NORMAL"]).sum(1), 0, atol=1e-5)
    assert set(sign.ravel()) <= {-1.0, 1.0}
    bitangent = np.cross(found["NORMAL"], tangent) * sign
    faces, position = hand.corners.faces, found["POSITION"]
    steps = np.diff(position[faces], axis=1)
    grown = np.diff(hand.corners.uv[faces], axis=1)
    for direction, which in ((tangent, 0), (bitangent, 1)):
        along = (steps * direction[faces[:, :2]]).sum(-1)
        correlation = np.corrcoef(along.ravel(), grown[..., which].ravel())[0, 1]
        assert correlation > 0.9


def test_without_a_texture_there_are_colours():
    hand = untextured()
    colours = Glb.read(glb([hand])).attributes(0)["COLOR_0"]
    np.testing.assert_allclose(colours, hand.skin.colours[hand.corners.vertices], atol=1e-6)
    assert colours.min() > 0 and colours.max() < 1


def test_normals_have_length_one_and_look_outward():
    hand = textured("left")
    found = Glb.read(glb([hand])).attributes(0)
    np.testing.assert_allclose(np.linalg.norm(found["NORMAL"], axis=1), 1, atol=1e-6)
    mesh = trimesh.Trimesh(hand.rig.rest_vertices, hand.data.faces, process=False)
    agree = (found["NORMAL"] * mesh.vertex_normals[hand.corners.vertices]).sum(axis=1)
    assert agree.mean() > 0.99


def test_what_is_known_of_a_hand_is_in_its_mesh():
    found = Glb.read(glb([textured()])).json
    extras = found["meshes"][0]["extras"]
    place = extras.pop("texture_weight")
    assert found["images"][place]["name"] == "right_measured"
    assert extras == {"image": "a.jpg", "score": 0.5}


def test_influences_leave_nothing_out():
    rng = np.random.default_rng(0)
    weights = rng.random((50, 16)) * (rng.random((50, 16)) < 0.5)
    weights[:, 3] += 0.1
    joints, values = influences(weights)
    assert joints.shape[1] % 4 == 0 and (np.diff(values, axis=1) <= 0).all()
    assert (joints[values == 0] == 0).all()
    back = np.zeros_like(weights)
    np.add.at(back, (np.arange(50)[:, None], joints), values)
    np.testing.assert_array_equal(back, weights.astype(np.float32))
