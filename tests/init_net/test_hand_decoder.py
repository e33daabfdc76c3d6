"""`HandDecoder` against the printed formulas, with each hand model, and hands that cannot be."""

from dataclasses import fields, replace

import numpy as np
import pytest
import roma
import torch

from fitter.colours import srgb_from_linear
from fitter.hand_models import KeypointDefinition, load_hand_model
from fitter.hand_models.appearance_loading import load_appearance
from fitter.raster import rasterize
from fitter.records import HandParams
from init_net.hand_decoder import HandDecoder
from init_net.networks.config import AutoencoderConfig
from init_net.view_frame import view_camera
from tests.support.autoencoder_cases import focal_lengths, hand_codes
from tests.support.errors import raises
from tests.support.mano_files import fabricate, write_plain
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import write_small_mano

CAMERAS = ("perspective", "orthographic")
FOCAL = {"perspective": "predicted", "orthographic": "given"}


def config_of(**options):
    return AutoencoderConfig(**{"pose_components": 12, "appearance": "none", **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=["open_hand", "mano", "nimble"])
def source(request, folder):
    """A hand model of each kind, as an option names it."""
    match request.param:
        case "mano":
            return str(write_small_mano(folder / "MANO_RIGHT.pkl"))
        case "nimble":
            return str(nimble_folder())
    return "open_hand"


def posed(model, code):
    """M0 R, marks and joints, of the model itself, relative to the wrist keypoint: turned by rows
    that are multiplied from behind, as printed."""
    pose = model.pose_from_pca(code.pose, flat_hand_mean=False)
    rest = HandParams(
        torch.zeros_like(code.transl), pose, code.betas, torch.zeros_like(code.transl)
    )
    mesh = model(rest)
    joints = KeypointDefinition.of(model, "mano").keypoints(rest)
    behind = roma.rotvec_to_rotmat(code.global_orient).mT
    return [
        (each - mesh.keypoints[:, :1]) @ behind for each in (mesh.vertices, mesh.keypoints, joints)
    ]


def assert_near(found, expected, atol=1e-6):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


class TestPrintedFormulas:
    @pytest.mark.parametrize("focal", ["given", "predicted"])
    def test_s2hand_3_2_and_3_3(self, source, focal):
        """M = s M0 R + T, J = s J0 R + T, J_pro = Pi(J)."""
        config = config_of(hand_model=source, focal=focal)
        code, lengths = hand_codes(config), focal_lengths()
        found = HandDecoder(config).double()(code, lengths)
        model = load_hand_model(source, dtype=torch.float64)
        K = torch.zeros(3, 3, 3, dtype=torch.float64)
        K[:, 0, 0] = K[:, 1, 1] = lengths * code.log_focal.exp()
        K[:, 2, 2] = 1
        names = [("vertices", None), ("keypoints", "keypoints_2d"), ("joints", "joints_2d")]
        for (name, seen), rest in zip(names, posed(model, code), strict=True):
            expected = code.scale[:, None, None] * rest + code.transl[:, None]
            assert_near(getattr(found, name), expected)
            image = expected @ K.mT
            image = image[..., :2] / image[..., 2:]
            assert_near(
                found.screen[..., :2] if seen is None else getattr(found, seen), image, 2e-6
            )
        assert_near(found.screen[..., 2], found.vertices[..., 2], 0)

    def test_by_the_crops_own_camera(self, source):
        """Any 3 x 3 in the place of that of the view frame; depths are along its third row."""
        config = config_of(hand_model=source, focal="predicted")
        code, lengths = hand_codes(config), focal_lengths()
        turn = roma.rotvec_to_rotmat(torch.tensor([[0.3, -0.2, 0.1]] * 3).double())
        K = view_camera(lengths)
        K[:, :2, 2] = torch.tensor([0.4, -0.7])
        decoder = HandDecoder(config).double()
        found = decoder(code, lengths, K @ turn)
        own = torch.stack([code.log_focal.exp()] * 2 + [torch.ones(3)], -1)[..., None]
        for name, seen in (("vertices", found.screen), ("keypoints", found.keypoints_2d)):
            image = getattr(found, name) @ (own * (K @ turn)).mT
            assert_near(seen[..., :2], image[..., :2] / image[..., 2:], 2e-6)
        assert_near(found.screen[..., 2], (found.vertices @ turn.mT)[..., 2])
        for k, points in enumerate((found.keypoints, found.joints)):
            assert_near(found.wrists[:, k], (points[:, 0, None] @ turn.mT)[:, 0, 2])
        # In space it is the same hand.
        assert_near(found.vertices, decoder(code, lengths).vertices, 0)

    def test_zhao_3_3(self, source):
        """J_2d = s Pi(J0 R) + t, with Pi leaving z away."""
        config = config_of(hand_model=source, camera="orthographic")
        code, lengths = hand_codes(config), focal_lengths()
        found = HandDecoder(config).double()(code, lengths)
        rest = posed(load_hand_model(source, dtype=torch.float64), code)
        for name, expected in zip(("vertices", "keypoints", "joints"), rest, strict=True):
            assert_near(getattr(found, name), expected)
        scale = code.scale[:, None, None]
        flat = [scale * each[..., :2] + code.transl[:, None, :2] for each in rest]
        assert_near(found.keypoints_2d, flat[1], 5e-6)
        assert_near(found.joints_2d, flat[2], 5e-6)
        assert_near(found.screen[..., :2], flat[0], 5e-6)
        assert_near(found.wrists, lengths[:, None] / code.scale[:, None] + torch.stack(
            [found.keypoints[:, 0, 2], found.joints[:, 0, 2]], 1))  # fmt: skip
        # There the given focal length has a metre at the wrist as large as s.
        assert_near(lengths / code.scale, (found.screen - found.vertices)[:, 0, 2])

    def test_the_wrist_keypoint_stands_where_t_says(self, source):
        for camera in CAMERAS:
            config = config_of(hand_model=source, camera=camera)
            code = hand_codes(config)
            found = HandDecoder(config).double()(code, focal_lengths())
            if camera == "perspective":
                assert_near(found.keypoints[:, 0], code.transl, 1e-12)
            else:
                assert_near(found.keypoints_2d[:, 0], code.transl[:, :2], 1e-12)


class TestHandModels:
    def test_mano_is_the_layer(self, tmp_path):
        """With pose blend shapes, a mean pose and all components; a hand of its own size."""
        file = write_plain(tmp_path / "MANO_RIGHT.pkl", fabricate())
        config = config_of(hand_model=str(file), pose_components=45)
        code = hand_codes(config)
        code = replace(code, scale=torch.ones_like(code.scale))
        found = HandDecoder(config).double()(code, focal_lengths())
        model = load_hand_model(file, dtype=torch.float64)
        pose = model.pose_from_pca(code.pose, flat_hand_mean=False)
        mesh = model(HandParams(code.global_orient, pose, code.betas, code.transl))
        shift = code.transl[:, None] - mesh.keypoints[:, :1]
        assert_near(found.vertices, mesh.vertices + shift)
        assert_near(found.keypoints, mesh.keypoints + shift)
        # A detector's marks are not known of MANO: they are its joints.
        assert_near(found.joints, found.keypoints)

    def test_open_hand_has_marks_beside_its_joints(self):
        config = config_of()
        found = HandDecoder(config).double()(hand_codes(config), focal_lengths())
        apart = (found.keypoints - found.joints).norm(dim=-1)
        offsets = load_hand_model().keypoint_offsets.norm(dim=-1)
        scale = hand_codes(config).scale
        assert_near(apart.sort(1).values, scale[:, None] * offsets.double().sort().values, 1e-7)

    def test_nimble_has_combinations_of_its_skin(self):
        config = config_of(hand_model=str(nimble_folder()))
        decoder = HandDecoder(config).double()
        found = decoder(hand_codes(config), focal_lengths())
        regressor = torch.tensor(decoder.model.data.keypoint_regressor)
        assert_near(found.keypoints, regressor @ found.vertices)
        assert_near(found.joints, found.keypoints)

    def test_children_are_posed_by_the_shapes_that_they_need(self):
        adults = load_hand_model().shapedirs.shape[2]
        every = load_hand_model(children=True).shapedirs.shape[2]
        config = config_of(betas=every)
        assert HandDecoder(config).model.shapedirs.shape[2] == every > adults

    @pytest.mark.parametrize(
        ("option", "wanted"),
        [("pose_components", 46), ("betas", 99), ("appearance_components", 11)],
    )
    def test_more_coefficients_than_components_are_refused(self, option, wanted):
        config = config_of(appearance="components", **{option: wanted})
        with raises("network.few_components", file=f"network.{option}", found=wanted):
            HandDecoder(config).appearance  # noqa: B018

    def test_no_such_model(self, tmp_path):
        with raises("model.unknown", file=str(tmp_path / "MANO_RIGHT.pkl")):
            HandDecoder(config_of(hand_model=str(tmp_path / "MANO_RIGHT.pkl")))


class TestBatches:
    @pytest.mark.parametrize("camera", CAMERAS)
    def test_batch_of_n_is_n_of_one(self, source, camera):
        config = config_of(hand_model=source, camera=camera)
        decoder, code, focal = HandDecoder(config).double(), hand_codes(config), focal_lengths()
        whole = decoder(code, focal)
        for hand in range(3):
            alone = decoder(code[hand : hand + 1], focal[hand : hand + 1])
            for field in fields(whole):
                found, expected = getattr(alone, field.name)[0], getattr(whole, field.name)[hand]
                assert_near(found, expected, 1e-13)

    @pytest.mark.parametrize("camera", CAMERAS)
    def test_no_hand_at_all(self, camera):
        config = config_of(camera=camera)
        found = HandDecoder(config).double()(hand_codes(config)[:0], focal_lengths()[:0])
        assert found.vertices.shape[0] == 0 and found.screen.shape[0] == 0

    def test_nothing_is_stored_or_learned(self):
        decoder = HandDecoder(config_of())
        assert not decoder.state_dict() and not list(decoder.parameters())

    def test_halves_do_not_reach_it(self):
        config = config_of()
        decoder, code = HandDecoder(config), hand_codes(config).to(torch.float32)
        focal = focal_lengths().float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = decoder(code, focal)
        torch.testing.assert_close(found.vertices, decoder(code, focal).vertices, rtol=0, atol=0)


class TestGradients:
    @pytest.mark.parametrize("camera", CAMERAS)
    @pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, np.pi - 1e-6, np.pi])
    def test_against_differences(self, camera, angle):
        config = config_of(camera=camera, focal=FOCAL[camera], pose_components=2, betas=2)
        decoder, code, focal = HandDecoder(config).double(), hand_codes(config, 2), focal_lengths(2)
        axes = torch.nn.functional.normalize(code.global_orient, dim=-1)
        code = replace(code, global_orient=angle * axes)
        names = ["pose", "betas", "scale", "global_orient", "transl", "log_focal"]
        directions = torch.randn(
            5, decoder.model.v_template.numel(), generator=torch.Generator().manual_seed(3)
        ).double()

        def decoded(focal, *values):
            found = decoder(replace(code, **dict(zip(names, values, strict=True))), focal)
            meshes = [found.vertices.flatten(1), found.screen.flatten(1)]
            points = (found.keypoints, found.joints, found.keypoints_2d, found.joints_2d)
            return (*(each @ directions.T for each in meshes), *points)

        inputs = [focal, *(getattr(code, name) for name in names)]
        inputs = [each.clone().requires_grad_() for each in inputs]
        assert torch.autograd.gradcheck(decoded, inputs, atol=1e-4, rtol=1e-4)


