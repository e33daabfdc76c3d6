"""FreiHAND's evaluation: the rules of its public script, written down once more and followed."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes

from fitter.metrics import FreiHandScores, freihand_scores


def alignment(truth, estimate):
    """Rotation or reflection, agreement of the unit clouds, norms, means."""
    means = truth.mean(0), estimate.mean(0)
    norms = [np.linalg.norm(x - m) + 1e-8 for x, m in zip((truth, estimate), means, strict=True)]
    unit = [(x - m) / n for x, m, n in zip((truth, estimate), means, norms, strict=True)]
    return *orthogonal_procrustes(*unit), norms, means, unit[1]


def aligned(truth, estimate):
    turn, agreement, norms, means, unit = alignment(truth, estimate)
    return unit @ turn.T * agreement * norms[0] + means[0]


def moved(vertices, truth, estimate):
    """Vertices of another topology go with the joints."""
    turn, agreement, norms, means, _ = alignment(truth, estimate)
    centre = vertices.mean(0)
    turned = (vertices - centre) @ turn.T * agreement * norms[0]
    return turned + (means[0] - means[1]) + centre


def harmonic(truth, estimate, threshold):
    distances = np.linalg.norm(truth[:, None] - estimate[None], axis=-1)
    shares = [(distances.min(axis) < threshold).mean() for axis in (0, 1)]
    return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) > 0 else 0.0


def measures(truths, estimates):
    """Mean of the means per point, and mean of the areas of their curves."""
    errors = np.array(
        [np.sqrt(((t - e) ** 2).sum(-1)) for t, e in zip(truths, estimates, strict=True)]
    )
    thresholds = np.linspace(0.0, 0.05, 100)
    whole = trapezoid(np.ones_like(thresholds), thresholds)
    curves = [[(of <= t).mean() for t in thresholds] for of in errors.T]
    areas = [trapezoid(np.array(curve), thresholds) / whole for curve in curves]
    return 100 * np.mean([of.mean() for of in errors.T]), np.mean(areas)


def script(xyz, verts, xyz_found, verts_found) -> dict[str, float]:
    """What the script writes, under the names of its file of scores."""
    said = dict(zip(("xyz_mean3d", "xyz_auc3d"), measures(xyz, xyz_found), strict=True))
    turned = [aligned(*pair) for pair in zip(xyz, xyz_found, strict=True)]
    said |= zip(("xyz_al_mean3d", "xyz_al_auc3d"), measures(xyz, turned), strict=True)
    if len(verts[0]) == len(verts_found[0]):
        turned = [aligned(*pair) for pair in zip(verts, verts_found, strict=True)]
        said |= zip(("mesh_mean3d", "mesh_auc3d"), measures(verts, verts_found), strict=True)
        said |= zip(("mesh_al_mean3d", "mesh_al_auc3d"), measures(verts, turned), strict=True)
    else:
        turned = [moved(v, t, e) for v, t, e in zip(verts_found, xyz, xyz_found, strict=True)]
    for millimetres in (5, 15):
        for name, of in (("f_score", verts_found), ("f_al_score", turned)):
            scores = [harmonic(t, e, millimetres / 1e3) for t, e in zip(verts, of, strict=True)]
            said[f"{name}_{millimetres}"] = np.mean(scores)
    return said


def predictions(seed, vertices=120, found_vertices=120, noise=0.012, mirrored=0):
    rng = np.random.default_rng(seed)
    place = rng.normal(0, 0.05, (9, 1, 3)) + [0, 0, 0.7]
    xyz = rng.normal(0, 0.04, (9, 21, 3)) + place
    verts = rng.normal(0, 0.04, (9, vertices, 3)) + place
    shift = rng.normal(0, 0.01, (9, 1, 3))
    xyz_found = xyz + rng.normal(0, noise, xyz.shape) + shift
    of = np.resize(verts, (9, found_vertices, 3)) if found_vertices != vertices else verts
    verts_found = of + rng.normal(0, noise, of.shape) + shift
    xyz_found[:mirrored] *= [-1, 1, 1]
    verts_found[:mirrored] *= [-1, 1, 1]
    return xyz, verts, xyz_found, verts_found


@pytest.mark.parametrize(
    "given",
    [
        {"seed": 0},
        {"seed": 1, "noise": 0.002},
        {"seed": 2, "noise": 0.05},
        {"seed": 3, "mirrored": 4},
        {"seed": 4, "found_vertices": 90},
    ],
)
def test_every_printed_digit_is_the_scripts(given):
    xyz, verts, xyz_found, verts_found = predictions(**given)
    said = script(xyz, verts, xyz_found, verts_found)
    found = freihand_scores(xyz_found, xyz, verts_found, verts)
    for name, value in vars(found).items():
        assert (value is None) == (name not in said), name
        if value is not None:
            # Its 1e-8 in the norms is a part in ten millions.
            assert value == pytest.approx(said[name], abs=2e-6), name
    assert found.printed() == FreiHandScores(**said).printed()


def test_mirrored_predictions_lose_nothing():
    xyz, verts, _, _ = predictions(0)
    found = freihand_scores(xyz * [-1, 1, 1], xyz, verts * [-1, 1, 1], verts)
    assert found.xyz_al_mean3d == pytest.approx(0, abs=1e-9)
    assert found.mesh_al_mean3d == pytest.approx(0, abs=1e-9) and found.f_al_score_5 == 1


def test_thresholds_are_strict_for_scores_and_not_for_curves():
    truth = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]])
    exactly = truth.copy()
    exactly[0, :, 0] += 0.005
    score = freihand_scores(exactly, truth, exactly, truth).f_score_5
    assert score == 0 or exactly[0, 1, 0] - 1 < 0.005
    shifted = truth + [0, 0, 0.05]
    # At the last of the thresholds alone all are correct: half of the last of 99 intervals.
    assert freihand_scores(shifted[:, :1], truth[:, :1]).xyz_auc3d == pytest.approx(0.5 / 99)


def test_without_vertices_there_are_no_figures_of_them():
    xyz, _, xyz_found, _ = predictions(0)
    found = freihand_scores(xyz_found, xyz)
    assert found.mesh_mean3d is None and found.f_score_5 is None
    assert "MESH" not in found.printed() and "F-scores" not in found.printed()
