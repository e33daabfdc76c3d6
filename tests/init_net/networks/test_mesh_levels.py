"""A mesh's levels: coarser surfaces, up-sampling between them, and spirals."""

from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest

from fitter.hand_models import load_hand_model
from init_net.networks.mesh_collapse import collapsed
from init_net.networks.mesh_levels import FACTOR, MeshLevels
from init_net.networks.mesh_spirals import ordered_neighbours, spirals
from tests.support.errors import raises
from tests.support.mano_files import fabricate
from tests.support.mesh_nets import MODELS, model_source

COUNT, LENGTH = 3, 9
PINNED = "34d02ed25dcb19ae"
"""Of the faces and spirals of the open hand's three levels."""

UP_ERROR = {"open_hand": (1.2e-3, 6e-3), "mano": (2.5e-3, 10e-3), "nimble": (3e-3, 14e-3)}
"""Metres by which a hand at rest that went through its next coarser level, and through the
coarsest, is off in the mean, and at most: of 1,670, 778 and 599 vertices."""


def levels_of(data, count=COUNT):
    root = data.rest_joints.template[0]
    return MeshLevels.of(data.v_template, data.faces, count, LENGTH, root)


@pytest.fixture(scope="module", params=MODELS)
def hand(request):
    data = load_hand_model(model_source(request.param)).data
    return request.param, data, levels_of(data)


def edges_of(faces):
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)


def grid(side):
    """A flat square of side x side vertices, each of its cells two faces."""
    y, x = np.divmod(np.arange(side * side), side)
    vertices = np.stack([x, y, 0 * x], 1) / side
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + side], 1)
    upper = np.stack([corner + 1, corner + side + 1, corner + side], 1)
    return vertices, np.concatenate([lower, upper])


