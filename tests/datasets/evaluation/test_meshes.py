"""Vertices, masks and meshes of hands, and what is annotated only in part."""

import json

import numpy as np
import pytest
import torch

from datasets.annotations import Annotation, ManoAnnotation, ModelParameters
from datasets.evaluation import EvaluationOptions, evaluate, open_estimates
from datasets.evaluation.records import EstimatedHand, Pair
from datasets.evaluation.scores import (
    acceleration_figures,
    keypoint_errors,
    keypoint_figures,
    silhouette,
)
from datasets.evaluation.truth import TrueMeshes
from datasets.readers.posing import hand_params
from fitter import metrics
from fitter.errors import InputError
from fitter.hand_models import ManoOptions, load_hand_model
from fitter.records import HandParams
from tests.support import mano_files
from tests.support.annotated import InMemoryImages, K, annotated_hand, project
from tests.support.errors import raises
from tests.support.jointed_hands import jointed_hand
from tests.support.scored_stores import ok, posed_row, row_of, write_store

SIZE = (224, 224)


@pytest.fixture(scope="module")
def hands():
    """Rows, annotated keypoints and meshes of a right and a left hand."""
    return [posed_row(seed, side) for seed, side in enumerate(("right", "left"))]


@pytest.fixture(scope="module")
def posed(tmp_path_factory, hands):
    """A store of two images that has no vertices in it."""
    rows = {f"{i}.jpg": ok(row) for i, (row, _, _) in enumerate(hands)}
    return write_store(tmp_path_factory.mktemp("store") / "r.zarr", rows)


def images_of(hands, masks=None, **more):
    return InMemoryImages(
        [
            Annotation(f"{i}.jpg", K, (annotated_hand(points, row.side, vertices=mesh, **more),))
            for i, (row, points, mesh) in enumerate(hands)
        ],
        masks,
    )


def scored(store, images, **options):
    found = open_estimates(store, images, mano=options.get("mano"))
    return evaluate(found, images, EvaluationOptions(**options))


def test_meshes_are_posed_from_the_stored_parameters(posed, hands):
    images = images_of(hands)
    figures = scored(posed, images).whole.figures
    for measure in ("mpvpe_mm", "pa_mpvpe_mm", "reflected_pa_mpvpe_mm", "edge_mm", "normal"):
        assert figures[measure] == pytest.approx(0, abs=1e-3), measure
    for measure in ("f5", "f15", "camera_f5", "reflected_f15"):
        assert figures[measure] == 1
    assert "mask_iou" not in figures


def test_vertex_figures_are_the_metrics_of_the_meshes(posed, hands):
    rng = np.random.default_rng(0)
    noisy = [
        (row, points, mesh + rng.normal(0, 0.004, mesh.shape) + [0, 0, 0.01])
        for row, points, mesh in hands
    ]
    figures = scored(posed, images_of(noisy)).whole.figures
    estimate, truth = (np.array([mesh for _, _, mesh in of]) for of in (hands, noisy))
    aligned = metrics.procrustes_aligned(estimate, truth)
    errors = metrics.point_errors(aligned, truth)
    faces = load_hand_model().data.faces
    expected = {
        "mpvpe_mm": 1e3 * metrics.mpjpe(estimate, truth).mean(),
        "pa_mpvpe_mm": 1e3 * errors.mean(),
        "auc_v": metrics.auc(errors),
        "camera_auc_v": metrics.auc(metrics.point_errors(estimate, truth)),
        "f5": metrics.fscore(aligned, truth)[:, 0].mean(),
        "camera_f15": metrics.fscore(estimate, truth)[:, 1].mean(),
        "edge_mm": 1e3 * metrics.edge_error(estimate, truth, faces).mean(),
        "normal": metrics.normal_error(aligned, truth, faces).mean(),
    }
    for measure, value in expected.items():
        assert figures[measure] == pytest.approx(value, rel=1e-4), measure
        assert value > 0


