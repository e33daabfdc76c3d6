"""NIMBLE's files: what is read is what was written, in metres; what cannot be is refused."""

import os

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from fitter.conventions import KEYPOINT_ORDERS
from fitter.hand_models import load_hand_model, load_open_hand
from fitter.hand_models.nimble import read_nimble, read_textures
from fitter.hand_models.nimble.files import (
    DICT_FILE,
    FUV_FILE,
    TEXTURE_FILE,
    VREG_FILE,
)
from fitter.hand_models.nimble.smoothing import DECAY, REACH
from tests.support.errors import raises
from tests.support.nimble_files import content, copied, nimble_folder, rewritten

FILES = (DICT_FILE, VREG_FILE, FUV_FILE, TEXTURE_FILE)


def read_all(folder):
    return read_nimble(folder), read_textures(folder)


@pytest.fixture(scope="module")
def folder():
    return nimble_folder()


@pytest.fixture(scope="module")
def geometry(folder):
    return read_nimble(folder)


class TestWhatIsRead:
    def test_it_is_the_open_hand_at_rest(self, geometry):
        """Mean shape and mean pose of the file are put in."""
        data = load_open_hand(keypoint_offsets=False)
        skin = geometry.vertices[geometry.skin][geometry.surface]
        nearest = np.linalg.norm(skin[:, None] - data.v_template, axis=-1).min(axis=1)
        # All but a few vertices of a tenth of the size are the open hand's own.
        assert np.quantile(nearest, 0.9) < 1e-6 and nearest.max() < 0.01
        joints = data.joint_regressor @ data.v_template
        tips = data.v_template[list(data.tip_vertices)]
        marks = np.concatenate([joints, tips])[list(KEYPOINT_ORDERS["mano_tips"])]
        found = geometry.keypoint_regressor @ geometry.vertices[geometry.skin]
        np.testing.assert_allclose(found, marks, atol=1e-6)

    def test_millimetres_and_metres_are_the_same(self, geometry):
        metres = read_nimble(nimble_folder(unit="m"))
        for name in ("vertices", "shapedirs", "posedirs", "hands_mean"):
            np.testing.assert_allclose(getattr(metres, name), getattr(geometry, name), atol=2e-8)
        assert abs(metres.smoothing - geometry.smoothing).max() < 1e-3

    @pytest.mark.parametrize("order", KEYPOINT_ORDERS)
    def test_order_of_keypoints_is_found(self, geometry, order):
        found = read_nimble(nimble_folder(order=order)).keypoint_regressor
        np.testing.assert_array_equal(found, geometry.keypoint_regressor)

    def test_leading_axes_of_one_are_dropped(self, folder, geometry, tmp_path):
        """The public layer squeezes them."""
        changed = content(copied(tmp_path), DICT_FILE)
        for key in ("vert", "all_sw", "all_pbs", "skin_f", "jreg_bone", "pose_mean"):
            changed[key] = changed[key][None]
        changed["bone_v_sep"] = np.int64(changed["bone_v_sep"])
        changed["muscle_f"] = changed["muscle_f"].astype(np.float32)
        rewritten(tmp_path, DICT_FILE, changed)
        again = read_nimble(tmp_path)
        np.testing.assert_array_equal(again.vertices, geometry.vertices)
        np.testing.assert_array_equal(again.muscle_faces, geometry.muscle_faces)

    def test_faces_wound_inward_are_turned(self, geometry, tmp_path):
        changed = content(copied(tmp_path), DICT_FILE)
        changed["skin_f"] = changed["skin_f"][:, ::-1].copy()
        rewritten(tmp_path, DICT_FILE, changed)
        again = read_nimble(tmp_path)
        np.testing.assert_array_equal(again.skin_faces, geometry.skin_faces)
        np.testing.assert_array_equal(again.uv_faces, geometry.uv_faces)
        # The map to MANO's vertices counts corners as the file has them.
        assert abs(again.mano_map - geometry.mano_map).max() > 0

    def test_each_muscle_is_turned_for_itself(self, geometry, tmp_path):
        changed = content(copied(tmp_path), DICT_FILE)
        faces = changed["muscle_f"]
        start, end = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
        graph = scipy.sparse.coo_array((np.ones(len(start)), (start, end)))
        graph.resize(2 * (int(faces.max()) + 1,))
        count, piece = connected_components(graph, directed=False)
        assert count > 1
        second = piece[faces[:, 0]] == 1
        changed["muscle_f"] = np.where(second[:, None], faces[:, ::-1], faces)
        rewritten(tmp_path, DICT_FILE, changed)
        np.testing.assert_array_equal(read_nimble(tmp_path).muscle_faces, geometry.muscle_faces)

    def test_texture_faces_in_another_order(self, geometry, tmp_path):
        lines = content(copied(tmp_path), FUV_FILE)
        faces = [line for line in lines if line.startswith("f ")]
        turned = [" ".join(["f", *line.split()[2:], line.split()[1]]) for line in faces[::-1]]
        others = [line for line in lines if not line.startswith("f ")]
        rewritten(tmp_path, FUV_FILE, ["# a comment\n", "vn 0 0 1\n", *others, *turned])
        again = read_nimble(tmp_path)
        np.testing.assert_array_equal(again.uv_faces, geometry.uv_faces)
        rewritten(tmp_path, FUV_FILE, "".join(lines))
        np.testing.assert_array_equal(read_nimble(tmp_path).uv, geometry.uv)

    def test_map_to_mano_is_the_mean_of_the_twenty(self, folder, geometry):
        stored = content(folder, VREG_FILE)
        faces = content(folder, DICT_FILE)["skin_f"]
        skin = geometry.vertices[geometry.skin]
        each = np.einsum(
            "rmk,rmkc->rmc", stored["lmk_bary_coords"], skin[faces[stored["lmk_faces_idx"]]]
        )
        np.testing.assert_allclose(geometry.mano_map @ skin, each.mean(axis=0), atol=1e-8)
        assert np.abs(each - each.mean(axis=0)).max() > 1e-4

    def test_smoothing_is_a_mean_along_the_skin(self, folder, geometry):
        distances = content(folder, DICT_FILE)["skin_v_gd"].astype(np.float64) / 1000
        weights = geometry.smoothing.toarray()
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        row = 17
        wanted = np.exp(-distances[row] / DECAY) * (distances[row] <= REACH)
        np.testing.assert_allclose(weights[row], wanted / wanted.sum(), atol=1e-6)
        assert weights[row].argmax() == row and 5 < (weights[row] > 0).sum() < 400

    def test_colours_are_red_first_and_in_range(self, folder):
        stored, textures = content(folder, TEXTURE_FILE), read_textures(folder)
        side = len(textures.diffuse.mean)
        blue_first = stored["diffuse"]["mean"].reshape(side, side, 3)
        np.testing.assert_array_equal(textures.diffuse.mean.numpy(), blue_first[..., ::-1])
        red, _green, blue = textures.diffuse.mean.mean(dim=(0, 1)).tolist()
        assert red > blue  # skin
        unit = stored["diffuse"]["basis"][:, 3] * stored["diffuse"]["std"][3]
        found = textures.diffuse.components[3].flip(-1).numpy().ravel()
        np.testing.assert_allclose(found, unit, rtol=1e-6)

    def test_normals_are_told_by_what_they_say(self, folder, tmp_path):
        expected = read_textures(folder).normal.mean
        changed = content(copied(tmp_path), TEXTURE_FILE)
        for key in ("mean", "basis"):
            array = changed["normal"][key]
            flat = (
                array.reshape(-1, 3, *array.shape[1:]) if key == "basis" else array.reshape(-1, 3)
            )
            changed["normal"][key] = flat[:, ::-1].reshape(array.shape).copy()
        rewritten(tmp_path, TEXTURE_FILE, changed)
        assert read_textures(tmp_path).normal.mean.equal(expected)

    def test_a_left_hand_is_told_by_its_bends(self, tmp_path):
        changed = content(copied(tmp_path), DICT_FILE)
        assert load_hand_model(tmp_path).data.side == "right"
        changed["vert"][:, 0] *= -1
        changed["shape_basis"] = changed["shape_basis"].reshape(-1, len(changed["vert"]), 3)
        changed["shape_basis"] = (changed["shape_basis"] * [-1, 1, 1]).reshape(
            len(changed["shape_basis"]), -1
        )
        for key in ("pose_mean", "pose_basis"):
            changed[key] = (changed[key].reshape(-1, 19, 3) * [1, -1, -1]).reshape(
                changed[key].shape
            )
        rewritten(tmp_path, DICT_FILE, changed)
        assert load_hand_model(tmp_path, "left").data.side == "left"
        from fitter.hand_models.nimble import load_nimble

        assert load_nimble(tmp_path).side == "left"


