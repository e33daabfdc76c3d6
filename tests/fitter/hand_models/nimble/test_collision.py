"""Skin is moved out of muscles: constructed cases, the readable twin, gradients."""

import numpy as np
import pytest
import scipy.sparse
import torch
import trimesh

from fitter.hand_models.nimble import collision_reference as reference
from fitter.hand_models.nimble.collision import (
    CLEARANCE,
    OWN_SHARE,
    Columns,
    exit_depths,
    inside_meshes,
    separate,
)
from fitter.normals import vertex_normals
from tests.support.slopes import assert_slopes

BALL = trimesh.creation.icosphere(subdivisions=2, radius=0.01)
BOX = trimesh.creation.box((0.02, 0.02, 0.02))


def tensors(mesh, shift=(0.0, 0.0, 0.0)):
    vertices = torch.from_numpy(np.array(mesh.vertices + np.array(shift)))
    return vertices[None], torch.from_numpy(np.array(mesh.faces, np.int64))


def joined(*parts):
    vertices, faces, count = [], [], 0
    for part, shift in parts:
        v, f = tensors(part, shift)
        vertices.append(v[0])
        faces.append(f + count)
        count += len(v[0])
    return torch.cat(vertices)[None], torch.cat(faces)


class TestInside:
    def test_agrees_with_solid_angles_where_meshes_overlap(self):
        vertices, faces = joined((BALL, (0, 0, 0)), (BALL, (0.008, 0.002, 0)), (BOX, (-0.01, 0, 0)))
        rng = np.random.default_rng(0)
        points = rng.uniform(-0.025, 0.025, (2000, 3))
        wanted = reference.winding_numbers(points, vertices[0].numpy(), faces.numpy())
        assert set(np.round(wanted).astype(int)) == {0, 1, 2, 3}
        found = inside_meshes(torch.from_numpy(points)[None], vertices, faces)[0].numpy()
        np.testing.assert_array_equal(found, wanted > 0.5)

    def test_rays_through_edges_and_vertices(self):
        """Points straight below edges and corners of a box are in or out, not both."""
        vertices, faces = tensors(BOX)
        steps = torch.linspace(-0.02, 0.02, 41, dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).view(1, -1, 3)
        found = inside_meshes(grid, vertices, faces)
        largest = grid.abs().amax(-1)
        clear = (largest - 0.01).abs() > 1e-9
        assert torch.equal(found[clear], largest[clear] < 0.01)

    def test_each_hand_of_a_batch_has_its_own_mesh(self):
        here, faces = tensors(BALL)
        there, _ = tensors(BALL, (1.0, 0, 0))
        points = torch.zeros(2, 3, 3, dtype=torch.float64)
        points[:, 1, 0], points[:, 2, 0] = 1.0, 0.5
        found = inside_meshes(points, torch.cat([here, there]), faces)
        assert found.tolist() == [[True, False, False], [False, True, False]]

    def test_single_precision(self):
        vertices, faces = tensors(BALL)
        rng = np.random.default_rng(1)
        points = torch.from_numpy(rng.uniform(-0.012, 0.012, (1, 3000, 3)))
        clear = (points.norm(dim=-1) - 0.0095).abs() > 0.0006
        exact = inside_meshes(points, vertices, faces)
        single = inside_meshes(points.float(), vertices.float(), faces)
        assert torch.equal(exact[clear], single[clear])
        assert (exact == single).float().mean() > 0.999


class TestExit:
    def test_nearest_place_outside_all_meshes(self):
        """Two overlapping boxes and a third beyond a gap: the ray ends before the gap."""
        vertices, faces = joined((BOX, (0, 0, 0)), (BOX, (0.015, 0, 0)), (BOX, (0.05, 0, 0)))
        origin = torch.tensor([[0.001, 0.0013, 0.0021]], dtype=torch.float64)
        direction = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
        hand = torch.zeros(1, dtype=torch.long)
        depth, met = exit_depths(origin, direction, hand, vertices, faces)
        assert met.all()
        torch.testing.assert_close(depth, torch.tensor([0.024], dtype=torch.float64))

    def test_agrees_with_every_crossing_tried(self):
        vertices, faces = joined((BALL, (0, 0, 0)), (BALL, (0.008, 0.002, 0)))
        rng = np.random.default_rng(2)
        points = rng.uniform(-0.009, 0.009, (200, 3))
        points = points[reference.winding_numbers(points, vertices[0].numpy(), faces.numpy()) > 0.5]
        directions = rng.normal(size=points.shape)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        hand = torch.zeros(len(points), dtype=torch.long)
        depth, met = exit_depths(
            torch.from_numpy(points), torch.from_numpy(directions), hand, vertices, faces
        )
        wanted = [
            reference.exit_depth(p, d, vertices[0].numpy(), faces.numpy())
            for p, d in zip(points, directions, strict=True)
        ]
        assert met.all() and len(points) > 50
        np.testing.assert_allclose(depth.numpy(), np.array(wanted), atol=1e-12)

    def test_ray_that_never_leaves(self):
        """An open mesh has no outside; nothing is moved, and nothing is infinite."""
        vertices, faces = tensors(BOX)
        open_box = faces[(vertices[0][faces][..., 0] < 0.0).any(1)]
        origin = torch.zeros(1, 3, dtype=torch.float64)
        direction = torch.tensor([[1.0, 0.1, 0.05]], dtype=torch.float64)
        direction = direction / direction.norm()
        depth, met = exit_depths(origin, direction, torch.zeros(1, dtype=torch.long), vertices,
                                 open_box[:2])  # fmt: skip
        assert not met.any() and depth.tolist() == [0.0]


