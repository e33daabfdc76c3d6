"""Rerun's recordings, read back by Rerun's own reader."""

import importlib.util
import io

import numpy as np
import pytest
import torch
from PIL import Image

from fitter.export import ExportRequest, export_results
from fitter.formats.skin import encoded
from fitter.inputs.frame_names import frame_name
from fitter.results import open_results
from fitter.store.schema import ImageRow
from tests.support.errors import raises
from tests.support.exported_hands import open_hand
from tests.support.fitted_stores import image_row, posed_hand, write_images, write_store

pytest.importorskip("rerun", reason="needs the package rerun-sdk")

TIMES = [0.0, 0.03, 0.08]
NAMES = ["a.jpg", *(frame_name("clip.mp4", k) for k in range(3))]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A photograph of two hands, and three frames of which the second shows none."""
    path = tmp_path_factory.mktemp("recorded") / "r.zarr"
    frames = [image_row(posed_hand(3)), image_row(), image_row(posed_hand(4, "left"))]
    timed = [ImageRow(**(vars(row) | {"time": t})) for row, t in zip(frames, TIMES, strict=True)]
    rows = [image_row(posed_hand(1), posed_hand(2, "left")), *timed]
    write_store(path, dict(zip(NAMES, rows, strict=True)))
    write_images(path.parent / "in", ["a.jpg"])
    return path


@pytest.fixture(scope="module")
def recording(store):
    out = store.with_name("r.rrd")
    request = ExportRequest(store, out, "rrd", images=store.with_name("in"), quiet=True)
    summary = export_results(request)
    assert (summary.hands, summary.images, summary.files, summary.unseen) == (4, 3, 1, 3)
    return Recording(out)


class Recording:
    """The rows of a file: entity -> [(index of each timeline, values by column)]."""

    def __init__(self, path) -> None:
        import rerun as rr

        self.rows: dict[str, list] = {}
        self.fixed: dict[str, dict] = {}
        for chunk in rr.chunk.RrdReader(path).stream():
            timelines = set(chunk.timeline_names)
            for row in chunk.to_record_batch().to_pylist():
                values = {k: v for k, v in row.items() if v is not None}
                times = {k: v for k, v in values.items() if k in timelines}
                said = {k: v for k, v in values.items() if k not in timelines}
                said.pop("rerun.controls.RowId")
                if chunk.is_static:
                    self.fixed.setdefault(chunk.entity_path, {}).update(said)
                else:
                    self.rows.setdefault(chunk.entity_path, []).append((times, said))
        for rows in self.rows.values():
            rows.sort(key=lambda row: row[0]["image"])

    def at(self, entity: str, image: int) -> dict:
        """What is seen of an entity at an image: the last that was said of each, until a clear."""
        found: dict = {}
        for times, said in self.rows.get(entity, []):
            if times["image"] <= image:
                if "Clear:is_recursive" in said:
                    found = {}
                found |= said
        return {k: v for k, v in found.items() if not k.startswith("Clear")}


def mesh_of(recording, name, image):
    said = recording.at(f"/world/hands/{name}/mesh", image)
    fixed = recording.fixed[f"/world/hands/{name}/mesh"]
    return np.array(said["Mesh3D:vertex_positions"]), np.array(fixed["Mesh3D:triangle_indices"])


@pytest.mark.parametrize(
    ("image", "name", "slot"),
    [(0, "hand_0_right", 0), (0, "hand_1_left", 1), (1, "hand_0_right", 0), (3, "hand_0_left", 0)],
)
def test_meshes_and_keypoints_are_those_that_were_fitted(recording, store, image, name, slot):
    hand = open_results(store)[NAMES[image]][slot]
    vertices, faces = mesh_of(recording, name, image)
    # Vertices are split at seams of the texture, and triangles are the same.
    assert np.abs(vertices[faces] - hand.vertices[hand.faces]).max() < 1e-6
    said = recording.at(f"/world/hands/{name}/keypoints", image)
    assert np.allclose(said["Points3D:positions"], hand.keypoints_3d)
    flat = recording.at(f"/world/camera/picture/{name}", image)
    assert np.allclose(flat["Points2D:positions"], hand.keypoints_2d)
    facts = recording.at(f"/world/hands/{name}/facts", image)
    assert facts["side"] == [hand.side] and facts["score"] == pytest.approx([float(hand.score)])


def test_skin_is_that_of_the_hand(recording, store):
    said = recording.at("/world/hands/hand_0_right/mesh", 0)
    (texels,) = said["Mesh3D:albedo_texture_buffer"]
    (kind,) = said["Mesh3D:albedo_texture_format"]
    appearance = open_hand().appearance
    skin = appearance.maps(torch.zeros(1, appearance.count)).diffuse[0].numpy()
    assert (kind["height"], kind["width"]) == skin.shape[:2]
    assert np.array_equal(np.array(texels, np.uint8).reshape(skin.shape), encoded(skin))
    fixed = recording.fixed["/world/hands/hand_0_right/mesh"]
    places = np.array(fixed["Mesh3D:vertex_texcoords"])
    assert np.array(places).min() >= 0 and np.array(places).max() <= 1


def test_a_texture_that_stays_is_written_once(recording):
    rows = recording.rows["/world/hands/hand_0_right/mesh"]
    with_texture = [
        times["image"] for times, said in rows if "Mesh3D:albedo_texture_buffer" in said
    ]
    assert with_texture == [0]  # and image 1 shows it still
    assert "Mesh3D:albedo_texture_buffer" in recording.at("/world/hands/hand_0_right/mesh", 1)


def test_hands_that_are_gone_are_gone(recording):
    assert recording.at("/world/hands/hand_1_left/mesh", 1) == {}
    for image in (2, 3):
        assert recording.at("/world/hands/hand_0_right/mesh", image) == {}
        assert recording.at("/world/hands/hand_0_right/keypoints", image) == {}


def test_pictures_and_cameras(recording, store):
    said = recording.at("/world/camera", 0)
    K = open_results(store)["a.jpg"][0].intrinsics
    (columns,) = said["Pinhole:image_from_camera"]
    assert np.allclose(np.reshape(columns, (3, 3)).T, K)
    assert said["Pinhole:resolution"] == [[96, 64]]
    (content,) = recording.at("/world/camera/picture", 0)["EncodedImage:blob"]
    picture = np.asarray(Image.open(io.BytesIO(bytes(content))))
    assert picture.shape == (64, 96, 3) and abs(picture.astype(int) - 90).max() < 3
    assert recording.at("/world/camera/picture", 1) == {}  # that video is not in the folder
    assert recording.at("/world/camera/name", 2)["TextDocument:text"] == [NAMES[2]]


def test_frames_have_the_time_of_their_video(recording):
    rows = recording.rows["/world/camera"]
    assert [times["image"] for times, _ in rows] == [0, 1, 2, 3]
    seconds = [times.get("clip.mp4") for times, _ in rows]
    assert seconds[0] is None
    assert [value.total_seconds() for value in seconds[1:]] == pytest.approx(TIMES)


def test_it_holds_no_path_of_the_machine(recording, store):
    assert str(store.parent).encode() not in store.with_name("r.rrd").read_bytes()


def test_without_rerun_one_sentence_says_what_installs_it(store, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "rerun" else find(name)
    )
    with raises("export.no_rerun") as told:
        export_results(ExportRequest(store, tmp_path / "r.rrd", "rrd", quiet=True))
    assert "fit-hands[rerun]" in str(told.value) and not (tmp_path / "r.rrd").exists()


def test_an_export_without_a_hand_leaves_no_file(store, tmp_path):
    with raises("export.no_hand"):
        export_results(ExportRequest(store, tmp_path / "r.rrd", "rrd", min_score=0.99, quiet=True))
    assert list(tmp_path.iterdir()) == []