class _Command:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def _without(content, *keys):
    """No component is left."""
    content.update({key: content[key][:0] for key in keys})


def _negative(weights):
    """Rows still sum to 1."""
    changed = np.array(weights)
    least = changed[0].argmin()
    changed[0, least] -= 0.5
    changed[0, (least + 1) % changed.shape[1]] += 0.5
    return changed


class TestBadFiles:
    @pytest.mark.parametrize("name", FILES)
    def test_missing(self, tmp_path, name):
        (copied(tmp_path) / name).unlink()
        with raises("model.missing", file=tmp_path / name) as caught:
            read_all(tmp_path)
        assert name in str(caught.value)

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
    def test_cut_off(self, tmp_path, name, share):
        path = copied(tmp_path) / name
        kept = path.read_bytes()[: int(share * path.stat().st_size)]
        path.write_bytes(kept)
        with raises("model.truncated", file=path, size=len(kept)):
            read_all(tmp_path)

    @pytest.mark.parametrize("name", FILES)
    def test_one_that_would_run_code(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        changed = content(copied(tmp_path), name)
        changed = [*changed, _Command()] if name == FUV_FILE else {**changed, "extra": _Command()}
        path = rewritten(tmp_path, name, changed)
        with raises("model.unsafe", file=path):
            read_all(tmp_path)
        assert not (tmp_path / "was-run").exists()

    @pytest.mark.parametrize(
        ("name", "keys"),
        [
            (DICT_FILE, ("vert", "bone_v_sep", "jreg_mano", "skin_v_gd", "skin_v_surface_mask")),
            (VREG_FILE, ("lmk_faces_idx", "lmk_bary_coords")),
            (TEXTURE_FILE, ("diffuse", "spec")),
        ],
    )
    def test_missing_keys_are_all_named(self, tmp_path, name, keys):
        changed = content(copied(tmp_path), name)
        for key in keys:
            del changed[key]
        path = rewritten(tmp_path, name, changed)
        with raises("model.keys_missing", file=path) as caught:
            read_all(tmp_path)
        assert set(caught.value.facts["missing"].split(", ")) == set(keys)

    @pytest.mark.parametrize(
        "key",
        [
            "vert", "all_sw", "all_pbs", "jreg_bone", "jreg_mano", "shape_basis", "shape_pm_std",
            "pose_basis", "pose_mean", "pose_pm_mean", "skin_v_gd", "skin_v_surface_mask", "skin_f",
        ],
    )  # fmt: skip
    def test_wrong_shape(self, tmp_path, key):
        changed = content(copied(tmp_path), DICT_FILE)
        whole = changed[key]
        changed[key] = whole[..., :-1]
        path = rewritten(tmp_path, DICT_FILE, changed)
        with raises("model.array_shape", file=path) as caught:
            read_nimble(tmp_path)
        assert str(tuple(caught.value.facts["shape"])) in str(caught.value)
        if key not in ("shape_pm_std", "vert"):
            assert caught.value.facts["array"] == key
            assert caught.value.facts["found"] == changed[key].shape

    @pytest.mark.parametrize("part", ["basis", "mean", "std"])
    def test_wrong_shape_of_a_texture(self, tmp_path, part):
        changed = content(copied(tmp_path), TEXTURE_FILE)
        array = changed["spec"][part]
        changed["spec"][part] = array[..., :-3]
        path = rewritten(tmp_path, TEXTURE_FILE, changed)
        with raises("model.array_shape", file=path):
            read_textures(tmp_path)
        del changed["spec"][part]
        rewritten(tmp_path, TEXTURE_FILE, changed)
        with raises("model.keys_missing", file=path, missing=f"spec.{part}"):
            read_textures(tmp_path)

    def test_no_numbers(self, tmp_path):
        changed = content(copied(tmp_path), DICT_FILE)
        changed["vert"] = changed["vert"].tolist()
        path = rewritten(tmp_path, DICT_FILE, changed)
        with raises("model.array_type", file=path, array="vert", found="list"):
            read_nimble(tmp_path)
        changed = content(nimble_folder(), DICT_FILE)
        changed["all_sw"][3, 4] = np.nan
        rewritten(tmp_path, DICT_FILE, changed)
        with raises("model.array_not_finite", file=path, array="all_sw", count=1):
            read_nimble(tmp_path)

    @pytest.mark.parametrize(
        ("change", "code", "facts"),
        [
            (lambda c: c.update(vert=c["vert"] * 30), "nimble.units", {}),
            (lambda c: c.update(vert=c["vert"] / 1e6), "nimble.units", {}),
            (lambda c: c.update(bone_v_sep=c["skin_v_sep"]), "nimble.parts", {}),
            (lambda c: c.update(skin_v_sep="8980"), "model.array_type", {"array": "skin_v_sep"}),
            (lambda c: c.update(all_sw=c["all_sw"] * 1.1), "nimble.shares", {"array": "all_sw"}),
            (lambda c: c.update(muscle_f=c["muscle_f"] + 1), "nimble.indices", {}),
            (lambda c: c.update(skin_f=c["skin_f"] - 1), "nimble.indices", {"found": -1}),
            (lambda c: c.update(pose_pm_std=-c["pose_pm_std"]), "nimble.deviation", {}),
            (lambda c: c.update(jreg_mano=c["jreg_mano"][::-1]), "nimble.keypoint_order", {}),
            (lambda c: _without(c, "shape_pm_std", "shape_pm_mean", "shape_basis"), "nimble.empty",
             {"array": "shape_pm_std"}),
            (lambda c: _without(c, "pose_pm_std", "pose_pm_mean", "pose_basis"), "nimble.empty",
             {"array": "pose_pm_std"}),
            (lambda c: c.update(skin_v_surface_mask=0 * c["skin_v_surface_mask"]), "nimble.surface",
             {"found": 0}),
            (lambda c: c.update(all_sw=_negative(c["all_sw"])), "nimble.negative",
             {"array": "all_sw"}),
            (lambda c: c.update(skin_f=np.full(c["skin_f"].shape, np.inf)), "model.array_type",
             {"array": "skin_f"}),
        ],
    )  # fmt: skip
    def test_senseless_content(self, tmp_path, change, code, facts):
        changed = content(copied(tmp_path), DICT_FILE)
        change(changed)
        path = rewritten(tmp_path, DICT_FILE, changed)
        with raises(code, file=path, **facts):
            read_nimble(tmp_path)

    def test_texture_coordinates_of_other_faces(self, tmp_path):
        lines = content(copied(tmp_path), FUV_FILE)
        path = rewritten(tmp_path, FUV_FILE, lines[:-1])
        with raises("nimble.uv_faces", file=path):
            read_nimble(tmp_path)
        rewritten(tmp_path, FUV_FILE, [*lines[:-1], lines[-2]])
        with raises("nimble.uv_faces", file=path):
            read_nimble(tmp_path)
        rewritten(tmp_path, FUV_FILE, [*lines[:-1], "f 1/1 2/2 3/999999\n"])
        with raises("nimble.indices", file=path, array="vt", found=999998):
            read_nimble(tmp_path)
        for line in (
            "f 99999999999999999999/1 2/2 3/3",
            "f 1 2 3",
            "f 1/1 2/2 3/3 4/4",
            "vt 0.5",
            "vt one two",
        ):
            rewritten(tmp_path, FUV_FILE, [*lines, line])
            with raises("nimble.uv_line", file=path, found=line):
                read_nimble(tmp_path)
        rewritten(tmp_path, FUV_FILE, {"lines": lines})
        with raises("model.no_text", file=path, found="dict"):
            read_nimble(tmp_path)

    def test_barycentric_coordinates_of_another_sum(self, tmp_path):
        """MANO's hand would be half as large again."""
        changed = content(copied(tmp_path), VREG_FILE)
        changed["lmk_bary_coords"] = 1.5 * np.asarray(changed["lmk_bary_coords"])
        path = rewritten(tmp_path, VREG_FILE, changed)
        with raises("nimble.shares", file=path, array="lmk_bary_coords"):
            read_nimble(tmp_path)

    @pytest.mark.parametrize(
        ("part", "change", "code"),
        [
            ("std", lambda std: -std, "nimble.deviation"),
            ("std", lambda std: std[..., :0], "nimble.empty"),
            ("mean", lambda mean: mean[..., :0], "nimble.square"),
        ],
    )
    def test_textures_of_nothing(self, tmp_path, part, change, code):
        changed = content(copied(tmp_path), TEXTURE_FILE)
        space = changed["diffuse"]
        space[part] = change(space[part])
        space["basis"] = space["basis"][: space["mean"].size, : space["std"].size]
        for other in ("normal", "spec") if part == "mean" else ():
            changed[other]["mean"] = changed[other]["mean"][..., :0]
            changed[other]["basis"] = changed[other]["basis"][:0]
        path = rewritten(tmp_path, TEXTURE_FILE, changed)
        with raises(code, file=path):
            read_textures(tmp_path)

    @pytest.mark.parametrize("between", [0.0, 0.5, 1.0])
    def test_normals_between_the_charts_do_not_matter(self, folder, tmp_path, between):
        """Nobody says what lies there."""
        changed = content(copied(tmp_path), TEXTURE_FILE)
        mean = changed["normal"]["mean"].copy()
        texels = mean.reshape(-1, 3)
        texels[: 2 * len(texels) // 3] = between
        changed["normal"]["mean"] = mean
        rewritten(tmp_path, TEXTURE_FILE, changed)
        found = read_textures(tmp_path).normal.mean
        rest = found.flatten(0, 1)[2 * len(texels) // 3 :]
        assert rest.equal(read_textures(folder).normal.mean.flatten(0, 1)[-len(rest) :])

    def test_normals_that_point_nowhere(self, tmp_path):
        changed = content(copied(tmp_path), TEXTURE_FILE)
        changed["normal"]["mean"] = np.full_like(changed["normal"]["mean"], 0.5)
        path = rewritten(tmp_path, TEXTURE_FILE, changed)
        with raises("nimble.normal_map", file=path):
            read_textures(tmp_path)
