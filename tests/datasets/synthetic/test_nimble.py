"""Rendered hands of NIMBLE: what is seen, what is true, and that they are fitted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from datasets.evaluation.evaluating import evaluate
from datasets.evaluation.options import EvaluationOptions
from datasets.evaluation.sources import open_estimates
from datasets.readers.rendered import open_rendered
from datasets.synthetic.arms import cut_wrist
from datasets.synthetic.command import synth_hands
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.mapped_skin import MappedSkin
from datasets.synthetic.settings import SyntheticSettings
from fitter.commands.fit_hands import fit_hands
from fitter.hand_models import load_hand_model, load_open_hand
from fitter.hand_models.nimble.textures import TextureSpace
from fitter.records import HandParams
from tests.support.errors import raises
from tests.support.nimble_files import copied, nimble_folder
from tests.support.same_process import SameProcess

SETTINGS = SyntheticSettings(
    object_share=0.0, occluder_share=0.0, second_hand_share=0.5, model=nimble_folder()
)


@pytest.fixture(scope="module")
def engine():
    return SyntheticEngine(64, SETTINGS)


@pytest.fixture(scope="module")
def batch(engine):
    return engine.batch(5, range(6))


class TestImages:
    def test_truth_is_the_posed_model(self, batch):
        model = load_hand_model(nimble_folder(), dtype=torch.float64)
        hand = batch.specs.hand
        assert hand.hand_pose.shape == (6, 19, 3) and hand.betas.shape == (6, 20)
        mesh = model(hand)
        torch.testing.assert_close(batch.vertices, mesh.vertices, rtol=0, atol=1e-8)
        torch.testing.assert_close(batch.keypoints_3d, mesh.keypoints, rtol=0, atol=1e-8)
        assert (batch.mask.sum(dim=(1, 2)) > 100).all()

    def test_a_sample_does_not_depend_on_its_batch(self, engine, batch):
        alone = engine.batch(5, [4])
        assert torch.equal(alone.image[0], batch.image[4])
        assert torch.equal(alone.mask[0], batch.mask[4])

    def test_hands_are_of_skin(self, engine, batch):
        """Red before green before blue, in all but strange light."""
        shown = [batch.image[k][batch.mask[k] > 0.99].float().mean(0) for k in range(6)]
        ordered = [bool(red > green > blue) for red, green, blue in shown]
        assert sum(ordered) >= 4

    def test_maps_of_normals_and_highlights_are_seen(self, engine, batch):
        flat = SyntheticEngine(64, SETTINGS)
        skin = flat.skin
        assert isinstance(skin, MappedSkin)
        plane = skin.normal.mean.new_tensor([0.5, 0.5, 1.0]).expand_as(skin.normal.mean)
        skin.normal = TextureSpace(plane.contiguous(), 0 * skin.normal.components)
        level = flat.batch(5, range(6)).image
        skin.specular = TextureSpace(0 * skin.specular.mean, 0 * skin.specular.components)
        dull = flat.batch(5, range(6)).image
        assert not torch.equal(level, batch.image) and not torch.equal(level, dull)
        assert dull.float().mean() < level.float().mean()

    def test_wrist_is_cut_along_one_loop(self):
        data = load_open_hand()
        heights = -data.v_template[:, 0]
        remaining, loop = cut_wrist(data.faces, heights)
        assert 0.9 < len(remaining) / len(data.faces) < 1
        assert len(set(loop.tolist())) == len(loop) > 8
        assert heights[loop].max() < heights.min() + 0.2 * np.ptp(heights)
        with pytest.raises(ValueError, match="one loop"):
            cut_wrist(data.faces, np.cos(1e5 * np.arange(len(heights))))


class TestFolder:
    def test_model_is_part_of_what_samples_depend_on(self, tmp_path):
        plain = replace(SETTINGS, model=None).description()
        assert "model" not in plain
        first = SETTINGS.description()["model"]
        other = copied(tmp_path)
        assert replace(SETTINGS, model=other).description()["model"] == first
        (other / "MANO_RIGHT.pkl").write_bytes(b"of the same hand")
        assert replace(SETTINGS, model=other).description()["model"] == first
        (other / "NIMBLE_TEX_FUV.pkl").write_bytes(b"changed")
        assert replace(SETTINGS, model=other).description()["model"] != first

    def test_files_are_read_once(self, tmp_path, monkeypatch):
        settings = replace(SETTINGS, model=copied(tmp_path))
        first = settings.description()
        monkeypatch.setattr(Path, "open", None)
        assert settings.description() == first

    def test_no_folder(self, tmp_path):
        with raises("synthetic.model", file=tmp_path / "none"):
            SyntheticSettings(model=tmp_path / "none")

    def test_rendered_by_the_command_fitted_and_compared(self, tmp_path, monkeypatch):
        """From `synth-hands --model` over `fit-hands --model` to `eval-hands`' comparison."""
        monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
        folder, store, nimble = tmp_path / "data", tmp_path / "r.zarr", str(nimble_folder())
        shares = [f"--{name}=0" for name in ("objects", "occluders", "second-hands")]
        run(synth_hands, "--count", 4, "--out", folder, "--size", 128, "--model", nimble, *shares)
        images = open_rendered(folder, "training")
        hand = images.annotation(0).hands[0]
        assert hand.parameters.model == images.model == "nimble" and images.definition == "mano"
        assert json.loads((folder / "synthetic.json").read_text())["model"]["name"] == "nimble"
        posed = load_hand_model(nimble, dtype=torch.float64)(as_params(hand.parameters))
        np.testing.assert_allclose(posed.keypoints[0].numpy(), hand.keypoints_3d, atol=2e-6)
        run(fit_hands, folder, "--dataset", "synthetic", "--use", "keypoints,masks", "--out", store,
            "--model", nimble, "--device", "cpu", "--init", "keypoints", "--quiet")  # fmt: skip
        report = evaluate(
            open_estimates(store, images, None), images, EvaluationOptions(model=Path(nimble))
        )
        figures = report.whole.figures
        assert report.whole.found == 4
        assert figures["kp2d_px"] < 1.5 and figures["mask_iou"] > 0.8
        assert figures["pa_mpvpe_mm"] < 8

    def test_render_and_compare_with_all_maps(self, tmp_path, monkeypatch):
        """NIMBLE's ten coefficients are fitted through its three maps."""
        monkeypatch.setattr("fitter.workers.process_pool.Isolated", SameProcess)
        folder, store, nimble = tmp_path / "data", tmp_path / "r.zarr", str(nimble_folder())
        shares = [f"--{name}=0" for name in ("objects", "occluders", "second-hands")]
        run(synth_hands, "--count", 2, "--out", folder, "--size", 96, "--model", nimble, *shares)
        run(fit_hands, folder, "--dataset", "synthetic", "--use", "keypoints", "--out", store,
            "--config", "nimble_render_compare", "--model", nimble, "--device", "cpu", "--init",
            "keypoints", "--set", "refine.stages.refinement.iterations=4", "--quiet")  # fmt: skip
        found = xr.open_zarr(store)
        assert bool(found.valid.any(dim="hand").all())
        skins = found.appearance.values[found.valid.values]
        assert skins.shape[-1] == 10 and np.isfinite(skins).all() and np.abs(skins).max() > 0.01
        identity = json.dumps(dict(found.attrs), default=str)
        assert "appearance_sha256" in identity


def as_params(parameters):
    return HandParams(
        *(
            torch.from_numpy(np.asarray(value))[None]
            for value in (
                parameters.global_orient,
                parameters.hand_pose,
                parameters.betas,
                parameters.translation,
            )
        )
    )


def run(command, *arguments):
    with pytest.raises(SystemExit) as ended:
        command([str(each) for each in arguments])
    assert ended.value.code == 0
