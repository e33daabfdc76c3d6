"""GLB files read without any library of glTF, skinned as its specification says."""

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

COMPONENTS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
CAMERA = np.diag([1.0, -1.0, -1.0])
"""Takes glTF's axes to the camera's and back."""

VALIDATE = """
const validator = require(process.argv[1]);
const content = new Uint8Array(require('fs').readFileSync(process.argv[2]));
validator.validateBytes(content).then(found => console.log(JSON.stringify(found)));
"""


@dataclass
class Glb:
    """A file's JSON and its binary part."""

    json: dict
    blob: bytes

    @classmethod
    def read(cls, content: bytes) -> "Glb":
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON"
        _, kind = struct.unpack_from("<I4s", content, 20 + size)
        assert kind == b"BIN\0"
        return cls(json.loads(content[20 : 20 + size]), content[28 + size :])

    def view(self, place: int) -> bytes:
        view = self.json["bufferViews"][place]
        start = view.get("byteOffset", 0)
        return self.blob[start : start + view["byteLength"]]

    def array(self, place: int) -> np.ndarray:
        """An accessor's values (N, width)."""
        accessor = self.json["accessors"][place]
        values = np.frombuffer(
            self.view(accessor["bufferView"]), COMPONENTS[accessor["componentType"]]
        )
        return values.reshape(accessor["count"], WIDTHS[accessor["type"]])

    def attributes(self, mesh: int) -> dict[str, np.ndarray]:
        (primitive,) = self.json["meshes"][mesh]["primitives"]
        return {name: self.array(place) for name, place in primitive["attributes"].items()}

    def world(self) -> list[np.ndarray]:
        """(4, 4) of each node, from its parents' and its own translation and rotation."""
        nodes = self.json["nodes"]
        found: dict[int, np.ndarray] = {}

        def visit(place: int, above: np.ndarray) -> None:
            node, own = nodes[place], np.eye(4)
            own[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            own[:3, 3] = node.get("translation", [0, 0, 0])
            found[place] = above @ own
            for child in node.get("children", []):
                visit(child, found[place])

        for root in self.json["scenes"][self.json["scene"]]["nodes"]:
            visit(root, np.eye(4))
        assert len(found) == len(nodes)
        return [found[place] for place in range(len(nodes))]

    def skinned(self, mesh: int = 0) -> np.ndarray:
        """(C, 3) what a viewer shows of a mesh, in glTF's axes."""
        (node,) = [node for node in self.json["nodes"] if node.get("mesh") == mesh]
        skin = self.json["skins"][node["skin"]]
        world = self.world()
        binds = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        joints = np.array([world[joint] for joint in skin["joints"]]) @ binds
        attributes = self.attributes(mesh)
        points = np.pad(attributes["POSITION"].astype(float), ((0, 0), (0, 1)), constant_values=1)
        shown = np.zeros_like(points)
        for name, influence in attributes.items():
            if name.startswith("JOINTS_"):
                weights = attributes[name.replace("JOINTS", "WEIGHTS")].astype(float)
                matrices = (weights[..., None, None] * joints[influence]).sum(1)
                shown += (matrices @ points[..., None])[..., 0]
        return shown[:, :3]

    def image(self, place: int = 0) -> bytes:
        return self.view(self.json["images"][place]["bufferView"])


def validated(path: Path) -> dict:
    """What the Khronos validator says of a file; skips the test where there is none.

    It is where `make test` puts it, where node finds it, or in the folder `GLTF_VALIDATOR`.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    place = os.environ.get("GLTF_VALIDATOR", "gltf-validator")
    places = [os.environ.get("NODE_PATH"), str(Path(sys.prefix) / "node_modules")]
    done = subprocess.run(
        [node, "-e", VALIDATE, place, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NODE_PATH": os.pathsep.join(filter(None, places))},
    )
    if "Cannot find module" in done.stderr:
        pytest.skip("npm's gltf-validator is not installed; GLTF_VALIDATOR names its folder")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["issues"]
