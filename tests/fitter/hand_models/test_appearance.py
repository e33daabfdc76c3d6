"""The skin's appearance: the model, its file, and that the painting behind it is reproducible."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
import trimesh

from fitter.hand_models import load_hand_model
from fitter.hand_models.appearance import (
    APPEARANCE_FILE,
    TONES,
    read_appearance,
    uniform_appearance,
)
from fitter.hand_models.appearance_loading import load_appearance
from fitter.hand_models.mano import load_mano
from fitter.hand_models.open_hand import load_open_hand
from fitter.rendering.shading import sample_texture, srgb_from_linear
from tests.support import mano_files
from tests.support.errors import raises
from tests.support.paths import ROOT

ASSET = ROOT / "fitter" / "hand_models" / "assets" / APPEARANCE_FILE
DOUBLE = torch.float64


@pytest.fixture(scope="module")
def data():
    return load_open_hand()


@pytest.fixture(scope="module")
def skin(data):
    return load_appearance(data, DOUBLE)


@pytest.fixture(scope="module")
def provenance():
    with safetensors.safe_open(ASSET, "numpy") as file:
        return json.loads(file.metadata()["provenance"])


@pytest.fixture
def builder(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return pytest.importorskip("build_appearance")


def coefficients(batch: int, count: int, spread: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return spread * torch.randn((batch, count), generator=generator, dtype=DOUBLE)


def areas(data) -> torch.Tensor:
    """(V,) square metres that each vertex stands for."""
    faces = trimesh.Trimesh(data.v_template, data.faces, process=False).area_faces
    return torch.from_numpy(np.bincount(data.faces.ravel(), np.repeat(faces / 3, 3)))


def test_shapes_and_range(skin, data):
    texture = skin.texture(coefficients(3, skin.count, 4.0))
    colours = skin.vertex_colours(coefficients(3, skin.count, 4.0))
    assert skin.count == 10
    assert texture.shape == (3, 256, 256, 3) and colours.shape == (3, len(data.v_template), 3)
    for values in (texture, colours):
        assert (values > 0).all() and (values < 1).all()
    with pytest.raises(ValueError, match=r"\(B, 10\), got \(3, 9\)"):
        skin.texture(torch.zeros(3, 9, dtype=DOUBLE))


def test_a_batch_is_what_each_alone_is(skin):
    given = coefficients(3, skin.count)
    for function in (skin.texture, skin.vertex_colours):
        together = function(given)
        for k in range(3):
            torch.testing.assert_close(together[k : k + 1], function(given[k : k + 1]))


def test_gradients(skin):
    few = replace(
        skin,
        texture_mean=skin.texture_mean[::64, ::64],
        texture_components=skin.texture_components[:, ::64, ::64],
        vertex_mean=skin.vertex_mean[:20],
        vertex_components=skin.vertex_components[:, :20],
    )
    given = coefficients(2, skin.count).requires_grad_()
    assert torch.autograd.gradcheck(few.texture, (given,))
    assert torch.autograd.gradcheck(few.vertex_colours, (given,))


def test_gradients_after_maps_of_another_size_were_made_without(data):
    own = load_appearance(data, DOUBLE)
    coefficients = torch.zeros(1, own.count, dtype=DOUBLE, requires_grad=True)
    with torch.inference_mode():
        own.maps(coefficients, 16)
    own.maps(coefficients, 16).diffuse.sum().backward()
    assert coefficients.grad.abs().max() > 0


def test_dtype_follows(skin):
    single = skin.to(torch.float32)
    assert single.texture_mean.dtype == single.vertex_components.dtype == torch.float32
    given = coefficients(2, skin.count)
    torch.testing.assert_close(
        single.texture(given.float()).double(), skin.texture(given), rtol=1e-4, atol=1e-5
    )


def test_vertices_have_the_texture_s_colours(skin, data):
    # A vertex stands for its surroundings, so it may miss a crease, but not the colour.
    given = coefficients(4, skin.count)
    uv = np.zeros((len(data.v_template), 2))
    uv[data.faces] = data.uv[data.uv_faces]
    looked_up = sample_texture(skin.texture(given), torch.from_numpy(uv).expand(4, -1, -1))
    steps = 255 * (srgb_from_linear(looked_up) - srgb_from_linear(skin.vertex_colours(given))).abs()
    assert float(steps.mean()) < 2.0
    assert float((steps > 12).double().mean()) < 0.03


def test_no_seam_shows(skin, data):
    # Where a vertex has several texture coordinates, the texture looks alike at all of them.
    texture = skin.texture(torch.zeros(1, skin.count, dtype=DOUBLE))[0]
    colour = srgb_from_linear(sample_texture(texture, torch.from_numpy(data.uv)))
    places = np.unique(np.stack([data.faces.ravel(), data.uv_faces.ravel()], 1), axis=0)
    _, first, count = np.unique(places[:, 0], return_index=True, return_counts=True)
    assert (count > 1).sum() > 200
    spread = [
        float(np.ptp(colour[places[start : start + number, 1]].numpy(), axis=0).max())
        for start, number in zip(first[count > 1], count[count > 1], strict=True)
    ]
    assert 255 * np.mean(spread) < 4 and 255 * np.quantile(spread, 0.95) < 12


def test_the_first_component_goes_from_dark_to_light_skin(skin, data):
    weight = areas(data)[:, None] / areas(data).sum()
    given = torch.zeros(5, skin.count, dtype=DOUBLE)
    given[:, 0] = torch.linspace(-2, 2, 5)
    luminance = (skin.vertex_colours(given) * weight).sum(dim=1) @ torch.tensor(
        [0.2126, 0.7152, 0.0722], dtype=DOUBLE
    )
    assert (luminance.diff() > 0.02).all()
    assert luminance[0] < 0.08 and luminance[-1] > 0.35


def test_every_skin_is_skin_coloured(skin):
    colours = skin.vertex_colours(coefficients(50, skin.count)).mean(dim=1)
    red, green, blue = colours.unbind(dim=-1)
    assert (red > green).all() and (green > blue).all()


def test_structure_lies_where_it_belongs(skin, data):
    """The palm is lighter than the back, nails are lighter than the fingers and pink."""
    texture_colours = skin.vertex_colours(torch.zeros(1, skin.count, dtype=DOUBLE))[0]
    normals = trimesh.Trimesh(data.v_template, data.faces, process=False).vertex_normals
    of_palm = data.skin_weights[:, 0] > 0.9
    inside = of_palm & (data.v_template[:, 0] < -0.02)  # not the wrist's cut
    back, palm = inside & (normals[:, 1] > 0.7), inside & (normals[:, 1] < -0.7)
    brightness = texture_colours.log().mean(dim=1).numpy()
    assert brightness[palm].mean() > brightness[back].mean() + 0.3
    nail_mask = safetensors.numpy.load_file(ASSET.with_name("open_hand.safetensors"))["nail_mask"]
    nails = nail_mask > 0.99
    fingers = (data.skin_weights[:, 1:].max(axis=1) > 0.9) & (normals[:, 1] > 0.6)
    pink = (texture_colours[:, 0] / texture_colours[:, 1]).numpy()
    assert brightness[nails].mean() > brightness[fingers & (nail_mask == 0)].mean() + 0.1
    assert pink[nails].mean() > 1.2


def test_left_hands_have_the_same_skin(skin):
    left = load_hand_model("open_hand", "left").data
    mirrored = load_appearance(left, DOUBLE)
    torch.testing.assert_close(mirrored.vertex_mean, skin.vertex_mean)
    np.testing.assert_array_equal(left.uv_faces[:, ::-1], load_open_hand().uv_faces)
    torch.testing.assert_close(mirrored.texture_mean, skin.texture_mean)


def test_models_without_a_basis_have_one_colour(tmp_path, skin):
    path = tmp_path / "MANO_RIGHT.pkl"
    mano_files.write_plain(path, mano_files.fabricate())
    data = load_mano(path)
    plain = load_appearance(data, DOUBLE)
    assert plain.count == TONES
    colours = plain.vertex_colours(coefficients(2, TONES))
    assert colours.shape == (2, len(data.v_template), 3)
    assert (colours == colours[:, :1]).all()
    anywhere = sample_texture(plain.texture(coefficients(2, TONES)), torch.rand(2, 5, 2).double())
    torch.testing.assert_close(anywhere, colours[:, :5])
    mean = plain.vertex_colours(torch.zeros(1, TONES, dtype=DOUBLE))[0, 0]
    assert torch.logit(mean).sub(skin.vertex_mean.mean(dim=0)).abs().max() < 1e-9


def test_uniform_tones_hold_the_spread_of_the_mean_colour(skin):
    plain = uniform_appearance(1, DOUBLE)
    steps = skin.vertex_components.mean(dim=1)
    tones = plain.vertex_components[:, 0]
    torch.testing.assert_close(tones.T @ tones, steps.T @ steps)
    assert (tones.norm(dim=1).diff() < 0).all() and (tones[0] > 0).all()


def test_unfit_files_are_named(tmp_path, data):
    missing = tmp_path / "none.safetensors"
    with raises("model.missing", file=missing):
        read_appearance(missing)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors here")
    with raises("model.no_safetensors", file=broken):
        read_appearance(broken)
    arrays = safetensors.numpy.load_file(ASSET)
    short = tmp_path / "short.safetensors"
    short.write_bytes(safetensors.numpy.save({k: v for k, v in arrays.items() if "mean" in k}))
    with raises("model.array_missing", file=short, array="texel_rows"):
        read_appearance(short)
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(safetensors.numpy.save(arrays | {"texel_mean": arrays["texel_mean"][:9]}))
    with raises("appearance.texel", file=wrong, texels=9):
        read_appearance(wrong)
    with raises("appearance.vertices", expected=9):
        load_appearance(replace(data, v_template=data.v_template[:9]))


# The file and its making


def test_the_file_is_small_and_made_for_this_hand(data, provenance):
    assert ASSET.stat().st_size < 3_000_000
    shape = np.ascontiguousarray(data.v_template, np.float64).tobytes()
    # When this fails: python scripts/build_appearance.py
    assert provenance["v_template_sha256"] == hashlib.sha256(shape).hexdigest()
    assert provenance["license"] == "CC0-1.0"


def test_painting_again_gives_what_the_file_was_made_from(builder, data, provenance, skin):
    atlas = builder.unfold(data, builder.SIZE)
    arrays = safetensors.numpy.load_file(ASSET)
    np.testing.assert_array_equal(arrays["texel_rows"], atlas.texel_rows)
    generator = np.random.default_rng([builder.SEED, 1])
    layers = [builder.drawing(atlas, 0)]
    painted = builder.draw_skins(layers, 1, generator, speckle=False)
    np.testing.assert_allclose(painted[0].mean(axis=0), provenance["first_skin"], atol=2e-6)
    # The basis, fitted to this skin, restores it to about a step of 8 bits.
    basis = builder.Basis(
        arrays["texel_mean"].astype(float).ravel(),
        arrays["texel_components"].astype(float).reshape(skin.count, -1),
        np.zeros(skin.count),
    )
    assert builder.held_out_error(basis, builder.LOGIT, painted) < 2.0
    # The vertices' values are those fitted to the texels.
    at_vertices = builder.vertex_values(atlas, data, arrays["texel_mean"].astype(float))
    assert np.abs(at_vertices - arrays["vertex_mean"]).max() < 0.01


def test_components_have_unit_variance_and_are_orthogonal(builder):
    generator = np.random.default_rng(0)
    table = generator.normal(size=(400, 3)) @ (generator.normal(size=(3, 20)) * [[3], [2], [1]])
    basis = builder.principal_components(table, 3)
    found = np.linalg.lstsq(basis.components.T, (table - basis.mean).T, rcond=None)[0]
    np.testing.assert_allclose(found @ found.T / 400, np.eye(3), atol=1e-9)
    assert basis.shares.sum() == pytest.approx(1.0)
    products = basis.components @ basis.components.T
    assert np.abs(products - np.diag(np.diag(products))).max() < 1e-6
    assert (basis.components.sum(axis=1) > 0).all()


@pytest.mark.parametrize("side", [64, 256, 300])
def test_maps_are_the_texture_at_any_size(side: int) -> None:
    """Of the colours, whose logits are resampled; the texture's own size is the texture."""
    skin = load_appearance(load_open_hand())
    coefficients = torch.randn(2, skin.count, generator=torch.Generator().manual_seed(0))
    maps = skin.maps(coefficients, side)
    assert maps.diffuse.shape == (2, side, side, 3)
    assert maps.normal is None and maps.specular is None and not skin.is_mapped
    whole = skin.texture(coefficients)
    assert torch.equal(skin.maps(coefficients).diffuse, whole)
    if side == 256:
        assert torch.equal(maps.diffuse, whole)
    shown, expected = (image.logit().mean((1, 2)) for image in (maps.diffuse, whole))
    torch.testing.assert_close(shown, expected, rtol=0, atol=0.02)
    assert torch.equal(skin.maps(coefficients, side).diffuse, maps.diffuse)
    halved = skin.to(torch.float64).maps(coefficients.double(), side).diffuse
    torch.testing.assert_close(halved.float(), maps.diffuse, rtol=0, atol=1e-5)
