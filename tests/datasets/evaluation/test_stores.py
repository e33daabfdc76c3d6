"""The figures of stores against FreiHAND's annotations."""

import json
from dataclasses import replace

import numpy as np
import pytest

from datasets.evaluation import EvaluationOptions, evaluate, freihand_evaluation, open_estimates
from datasets.evaluation.options import parse_range
from fitter import metrics
from fitter.store.schema import HandRow, ImageRow
from tests.support.annotated import one_hand_images, project
from tests.support.errors import raises
from tests.support.scored_stores import ok, posed_row, row_of, write_store

COUNT = 8


@pytest.fixture
def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.04, (COUNT, 21, 3)) + np.array([0, 0, 0.6])


@pytest.fixture
def estimate(truth) -> np.ndarray:
    return truth + np.random.default_rng(1).normal(0, 0.01, truth.shape) + [0, 0, 0.05]


@pytest.fixture
def images(truth):
    return one_hand_images(truth)


def names(prefix: str = "rgb/") -> list[str]:
    return [f"{prefix}{i:08d}.jpg" for i in range(COUNT)]


def scored(store, images, definition=None, **options):
    found = open_estimates(store, images, definition)
    return evaluate(found, images, EvaluationOptions(definition=definition, **options))


def test_figures_are_the_metrics_of_the_stored_hands(tmp_path, images, truth, estimate):
    rows = {name: ok(row_of(joints)) for name, joints in zip(names(), estimate, strict=True)}
    store = write_store(tmp_path / "r.zarr", rows)
    found = scored(store, images, ranges=[range(0, 3), range(3, 8)])
    estimate = estimate.astype(np.float32)
    figures = found.whole.figures
    aligned = metrics.procrustes_aligned(estimate, truth)
    bone = metrics.bone_scale_aligned(estimate, truth)
    assert (found.whole.images, found.whole.hands, found.whole.found) == (8, 8, 8)
    assert figures["mpjpe_mm"] == pytest.approx(1e3 * metrics.mpjpe(estimate, truth).mean())
    assert figures["mpjpe_mm"] > 45 > figures["root_aligned_mpjpe_mm"] > figures["pa_mpjpe_mm"]
    assert figures["pa_mpjpe_mm"] == pytest.approx(1e3 * metrics.mpjpe(aligned, truth).mean())
    assert figures["bone_aligned_mpjpe_mm"] == pytest.approx(
        1e3 * metrics.mpjpe(bone, truth).mean()
    )
    assert figures["auc_j"] == pytest.approx(metrics.auc(metrics.point_errors(aligned, truth)))
    errors = metrics.point_errors(estimate, truth)
    assert figures["camera_auc_j"] == pytest.approx(metrics.auc(errors))
    assert figures["wrist_mm"] == pytest.approx(1e3 * errors[:, 0].mean())
    pixels = np.linalg.norm(project(estimate) - project(truth), axis=-1).mean()
    assert figures["kp2d_px"] == pytest.approx(pixels, rel=1e-5)
    per_joint = 1e3 * metrics.point_errors(aligned, truth)
    np.testing.assert_allclose(list(found.by_joint.values()), per_joint.mean(0))
    assert found.by_finger["ring"] == pytest.approx(per_joint[:, 13:17].mean())
    first, second = found.parts
    assert first.name == "0:3" and second.images == 5
    both = (3 * first.figures["mpjpe_mm"] + 5 * second.figures["mpjpe_mm"]) / 8
    assert figures["mpjpe_mm"] == pytest.approx(both)


def test_every_lost_picture_is_counted_once_and_by_its_fate(tmp_path, images, truth):
    lost = HandRow(valid=False, detection_score=1.0, fit_status="diverged", keypoints_3d=truth[1])
    rows = dict.fromkeys(names()[:6])
    rows[names()[0]] = ok(row_of(truth[0]))
    rows[names()[1]] = ok(lost)
    rows[names()[2]] = ImageRow(image_status="no_hand")
    rows[names()[3]] = ImageRow(image_status="failed")
    store = write_store(tmp_path / "r.zarr", rows)
    whole = scored(store, images).whole
    assert whole.lost == {"failed": 2, "no_hand": 1, "pending": 2, "absent": 2}
    assert whole.found == 1 and whole.found + sum(whole.lost.values()) == whole.images
    assert whole.figures["mpjpe_mm"] == pytest.approx(0, abs=1e-3)

    charged = scored(store, images, missing_as_mm=40).whole
    assert charged.found == 1
    for measure in ("mpjpe_mm", "root_aligned_mpjpe_mm", "pa_mpjpe_mm"):
        assert charged.figures[measure] == pytest.approx(40 * 7 / 8, abs=1e-3)
    assert charged.figures["auc_j"] == pytest.approx((1 + 7 * 0.2) / 8, abs=0.01)
    assert charged.figures["kp2d_px"] == whole.figures["kp2d_px"]
    assert "pa_mpvpe_mm" not in charged.figures and "f5" not in charged.figures


