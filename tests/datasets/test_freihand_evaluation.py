import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from datasets import evaluate_freihand, load_freihand
from datasets.eval_command import evaluate_command
from datasets.evaluation_options import parse_range
from fitter import metrics
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.records import HandParams
from fitter.store.result_store import ResultStore, StoreSpec
from fitter.store.schema import HandRow, ImageRow
from tests.support.errors import raises

K = np.array([[500.0, 0, 112], [0, 500, 112], [0, 0, 1]])
COUNT = 8


def write_dataset(root: Path, xyz: np.ndarray, vertices: np.ndarray | None = None) -> Path:
    (root / "evaluation" / "rgb").mkdir(parents=True)
    for i in range(len(xyz)):
        (root / "evaluation" / "rgb" / f"{i:08d}.jpg").touch()
    (root / "evaluation_K.json").write_text(json.dumps([K.tolist()] * len(xyz)))
    (root / "evaluation_xyz.json").write_text(json.dumps(xyz.tolist()))
    if vertices is not None:
        (root / "evaluation_verts.json").write_text(json.dumps(vertices.tolist()))
    return root


def project(points: np.ndarray) -> np.ndarray:
    image = points @ K.T
    return image[..., :2] / image[..., 2:]


def hand(joints: np.ndarray, score: float = 0.9, **more) -> HandRow:
    return HandRow(
        valid=True,
        side="right",
        detection_score=score,
        keypoints_3d=joints,
        keypoints_2d=project(joints),
        **more,
    )


def ok(*hands: HandRow) -> ImageRow:
    return ImageRow(image_status="ok", hands=hands)


def write_store(path: Path, rows: dict[str, ImageRow | None], vertices: int | None = None) -> Path:
    """A store of one image per block; an image whose row is None stays pending."""
    sizes = {} if vertices is None else {"vertex": vertices}
    spec = StoreSpec(list(rows), max_hands=2, block_size=1, num_betas=10, optional_sizes=sizes)
    with ResultStore.create(path, spec) as store:
        for block, row in zip(store.blocks(), rows.values(), strict=True):
            if row is not None:
                store.write_block(block, [row])
    return path


@pytest.fixture
def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.04, (COUNT, 21, 3)) + np.array([0, 0, 0.6])


@pytest.fixture
def estimate(truth) -> np.ndarray:
    return truth + np.random.default_rng(1).normal(0, 0.01, truth.shape) + [0, 0, 0.05]


@pytest.fixture
def dataset(tmp_path, truth) -> Path:
    return write_dataset(tmp_path / "dataset", truth)


def names(prefix: str = "rgb/") -> list[str]:
    return [f"{prefix}{i:08d}.jpg" for i in range(COUNT)]


def test_figures_are_the_metrics_of_the_stored_hands(tmp_path, dataset, truth, estimate):
    rows = {name: ok(hand(joints)) for name, joints in zip(names(), estimate, strict=True)}
    store = write_store(tmp_path / "r.zarr", rows)
    found = evaluate_freihand(store, load_freihand(dataset), [range(0, 3), range(3, 8)])
    estimate = estimate.astype(np.float32)
    figures = found.whole.figures
    aligned = metrics.procrustes_aligned(estimate, truth)
    assert (found.whole.images, found.whole.found) == (8, 8)
    assert figures["mpjpe_mm"] == pytest.approx(1e3 * metrics.mpjpe(estimate, truth).mean())
    assert figures["mpjpe_mm"] > 45 > figures["root_aligned_mpjpe_mm"] > figures["pa_mpjpe_mm"]
    assert figures["pa_mpjpe_mm"] == pytest.approx(1e3 * metrics.mpjpe(aligned, truth).mean())
    assert figures["auc_j"] == pytest.approx(metrics.auc(metrics.point_errors(aligned, truth)))
    pixels = np.linalg.norm(project(estimate) - project(truth), axis=-1).mean()
    assert figures["kp2d_px"] == pytest.approx(pixels, rel=1e-5)
    first, second = found.parts
    assert first.name == "0:3" and second.images == 5
    both = (3 * first.figures["mpjpe_mm"] + 5 * second.figures["mpjpe_mm"]) / 8
    assert figures["mpjpe_mm"] == pytest.approx(both)


