"""Yu et al. 3.4: the two hands of a picture, placed beside each other, and how deep they are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fitter.contact import Surface, closed, penetration
from fitter.hand_models import load_hand_model
from fitter.metrics.penetration import penetration_depth
from fitter.records import HandParams
from init_net.networks.config import MeshNetConfig
from init_net.samples.config import DatasetConfig
from init_net.samples.crop_samples import CropViews
from init_net.samples.hand_pairs import beside_each_other
from init_net.training import pair_evaluation, touching_hands
from init_net.training.mesh_terms import LENGTH_UNIT
from init_net.training.mesh_truth import MeshTruth
from init_net.training.pair_evaluation import PairErrors
from init_net.training.touching_hands import HandPairs, PairSurfaces
from tests.support.autoencoder_crops import random_crops
from tests.support.errors import raises
from tests.support.loss_cases import turns

MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
MODEL = load_hand_model(dtype=torch.float64)
APART = (0.015, 0.4, 0.02)
"""Metres along x between the wrists of three pairs: the second do not touch."""


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Right and left hands of three pairs, (3, V, 3) each, metres, camera frame."""
    random = torch.Generator().manual_seed(4)
    pose = 0.2 * torch.randn(6, 15, 3, generator=random, dtype=torch.float64)
    params = HandParams(torch.zeros(6, 3).double(), pose, torch.zeros(6, 10).double(),
                        torch.zeros(6, 3).double())  # fmt: skip
    meshes = MODEL(params).vertices
    place = torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64)
    shift = torch.zeros(3, 1, 3, dtype=torch.float64)
    shift[:, 0, 0] = torch.tensor(APART, dtype=torch.float64)
    return meshes[:3] + place, meshes[3:] * MIRROR + place + shift


@pytest.fixture(scope="module")
def seen(scene) -> tuple[torch.Tensor, CropViews]:
    """The same as crops have them: view frames, left hands mirrored, relative to some wrist."""
    right, left = scene
    hands = torch.stack([right, left * MIRROR], 1).flatten(0, 1)
    rotation = turns(9, 1.0)[1].flatten(0, 1)[:6]
    wrist = (hands[:, :1] @ rotation.mT)[:, 0]
    points = hands @ rotation.mT - wrist[:, None]
    return points, CropViews(rotation, torch.ones(6).double(), wrist)


