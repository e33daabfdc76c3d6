"""Open meshes closed, and what cannot be."""

from __future__ import annotations

import pytest
import torch
import trimesh
from torch import Tensor

from fitter.contact import closed
from fitter.contact.topology import check_closed
from tests.support.contact_meshes import ball, hand, opened
from tests.support.errors import raises


def solid(vertices: Tensor, faces: Tensor) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)


def test_a_closed_mesh_stays_as_it_is() -> None:
    for name in ("open_hand", "mano"):
        model = hand(name)
        assert torch.equal(closed(model.faces, len(model.v_template)), model.faces)


@pytest.mark.parametrize("kind", ["uint32", "int32"])
def test_triangles_in_an_array_are_as_good(kind: str) -> None:
    surface = ball([[0.0, 0, 0]], fineness=2)
    count = surface.vertices.shape[1]
    faces = opened(surface.faces, [0])
    expected = closed(faces, count)
    assert len(expected) > len(faces)
    assert torch.equal(closed(faces.numpy().astype(kind), count), expected)


def test_a_cut_wrist_is_closed_without_a_vertex_more() -> None:
    model = hand("open_hand")
    wrist = model.v_template[:, 0]
    ends = [wrist.argmin(), wrist.argmax()]
    # The end away from the fingertips.
    end = next(int(e) for e in ends if int(model.skin_weights[e].argmax()) == 0)
    cut = (wrist - wrist[end]).abs() < 0.01
    faces = opened(model.faces, cut.nonzero()[:, 0].tolist())
    whole = solid(model.v_template, model.faces)
    assert not solid(model.v_template, faces).is_watertight
    lidded = closed(faces, len(model.v_template))
    assert torch.equal(lidded[: len(faces)], faces)
    mesh = solid(model.v_template, lidded)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert 0.9 * whole.volume < mesh.volume < whole.volume


def test_every_one_of_several_openings_is_closed() -> None:
    surface = ball([[0.0, 0, 0]], fineness=2)
    far = int((surface.vertices[0] - surface.vertices[0, 0]).norm(dim=-1).argmax())
    faces = opened(surface.faces, [0, far])
    mesh = solid(surface.vertices[0], closed(faces, surface.vertices.shape[1]))
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    with raises("contact.open", edges=len(surface.faces) - len(faces)):
        check_closed(faces)
    check_closed(closed(faces, surface.vertices.shape[1]))


def test_a_fan_spares_edges_that_are_there() -> None:
    """From the lowest vertex of a loop of four a diagonal would double an edge."""
    faces = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 5], [3, 0, 5], [0, 4, 2], [0, 2, 5]])
    lidded = closed(faces, 6)
    assert sorted(map(sorted, lidded[len(faces) :].tolist())) == [[0, 1, 3], [1, 2, 3]]
    check_closed(lidded)


@pytest.mark.parametrize(
    "faces",
    [
        pytest.param([[0, 1, 2], [1, 2, 3]], id="wound against each other"),
        pytest.param([[0, 1, 2], [1, 0, 3], [0, 1, 4]], id="an edge of three faces"),
        pytest.param([[0, 1, 2], [0, 3, 4]], id="openings that meet"),
    ],
)
def test_what_is_no_manifold_is_refused(faces: list[list[int]]) -> None:
    with raises("contact.not_manifold"):
        closed(torch.tensor(faces), 5)


def test_an_index_that_no_vertex_has_is_refused() -> None:
    for index in (3, -1):
        with raises("contact.faces", vertices=3):
            closed(torch.tensor([[0, 1, index]]), 3)
    with pytest.raises(ValueError, match="faces: expected shape"):
        closed(torch.zeros(2, 4, dtype=torch.int64), 3)