def test_every_lost_picture_is_counted_once_and_by_its_fate(tmp_path, dataset, truth):
    lost = HandRow(valid=False, detection_score=1.0, fit_status="diverged", keypoints_3d=truth[1])
    rows = dict.fromkeys(names()[:6])
    rows[names()[0]] = ok(hand(truth[0]))
    rows[names()[1]] = ok(lost)
    rows[names()[2]] = ImageRow(image_status="no_hand")
    rows[names()[3]] = ImageRow(image_status="failed")
    store = write_store(tmp_path / "r.zarr", rows)
    whole = evaluate_freihand(store, load_freihand(dataset)).whole
    counts = (whole.found, whole.failed, whole.no_hand, whole.pending, whole.not_in_store)
    assert counts == (1, 2, 1, 2, 2) and sum(counts) == whole.images
    assert whole.figures["mpjpe_mm"] == pytest.approx(0, abs=1e-3)

    charged = evaluate_freihand(store, load_freihand(dataset), missing_as_mm=40).whole
    assert charged.found == 1
    for measure in ("mpjpe_mm", "root_aligned_mpjpe_mm", "pa_mpjpe_mm"):
        assert charged.figures[measure] == pytest.approx(40 * 7 / 8, abs=1e-3)
    assert charged.figures["auc_j"] == pytest.approx((1 + 7 * 0.2) / 8, abs=0.01)
    assert charged.figures["kp2d_px"] == whole.figures["kp2d_px"]


def test_the_valid_hand_with_the_best_detection_is_scored(tmp_path, dataset, truth, estimate):
    good, bad = truth[0], estimate[0]
    rows = {
        names()[0]: ok(hand(bad, 0.6), hand(good, 0.8)),
        names()[1]: ok(hand(truth[1], 0.7), hand(estimate[1], 0.6)),
        names()[2]: ok(HandRow(valid=False, detection_score=0.9), hand(truth[2], 0.1)),
    }
    whole = evaluate_freihand(write_store(tmp_path / "r.zarr", rows), load_freihand(dataset)).whole
    assert whole.found == 3 and whole.figures["mpjpe_mm"] == pytest.approx(0, abs=1e-3)


