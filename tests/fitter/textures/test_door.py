"""Textures of fitted hands, from Python."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image

import fitter
from fitter.hand_models import load_hand_model
from fitter.meshes import HandMeshes
from fitter.textures import TextureFusion, extract_texture
from tests.support.errors import raises
from tests.support.textured_hands import LIGHT, SIZE, camera, chequered, posed, shoot


@pytest.fixture(scope="module")
def meshes() -> HandMeshes:
    return HandMeshes(load_hand_model("open_hand", dtype=torch.float64))


def fitted(meshes: HandMeshes, palm: bool, **values) -> fitter.FittedHand:
    """A hand whose fit is perfect."""
    nothing = {field.name: None for field in fields(fitter.FittedHand)}
    return fitter.FittedHand(
        **nothing
        | {
            "valid": True,
            "side": "right",
            "image_name": "hand.png",
            "image_size": (SIZE, SIZE),
            "intrinsics": camera(),
            "faces": meshes.faces("right"),
            "vertices": posed(palm).astype(np.float32),
            "lighting": LIGHT.astype(np.float32),
            "meshes": meshes,
        }
        | values
    )


def test_the_hands_texture_is_that_of_its_view(meshes):
    hand, shot = fitted(meshes, True), shoot(chequered(), posed(True))
    found = hand.extract_texture(shot.pixels, size=128)
    wanted = extract_texture(meshes.atlas(128), shot.view)
    np.testing.assert_allclose(found.colours, wanted.colours, atol=2e-3)
    assert found.measured.mean() == pytest.approx(wanted.measured.mean(), rel=0.01)


def test_a_fitted_focal_length_counts(meshes):
    shot, matrix = shoot(chequered(), posed(True)), camera()
    matrix[:2, :2] /= 1.25
    hand = fitted(meshes, True, intrinsics=matrix, focal_scale=1.25)
    wanted = fitted(meshes, True).extract_texture(shot.pixels, size=128)
    np.testing.assert_allclose(
        hand.extract_texture(shot.pixels, size=128).colours, wanted.colours, atol=1e-5
    )


def test_palm_and_back_together_show_both(meshes, tmp_path):
    hands = [fitted(meshes, True), fitted(meshes, False)]
    shots = [shoot(chequered(), posed(palm)) for palm in (True, False)]
    Image.fromarray(shots[1].pixels).save(tmp_path / "back.png")
    images = [shots[0].pixels, tmp_path / "back.png"]
    both = fitter.hand_texture(hands, images, size=128)
    fusion = TextureFusion(meshes.atlas(128))
    parts = [
        hand.extract_texture(shot.pixels, size=128) for hand, shot in zip(hands, shots, strict=True)
    ]
    for part in parts:
        fusion.add(part)
    np.testing.assert_array_equal(both.colours, fusion.result().colours)
    assert both.measured.sum() > 1.8 * max(part.measured.sum() for part in parts)


def test_another_hand_in_front_hides(meshes):
    hand, shot = fitted(meshes, True), shoot(chequered(), posed(True))
    front = fitted(meshes, True, vertices=hand.vertices - np.float32([0, 0, 0.1]))
    failed = fitted(meshes, True, vertices=None)
    alone = hand.extract_texture(shot.pixels, size=128, others=[hand, failed])
    hidden = hand.extract_texture(shot.pixels, size=128, others=[front])
    assert alone.measured.any() and hidden.measured.sum() < 0.2 * alone.measured.sum()


def test_what_cannot_be_used_is_refused(meshes):
    hand, shot = fitted(meshes, True), shoot(chequered(), posed(True))
    with raises("hand.other_image", expected=(SIZE, SIZE), found=(SIZE // 2, SIZE)):
        hand.extract_texture(shot.pixels[:, ::2].copy())
    with raises("hand.not_fitted"):
        fitted(meshes, True, vertices=None, fit_error="no").extract_texture(shot.pixels)
    with raises("texture.count", expected=1, found=0):
        fitter.hand_texture([hand], [])
    with raises("texture.no_hand"):
        fitter.hand_texture([fitted(meshes, True, vertices=None)], [shot.pixels])
    bare = load_hand_model("open_hand", dtype=torch.float64).mirrored().mirrored()
    bare.data = replace(bare.data, sha256="0" * 64, name="other")
    other = fitted(HandMeshes(bare), True)
    with raises("texture.models", expected="open_hand", found="other"):
        fitter.hand_texture([hand, other], [shot.pixels, shot.pixels])