class TestLevels:
    def test_sizes(self, hand):
        _, data, levels = hand
        assert len(levels.meshes) == COUNT and len(levels.ups) == COUNT - 1
        assert levels.meshes[-1].vertices.shape == data.v_template.shape
        for coarse, fine in pairwise(levels.meshes):
            assert len(coarse.vertices) == -(-len(fine.vertices) // FACTOR)

    def test_they_are_surfaces_of_the_same_kind(self, hand):
        """Every edge has as many faces, one or two, and the Euler number of what is in faces is
        that of the mesh itself."""
        _, _, levels = hand
        numbers = set()
        for mesh in levels.meshes:
            edges, counts = edges_of(mesh.faces)
            assert counts.max() <= 2
            numbers.add(len(np.unique(mesh.faces)) - len(edges) + len(mesh.faces))
            assert len(np.unique(np.sort(mesh.faces, 1), axis=0)) == len(mesh.faces)
        assert len(numbers) == 1

    def test_vertices_are_those_of_the_mesh(self, hand):
        _, data, levels = hand
        for mesh, kept in zip(levels.meshes, levels.kept, strict=True):
            np.testing.assert_array_equal(mesh.vertices, data.v_template[kept])

    def test_the_same_mesh_gives_the_same_levels(self, hand):
        _, data, levels = hand
        again = levels_of(data)
        for one, other in zip(levels.meshes, again.meshes, strict=True):
            np.testing.assert_array_equal(one.faces, other.faces)
            np.testing.assert_array_equal(one.spirals, other.spirals)
        for one, other in zip(levels.ups, again.ups, strict=True):
            np.testing.assert_array_equal(one.weights, other.weights)

    def test_rounding_changes_no_level(self):
        data = load_hand_model().data
        plain, moved = levels_of(data), levels_of(data)
        noise = np.random.default_rng(0).normal(size=data.v_template.shape)
        shaken = data.v_template * (1 + 1e-15 * noise)
        root = data.rest_joints.template[0]
        moved = MeshLevels.of(shaken, data.faces, COUNT, LENGTH, root)
        for one, other in zip(plain.meshes, moved.meshes, strict=True):
            np.testing.assert_array_equal(one.faces, other.faces)
            np.testing.assert_array_equal(one.spirals, other.spirals)

    def test_they_are_those_that_weights_have_learned_on(self):
        """Whoever changes how levels are made changes what stored weights mean: that they are
        refused, or read as before, is then to be cared for."""
        digest = sha256()
        for mesh in levels_of(load_hand_model().data).meshes:
            digest.update(mesh.faces.astype("<i8").tobytes())
            digest.update(mesh.spirals.astype("<i8").tobytes())
        assert digest.hexdigest()[:16] == PINNED

    def test_faces_of_no_surface_are_refused(self):
        arrays = fabricate()
        count = -(-778 // FACTOR)
        with raises("network.mesh_levels", expected=count, vertices=778):
            MeshLevels.of(arrays["v_template"], arrays["f"], 2, LENGTH, np.zeros(3))

    def test_more_levels_than_a_mesh_has_are_refused(self):
        """A closed pyramid becomes a tetrahedron, and that is no less."""
        vertices, faces = grid(2)
        points = np.concatenate([vertices, [[0.25, 0.25, 1]]])
        sides = [[0, 1, 4], [1, 3, 4], [3, 2, 4], [2, 0, 4]]
        closed = np.concatenate([faces[:, ::-1], sides])
        with raises("network.mesh_levels", expected=2, found=4, vertices=5):
            MeshLevels.of(points, closed, 2, LENGTH, np.zeros(3))


class TestCollapse:
    def test_a_plane_keeps_its_border(self):
        """A square on 4 of its 49 vertices: its corners."""
        vertices, faces = grid(7)
        kept, coarse = collapsed(vertices, faces, 4)
        assert kept.tolist() == [0, 6, 42, 48] and len(coarse) == 2

    def test_the_cheapest_edge_goes_first(self):
        """Of a flat square with one vertex out of its plane, that vertex stays."""
        vertices, faces = grid(5)
        vertices = vertices.copy()
        vertices[12, 2] = 0.1
        kept, _ = collapsed(vertices, faces, 9)
        assert 12 in kept


class TestUpSampling:
    def test_the_hand_at_rest_comes_back(self, hand):
        name, data, levels = hand
        mean, most = UP_ERROR[name]
        up = levels.meshes[0].vertices
        for step in levels.ups:
            up = step @ up
        error = np.linalg.norm(up - data.v_template, axis=1)
        assert error.mean() < mean and error.max() < most
        # What a coarse vertex stands for stays where it is.
        last = levels.ups[-1] @ levels.meshes[-2].vertices
        np.testing.assert_allclose(last[levels.kept[-2]], levels.meshes[-2].vertices, atol=1e-12)

    def test_constants_come_back(self, hand):
        _, _, levels = hand
        for up, mesh in zip(levels.ups, levels.meshes, strict=False):
            found = up @ np.full((len(mesh.vertices), 2), 3.7)
            np.testing.assert_allclose(found, 3.7, rtol=1e-15)
            assert up.weights.min() >= 0 and up.weights.max() <= 1 + 1e-15

    def test_dense_is_the_same_matrix(self, hand):
        _, _, levels = hand
        coarse = levels.meshes[0].vertices
        found = levels.ups[0].dense(len(coarse)) @ coarse
        np.testing.assert_allclose(found, levels.ups[0] @ coarse, atol=1e-15)

    def test_the_nearest_face_is_the_nearest_of_all(self, hand):
        """Against points strewn over every face, none of which may be nearer."""
        _, _, levels = hand
        coarse, fine = levels.meshes[0], levels.meshes[1]
        away = np.linalg.norm(levels.ups[0] @ coarse.vertices - fine.vertices, axis=1)
        shares = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
        strewn = np.einsum("sk,fkc->fsc", shares, coarse.vertices[coarse.faces]).reshape(-1, 3)
        least = np.linalg.norm(fine.vertices[:, None] - strewn, axis=-1).min(1)
        assert (away <= least + 1e-12).all()


class TestSpirals:
    def test_they_cover_the_neighbours(self, hand):
        """A vertex, then all its neighbours where there is room, each once; then theirs."""
        _, _, levels = hand
        for mesh in levels.meshes:
            edges, _ = edges_of(mesh.faces)
            near = [set() for _ in mesh.vertices]
            for a, b in edges.tolist():
                near[a].add(b)
                near[b].add(a)
            for vertex, path in enumerate(mesh.spirals.tolist()):
                assert path[0] == vertex
                ring = path[1 : 1 + len(near[vertex])]
                if len(near[vertex]) < LENGTH:
                    assert set(ring) == near[vertex]
                if near[vertex]:
                    assert len(set(path)) == LENGTH
                following = set(path[1 + len(ring) :]) - {vertex}
                assert following <= set().union(*(near[v] for v in ring)) - near[vertex]

    def test_neighbours_turn_counter_clockwise(self):
        vertices, faces = grid(3)
        assert (np.cross(*np.diff(vertices[faces[0]], axis=0)) @ [0, 0, 1]) > 0
        around = ordered_neighbours(faces, 9)
        directions = vertices[around[4]] - vertices[4]
        angles = np.unwrap(np.arctan2(directions[:, 1], directions[:, 0]))
        assert (np.diff(angles) > 0).all() and len(around[4]) == 6
        assert around[0] == [1, 3]  # of a border: from one end to the other

    def test_they_begin_toward_the_origin(self):
        vertices, faces = grid(7)
        found = spirals(vertices, faces, LENGTH, np.array([0.0, 3 / 7, 0]))
        assert found[24, 1] == 23  # the middle looks to the left

    def test_a_short_piece_repeats_its_vertex(self):
        vertices, faces = grid(2)
        found = spirals(vertices, faces, LENGTH, np.zeros(3))
        assert (found[:, 4:] == np.arange(4)[:, None]).all()
        assert all(set(path[:4]) == {0, 1, 2, 3} for path in found.tolist())