def test_stored_vertices_are_taken_as_they_are(tmp_path, hands):
    _, points, mesh = hands[0]
    moved = row_of(points, vertices=mesh + 0.1)
    store = write_store(tmp_path / "r.zarr", {"0.jpg": ok(moved)}, vertices=len(mesh))
    figures = scored(store, images_of(hands[:1])).whole.figures
    assert figures["pa_mpvpe_mm"] == pytest.approx(0, abs=1e-3)
    assert figures["mpvpe_mm"] == pytest.approx(100 * 3**0.5, rel=1e-4)


def test_another_topology_has_no_vertex_errors(posed, hands):
    cut = [(row, points, mesh[:-1]) for row, points, mesh in hands]
    figures = scored(posed, images_of(cut), missing_as_mm=50).whole.figures
    assert not {"mpvpe_mm", "pa_mpvpe_mm", "f5", "edge_mm", "auc_v"} & set(figures)


def test_masks_are_compared_with_the_silhouette(posed, hands):
    faces = load_hand_model().data.faces
    seen = [silhouette(mesh, faces, K, SIZE) for _, _, mesh in hands]
    masks = {0: seen[0][None], 1: np.roll(seen[1], 6, axis=1)[None]}
    figures = scored(posed, images_of(hands, masks)).whole.figures
    pair = np.array(seen), np.array([masks[0][0], masks[1][0]])
    assert figures["mask_iou"] == pytest.approx(metrics.mask_iou(*pair).mean(), abs=2e-3)
    assert figures["mask_accuracy"] == pytest.approx(metrics.mask_accuracy(*pair).mean(), abs=1e-3)
    assert 0.5 < figures["mask_iou"] < 1


def test_a_silhouette_covers_the_pixels_whose_centres_lie_in_it():
    square = np.array([[0, 0, 1.0], [0.02, 0, 1], [0.02, 0.01, 1], [0, 0.01, 1]])
    seen = silhouette(square, np.array([[0, 1, 2], [0, 2, 3]]), K, (224, 250))
    expected = np.zeros((224, 250), bool)
    expected[112:117, 112:122] = True  # 500 px x 1 m: 10 by 5 pixels from the principal point
    np.testing.assert_array_equal(seen, expected)


def test_a_model_that_is_gone_costs_the_meshes_and_nothing_else(tmp_path, hands):
    rows = {f"{i}.jpg": ok(row) for i, (row, _, _) in enumerate(hands)}
    model = {"name": "open_hand", "sha256": "0" * 64}
    store = write_store(tmp_path / "r.zarr", rows, model=model)
    found = scored(store, images_of(hands))
    assert found.whole.found == 2 and "pa_mpvpe_mm" not in found.whole.figures
    (note,) = found.notes
    assert note.startswith("Meshes are not compared: ") and note in found.caption()


def test_own_parameters_are_posed(posed, hands):
    row, points, _ = hands[1]
    own = ModelParameters("open_hand", row.global_orient, row.hand_pose, row.betas, row.transl)
    images = images_of([(row, points, None)], parameters=own)
    images.names = ["1.jpg"]
    assert scored(posed, images).whole.figures["mpvpe_mm"] == pytest.approx(0, abs=1e-3)


def test_mano_parameters_are_posed_with_the_users_file(tmp_path):
    file = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", mano_files.fabricate())
    params = mano_files.random_params(1, 3)
    annotated = ManoAnnotation(
        params.global_orient[0].numpy(),
        params.hand_pose[0].reshape(45).numpy(),
        params.betas[0].numpy(),
        params.transl[0].numpy(),
        scale=1.25,
    )
    hand = annotated_hand(np.zeros((21, 3)) + [0, 0, 0.5], mano=annotated)
    model = load_hand_model(file, "right", torch.float64, ManoOptions())
    unmoved = HandParams(params.global_orient, params.hand_pose, params.betas, 0 * params.transl)
    expected = 1.25 * model(unmoved).vertices[0].numpy() + annotated.translation
    np.testing.assert_allclose(TrueMeshes(file).vertices(hand), expected, atol=1e-9)
    assert TrueMeshes().vertices(hand) is None and not TrueMeshes().are_known(hand)
    np.testing.assert_array_equal(TrueMeshes(file).faces()["right"], model.data.faces)