class TestHandsThatCannotBe:
    @pytest.mark.parametrize("camera", CAMERAS)
    @pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
    @pytest.mark.parametrize("name", ["pose", "scale", "global_orient", "transl", "log_focal"])
    def test_neighbours_do_not_see_them(self, camera, value, name):
        config = config_of(camera=camera)
        decoder, code, focal = HandDecoder(config).double(), hand_codes(config), focal_lengths()
        bad = getattr(code, name).clone()
        bad.view(3, -1)[1, 0] = value
        codes = {}
        for key, kept in (("bad", replace(code, **{name: bad})), ("good", code)):
            codes[key] = kept.map(lambda field: field.clone().requires_grad_())
            found = decoder(codes[key], focal)
            drawn = rasterize(_pixels(found.screen), decoder.topology, (32, 32))
            (found.keypoints_2d[[0, 2]].sum() + found.vertices[[0, 2]].sum()).backward(
                retain_graph=True
            )
            (drawn.depth.sum() + drawn.barycentrics.square().sum()).backward()
            if key == "bad":
                assert found.vertices[1].isnan().all() and found.keypoints_2d[1].isnan().all()
                assert found.screen.isfinite().all() and (found.screen[..., 2] > 0).all()
                assert not drawn.mask[1].any() and drawn.mask[[0, 2]].any((1, 2)).all()
        for field in ("pose", "betas", "scale", "global_orient", "transl"):
            found, expected = (getattr(codes[key], field).grad for key in ("bad", "good"))
            assert torch.equal(found[[0, 2]], expected[[0, 2]])
            assert not found[1].any()

    def test_behind_the_camera(self):
        config = config_of()
        decoder, code = HandDecoder(config).double(), hand_codes(config)
        place = code.transl.clone()
        place[1, 2] = -0.5
        place[2, 2] = 0.02  # half of it
        code = replace(code, transl=place).map(lambda field: field.clone().requires_grad_())
        found = decoder(code, focal_lengths())
        for field in fields(found):
            assert getattr(found, field.name).isfinite().all()
        assert (found.screen[..., 2] > 0).all() and found.keypoints[1, 0, 2] < 0
        drawn = rasterize(_pixels(found.screen), decoder.topology, (32, 32))
        assert drawn.mask[0].any() and not drawn.mask[1].any()
        (found.keypoints_2d.square().sum() + drawn.depth.sum()).backward()
        assert code.transl.grad.isfinite().all() and code.transl.grad[1].any()


