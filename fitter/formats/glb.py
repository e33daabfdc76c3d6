"""GLB, the binary form of glTF 2.0: textured hands with a skeleton that animates.

glTF's axes are x right, y up, z toward the viewer, right-handed, metres. A camera's are x right,
y down, z away, so one rotation by 180 degrees about x takes one into the other: a node `camera`
holds it, and below it the joints stand in the numbers of the camera frame. The skin's joints carry
the mesh there: where a node of glTF has a skin, its own place does not count (section 3.7.3.3 of
the specification). So a reader that knows no skins, such as trimesh, sees the rest pose in the
frame of the hand model, and a viewer sees the fitted hand as the camera did.

Joints beyond a vertex's four largest weights are in JOINTS_1, WEIGHTS_1 and so on. Programs that
read only the first four (three.js does) leave out the rest and scale the four up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from fitter.formats.hand_asset import HandAsset
from fitter.formats.tangents import tangents

GLTF_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Takes a point of the camera frame to glTF's axes."""

_HALF_TURN_ABOUT_X = [1.0, 0.0, 0.0, 0.0]
"""The same as a quaternion, x y z w."""

_ROUGHNESS = 0.6
"""Of the material. Skin is a dull dielectric; nothing fits it, and renderers need a number."""

_INFLUENCES = 4
"""Joints in one pair of attributes, by the specification."""

_TYPES = {1: gltf.SCALAR, 2: gltf.VEC2, 3: gltf.VEC3, 4: gltf.VEC4, 16: gltf.MAT4}
_COMPONENTS = {
    "uint8": gltf.UNSIGNED_BYTE,
    "uint16": gltf.UNSIGNED_SHORT,
    "uint32": gltf.UNSIGNED_INT,
    "float32": gltf.FLOAT,
}


def glb(hands: Sequence[HandAsset]) -> bytes:
    """A GLB file of hands, each with its mesh, material, skin and skeleton.

    Args:
        hands: at least one; their names differ.

    Returns:
        The file. Each mesh's extras hold the hand's `HandAsset.facts`, and as `texture_weight` the
        place of the picture that says where its texture was measured (`HandSkin.weight_png`).
    """
    scene = GlbScene()
    for hand in hands:
        scene.add(hand)
    return scene.content()


def posed_glb(hand: HandAsset) -> bytes:
    """A GLB file of the fitted mesh of one hand alone, with its material, without a skeleton.

    It is in the camera's axes (x right, y down, z away) and not in glTF's, for programs that stand
    it in a scene of their own.
    """
    scene = GlbScene()
    scene.add_posed(hand)
    return scene.content()