def test_what_mano_cannot_pose_is_not_posed_with_it(tmp_path):
    file = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", mano_files.fabricate())
    jointed = ModelParameters("nimble", np.zeros(3), np.zeros((19, 3)), np.zeros(20), np.zeros(3))
    hand = annotated_hand(np.zeros((21, 3)) + [0, 0, 0.5], parameters=jointed)
    assert TrueMeshes(file).vertices(hand) is None and not TrueMeshes(file).are_known(hand)


def test_annotations_of_mano_need_mano():
    flat = ManoAnnotation(np.zeros(3), np.zeros(45), np.zeros(10), np.zeros(3))
    hand = annotated_hand(np.zeros((21, 3)) + [0, 0, 0.5], mano=flat)
    with raises("model.not_mano", file="open_hand", found="open_hand"):
        TrueMeshes("open_hand").vertices(hand)
    with pytest.raises(ValueError, match="MANO's joints, found those of nimble"):
        hand_params(flat, jointed_hand())
    with pytest.raises(ValueError, match="pose"):
        jointed_hand().pose_from_full(torch.zeros(1, 45).double(), flat_hand_mean=True)


def test_predicted_meshes_have_the_faces_of_the_users_mano(tmp_path):
    file = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", mano_files.fabricate())
    faces = load_hand_model(file, "right", torch.float64, ManoOptions()).data.faces
    rng = np.random.default_rng(0)
    points, mesh = (rng.normal(0, 0.03, (n, 3)) + [0, 0, 0.6] for n in (21, 778))
    truth = mesh + rng.normal(0, 0.002, mesh.shape)
    images = InMemoryImages([Annotation("a.jpg", K, (annotated_hand(points, vertices=truth),))])
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps([[points.tolist()], [mesh.tolist()]]))
    assert "edge_mm" not in scored(pred, images).whole.figures
    figures = scored(pred, images, mano=file).whole.figures
    expected = 1e3 * metrics.edge_error(mesh[None], truth[None], faces)[0]
    assert figures["edge_mm"] == pytest.approx(expected)


def test_damaged_samples_are_named_and_the_others_scored(posed, hands):
    (right, left) = images_of(hands)._annotations
    broken = InputError("evaluation.same_name", file="list.json", name="x")
    images = InMemoryImages([right, broken, left])
    images.names = ["0.jpg", "broken.jpg", "1.jpg"]
    found = scored(posed, images, ranges=[range(1, 2)])
    assert found.whole.found == found.whole.images == 2 and found.parts[0].images == 0
    assert found.notes == (f"Left out, {broken}.",)


def test_keypoints_that_are_not_annotated_do_not_count(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.04, (21, 3)) + [0, 0, 0.6]
    found = (truth + rng.normal(0, 0.01, truth.shape)).astype(np.float32)
    part = truth.copy()
    part[[0, 4, 9]] = np.nan
    images = InMemoryImages([Annotation("a.jpg", K, (annotated_hand(part),))])
    store = write_store(tmp_path / "r.zarr", {"a.jpg": ok(row_of(found))})
    evaluation = scored(store, images)
    figures = evaluation.whole.figures
    known = np.isfinite(part).all(-1)
    expected = 1e3 * metrics.pa_mpjpe(found[None, known], truth[None, known])[0]
    assert figures["pa_mpjpe_mm"] == pytest.approx(expected)
    assert figures["mpjpe_mm"] == pytest.approx(
        1e3 * metrics.mpjpe(found[None, known], truth[None, known])[0]
    )
    # Neither the wrist nor the bone that these are aligned by is annotated.
    assert "root_aligned_mpjpe_mm" not in figures and "bone_aligned_mpjpe_mm" not in figures
    assert evaluation.to_json()["by_joint_mm"]["thumb_tip"] is None


