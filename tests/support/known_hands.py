"""Rendered hands of which everything is known, in MANO's layout: what tests make data sets of.

The model is the open hand in MANO's own files (`mano_file`), so no licensed file is needed. Its
left file has the fault of the published one: shape displacements with the right hand's sign.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from fitter.camera import project
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_models.mano import ManoOptions, load_mano
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.skinning import HandModel
from fitter.raster import rasterize
from fitter.records import HandParams, Side
from tests.support.mano_files import ROOT_PARENT


@dataclass(frozen=True)
class View:
    """How a hand is seen: image size, focal length in pixels, metres from the camera, and the focal
    length along y over that along x."""

    size: tuple[int, int] = (224, 224)
    focal: float = 480.0
    distance: float = 0.55
    aspect: float = 1.01

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3); not quite centred, with two focal lengths, as real ones are."""
        width, height = self.size
        return np.array(
            [
                [self.focal, 0.0, width / 2 + 3.25],
                [0.0, self.aspect * self.focal, height / 2 - 2.5],
                [0.0, 0.0, 1.0],
            ]
        )


@dataclass(frozen=True)
class KnownHand:
    """A hand and its picture.

    Attributes:
        side, view: which hand, and how it is seen.
        coefficients: (45,) of the pose in MANO's components, relative to the mean pose.
        pose_from_mean: (45,) axis-angle pose relative to the mean pose.
        params: one hand, float64, of `model(side, fixed)`, OpenCV camera.
        joints: (16, 3) and keypoints: (21, 3) of definition `mano`, regressed: (21, 3) of
            definition `freihand`, vertices: (V, 3); metres in the camera.
        image: (H, W, 3) uint8; mask: (H, W) bool; depth: (H, W) float32 metres, 0 beside the hand.
    """

    side: Side
    view: View
    coefficients: np.ndarray
    pose_from_mean: np.ndarray
    params: HandParams
    joints: np.ndarray
    keypoints: np.ndarray
    regressed: np.ndarray
    vertices: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray

    def flat(self, field: str) -> np.ndarray:
        """A field of `params` as a vector."""
        return getattr(self.params, field).numpy().ravel()


@lru_cache
def mano_file(folder: Path, side: Side) -> Path:
    """`MANO_RIGHT.pkl` or `MANO_LEFT.pkl` in a folder, written once."""
    path = folder / f"MANO_{side.upper()}.pkl"
    data = load_open_hand(keypoint_offsets=False)
    if side == "left":
        data = data.mirrored()
        shapedirs = data.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None]
    else:
        shapedirs = data.shapedirs
    parents = resources.files("fitter.hand_models") / "assets" / "open_hand_mano.pkl"
    arrays = pickle.loads(parents.read_bytes())
    assert int(arrays["kintree_table"][0, 0]) == ROOT_PARENT
    arrays |= {
        "v_template": data.v_template,
        "f": data.faces,
        "shapedirs": shapedirs,
        "hands_mean": data.hands_mean,
        "hands_components": data.hands_components,
    }
    path.write_bytes(pickle.dumps(arrays, 2))
    return path


@lru_cache
def model(folder: Path, side: Side, fixed: bool = True) -> HandModel:
    """The hand of `mano_file`, float64, read as a user does with MANO's."""
    tips = load_open_hand().tip_vertices
    options = ManoOptions(side, tips, fix_left_shapedirs=fixed)
    return HandModel(load_mano(mano_file(folder, side), options), torch.float64)


def known_hand(
    folder: Path,
    seed: int,
    side: Side = "right",
    view: View = View(),
    fixed: bool = True,
    betas: np.ndarray | None = None,
) -> KnownHand:
    """A hand in some pose before the camera, drawn on a slope of colours.

    Args:
        folder: for the model's files.
        seed: of pose, shape and colours.
        side, view: which hand, and how it is seen.
        fixed: whether its shape is that of the left file's mended displacements.
        betas: (10,) of its shape; None for some.
    """
    rng = np.random.default_rng(seed)
    hand = model(folder, side, fixed)
    coefficients = rng.normal(scale=0.25, size=45)
    pose = hand.pose_from_pca(torch.as_tensor(coefficients)[None], flat_hand_mean=False)
    shape = rng.normal(size=10) if betas is None else betas
    orient = torch.as_tensor(rng.normal(scale=1.2, size=(1, 3)))
    params = HandParams(orient, pose, torch.as_tensor(shape)[None], torch.zeros(1, 3).double())
    middle = hand(params).vertices.mean(1)
    aside = torch.tensor([[0.02, -0.015, view.distance]]).double()
    params = HandParams(orient, pose, params.betas, aside - middle)
    mesh = hand(params)
    regressed = KeypointDefinition.of(hand, "freihand").keypoints(params)[0].numpy()
    image, mask, depth = draw(mesh.vertices, hand.faces, view, rng)
    return KnownHand(
        side,
        view,
        coefficients,
        coefficients @ hand.hands_components.numpy(),
        params,
        mesh.joints[0].numpy(),
        mesh.keypoints[0].numpy(),
        regressed,
        mesh.vertices[0].numpy(),
        image,
        mask,
        depth,
    )


def draw(
    vertices: torch.Tensor, faces: torch.Tensor, view: View, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image, the mask and the depth; nearer is brighter."""
    width, height = view.size
    K = torch.as_tensor(view.intrinsics)[None]
    screen = torch.cat([project(vertices, K), vertices[..., 2:]], -1)
    seen = rasterize(screen, faces, (height, width))
    mask = seen.mask[0].numpy()
    depth = np.where(mask, seen.depth[0].numpy(), 0).astype(np.float32)
    y, x = np.mgrid[:height, :width] / max(view.size)
    image = 40 + 90 * np.stack([x, y, 1 - x], -1)
    near, far = depth[mask].min(), depth[mask].max()
    light = 0.5 + 0.5 * (far - depth[mask]) / (far - near)
    image[mask] = light[:, None] * np.array([235, 190, 165]) + rng.normal(size=3)
    return image.clip(0, 255).astype(np.uint8), mask, depth
