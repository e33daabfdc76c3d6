"""The fit with `init.networks=s2hand` or `zhao`: from weights to stored hands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from views_data import SampledHands, frames_of, stereo

from fitter.colours import srgb_from_linear
from fitter.config.networks import load_offer
from fitter.config.options import Config, load_config
from fitter.engine import Engine
from fitter.errors import InputError
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.initializer import load_initializer
from fitter.hand_models.nimble.files import DICT_FILE
from fitter.records import HandCrop, HandObservation, Side
from init_net.autoencoder_records import AutoencoderInputs
from init_net.crop_inputs import crop_inputs
from init_net.hand_decoder import HandDecoder
from init_net.hand_model_id import current_hand_model, posed_by
from init_net.model_card import WeightsInfo
from init_net.networks.autoencoder import HandAutoencoder
from init_net.networks.build import build_network
from init_net.networks.config import AutoencoderConfig, HourglassConfig
from init_net.offer import CAMERAS, OFFER, S2HAND, WSIM, ZHAO
from init_net.weights import load_network, save_weights, weights_file
from tests.support.errors import raises
from tests.support.nimble_files import content, copied, nimble_folder, rewritten
from tests.support.offered import network_points, offered_networks
from tests.support.paths import ROOT
from tests.support.small_mano import write_small_mano

CPU = torch.device("cpu")
SIZE = (640, 480)
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
SMALL = AutoencoderConfig(
    encoder="mobilenetv3_small_050",
    hidden=[16],
    input_size=32,
    estimator=HourglassConfig(stacks=1, channels=8, depth=1, map_size=8),
)
ZHAOS = SMALL.model_copy(
    update={"camera": "orthographic", "appearance": "components", "light": "even"}
)
STILL = ["fit.max_iterations=0", "refine.stages.refinement.iterations=0"]


@pytest.fixture(scope="module", autouse=True)
def offered() -> Iterator[None]:
    with offered_networks():
        yield


def written(folder: Path, config: AutoencoderConfig, name: str = "hands") -> str:
    """Weights of a network that has learned nothing, but whose hands differ."""
    network = build_network(config, seed=1)
    assert isinstance(network, HandAutoencoder)
    for part in (network.geometry, network.texture):
        if part is not None:
            part[-1].weight.data *= 300
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():  # the statistics of some crops
        for _ in range(10):
            image = torch.rand(8, 3, config.input_size, config.input_size, generator=random)
            network(AutoencoderInputs(image, torch.linspace(2, 5, 8)))
    info = WeightsInfo(
        config, "train-hands", 1, {}, {}, hand_model=current_hand_model(*posed_by(config))
    )
    save_weights(folder / f"{name}.safetensors", network.eval(), info)
    return str(folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("weights")
    return {"s2hand": written(folder, SMALL), "zhao": written(folder, ZHAOS, "zhao")}


def configured(name: str, file: str, *more: str) -> Config:
    preset = {"s2hand": "s2hand", "zhao": "nimble_render_compare"}[name]
    return load_config(preset, [f"init.networks={name}", f"init.{name}={file}", *STILL, *more])


def images(side: Side) -> list[DetectedImage]:
    """A hand in the middle of an image of noise."""
    rng = np.random.default_rng(3)
    points = rng.uniform([250, 170], [390, 310], (21, 2))
    points[:2] = [[245, 165], [395, 315]]  # a square box about the image's middle
    hand = HandObservation(points, np.ones(21), side, side_score=1.0, score=1.0)
    picture = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    crops = crop_hands(picture, K, [hand], None, (128, 1.4))
    return [DetectedImage(SIZE, K, "given", (hand,), tuple(crops))]


def said_by(file: str, crop: HandCrop) -> tuple[HandDecoder, dict[str, np.ndarray]]:
    """What the network says of a crop about the image's middle, and its decoded vertices."""
    network = load_network(Path(file))
    assert isinstance(network, HandAutoencoder)
    focal = torch.tensor([crop.intrinsics[0, 0] / crop.side]).float()
    image = crop_inputs([crop], network.config.input_size, CPU).image
    with torch.no_grad():
        code = network(AutoencoderInputs(image, focal)).code
        assert code is not None
        decoder = HandDecoder(network.config)
        decoded = decoder(code, focal)
    values = {name: value[0].numpy() for name, value in vars(code).items() if value is not None}
    return decoder, {**values, "vertices": decoded.vertices[0].numpy()}


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_fit_alone_stores_what_s2hand_says(weights: dict[str, str], side: Side) -> None:
    """Pose, place, colours and light, of the mirrored image of a left hand."""
    engine = Engine(configured("s2hand", weights["s2hand"]))
    (image,) = images(side)
    (row,) = engine.fit([image])[0].hands
    assert row.valid and row.initialisation_source == "s2hand" and row.iterations == 0
    _, said = said_by(weights["s2hand"], image.crops[0])
    mirror = np.array([-1.0 if side == "left" else 1.0, 1, 1])
    vertices = engine.meshes.vertices(row) * mirror
    np.testing.assert_allclose(vertices * said["scale"], said["vertices"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(row.betas, said["betas"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(row.lighting, said["lighting"], rtol=0, atol=1e-6)
    mean = engine.refiner.model.appearance.vertex_colours(torch.zeros(1, 10))
    shown = srgb_from_linear(mean)[0].numpy() + row.vertex_colours
    np.testing.assert_allclose(shown, said["colours"], rtol=0, atol=1e-6)


def test_the_fit_alone_stores_what_zhaos_network_says(weights: dict[str, str]) -> None:
    engine = Engine(configured("zhao", weights["zhao"]))
    (image,) = images("right")
    (row,) = engine.fit([image])[0].hands
    assert row.valid and row.initialisation_source == "zhao" and row.lighting is None
    _, said = said_by(weights["zhao"], image.crops[0])
    np.testing.assert_allclose(row.appearance, said["appearance"], rtol=0, atol=1e-6)
    side = image.crops[0].side / image.crops[0].intrinsics[0, 0]
    mean_depth = row.keypoints_3d[:, 2].mean()
    np.testing.assert_allclose(1 / (side * mean_depth), said["scale"], rtol=1e-4)


def test_iterations_begin_there_and_a_stage_goes_on_from_the_looks(
    weights: dict[str, str],
) -> None:
    file = weights["s2hand"]
    begun = configured("s2hand", file, "fit.max_iterations=5")
    (row,) = Engine(begun).fit(images("right"))[0].hands
    assert row.initialisation_source == "s2hand" and row.iterations > 0
    moved = configured("s2hand", file, "refine.stages.refinement.iterations=2")
    (after,) = Engine(moved).fit(images("right"))[0].hands
    assert 0 < np.abs(after.vertex_colours - row.vertex_colours).max() < 0.3


def test_a_hand_without_a_crop_begins_as_without_networks(weights: dict[str, str]) -> None:
    bare = [replace(image, crops=(None,)) for image in images("right")]
    (row,) = Engine(configured("s2hand", weights["s2hand"])).fit(bare)[0].hands
    alone = load_config("s2hand", ["init.lifter=null", *STILL, "init.source=keypoints"])
    (other,) = Engine(alone).fit(bare)[0].hands
    assert row.initialisation_source == other.initialisation_source == "keypoints"
    np.testing.assert_array_equal(row.keypoints_3d, other.keypoints_3d)


@pytest.mark.parametrize("kind", ["mano", "nimble"])
def test_a_network_of_another_hand_model_begins_fits_of_it(tmp_path: Path, kind: str) -> None:
    """As it is where the fit has the same model, by its keypoints where it has the open hand."""
    source = nimble_folder() if kind == "nimble" else write_small_mano(tmp_path / "MANO_RIGHT.pkl")
    network = SMALL.model_copy(update={"hand_model": str(source)})
    file = written(tmp_path, network)
    posed = f"init.hand_model={source}"
    same = configured("s2hand", file, posed, f"model.name={kind}", f"model.path={source}")
    engine = Engine(same)
    (image,) = images("right")
    (row,) = engine.fit([image])[0].hands
    _, said = said_by(file, image.crops[0])
    vertices = engine.meshes.vertices(row) * said["scale"]
    np.testing.assert_allclose(vertices, said["vertices"], rtol=0, atol=1e-5)
    assert np.ptp(row.vertex_colours, 0).max() > 0
    (other,) = Engine(configured("s2hand", file, posed)).fit([image])[0].hands
    assert other.initialisation_source == "s2hand" and not other.vertex_colours.any()


def test_a_hand_of_several_views_begins_with_the_looks_of_one(weights: dict[str, str]) -> None:
    engine = Engine(configured("s2hand", weights["s2hand"]))
    rng = np.random.default_rng(7)
    sampled = SampledHands.of(engine.fit_model, 3, seed=3)

    def with_crop(view: DetectedImage) -> DetectedImage:
        picture = np.full((SIZE[1], SIZE[0], 3), rng.integers(0, 255, 3), np.uint8)
        return replace(
            view, crops=tuple(crop_hands(picture, view.intrinsics, view.hands, None, (128, 1.4)))
        )

    frames = [
        replace(frame, views=tuple(map(with_crop, frame.views)))
        for frame in frames_of(sampled, [stereo(rng, 0.1) for _ in range(3)], 2.0, rng)
    ]
    mean = engine.refiner.model.appearance.vertex_colours(torch.zeros(1, 10))
    for frame, found in zip(frames, engine.fit_frames(frames), strict=True):
        (row,) = found.hands
        assert row.initialisation_source == "s2hand"
        shown = srgb_from_linear(mean)[0].numpy() + row.vertex_colours
        said = [said_by(weights["s2hand"], view.crops[0])[1]["colours"] for view in frame.views]
        assert min(np.abs(shown - colours).max() for colours in said) < 1e-5
        assert np.abs(said[0] - said[1]).max() > 1e-4


def test_the_entry_points_are_the_offers() -> None:
    assert [point.name for point in network_points()] == ["init_net", "s2hand", "zhao", "wsim"]
    for name, offer in {"init_net": OFFER, "s2hand": S2HAND, "zhao": ZHAO, "wsim": WSIM}.items():
        assert load_offer(name) is offer
        assert offer.load() is OFFER.load()
    assert S2HAND.initialisations == ("s2hand", "lifter")
    assert ZHAO.initialisations == ("zhao", "lifter")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "train-hands" in scripts  # which the options' descriptions name


def test_masks_are_there_for_stages_that_compare_them(weights: dict[str, str]) -> None:
    """The segmentation beside the network, and no lifter unless it is asked for."""
    overrides = ["init.networks=s2hand", f"init.s2hand={weights['s2hand']}"]
    asked = [each.name for each in load_config(None, overrides).asked_networks]
    assert asked == ["s2hand", "segmentation"]
    with_prior = load_config("s2hand", [*overrides, "init.lifter=shipped"])
    assert [each.name for each in with_prior.asked_networks] == ["s2hand", "lifter"]
    network = load_initializer(load_config(None, overrides), CPU)
    assert network is not None and set(network.digests) == {"s2hand", "segmentation"}


class TestBadInput:
    def test_no_weights(self) -> None:
        config = load_config("s2hand", ["init.networks=s2hand"])
        with raises(
            "network.no_initialisation",
            file="init.source=network",
            known="init.s2hand or init.lifter",
        ):
            load_initializer(config, CPU)

    def test_weights_of_another_kind(self) -> None:
        file = weights_file("handnet")
        config = configured("zhao", str(file))
        facts = {"file": file, "expected": "autoencoder", "found": "handnet"}
        with raises("weights.other_network", **facts):
            load_initializer(config, CPU)

    def test_weights_of_the_other_papers_network(self, weights: dict[str, str]) -> None:
        for network, other in (("s2hand", "zhao"), ("zhao", "s2hand")):
            camera, found = CAMERAS[network], CAMERAS[other]
            facts = {"network": network, "expected": camera, "found": found, "other": other}
            with raises("weights.other_camera", file=Path(weights[other]), **facts):
                load_initializer(configured(network, weights[other]), CPU)

    def test_no_file(self, tmp_path: Path) -> None:
        with raises("weights.missing", file=tmp_path / "none.safetensors"):
            load_initializer(configured("s2hand", str(tmp_path / "none.safetensors")), CPU)

    def test_another_margin(self, weights: dict[str, str]) -> None:
        config = configured("s2hand", weights["s2hand"], "refine.margin=1.6")
        facts = {"file": Path(weights["s2hand"]), "expected": 1.4, "found": 1.6}
        with raises("network.other_margin", **facts):
            load_initializer(config, CPU)

    def test_a_hand_model_that_is_not_there(self, tmp_path: Path) -> None:
        mano = write_small_mano(tmp_path / "MANO_RIGHT.pkl")
        file = written(tmp_path, SMALL.model_copy(update={"hand_model": str(mano)}))
        expected = current_hand_model(10, str(mano))
        here = configured("s2hand", file, f"init.hand_model={mano}")
        assert load_initializer(here, CPU) is not None
        nowhere = tmp_path / "none"
        config = configured("s2hand", file, f"init.hand_model={nowhere}")
        facts = {"file": Path(file), "expected": expected, "found": str(nowhere)}
        with raises("weights.no_hand_model", **facts):
            load_initializer(config, CPU)

    def test_a_nimble_folder_of_another_layout(self, tmp_path: Path) -> None:
        network = ZHAOS.model_copy(update={"hand_model": str(nimble_folder())})
        file = written(tmp_path, network)
        folder = copied(tmp_path / "nimble")
        same = configured("zhao", file, f"init.hand_model={folder}")
        assert load_initializer(same, CPU) is not None
        layout = content(folder, DICT_FILE)
        del layout["skin_f"]
        changed = rewritten(folder, DICT_FILE, layout)
        config = configured("zhao", file, f"init.hand_model={folder}")
        with pytest.raises(InputError) as error:
            load_initializer(config, CPU)
        assert error.value.code == "model.keys_missing" and error.value.facts["file"] == changed
        assert "\n" not in str(error.value)

    def test_options_of_other_networks(self) -> None:
        for given, asked, expected in (
            ("init.handnet=shipped", "s2hand", "init_net"),
            ("init.s2hand=mine", "init_net", "s2hand"),
            ("init.zhao=mine", "s2hand", "zhao"),
        ):
            option, _, _ = given.partition("=")
            with raises("network.of_others", file=option, expected=expected, found=asked):
                load_config(None, [f"init.networks={asked}", given])
        with pytest.raises(
            InputError, match=r"unknown option 'init.s3hand'; did you mean 's2hand'"
        ):
            load_config("s2hand", ["init.networks=s2hand", "init.s3hand=mine"])

    def test_none_ship(self) -> None:
        with raises("network.not_shipped", file="init.s2hand"):
            load_initializer(configured("s2hand", "shipped"), CPU)

    @pytest.mark.parametrize("name", ["s2hand", "zhao"])
    def test_masks_of_a_handnet_that_there_is_not(self, name: str) -> None:
        """The word is one of the other offer."""
        with raises(
            "network.no_handnet_beside", file="--set init.segmentation=handnet: init.segmentation"
        ):
            load_config(None, [f"init.networks={name}", "init.segmentation=handnet"])