def dented():
    """A plate of skin over a ball of muscle that stands out of it, as a skin's closed mesh."""
    skin = trimesh.creation.box((0.06, 0.06, 0.03))
    skin = skin.subdivide_to_size(0.006)
    vertices = torch.from_numpy(np.array(skin.vertices))[None]
    faces = torch.from_numpy(np.array(skin.faces, np.int64))
    muscle, muscle_faces = tensors(BALL, (0.0005, 0.0002, 0.009))
    return vertices, faces, muscle, muscle_faces


def identity(count):
    return Columns.of(scipy.sparse.identity(count, format="csr"), torch.float64)


class TestSeparate:
    def test_vertices_end_two_millimetres_outside(self):
        skin, faces, muscle, muscle_faces = dented()
        surface = torch.ones(skin.shape[1], dtype=torch.bool)
        inside = inside_meshes(skin, muscle, muscle_faces)
        assert 4 < inside.sum() < 40
        apart = separate(skin, faces, muscle, muscle_faces, identity(skin.shape[1]), surface)
        assert not inside_meshes(apart.skin, muscle, muscle_faces).any()
        assert torch.equal(apart.depth > 0, inside)
        torch.testing.assert_close(apart.skin[~inside], skin[~inside], rtol=0, atol=0)
        moved = (apart.skin - skin)[inside].norm(dim=-1)
        torch.testing.assert_close(moved, apart.depth[inside] + CLEARANCE)

    def test_inner_vertices_stay(self):
        skin, faces, muscle, muscle_faces = dented()
        inside = inside_meshes(skin, muscle, muscle_faces)[0]
        surface = torch.ones(skin.shape[1], dtype=torch.bool)
        surface[inside] = False
        apart = separate(skin, faces, muscle, muscle_faces, identity(skin.shape[1]), surface)
        assert torch.equal(apart.skin, skin) and not apart.depth.any()

    def test_agrees_with_the_twin_under_a_mean(self):
        skin, faces, muscle, muscle_faces = dented()
        count = skin.shape[1]
        near = torch.cdist(skin[0], skin[0]) < 0.01
        smoothing = near.double() / near.sum(1, keepdim=True)
        surface = torch.ones(count, dtype=torch.bool)
        both = torch.cat([skin, skin + 0.1]), torch.cat([muscle, muscle + 0.1])
        apart = separate(
            both[0],
            faces,
            both[1],
            muscle_faces,
            Columns.of(scipy.sparse.csr_matrix(smoothing.numpy()), torch.float64),
            surface,
        )
        normals = vertex_normals(skin, faces)[0].numpy()
        wanted = reference.separated(
            skin[0].numpy(), normals, muscle[0].numpy(), muscle_faces.numpy(),
            smoothing.numpy(), surface.numpy(),
        )  # fmt: skip
        np.testing.assert_allclose(apart.skin[0].numpy(), wanted, atol=1e-12)
        np.testing.assert_allclose(apart.skin[1].numpy() - 0.1, wanted, atol=1e-12)
        assert np.abs(wanted - skin[0].numpy()).max() > OWN_SHARE * CLEARANCE

    def test_gradients(self):
        skin, faces, muscle, muscle_faces = dented()
        surface = torch.ones(skin.shape[1], dtype=torch.bool)
        smoothing = identity(skin.shape[1])
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(skin.shape, generator=generator, dtype=torch.float64)

        def loss(moved_skin, moved_muscle):
            apart = separate(moved_skin, faces, moved_muscle, muscle_faces, smoothing, surface)
            return (apart.skin * weights).sum() + apart.depth.sum()

        leaves = [skin.clone().requires_grad_(), muscle.clone().requires_grad_()]
        gradients = assert_slopes(loss, leaves, generator, step=1e-8, atol=1e-6)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)

    def test_a_hand_that_is_not_finite_stays_alone(self):
        skin, faces, muscle, muscle_faces = dented()
        parts = (identity(skin.shape[1]), torch.ones(skin.shape[1], dtype=torch.bool))
        wanted = separate(skin, faces, muscle, muscle_faces, *parts)
        skins, muscles = skin.repeat(3, 1, 1), muscle.repeat(3, 1, 1)
        skins[0, 5, 1], muscles[2, 0, 0] = torch.nan, torch.inf
        leaf = skins.clone().requires_grad_()
        found = separate(leaf, faces, muscles, muscle_faces, *parts)
        torch.testing.assert_close(found.skin[1], wanted.skin[0], rtol=0, atol=0)
        assert torch.equal(found.depth[1], wanted.depth[0])
        assert found.depth[[0, 2]].isnan().all() and torch.equal(found.skin[2], skin[0])
        found.skin[1].sum().backward()
        assert leaf.grad.isfinite().all() and leaf.grad[1].abs().max() > 0

    def test_shapes_are_checked(self):
        skin, faces, muscle, muscle_faces = dented()
        surface = torch.ones(skin.shape[1] - 1, dtype=torch.bool)
        with pytest.raises(ValueError, match="surface"):
            separate(skin, faces, muscle, muscle_faces, identity(skin.shape[1]), surface)