def test_three_annotated_keypoints_are_too_few_to_align(tmp_path):
    truth = np.random.default_rng(0).normal(0, 0.04, (21, 3)) + [0, 0, 0.6]
    part = truth.copy()
    part[3:] = np.nan
    images = InMemoryImages([Annotation("a.jpg", K, (annotated_hand(part),))])
    store = write_store(tmp_path / "r.zarr", {"a.jpg": ok(row_of(truth))})
    figures = scored(store, images).whole.figures
    assert "pa_mpjpe_mm" not in figures and figures["mpjpe_mm"] == pytest.approx(0, abs=1e-3)


def test_hands_without_a_place_have_no_error_in_the_camera(tmp_path):
    points = np.random.default_rng(0).normal(0, 0.04, (21, 3)) + [0, 0, 0.6]
    hand = annotated_hand(points)
    relative = type(hand)("right", hand.keypoints_2d, points - points[0], is_root_relative=True)
    images = InMemoryImages([Annotation("a.jpg", K, (relative,))])
    store = write_store(tmp_path / "r.zarr", {"a.jpg": ok(row_of(points))})
    figures = scored(store, images).whole.figures
    assert not {"mpjpe_mm", "wrist_mm", "camera_auc_j"} & set(figures)
    assert figures["root_aligned_mpjpe_mm"] == pytest.approx(0, abs=1e-3)


def test_videos_have_an_acceleration_error(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.04, (21, 3)) + np.arange(6)[:, None, None] * [0.001, 0, 0] + [0, 0, 0.6]
    found = (truth + rng.normal(0, 0.003, truth.shape)).astype(np.float32)
    annotations = [
        Annotation(f"{i}.jpg", K, (annotated_hand(hand),), sequence="s", frame=10 * i)
        for i, hand in enumerate(truth)
    ]
    store = write_store(
        tmp_path / "r.zarr", {f"{i}.jpg": ok(row_of(hand)) for i, hand in enumerate(found)}
    )
    figures = scored(store, InMemoryImages(annotations)).whole.figures
    expected = 1e3 * metrics.acceleration_error(found, truth).mean()
    assert figures["acceleration_mm"] == pytest.approx(expected)
    alone = scored(store, InMemoryImages(annotations[:2])).whole.figures
    assert "acceleration_mm" not in alone


def test_acceleration_stops_at_gaps_hands_and_sequences():
    rng = np.random.default_rng(0)
    frames = [("a", 3, "left"), ("a", 1, "left"), ("a", 2, "left"), ("a", 2, "right")]
    frames += [("b", 1, "left"), ("b", 2, "left"), ("b", 4, "left"), ("b", 5, "left")]
    estimate, truth = rng.normal(0, 1, (2, 8, 21, 3))
    found = acceleration_figures(frames, estimate, truth)
    np.testing.assert_array_equal(np.isfinite(found), [0, 0, 1, 0, 0, 0, 0, 0])
    order = [1, 2, 0]
    expected = 1e3 * metrics.acceleration_error(estimate[order], truth[order])
    np.testing.assert_allclose(found[2], expected[0])


def test_hands_are_scored_alike_alone_and_together():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.04, (5, 21, 3)) + [0, 0, 0.6]
    found = truth + rng.normal(0, 0.01, truth.shape)
    truth[1, 7], truth[2, 3:] = np.nan, np.nan
    pairs = [
        Pair(i, 0, Annotation("a", K, ()), annotated_hand(t), EstimatedHand(f, project(f)))
        for i, (t, f) in enumerate(zip(truth, found, strict=True))
    ]
    together = keypoint_figures(keypoint_errors(pairs))
    alone = [keypoint_figures(keypoint_errors([pair])) for pair in pairs]
    for measure, values in together.items():
        np.testing.assert_allclose(values, [of[measure][0] for of in alone], rtol=1e-12)
