"""NIMBLE's layer against the published equations in plain loops, its mirror, its gradients."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fitter.hand_models import load_hand_model, load_open_hand
from fitter.hand_models.nimble import Nimble
from fitter.hand_models.nimble.collision import inside_meshes
from fitter.hand_models.nimble.files import DICT_FILE, TEXTURE_FILE, VREG_FILE
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams
from tests.support.nimble_files import content, nimble_folder
from tests.support.slopes import assert_slopes

BONE_OF_JOINT = {1: 1, 2: 2, 3: 3, 5: 4, 6: 5, 7: 6, 8: 7, 10: 8, 11: 9, 12: 10, 13: 11,
                 15: 12, 16: 13, 17: 14, 18: 15, 20: 16, 21: 17, 22: 18, 23: 19}  # fmt: skip
"""NIMBLE's published tables: the joint of each of its 19 bones that rotate beside the root."""
PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 8, 0, 10, 11, 12, 13, 0, 15, 16, 17, 18, 0, 20, 21, 22, 23)


@pytest.fixture(scope="module")
def hand():
    return Nimble.load(nimble_folder(), dtype=torch.float64)


def random_hand(hand, batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    pose = hand.pose_from_components(normal(batch, 30))
    return HandParams(normal(batch, 3), pose, normal(batch, 20), 0.1 * normal(batch, 3))


class Published:
    """The layer as its paper and its tables have it, one hand, from the file, in millimetres."""

    def __init__(self, folder):
        self.c = content(folder, DICT_FILE)

    def __call__(self, theta, root, beta):
        """(V, 3) vertices and (25, 3) joints of coefficients and a root rotation."""
        c = {k: np.float64(v) for k, v in self.c.items() if isinstance(v, np.ndarray)}
        real = beta * c["shape_pm_std"][:20] + c["shape_pm_mean"][:20]
        shaped = c["vert"].copy()
        for k in range(20):
            shaped += real[k] * c["shape_basis"][k].reshape(-1, 3)
        joints = c["jreg_bone"] @ shaped[: self.c["bone_v_sep"]]
        coefficients = theta * c["pose_pm_std"][:30] + c["pose_pm_mean"][:30]
        angles = (coefficients @ c["pose_basis"][:30] + c["pose_mean"]).reshape(19, 3)
        rotations = Rotation.from_rotvec(angles).as_matrix()
        feature = (rotations - np.eye(3)).ravel()
        blended = shaped + c["all_pbs"] @ feature
        chain = []
        for joint in range(25):
            local = np.eye(4)
            if joint == 0:
                local[:3, :3] = Rotation.from_rotvec(root).as_matrix()
            elif joint in BONE_OF_JOINT:
                local[:3, :3] = rotations[BONE_OF_JOINT[joint] - 1]
            parent = PARENTS[joint]
            local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
            chain.append(local if joint == 0 else chain[parent] @ local)
        posed = np.zeros_like(blended)
        for joint in range(25):
            own = chain[joint].copy()
            own[:3, 3] -= own[:3, :3] @ joints[joint]
            moved = blended @ own[:3, :3].T + own[:3, 3]
            posed += c["all_sw"][:, joint : joint + 1] * moved
        return posed, np.stack([own[:3, 3] for own in chain])


class TestEquations:
    def test_skeleton_is_the_published_one(self):
        assert NIMBLE_SKELETON.parents == PARENTS
        assert NIMBLE_SKELETON.rotating == tuple(BONE_OF_JOINT)

    def test_plain_loops_say_the_same(self, hand):
        published = Published(nimble_folder())
        rng = np.random.default_rng(0)
        theta, root, beta = (
            rng.normal(size=(4, 30)),
            rng.normal(size=(4, 3)),
            rng.normal(size=(4, 20)),
        )
        params = HandParams(
            torch.from_numpy(root),
            hand.pose_from_components(torch.from_numpy(theta)),
            torch.from_numpy(beta),
            torch.zeros(4, 3, dtype=torch.float64),
        )
        mesh = hand(params, separated=False)
        for one in range(4):
            vertices, joints = published(theta[one], root[one], beta[one])
            ours = torch.cat([mesh.bones[one], mesh.muscles[one], mesh.skin[one]])
            np.testing.assert_allclose(ours.numpy(), vertices / 1000, atol=5e-8)
            np.testing.assert_allclose(mesh.joints[one].numpy(), joints / 1000, atol=5e-8)

    def test_fewer_components_are_the_first(self, hand):
        generator = torch.Generator().manual_seed(1)
        few = torch.randn(2, 12, generator=generator, dtype=torch.float64)
        whole = torch.cat([few, few.new_zeros(2, 18)], 1)
        assert hand.pose_from_components(few).equal(hand.pose_from_components(whole))

    def test_skin_is_what_is_fitted(self, hand):
        """The layer's skin and keypoints are those of the hand model."""
        model = load_hand_model(nimble_folder(), dtype=torch.float64)
        params = random_hand(hand)
        mesh, fitted = hand(params, separated=False), model(params)
        torch.testing.assert_close(fitted.vertices, mesh.skin, rtol=0, atol=1e-12)
        torch.testing.assert_close(fitted.joints, mesh.joints, rtol=0, atol=1e-12)
        torch.testing.assert_close(fitted.keypoints, mesh.keypoints, rtol=0, atol=1e-12)

    def test_rig_of_manos_joints_is_the_open_hand(self):
        """Without a shift of the rig and without pose blend shapes the skin moves as the open
        hand's does: weights, joints and pose space are carried over rightly."""
        model = load_hand_model(nimble_folder(shift=0.0, blend=0.0), dtype=torch.float64)
        other = HandModel(load_open_hand(keypoint_offsets=False), torch.float64)
        rng = np.random.default_rng(2)
        pose = torch.from_numpy(rng.normal(0, 0.4, (3, 15, 3)))
        wide = torch.zeros(3, 19, 3, dtype=torch.float64)
        wide[:, model.skeleton.finger_rows] = pose
        root, transl = torch.from_numpy(rng.normal(size=(2, 3, 3)))
        zero = torch.zeros(3, 10, dtype=torch.float64)
        skin = model(HandParams(root, wide, zero, transl))
        truth = other(HandParams(root, pose, zero, transl))
        tips = list(other.data.tip_vertices)
        torch.testing.assert_close(
            skin.vertices[:, list(model.data.tip_vertices)], truth.vertices[:, tips],
            rtol=0, atol=2e-6,
        )  # fmt: skip
        nearest = torch.cdist(skin.vertices[:, hand_surface(model)], truth.vertices).amin(-1)
        assert nearest.quantile(0.9) < 2e-6


def hand_surface(model):
    return torch.from_numpy(np.unique(model.data.faces))


class TestLayer:
    def test_shapes(self, hand):
        mesh = hand(random_hand(hand))
        stored = content(nimble_folder(), DICT_FILE)
        bone, first = stored["bone_v_sep"], stored["skin_v_sep"]
        whole = len(stored["vert"])
        assert mesh.bones.shape == (3, bone, 3) and mesh.muscles.shape == (3, first - bone, 3)
        assert mesh.skin.shape == (3, whole - first, 3) and mesh.joints.shape == (3, 25, 3)
        assert hand.to_mano(mesh.skin).shape == (3, 778, 3)
        assert hand.textures.image(torch.zeros(3, 10)).shape == (3, 48, 48, 9)

    def test_the_root_turns_the_hand_about_the_wrist(self, hand):
        """The public demo fixes the root at zero."""
        params = random_hand(hand)
        still = HandParams(
            torch.zeros(3, 3).double(), params.hand_pose, params.betas, params.transl
        )
        turned, upright = hand(params), hand(still)
        rotation = torch.from_numpy(Rotation.from_rotvec(params.global_orient.numpy()).as_matrix())
        wrist = upright.joints[:, :1]
        expected = (upright.muscles - wrist) @ rotation.mT + wrist
        torch.testing.assert_close(turned.muscles, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(turned.joints[:, 0], wrist[:, 0], rtol=0, atol=1e-12)

    def test_collision_gets_shallower(self, hand):
        params = random_hand(hand, batch=24, seed=5)
        before, after = hand(params, separated=False), hand(params)
        again = hand.separate(after)
        assert (after.depth > 0).sum() > 20
        assert again.depth.sum() < 0.35 * after.depth.sum()
        inside = inside_meshes(before.skin, before.muscles, hand.muscle_faces) & hand.surface
        assert torch.equal(after.depth > 0, inside)
        untouched = before.depth is None and torch.equal(before.muscles, after.muscles)
        assert untouched and torch.equal(before.keypoints, after.keypoints)

    def test_nothing_collides_at_rest(self, hand):
        zero = torch.zeros(1, 3, dtype=torch.float64)
        rest = HandParams(zero, zero.new_zeros(1, 19, 3), zero.new_zeros(1, 20), zero)
        assert not hand(rest).depth.any()

    def test_gradients(self, hand):
        params = random_hand(hand, batch=2, seed=5)
        names = ("global_orient", "hand_pose", "betas", "transl")
        leaves = [getattr(params, name).clone().requires_grad_() for name in names]
        generator = torch.Generator().manual_seed(3)

        def loss(*fields):
            mesh = hand(HandParams(*fields))
            parts = (mesh.skin, mesh.muscles, mesh.bones, mesh.joints, mesh.keypoints)
            return sum((index + 1) * part.square().sum() for index, part in enumerate(parts))

        assert_slopes(loss, leaves, generator, step=1e-7, atol=1e-5)

    def test_mirrored_model_is_the_left_hand(self, hand):
        right = load_hand_model(nimble_folder(), dtype=torch.float64)
        left = load_hand_model(nimble_folder(), "left", dtype=torch.float64)
        params = random_hand(hand)
        flip = torch.tensor([-1.0, 1, 1], dtype=torch.float64)
        ours, theirs = right(params), left(params.mirrored())
        assert (left.data.side, left.data.name) == ("left", "nimble")
        for name in ("vertices", "joints", "keypoints"):
            torch.testing.assert_close(
                getattr(theirs, name) * flip, getattr(ours, name), rtol=0, atol=1e-12
            )

    def test_map_to_mano(self, hand):
        stored = content(nimble_folder(), VREG_FILE)
        mesh = hand(random_hand(hand))
        faces = content(nimble_folder(), DICT_FILE)["skin_f"]
        corners = mesh.skin[1].numpy()[faces[stored["lmk_faces_idx"]]]
        each = np.einsum("rmk,rmkc->rmc", stored["lmk_bary_coords"], corners)
        np.testing.assert_allclose(hand.to_mano(mesh.skin)[1].numpy(), each.mean(0), atol=1e-8)

    def test_textures_are_clamped_and_linear_between(self, hand):
        stored = content(nimble_folder(), TEXTURE_FILE)
        rng = np.random.default_rng(4)
        alpha = np.float32(rng.normal(size=(2, 10)))
        image = hand.textures.image(torch.from_numpy(alpha)).numpy()
        wild = hand.textures.image(torch.tensor([[30.0], [-30.0]]).expand(2, 10))
        assert wild.min() == 0 and wild.max() == 1
        for first, name in ((0, "diffuse"), (6, "spec")):
            part = stored[name]
            flat = part["mean"][0] + (alpha * part["std"]) @ part["basis"].T
            expected = np.clip(flat, 0, 1).reshape(2, 48, 48, 3)[..., ::-1]
            np.testing.assert_allclose(image[..., first : first + 3], expected, atol=1e-5)

    def test_no_licensed_array_in_a_state(self, hand):
        assert not hand.state_dict()