def test_hands_stand_where_they_are(scene, seen):
    found = beside_each_other(*seen)
    for one, other in zip(found, scene, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_penetration_is_that_of_the_placed_meshes(scene, seen):
    """Eq. 6 in the unit of lengths, for both hands of a pair."""
    value = PairSurfaces(MODEL.faces, len(MODEL.v_template)).penetration(*seen)
    faces = closed(MODEL.faces, len(MODEL.v_template))
    right, left = scene
    expected = penetration(Surface(right, faces), Surface(left, faces[:, [2, 1, 0]]))
    torch.testing.assert_close(value[::2], expected / LENGTH_UNIT)
    assert torch.equal(value[::2], value[1::2])
    assert value[2] == value[3] == 0 and value[0] > 0.005  # half a millimetre


def test_it_pushes_hands_apart(seen):
    points, views = seen
    points = points.clone().requires_grad_()
    surfaces = PairSurfaces(MODEL.faces, len(MODEL.v_template))
    before = surfaces.penetration(points, views)
    (gradient,) = torch.autograd.grad(before.sum(), points)
    assert bool((gradient[2:4] == 0).all()) and bool((gradient[:2] != 0).any())
    # A whole hand, moved against its mean gradient, goes out of the other.
    step = gradient[:1].sum(1, keepdim=True)
    moved = points.detach().clone()
    moved[:1] -= 1e-3 * step / step.norm()
    assert surfaces.penetration(moved, views)[0] < before[0]


def test_each_pair_alone_and_one_that_is_not_finite(seen):
    points, views = seen
    surfaces = PairSurfaces(MODEL.faces, len(MODEL.v_template))
    together = surfaces.penetration(points, views)
    for k in range(3):
        rows = slice(2 * k, 2 * k + 2)
        alone = surfaces.penetration(points[rows], views[rows])
        torch.testing.assert_close(alone, together[rows], atol=1e-9, rtol=0)
    broken = points.clone()
    broken[1, 5] = torch.nan
    value = surfaces.penetration(broken, views)
    assert bool(value[:2].isnan().all())
    torch.testing.assert_close(value[2:], together[2:])


def test_figures_of_pairs_are_those_of_the_placed_meshes(scene, seen, monkeypatch):
    """Table 2: the network's hands beside the true ones, here the same and moved ones."""
    points, views = seen
    crops = random_crops(4)[torch.tensor([0, 1, 2, 3, 0, 1])]
    network = SimpleNamespace(config=MeshNetConfig(), faces=MODEL.faces)
    true = MeshTruth(points[:, :21], torch.ones(6, 21), points, points[:, 0], points[:, 0])
    said = SimpleNamespace(parametric_joints=points[:, :21], parametric_vertices=points)

    class Crops:
        def __init__(self, *given, marks):
            assert not marks

        def crop_with_views(self, rows, seed):
            assert list(rows) == list(range(6))
            return crops, views

    monkeypatch.setattr(pair_evaluation, "Cropper", Crops)
    monkeypatch.setattr(pair_evaluation, "TrueMeshes", lambda *given: lambda crops: true)
    network = Network(network, said)
    pairs = HandPairs(None, np.arange(6).reshape(3, 2), np.zeros(3, np.int64))
    errors = PairErrors.of(network, pairs)
    faces = closed(MODEL.faces, len(MODEL.v_template))
    right, left = scene
    expected = penetration_depth(Surface(right, faces), Surface(left, faces.flip(1)))
    np.testing.assert_allclose(errors.m_pd, 1000 * expected.maximum, rtol=1e-6)
    np.testing.assert_allclose(errors.a_pd, 1000 * expected.average, rtol=1e-6)
    np.testing.assert_array_equal(errors.m_pd, errors.true_m_pd)
    assert errors.mpvpe.max() < 1e-6 and errors.m_pd[1] == 0 and errors.m_pd[0] > 1
    figures = errors.figures()
    assert figures["pairs"] == 3 and figures["m_pd_mm"] == pytest.approx(errors.m_pd.mean())


class Network:
    """Says the same hands whatever it sees."""

    def __init__(self, like, said):
        self.config, self.faces, self._said = like.config, like.faces, said

    def __call__(self, inputs, absent, draws):
        return self._said


SIDES = (("right", "left"), ("left",), ("left", "left", "right"), ("right", "right"), ())
"""Of the hands of five pictures."""


def pictures(monkeypatch: pytest.MonkeyPatch, lost: tuple[int, ...] = ()) -> None:
    """Stand-ins for converted pictures; hands `lost` have no place."""
    starts = np.cumsum([0, *map(len, SIDES)])

    def annotation(place: int) -> SimpleNamespace:
        return SimpleNamespace(hands=tuple(SimpleNamespace(side=side) for side in SIDES[place]))

    class Samples:
        def __init__(self, folder, count):
            self.count = count

        def __len__(self):
            return self.count

        def column(self, name):
            found = np.ones((self.count, 3)) if name == "transl" else np.ones(self.count, bool)
            if name == "transl":
                found[list(lost)] = np.nan
            return found

    source = SimpleNamespace(
        starts=starts, count=int(starts[-1]), images=SimpleNamespace(annotation=annotation)
    )
    monkeypatch.setattr(touching_hands, "annotated_source", lambda config: source)
    monkeypatch.setattr(touching_hands, "ShardedSamples", Samples)


GIVEN = {"touching": DatasetConfig(dataset="interhand", folder="InterHand")}


def test_pairs_are_a_right_and_a_left_hand_of_one_picture(monkeypatch):
    pictures(monkeypatch)
    pairs = HandPairs.of(GIVEN)
    assert pairs.pairs.tolist() == [[0, 1], [5, 3]]
    assert pairs.rows(np.array([1, 0])).tolist() == [5, 3, 0, 1]
    monkeypatch.setattr(touching_hands, "JoinedSamples", list)
    both = HandPairs.of({"one": GIVEN["touching"], "two": GIVEN["touching"]})
    assert both.owner.tolist() == [0, 0, 1, 1] and len(both.pairs) == 4


def test_a_hand_without_a_place_is_passed_over(monkeypatch):
    pictures(monkeypatch, lost=(0, 3))
    assert HandPairs.of(GIVEN).pairs.tolist() == [[5, 4]]


def test_pictures_of_no_pair(monkeypatch):
    pictures(monkeypatch, lost=(0, 5))
    with raises("training.no_hand_pairs", file="touching (InterHand)"):
        HandPairs.of(GIVEN)


def test_sets_without_pairs_are_passed_over_beside_others(monkeypatch):
    pictures(monkeypatch)
    real = touching_hands._pairs
    none = np.zeros((0, 2), np.int64)
    monkeypatch.setattr(
        touching_hands,
        "_pairs",
        lambda source, whole: none if source.folder == "single" else real(source, whole),
    )
    single = DatasetConfig(dataset="interhand", folder="single")
    found = HandPairs.of_each({"single": single, **GIVEN})
    assert list(found) == ["touching"] and len(found["touching"].pairs) == 2
    assert HandPairs.of_each({}) == {}
    with raises("training.no_hand_pairs", file="single (single)"):
        HandPairs.of_each({"single": single})