@dataclass
class GlbScene:
    """A file while it is put together: the lists of glTF, and the bytes that they point into."""

    root: gltf.GLTF2 = field(default_factory=gltf.GLTF2)
    blob: bytearray = field(default_factory=bytearray)
    places: list[int] = field(default_factory=list)

    def add(self, hand: HandAsset) -> list[int]:
        """Put a hand into the scene; the nodes of its joints, behind the one of its camera."""
        joints = self._add_joints(hand)
        skin = gltf.Skin(
            name=hand.name,
            joints=joints,
            skeleton=joints[0],
            inverseBindMatrices=self.numbers(_inverse_binds(hand)),
        )
        self.root.skins.append(skin)
        rest = self._surface(hand, hand.rig.rest_vertices, hand.rest_normals)
        self._add_mesh(hand, rest | self._influences(hand))
        node = gltf.Node(
            name=hand.name, mesh=len(self.root.meshes) - 1, skin=len(self.root.skins) - 1
        )
        self.places += [len(self.root.nodes), joints[0] - 1]
        self.root.nodes.append(node)
        return joints

    def add_posed(self, hand: HandAsset) -> None:
        """Put a hand's fitted mesh alone into the scene."""
        self._add_mesh(hand, self._surface(hand, hand.vertices, hand.normals))
        self.places.append(len(self.root.nodes))
        self.root.nodes.append(gltf.Node(name=hand.name, mesh=len(self.root.meshes) - 1))

    def _add_mesh(self, hand: HandAsset, attributes: dict[str, int]) -> None:
        primitive = gltf.Primitive(
            attributes=gltf.Attributes(**attributes),
            indices=self.numbers(_indices(hand), gltf.ELEMENT_ARRAY_BUFFER),
            material=self._add_material(hand),
        )
        extras = dict(hand.facts)
        weight = hand.skin.weight_png()
        if weight is not None:
            extras["texture_weight"] = self._add_image(weight, f"{hand.name}_measured")
        mesh = gltf.Mesh(name=hand.name, primitives=[primitive], extras=extras)
        self.root.meshes.append(mesh)

    def content(self) -> bytes:
        """The file of all that was added."""
        self.root.asset = gltf.Asset(version="2.0", generator="fit-hands")
        self.root.scenes = [gltf.Scene(nodes=self.places)]
        self.root.scene = 0
        self.root.buffers = [gltf.Buffer(byteLength=len(self.blob))]
        self.root.set_binary_blob(bytes(self.blob))
        return b"".join(self.root.save_to_bytes())

    def _add_joints(self, hand: HandAsset) -> list[int]:
        """A node for each joint below one that turns the camera's axes; their places."""
        rig, first = hand.rig, len(self.root.nodes) + 1
        parents = rig.skeleton.parents
        camera = gltf.Node(
            name=f"{hand.name}_camera", rotation=_HALF_TURN_ABOUT_X, children=[first]
        )
        self.root.nodes.append(camera)
        for joint, name in enumerate(rig.skeleton.names):
            parent = parents[joint]
            start = rig.rest_joints[parent] if parent >= 0 else -rig.transl
            below = [first + child for child, above in enumerate(parents) if above == joint]
            node = gltf.Node(
                name=f"{hand.name}_{name}",
                translation=(rig.rest_joints[joint] - start).tolist(),
                rotation=Rotation.from_matrix(rig.rotations[joint]).as_quat().tolist(),
            )
            if below:
                node.children = below
            self.root.nodes.append(node)
        return [first + joint for joint in range(rig.skeleton.count)]

    def _surface(
        self, hand: HandAsset, vertices: np.ndarray, normals: np.ndarray
    ) -> dict[str, int]:
        """The accessors of a mesh of vertices and normals (V, 3), and of its colours."""
        corners = hand.corners
        arrays = {
            "POSITION": vertices[corners.vertices],
            "NORMAL": normals[corners.vertices],
        }
        if corners.uv is not None and hand.skin.texture is not None:
            # Their origin is the upper left corner of the picture.
            arrays["TEXCOORD_0"] = corners.uv * [1, -1] + [0, 1]
            if hand.skin.normals is not None:
                arrays["TANGENT"] = tangents(vertices, normals, corners)
        elif hand.skin.texture is None:
            arrays["COLOR_0"] = hand.skin.colours[corners.vertices]
        return {
            name: self.numbers(array.astype(np.float32), gltf.ARRAY_BUFFER, name == "POSITION")
            for name, array in arrays.items()
        }

    def _influences(self, hand: HandAsset) -> dict[str, int]:
        """The accessors of the skin's joints and weights."""
        attributes: dict[str, int] = {}
        joints, weights = influences(hand.rig.weights)
        for place in range(joints.shape[1] // _INFLUENCES):
            part = slice(place * _INFLUENCES, (place + 1) * _INFLUENCES)
            for name, array in (("JOINTS", joints), ("WEIGHTS", weights)):
                rows = np.ascontiguousarray(array[hand.corners.vertices, part])
                attributes[f"{name}_{place}"] = self.numbers(rows, gltf.ARRAY_BUFFER)
        return attributes

    def _add_material(self, hand: HandAsset) -> int:
        surface = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=_ROUGHNESS)
        png, normals = hand.skin.png(), hand.skin.normal_png()
        if png is not None:
            surface.baseColorTexture = gltf.TextureInfo(index=self._add_texture(png, hand.name))
        material = gltf.Material(name=hand.name, pbrMetallicRoughness=surface)
        # None, where the library's default is to write "OPAQUE" and 0.5, which go not together.
        material.alphaCutoff = None
        if normals is not None:
            place = self._add_texture(normals, f"{hand.name}_normals")
            material.normalTexture = gltf.NormalMaterialTexture(index=place)
        self.root.materials.append(material)
        return len(self.root.materials) - 1

    def _add_texture(self, png: bytes, name: str) -> int:
        image = self._add_image(png, name)
        sampler = gltf.Sampler(
            magFilter=gltf.LINEAR,
            minFilter=gltf.LINEAR_MIPMAP_LINEAR,
            wrapS=gltf.CLAMP_TO_EDGE,
            wrapT=gltf.CLAMP_TO_EDGE,
        )
        self.root.samplers.append(sampler)
        texture = gltf.Texture(source=image, sampler=len(self.root.samplers) - 1)
        self.root.textures.append(texture)
        return len(self.root.textures) - 1

    def _add_image(self, png: bytes, name: str) -> int:
        view = self._bytes(png)
        self.root.images.append(gltf.Image(bufferView=view, mimeType="image/png", name=name))
        return len(self.root.images) - 1

    def numbers(
        self, array: np.ndarray, target: int | None = None, with_bounds: bool = False
    ) -> int:
        """Append an array (N, ...) and return the place of its accessor."""
        rows = array.reshape(len(array), -1)
        accessor = gltf.Accessor(
            bufferView=self._bytes(rows.tobytes(), target),
            componentType=_COMPONENTS[array.dtype.name],
            count=len(rows),
            type=_TYPES[rows.shape[1]],
        )
        if with_bounds:
            accessor.min, accessor.max = rows.min(0).tolist(), rows.max(0).tolist()
        self.root.accessors.append(accessor)
        return len(self.root.accessors) - 1

    def _bytes(self, content: bytes, target: int | None = None) -> int:
        """Append bytes at a multiple of four and return the place of their view."""
        self.blob += bytes(-len(self.blob) % 4)
        view = gltf.BufferView(
            buffer=0, byteOffset=len(self.blob), byteLength=len(content), target=target
        )
        self.blob += content
        self.root.bufferViews.append(view)
        return len(self.root.bufferViews) - 1