def test_hands_that_were_refused_have_not_failed(tmp_path, images, truth):
    fitted = row_of(truth[0], valid=False, fit_error="looks like no hand")
    refused = replace(fitted, score=0.1)
    rows = dict.fromkeys(names(), ok(row_of(truth[0])))
    rows[names()[0]] = ok(refused)
    rows[names()[1]] = ok(HandRow(valid=False, fit_status="diverged"), refused)
    rows[names()[2]] = ok(HandRow(valid=False, fit_status="diverged"))
    store = write_store(tmp_path / "r.zarr", rows)
    found = scored(store, images)
    assert found.whole.lost == {"refused": 2, "failed": 1}
    assert found.to_json()["refused"] == 2 and ("  refused", "2") in found.rows()
    told = freihand_evaluation(open_estimates(store, images), images).printed()
    assert told.splitlines()[-1] == "5 of 8 hands; the others: 2 refused, 1 failed"


def made_of(store, name, folder, split):
    attributes = json.loads((store / "zarr.json").read_text())
    place = {"name": name, "folder": str(folder), "split": split}
    attributes["attributes"]["dataset"] = json.dumps(place)
    (store / "zarr.json").write_text(json.dumps(attributes))


@pytest.mark.parametrize(
    ("name", "folder", "split", "is_told"),
    [
        ("synthetic", "elsewhere", "training", True),
        ("freihand", "here", "training", True),
        ("freihand", "elsewhere", "evaluation", True),
        ("freihand", "moved", "evaluation", False),
        ("freihand", "here/../here", "evaluation", False),
        ("store", "here", "", False),
        ("shards", "s3://bucket/shards", "", True),
    ],
)
def test_a_store_of_another_data_set_is_told(tmp_path, images, truth, name, folder, split, is_told):
    for there in ("here", "elsewhere"):
        (tmp_path / there).mkdir()
    images.root = tmp_path / "here"
    store = write_store(tmp_path / "r.zarr", dict.fromkeys(names(), ok(row_of(truth[0]))))
    assert not scored(store, images).notes
    place = folder if "://" in folder else tmp_path / folder
    made_of(store, name, place, split)
    notes = scored(store, images).notes
    assert freihand_evaluation(open_estimates(store, images), images).notes == notes
    assert len(notes) == is_told
    if is_told:
        assert f"was made of {name}" in notes[0] and str(place) in notes[0]
        assert f"not of freihand (evaluation) in {images.root}" in notes[0]


def test_a_store_that_found_nothing_is_charged_for_all(tmp_path, images):
    rows = dict.fromkeys(names(), ImageRow(image_status="no_hand"))
    store = write_store(tmp_path / "r.zarr", rows)
    assert scored(store, images).whole.figures == {}
    assert scored(store, images, missing_as_mm=40).whole.figures["pa_mpjpe_mm"] == 40


