"""Stores as MANO's parameters and FreiHAND's submission."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.evaluation.freihand_protocol import freihand_evaluation
from datasets.evaluation.predictions import PredictionEstimates
from datasets.readers import open_dataset
from fitter.conventions import FINGERTIP_VERTICES, MODEL_TO_KEYPOINTS
from fitter.export import ExportRequest, export_results
from fitter.formats.mano_fit import load_mano_meshes
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.rig import FrameNames
from fitter.store.frame_schema import FrameRow, ViewHandRow, ViewRow
from tests.support import exported_hands as hands
from tests.support.errors import raises
from tests.support.exported_stores import ROWS, files, fitted, write_mano_store
from tests.support.fitted_stores import (
    image_row,
    posed_hand,
)
from tests.support.freihand_files import write_freihand
from tests.support.nimble_files import nimble_folder
from tests.support.rig_folders import turning_rig
from tests.support.small_mano import write_small_mano


class TestMano:
    def test_freihand_of_another_model(self, export, store, mano):
        summary, out = export("freihand", "pred.json", mano=mano)
        xyz, verts = json.loads(out.read_text())
        assert len(xyz) == len(verts) == len(ROWS)
        assert [entry is None for entry in xyz] == [False, False, True, True, False, False]
        assert [entry is None for entry in verts] == [entry is None for entry in xyz]
        assert np.shape(xyz[0]) == (21, 3) and np.shape(verts[0]) == (778, 3)
        # The best of its image, as the fit has it, millimetres from the model that was fitted.
        hand = fitted(store, "e.jpg", 0)
        assert hand.score > fitted(store, "e.jpg", 1).score
        meshes = hands.open_hand()
        definition = KeypointDefinition.of(meshes.right, "freihand")
        expected = definition.keypoints(hands.params_of(hand))[0].numpy()
        away = np.linalg.norm(np.array(xyz[5]) - expected, axis=1)
        assert away.mean() < 3e-3 and away.max() < 8e-3
        assert (summary.hands, summary.further, summary.mano.hands) == (4, 2, 4)
        assert 0 < summary.mano.vertex_mm / 4 < 0.2

    def test_freihand_needs_mano(self, export, store, tmp_path):
        with raises("export.mano_needed", model="open_hand", vertices=1670):
            export("freihand", "pred.json")
        with raises("export.mano_needed", format="mano-npz"):
            export("mano-npz")
        assert not [*tmp_path.iterdir()]

    def test_npz_per_hand_and_per_image(self, export, mano, monkeypatch):
        monkeypatch.setattr("fitter.formats.mano_fit.ROUNDS", 1)
        chosen = {"only": ["a.jpg"], "mano": mano}
        summary, out = export("mano-npz", "each", **chosen)
        assert files(out) == ["a.jpg_0_right.npz", "a.jpg_1_left.npz"]
        _, out = export("mano-npz", "both", per="image", **chosen)
        both = np.load(out / "a.jpg.npz")
        each = [np.load(out.parent / "each" / name) for name in files(out.parent / "each")]
        for name in both.files:
            expected = np.concatenate([one[name] for one in each])
            np.testing.assert_array_equal(both[name], expected)
        errors = summary.mano
        assert errors.vertex_mm == pytest.approx(both["vertex_error_mm"].sum())
        assert errors.worst_mm == both["vertex_error_mm"].max()

    def test_hands_of_frames(self, mano, tmp_path):
        rig = turning_rig(["left", "right"])
        path, row = tmp_path / "f.zarr", posed_hand(1, score=0.9)
        views = (
            ViewRow(view_status="ok", hands=(ViewHandRow(view_weight=1.0),)),
            ViewRow(view_status="missing", hands=(ViewHandRow(view_weight=0.0),)),
        )
        text = FrameNames("one", ("left/one.png", "")).text
        frame = FrameRow(frame_status="ok", hands=(row,), views=views)
        write_mano_store(path, mano, {text: frame}, rig=rig)
        export_results(ExportRequest(path, tmp_path / "npz", "mano-npz", quiet=True))
        found = np.load(tmp_path / "npz" / "one_0_right.npz")
        np.testing.assert_array_equal(found["hand_pose"][0], np.float32(row.hand_pose).ravel())
        np.testing.assert_array_equal(found["betas"][0], np.float32(row.betas))
        with raises("views.export", format="coco") as told:
            export_results(ExportRequest(path, tmp_path / "coco.json", "coco", quiet=True))
        assert "mano-npz" in str(told.value)

    def test_hands_of_mano_pass(self, mano, tmp_path):
        path = tmp_path / "m.zarr"
        row = posed_hand(1, score=0.9)
        write_mano_store(path, mano, {"a.jpg": image_row(row)})
        request = ExportRequest(path, tmp_path / "npz", "mano-npz", quiet=True)
        summary = export_results(request)
        found = np.load(tmp_path / "npz" / "a.jpg_0_right.npz")
        np.testing.assert_array_equal(found["hand_pose"][0], np.float32(row.hand_pose).ravel())
        np.testing.assert_array_equal(found["betas"][0], np.float32(row.betas))
        assert summary.mano is None and found["vertex_error_mm"][0] == 0
        export_results(replace(request, out=tmp_path / "pred.json", format="freihand"))
        xyz, verts = json.loads((tmp_path / "pred.json").read_text())
        meshes = load_mano_meshes(mano)
        vertices = fitted(path, "a.jpg", 0).vertices
        np.testing.assert_array_equal(np.float32(verts[0]), vertices)
        # FreiHAND's joints are regressed from the posed vertices.
        regressed = meshes.data.joint_regressor @ vertices
        np.testing.assert_allclose(xyz[0][0], regressed[0], atol=1e-6)
        np.testing.assert_allclose(xyz[0][5], regressed[1], atol=1e-6)
        np.testing.assert_allclose(xyz[0][16], vertices[555], atol=1e-6)

    def test_eval_hands_scores_it(self, mano, tmp_path):
        """Truth that is FreiHAND's joints of the same hands: no error, and one hand is lost."""
        truth = write_freihand(tmp_path / "FreiHAND", tmp_path, count=3)
        assert len(truth) == 3
        images = open_dataset("freihand", tmp_path / "FreiHAND", "evaluation")
        rows = [image_row(posed_hand(1)), image_row(), image_row(posed_hand(2))]
        write_mano_store(tmp_path / "m.zarr", mano, dict(zip(images.names, rows, strict=True)))
        meshes = load_mano_meshes(mano)
        definition = KeypointDefinition.of(meshes.right, "freihand")
        path = tmp_path / "FreiHAND" / "evaluation_xyz.json"
        xyz = json.loads(path.read_text())
        for place in (0, 2):
            params = hands.params_of(rows[place].hands[0])
            xyz[place] = definition.keypoints(params)[0].tolist()
        path.write_text(json.dumps(xyz))
        images = open_dataset("freihand", tmp_path / "FreiHAND", "evaluation")
        pred = tmp_path / "pred.json"
        export_results(ExportRequest(tmp_path / "m.zarr", pred, "freihand", quiet=True))
        found = freihand_evaluation(PredictionEstimates(pred, images), images)
        assert (found.found, found.hands) == (2, 3)
        assert found.scores.xyz_al_mean3d < 1e-5 and found.scores.xyz_mean3d < 1e-5

    def test_a_model_that_moved(self, mano, tmp_path):
        path = tmp_path / "m.zarr"
        where = tmp_path / "gone" / "MANO_RIGHT.pkl"
        write_mano_store(path, mano, {"a.jpg": image_row(posed_hand(1))}, where)
        request = ExportRequest(path, tmp_path / "out", "glb", quiet=True)
        with raises("results.model_moved", file=str(where), store=path):
            export_results(request)
        assert not request.out.exists()
        assert export_results(replace(request, model=mano)).hands == 1
        # Another model is not the one that was fitted.
        other = write_small_mano(tmp_path / "MANO_RIGHT.pkl")
        other.write_bytes(other.read_bytes() + b" ")
        with raises("results.other_model"):
            export_results(replace(request, model=other, overwrite=True))

    @pytest.mark.parametrize("kind", ["mano-npz", "freihand"])
    def test_another_model_is_no_mano(self, export, tmp_path, kind):
        for other, name in ((nimble_folder(), "nimble"), (Path("open_hand"), "open_hand")):
            with raises("export.not_mano", file=other, found=name):
                export(kind, mano=other)
        assert not files(tmp_path)

    def test_offsets_are_no_parameters(self, mano, tmp_path):
        """Of MANO's own hands: parameters miss what the offsets add, vertices have it."""
        rng = np.random.default_rng(0)
        offsets = rng.normal(size=(778, 3)).astype(np.float32) / 100
        rows = {
            "a.jpg": image_row(posed_hand(1, vertex_offsets=offsets)),
            "b.jpg": image_row(posed_hand(2, "left", vertex_offsets=offsets)),
        }
        sizes = {"optional_sizes": {"offset_vertex": 778}}
        write_mano_store(tmp_path / "m.zarr", mano, rows, **sizes)
        request = ExportRequest(tmp_path / "m.zarr", tmp_path / "npz", "mano-npz", quiet=True)
        summary = export_results(request)
        lengths = 1000 * np.linalg.norm(offsets.astype(float), axis=1)
        meshes = load_mano_meshes(mano)
        for name, slot in (("a.jpg", "0_right"), ("b.jpg", "0_left")):
            found = np.load(tmp_path / "npz" / f"{name}_{slot}.npz")
            hand = fitted(tmp_path / "m.zarr", name, 0)
            posed = meshes.vertices(replace(hand, vertex_offsets=None))
            away = 1000 * np.linalg.norm(hand.vertices - posed, axis=1).mean()
            np.testing.assert_allclose(found["vertex_error_mm"], [away], rtol=1e-3)
            tips = lengths[list(FINGERTIP_VERTICES["smplx"])].sum() / 21
            np.testing.assert_allclose(found["keypoint_error_mm"], [tips], rtol=1e-5)
        assert summary.mano.vertex_mm == pytest.approx(2 * lengths.mean(), rel=1e-3)
        # A submission's keypoints are those of its vertices.
        submission = replace(request, out=tmp_path / "pred.json", format="freihand")
        assert export_results(submission).mano is None
        xyz, verts = json.loads((tmp_path / "pred.json").read_text())
        for place, name in enumerate(rows):
            vertices = fitted(tmp_path / "m.zarr", name, 0).vertices
            np.testing.assert_array_equal(np.float32(verts[place]), vertices)
            regressed = meshes.data.joint_regressor @ vertices
            tips = vertices[list(FINGERTIP_VERTICES["freihand"])]
            expected = np.concatenate([regressed, tips])[list(MODEL_TO_KEYPOINTS)]
            np.testing.assert_allclose(xyz[place], expected, atol=1e-6)
