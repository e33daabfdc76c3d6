"""Hands of the rig's frame as its cameras have them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.rendering.shading import AmbientDirectionalLight, SphericalHarmonicsLight
from fitter.rig import RigCamera
from fitter.rotations import roma
from fitter.store.frame_schema import ViewHandRow
from fitter.store.schema import HandRow
from fitter.views.camera_hands import hand_in_camera


def irradiance(lighting: np.ndarray, normals: np.ndarray, side: str) -> np.ndarray:
    """(N, 3) on normals (N, 3) of a hand, whose light is that of the mirrored image if left."""
    values = torch.as_tensor(lighting, dtype=torch.float64)[None]
    flip = [-1.0, 1, 1] if side == "left" else [1.0, 1, 1]
    mirrored = torch.as_tensor(normals * flip)[None]
    if lighting.shape == (11,):
        light = AmbientDirectionalLight.of(values)
    else:
        light = SphericalHarmonicsLight(values.unflatten(-1, (9, 3)))
    return light.irradiance(mirrored)[0].numpy()


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("numbers", [11, 27])
def test_the_light_falls_on_the_same_side_of_the_hand(rng, side, numbers) -> None:
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, 1.2, -0.8]).double()).numpy()
    camera = RigCamera("c", np.eye(3), turn, np.array([0.1, 0.2, 0.4]))
    lighting = rng.uniform(0.1, 1, numbers).astype(np.float32)
    points = rng.normal(size=(21, 3)).astype(np.float32)
    hand = HandRow(
        valid=True, score=0.9, side=side, global_orient=np.zeros(3, np.float32),
        transl=np.zeros(3, np.float32), joints_3d=points, lighting=lighting,
    )  # fmt: skip
    seen = hand_in_camera(hand, camera, ViewHandRow())
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    expected = irradiance(lighting, normals, side)
    np.testing.assert_allclose(
        irradiance(seen.lighting, normals @ turn.T, side), expected, atol=1e-5
    )
    assert hand_in_camera(replace(hand, lighting=None), camera, ViewHandRow()).lighting is None