class TestColours:
    def test_a_colour_a_vertex_is_given_as_it_is(self):
        config = config_of(appearance="vertex_colours")
        decoder = HandDecoder(config).double()
        code = hand_codes(config, vertices=len(decoder.model.v_template))
        assert torch.equal(decoder.colours(code), code.colours)

    def test_coefficients_are_of_the_models_skin(self, source):
        config = config_of(hand_model=source, appearance="components", appearance_components=2)
        decoder, code = HandDecoder(config).double(), hand_codes(config)
        skin = load_appearance(decoder.model.data).to(torch.float64)
        every = torch.zeros(3, skin.count, dtype=torch.float64)
        every[:, :2] = code.appearance
        found = decoder.colours(code)
        assert found.shape == (3, len(decoder.model.v_template), 3)
        assert_near(found, srgb_from_linear(skin.vertex_colours(every)), 1e-12)
        assert_near(decoder.maps(code, 8).diffuse, skin.maps(every, 8).diffuse, 1e-12)

    def test_the_mean_skin_where_nothing_is_said(self, source):
        decoder = HandDecoder(config_of(hand_model=source)).double()
        code = hand_codes(decoder.config)
        mean = decoder.appearance.vertex_colours(torch.zeros(1, decoder.appearance.count).double())
        assert_near(decoder.colours(code), srgb_from_linear(mean).expand(3, -1, -1), 1e-12)

    def test_faces_lie_in_the_texture(self, source):
        decoder = HandDecoder(config_of(hand_model=source))
        assert decoder.texture_faces.uv_faces.shape == decoder.faces.shape

    def test_what_was_asked_for_moves_along(self):
        decoder = HandDecoder(config_of())
        before = decoder.appearance.vertex_colours(torch.zeros(1, decoder.appearance.count))
        code = hand_codes(decoder.config)
        assert before.dtype == torch.float32
        assert decoder.double().colours(code).dtype == torch.float64


def _pixels(screen):
    """Crop units about the middle to pixels of a crop of 32."""
    middle = screen.new_tensor([16, 16, 0])
    return screen * screen.new_tensor([32, 32, 1]) + middle