def test_detector_references_come_from_the_stored_detections(tmp_path, dataset, truth):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    rows = {}
    for name, joints in zip(names(), truth, strict=True):
        rows[name] = ok(
            hand(
                joints + 0.01,
                detector_relative_xyz=2 * joints @ turn.T,
                keypoints_2d_detected=1000 * joints[:, :2],
                detector_relative_depth=1000 * (joints[:, 2] - joints[0, 2]) / 1.3,
            )
        )
    figures = evaluate_freihand(
        write_store(tmp_path / "r.zarr", rows), load_freihand(dataset)
    ).whole.figures
    assert figures["detector_world_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert figures["detector_xyz_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert figures["mpjpe_mm"] == pytest.approx(1e1 * 3**0.5, rel=1e-3)


def test_references_and_vertices_are_absent_where_nothing_is_stored(tmp_path, dataset, truth):
    rows = {names()[0]: ok(hand(truth[0]))}
    figures = evaluate_freihand(
        write_store(tmp_path / "r.zarr", rows), load_freihand(dataset)
    ).whole.figures
    assert set(figures) == {
        "mpjpe_mm",
        "root_aligned_mpjpe_mm",
        "pa_mpjpe_mm",
        "auc_j",
        "kp2d_px",
    }


def test_vertices_are_scored_when_both_sides_have_them(tmp_path, truth):
    vertices = np.random.default_rng(2).normal(0, 0.05, (COUNT, 778, 3)) + np.array([0, 0, 0.6])
    dataset = write_dataset(tmp_path / "dataset", truth, vertices)
    rows = {
        name: ok(hand(joints, vertices=surface + 0.1))
        for name, joints, surface in zip(names(), truth, vertices, strict=True)
    }
    store = write_store(tmp_path / "r.zarr", rows, vertices=778)
    figures = evaluate_freihand(store, load_freihand(dataset)).whole.figures
    assert figures["pa_mpvpe_mm"] == pytest.approx(0, abs=1e-3)
    assert (figures["f5"], figures["f15"]) == (1, 1)


def test_json_and_table_show_the_same_figures(tmp_path, dataset, truth, estimate):
    rows = {name: ok(hand(joints)) for name, joints in zip(names()[1:], estimate[1:], strict=True)}
    store = write_store(tmp_path / "r.zarr", rows)
    found = evaluate_freihand(store, load_freihand(dataset), [range(0, 1), range(1, 8)])
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["images"] == 8 and document["found"] == 7
    assert document["parts"]["0:1"]["pa_mpjpe_mm"] is None
    assert document["parts"]["1:8"]["pa_mpjpe_mm"] == document["pa_mpjpe_mm"]
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(found.table())
    text = console.export_text()
    assert "7 / 8" in text and f"{document['pa_mpjpe_mm']:.2f}" in text
    assert "not in store" in text and "best detection score" in text


def options(store: Path, folder: Path, **more) -> argparse.Namespace:
    given = {
        "dataset": ["freihand", str(folder)],
        "json": None,
        "missing_as": None,
        "keypoint_definition": None,
    }
    return argparse.Namespace(store=store, **given | {"range": [], "quiet": False} | more)


def test_the_command_prints_and_writes_its_figures(tmp_path, dataset, truth, estimate, capsys):
    rows = {name: ok(hand(joints)) for name, joints in zip(names(), estimate, strict=True)}
    store, file = write_store(tmp_path / "r.zarr", rows), tmp_path / "figures.json"
    evaluate_command(options(store, dataset, json=file, range=["0:3", "3:8"]))
    document = json.loads(file.read_text())
    assert list(document["parts"]) == ["0:3", "3:8"]
    assert f"{document['mpjpe_mm']:.2f}" in capsys.readouterr().out
    evaluate_command(options(store, dataset, json=file, range=["0:3"], quiet=True))
    assert list(json.loads(file.read_text())["parts"]) == ["0:3"]
    assert not capsys.readouterr().out
    with raises("evaluation.kind", file="--dataset", found="ho3d"):
        evaluate_command(options(store, dataset, dataset=["ho3d", "x"]))
    with raises("output.cannot_write", file=tmp_path / "no" / "f.json"):
        evaluate_command(options(store, dataset, json=tmp_path / "no" / "f.json"))
    for length in (-1.0, float("inf")):
        with raises("evaluation.missing_as", found=length):
            evaluate_command(options(store, dataset, missing_as=length))


def test_stores_that_cannot_be_matched_are_refused(tmp_path, dataset, truth):
    stranger = write_store(tmp_path / "a.zarr", {"cat.jpg": ImageRow(image_status="no_hand")})
    known = load_freihand(dataset)
    with raises("evaluation.other_images", file=stranger, dataset=dataset):
        evaluate_freihand(stranger, known)
    row = ok(hand(truth[0]))
    twice = write_store(tmp_path / "b.zarr", {"x/00000000.jpg": row, "y/00000000.jpg": row})
    with raises("evaluation.same_name", file=twice, name="00000000.jpg"):
        evaluate_freihand(twice, known)
    with raises("evaluation.range_beyond", stop=9, count=COUNT):
        evaluate_freihand(twice, known, [range(0, 9)])


def test_ranges_are_read_as_half_open():
    assert parse_range("0:75") == range(0, 75)


@pytest.mark.parametrize("text", ["", "5", "5:", ":5", "5:5", "6:5", "-1:5", "a:b", "0:75:2"])
def test_a_bad_range_is_refused(text):
    with raises("evaluation.range", file="--range", found=text):
        parse_range(text)


@pytest.mark.parametrize(
    ("damage", "code", "facts"),
    [
        (
            lambda root: (root / "evaluation_xyz.json").unlink(),
            "dataset.file_missing",
            {},
        ),
        (
            lambda root: (root / "evaluation_K.json").write_text("[[1"),
            "dataset.not_numbers",
            {"rows": 3, "columns": 3},
        ),
        (
            lambda root: (root / "evaluation_K.json").write_text("[[[1]]]"),
            "dataset.shape",
            {"found": (1, 1, 1)},
        ),
        (
            lambda root: (root / "evaluation_K.json").write_text(json.dumps([K.tolist()])),
            "dataset.entries",
            {"found": 8, "expected": 1},
        ),
        (
            lambda root: (root / "evaluation" / "rgb" / "00000003.jpg").unlink(),
            "dataset.images",
            {"found": 7, "expected": 8},
        ),
    ],
)
def test_a_damaged_data_set_is_refused(dataset, damage, code, facts):
    damage(dataset)
    with raises(code, **facts):
        load_freihand(dataset)


def test_a_missing_data_set_is_named(tmp_path):
    with raises("dataset.no_folder", file=tmp_path / "nothing"):
        load_freihand(tmp_path / "nothing")


def test_training_pictures_repeat_their_samples(tmp_path, truth):
    root = write_dataset(tmp_path / "dataset", truth)
    for file in list(root.rglob("*")):
        if file.name.startswith("evaluation"):
            file.rename(file.with_name(file.name.replace("evaluation", "training")))
    for i in range(COUNT, 4 * COUNT):
        (root / "training" / "rgb" / f"{i:08d}.jpg").touch()
    split = load_freihand(root, "training")
    assert len(split.names) == len(split.keypoints_3d) == 4 * COUNT
    np.testing.assert_array_equal(split.keypoints_3d[COUNT + 2], truth[2])
    assert (split.image_dir / split.names[-1]).exists()


@pytest.mark.skipif("HAND_REAL_DATA" not in os.environ, reason="HAND_REAL_DATA is not set")
def test_real_annotations_lie_in_their_pictures():
    split = load_freihand(Path(os.environ["HAND_REAL_DATA"]) / "dev")
    assert split.keypoints_3d.shape == (150, 21, 3)
    assert (split.keypoints_3d[..., 2] > 0).all()
    inside = (split.keypoints_2d > 0) & (split.keypoints_2d < 256)
    assert inside.mean() > 0.95


def posed_store(path: Path, definition: str | None) -> tuple[Path, np.ndarray]:
    """A store of one left hand with its parameters, and its keypoints in "freihand"."""
    model = load_hand_model("open_hand", "right", torch.float64)
    generator = torch.Generator().manual_seed(0)
    pose = 0.2 * torch.randn(1, 15, 3, generator=generator)
    count = model.shapedirs.shape[-1]
    place = torch.tensor([[0.02, 0.01, 0.5]])
    right = HandParams(torch.full((1, 3), 0.3), pose, torch.zeros(1, count), place)
    flip = np.array([-1.0, 1, 1])
    wanted, marks = (
        KeypointDefinition.of(model, name).keypoints(right.to(torch.float64))[0].numpy() * flip
        for name in ("freihand", "mediapipe")
    )
    stored = {name: value[0].numpy() for name, value in vars(right.mirrored()).items()}
    row = replace(hand(marks), side="left", **stored)
    config = {"model": {"name": "open_hand"}}
    if definition is not None:
        config["output"] = {"keypoint_definition": definition}
    spec = StoreSpec(
        [names()[0]],
        max_hands=2,
        block_size=1,
        num_betas=count,
        config=config,
        model=model.data.identity,
    )
    with ResultStore.create(path, spec) as store:
        store.write_block(store.blocks()[0], [ok(row)])
    return path, wanted


def test_keypoints_are_scored_in_the_definition_asked_for(tmp_path):
    store, wanted = posed_store(tmp_path / "r.zarr", None)
    annotated = load_freihand(write_dataset(tmp_path / "set", wanted[None]))
    as_stored = evaluate_freihand(store, annotated)
    assert as_stored.definition == "mediapipe" and as_stored.whole.figures["mpjpe_mm"] > 2
    assert "mediapipe, as stored" in as_stored.table().caption
    mapped = evaluate_freihand(store, annotated, definition="freihand")
    assert mapped.whole.figures["mpjpe_mm"] < 1e-3
    assert mapped.to_json()["keypoint_definition"] == "freihand"
    assert "posed from the stored parameters" in mapped.table().caption
    assert mapped.whole.figures["kp2d_px"] == as_stored.whole.figures["kp2d_px"]


def test_the_definition_is_read_from_the_store(tmp_path):
    store, wanted = posed_store(tmp_path / "r.zarr", "mano")
    annotated = load_freihand(write_dataset(tmp_path / "set", wanted[None]))
    assert evaluate_freihand(store, annotated).definition == "mano"
    assert evaluate_freihand(store, annotated, definition="mano").is_stored


def test_definitions_that_cannot_be_had_are_refused(tmp_path, dataset, truth):
    store = write_store(tmp_path / "r.zarr", dict.fromkeys(names(), ok(hand(truth[0]))))
    with raises("definition.name", found="dexycb"):
        evaluate_command(options(store, dataset, keypoint_definition="dexycb"))
    other, _ = posed_store(tmp_path / "other.zarr", None)
    attributes = json.loads((other / "zarr.json").read_text())
    model = json.dumps({"name": "open_hand", "sha256": "0" * 64})
    attributes["attributes"]["model"] = model
    (other / "zarr.json").write_text(json.dumps(attributes))
    with raises("results.other_model"):
        evaluate_freihand(other, load_freihand(dataset), definition="freihand")