def influences(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skin weights (V, J) as glTF has them: the joints of each vertex, the largest weight first.

    Returns:
        (V, 4 N) uint8 joints and (V, 4 N) float32 weights, N as small as no weight allows to be
        left out; unused places are joint 0 with weight 0.
    """
    single = weights.astype(np.float32)
    most = int((single > 0).sum(axis=1).max())
    kept = min(-(-most // _INFLUENCES) * _INFLUENCES, single.shape[1])
    order = np.argsort(-single, axis=1, kind="stable")[:, :kept]
    found = np.take_along_axis(single, order, axis=1)
    order = np.where(found > 0, order, 0)
    short = -kept % _INFLUENCES
    joints, values = (np.pad(array, ((0, 0), (0, short))) for array in (order, found))
    return joints.astype(np.uint8), values


def _inverse_binds(hand: HandAsset) -> np.ndarray:
    """(J, 16) float32, column-major: what takes the rest mesh into the frame of each joint."""
    matrices = np.tile(np.eye(4), (hand.rig.skeleton.count, 1, 1))
    matrices[:, :3, 3] = -hand.rig.rest_joints
    return matrices.transpose(0, 2, 1).reshape(-1, 16).astype(np.float32)


def _indices(hand: HandAsset) -> np.ndarray:
    count = len(hand.corners.vertices)
    # The largest number of each type means a restart and must not be used.
    kind = np.uint16 if count < np.iinfo(np.uint16).max else np.uint32
    return hand.corners.faces.ravel().astype(kind)