def test_the_valid_hand_with_the_best_detection_is_scored(tmp_path, images, truth, estimate):
    good, bad = truth[0], estimate[0]
    rows = {
        names()[0]: ok(row_of(bad, 0.6), row_of(good, 0.8)),
        names()[1]: ok(row_of(truth[1], 0.7, "left"), row_of(estimate[1], 0.6)),
        names()[2]: ok(HandRow(valid=False, detection_score=0.9), row_of(truth[2], 0.1)),
    }
    found = scored(write_store(tmp_path / "r.zarr", rows), images)
    whole = found.whole
    assert whole.found == 3 and whole.figures["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert found.match == "best" and whole.left_over == 0 and whole.other_side == 1


def test_detector_references_come_from_the_stored_detections(tmp_path, images, truth):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    rows = {}
    for name, joints in zip(names(), truth, strict=True):
        rows[name] = ok(
            row_of(
                joints + 0.01,
                detector_relative_xyz=2 * joints @ turn.T,
                keypoints_2d_detected=1000 * joints[:, :2],
                detector_relative_depth=1000 * (joints[:, 2] - joints[0, 2]) / 1.3,
            )
        )
    figures = scored(write_store(tmp_path / "r.zarr", rows), images).whole.figures
    assert figures["detector_world_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert figures["detector_xyz_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert figures["mpjpe_mm"] == pytest.approx(1e1 * 3**0.5, rel=1e-3)


def test_measures_are_absent_where_there_is_nothing_to_measure(tmp_path, images, truth):
    rows = {names()[0]: ok(row_of(truth[0]))}
    figures = scored(write_store(tmp_path / "r.zarr", rows), images).whole.figures
    assert set(figures) == {
        *("mpjpe_mm", "wrist_mm", "root_aligned_mpjpe_mm", "bone_aligned_mpjpe_mm"),
        *("pa_mpjpe_mm", "reflected_pa_mpjpe_mm", "kp2d_px"),
        *("auc_j", "reflected_auc_j", "camera_auc_j"),
    }


def test_json_and_table_show_the_same_figures(tmp_path, images, truth, estimate):
    rows = {
        name: ok(row_of(joints)) for name, joints in zip(names()[1:], estimate[1:], strict=True)
    }
    store = write_store(tmp_path / "r.zarr", rows)
    found = scored(store, images, ranges=[range(0, 1), range(1, 8)])
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["images"] == 8 and document["found"] == 7 and document["not_in_store"] == 1
    assert document["parts"]["0:1"]["pa_mpjpe_mm"] is None
    assert document["parts"]["1:8"]["pa_mpjpe_mm"] == document["pa_mpjpe_mm"]
    rows = {row[0].strip(): row[1:] for row in found.rows() if row is not None}
    assert rows["found / hands"] == ("7 / 8", "0 / 1", "7 / 7")
    assert rows["PA-MPJPE, mm"] == (
        f"{document['pa_mpjpe_mm']:.2f}",
        "nan",
        rows["PA-MPJPE, mm"][0],
    )
    assert "not in the source" in rows and "best detection score" in found.caption()


def test_intervals_hold_the_figure_and_shrink_with_images(tmp_path, images, estimate):
    rows = {name: ok(row_of(joints)) for name, joints in zip(names(), estimate, strict=True)}
    store = write_store(tmp_path / "r.zarr", rows)
    found = scored(store, images, resamples=300, ranges=[range(0, 3)])
    for key, (low, high) in found.whole.intervals.items():
        assert low <= found.whole.figures[key] <= high, key
    document = found.to_json()
    assert document["intervals"]["pa_mpjpe_mm"] == list(found.whole.intervals["pa_mpjpe_mm"])
    assert scored(store, images, resamples=300, seed=0).whole.intervals == found.whole.intervals


def test_stores_that_cannot_be_matched_are_refused(tmp_path, images, truth):
    stranger = write_store(tmp_path / "a.zarr", {"cat.jpg": ImageRow(image_status="no_hand")})
    with raises("evaluation.other_images", file=stranger, dataset=images.root):
        open_estimates(stranger, images)
    row = ok(row_of(truth[0]))
    twice = write_store(tmp_path / "b.zarr", {"x/00000000.jpg": row, "y/00000000.jpg": row})
    with raises("evaluation.same_name", file=twice, name="00000000.jpg"):
        open_estimates(twice, images)
    one = write_store(tmp_path / "c.zarr", {"x/00000000.jpg": row})
    with raises("evaluation.range_beyond", stop=9, count=COUNT):
        scored(one, images, ranges=[range(0, 9)])
    with raises("evaluation.missing_as", found=-1.0):
        scored(one, images, missing_as_mm=-1.0)


def test_ranges_are_read_as_half_open():
    assert parse_range("0:75") == range(0, 75)


@pytest.mark.parametrize("text", ["", "5", "5:", ":5", "5:5", "6:5", "-1:5", "a:b", "0:75:2"])
def test_a_bad_range_is_refused(text):
    with raises("evaluation.range", file="--range", found=text):
        parse_range(text)


def test_keypoints_are_scored_in_the_definition_asked_for(tmp_path):
    row, wanted, _ = posed_row(0, "left")
    store = write_store(tmp_path / "r.zarr", {names()[0]: ok(row)})
    images = one_hand_images(wanted[None])
    as_stored = scored(store, images)
    assert as_stored.definition == "mediapipe" and as_stored.whole.figures["mpjpe_mm"] > 2
    assert "mediapipe, as stored" in as_stored.caption()
    mapped = scored(store, images, "freihand")
    assert mapped.whole.figures["mpjpe_mm"] < 1e-3
    assert mapped.to_json()["keypoint_definition"] == "freihand"
    assert "posed from the stored parameters" in mapped.caption()
    assert mapped.whole.figures["kp2d_px"] == as_stored.whole.figures["kp2d_px"]


def test_the_definition_is_read_from_the_store(tmp_path):
    row, wanted, _ = posed_row(0)
    config = {"output": {"keypoint_definition": "mano"}}
    store = write_store(tmp_path / "r.zarr", {names()[0]: ok(row)}, config=config)
    images = one_hand_images(wanted[None])
    assert scored(store, images).definition == "mano"
    assert not scored(store, images, "mano").is_posed


def test_definitions_that_cannot_be_had_are_refused(tmp_path, images, truth):
    store = write_store(tmp_path / "r.zarr", dict.fromkeys(names(), ok(row_of(truth[0]))))
    with raises("definition.name", found="dexycb"):
        open_estimates(store, images, "dexycb")
    row, wanted, _ = posed_row(0)
    model = {"name": "open_hand", "sha256": "0" * 64}
    other = write_store(tmp_path / "other.zarr", {names()[0]: ok(row)}, model=model)
    with raises("results.other_model"):
        scored(other, one_hand_images(wanted[None]), "freihand")
