"""The synthetic engine: what it renders is what it says, and depends on (seed, index) alone."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from datasets.keypoint_states import OCCLUDED, OUTSIDE, SELF_OCCLUDED
from datasets.poses.finger_contact import overlap
from datasets.poses.sampler import pose_modes, sample_mode_angles
from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.object_meshes import grown
from datasets.synthetic.records import (
    BACKGROUND,
    HAND,
    OBJECT,
    OTHER_HAND,
)
from fitter.camera import SquareCrop, project, to_crop
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomical_angles, anatomy_of
from fitter.raster import rasterize
from fitter.records import TensorBatch
from tests.support.synthetic_checks import found_hands, penetration

SIZE = 96
SEED = 11


@pytest.fixture(scope="module")
def engine():
    return SyntheticEngine(SIZE)


@pytest.fixture(scope="module")
def specs(engine):
    return engine.sample(SEED, range(48))


@pytest.fixture(scope="module")
def batch(engine, specs):
    return engine.render(specs)


def same(first, second) -> bool:
    if isinstance(first, TensorBatch):
        pairs = [(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)]
        return all(same(one, other) for one, other in pairs)
    return first.dtype == second.dtype and torch.equal(first, second)


class TestDeterminism:
    def test_specs_do_not_depend_on_the_batch(self, engine, specs):
        few = engine.sample(SEED, [40, 3, 17])
        assert same(few, specs[torch.tensor([40, 3, 17])])

    @pytest.mark.parametrize("size", [1, 3, 7])
    def test_pictures_do_not_depend_on_the_batch(self, engine, specs, batch, size):
        for start in range(0, 21, size):
            part = engine.render(specs[start : start + size])
            assert same(part, batch[start : start + size])

    def test_another_seed_is_another_sample(self, engine, batch):
        other = engine.batch(SEED + 1, [0])
        assert not torch.equal(other.image, batch.image[:1])

    def test_shares_leave_the_hand_as_it_is(self, engine, batch):
        plain = SyntheticEngine(SIZE, SyntheticSettings.unoccluded()).batch(SEED, range(8))
        assert torch.equal(plain.keypoints_3d, batch.keypoints_3d[:8])
        assert not plain.specs.objects.present.any() and not plain.specs.second.present.any()
        assert not ((plain.parts == OBJECT) | (plain.parts == OTHER_HAND)).any()


class TestCamera:
    def test_intrinsics_are_those_of_the_crop(self, batch):
        view = batch.specs.view
        crop = SquareCrop(view.centre, view.side, SIZE)
        expected = to_crop(project(batch.keypoints_3d, view.intrinsics), crop)
        assert torch.allclose(batch.keypoints_2d, expected, atol=1e-6)
        assert torch.allclose(project(batch.keypoints_3d, batch.intrinsics), expected, atol=1e-6)

    def test_the_hand_is_in_the_picture_and_not_in_its_middle(self, batch):
        inside = ((batch.keypoints_2d > 0) & (batch.keypoints_2d < SIZE)).all(-1)
        assert inside.all()
        middle = 0.5 * (batch.keypoints_2d.amin(1) + batch.keypoints_2d.amax(1)) / SIZE
        assert middle.std(0).min() > 0.03

    def test_both_views(self, batch):
        assert 0.2 < batch.specs.view.egocentric.float().mean() < 0.7


class TestTruth:
    def test_mask_is_the_coverage_of_the_hand(self, batch):
        """Where nothing but the hand model's own mesh is sampled, it covers what the mask says."""
        model = load_hand_model()
        K = batch.intrinsics
        screen = torch.cat([project(batch.vertices, K), batch.vertices[..., 2:]], -1).float()
        alone = rasterize(screen, model.faces, (SIZE, SIZE))
        # Forearm, sleeve, objects and other hands may lie in front, and the mesh's closed wrist
        # inside the forearm.
        assert not (batch.mask > 0.99)[~_grown(alone.mask)].any()
        free = alone.mask & ((batch.parts == HAND) | (batch.parts == BACKGROUND))
        shown = (batch.mask > 0.5) == alone.mask
        assert shown[free].float().mean() > 0.97
        whole = free & ~_grown(~alone.mask)
        assert (batch.mask[whole] > 0.99).float().mean() > 0.99

    def test_depth_is_that_of_the_surface(self, batch):
        seen = batch.depth > 0
        assert torch.equal(seen, seen & torch.isfinite(batch.depth))
        assert (batch.depth[batch.parts == HAND] > 0).all()
        low, high = batch.vertices[..., 2].amin(1), batch.vertices[..., 2].amax(1)
        for row in range(len(batch.depth)):
            own = batch.depth[row][batch.mask[row] > 0.99]
            assert own.min() >= low[row] - 1e-4 and own.max() <= high[row] + 1e-4

    def test_visible_keypoints_lie_on_the_hand(self, batch):
        place = batch.keypoints_2d.floor().long().clamp(0, SIZE - 1)
        rows = torch.arange(len(place))[:, None]
        part = batch.parts[rows, place[..., 1], place[..., 0]].long()
        depth = batch.depth[rows, place[..., 1], place[..., 0]]
        # At the outline a keypoint may fall on the pixel beside the hand.
        assert ((part == HAND) | (part == BACKGROUND))[batch.visible].float().mean() > 0.95
        assert (part == HAND)[batch.visible].float().mean() > 0.9
        nearer = batch.keypoints_3d[..., 2] - depth
        assert nearer[batch.visible & (part == HAND)].quantile(0.98) < 0.03
        hidden = batch.keypoint_state == SELF_OCCLUDED
        assert hidden.float().mean() > 0.03
        assert (nearer[hidden] > 0.003).float().mean() > 0.95
        assert not (batch.keypoint_state == OUTSIDE).any()

    def test_occlusion_needs_something_in_front(self, engine):
        settings = SyntheticSettings(
            object_share=0.0, occluder_share=1.0, second_hand_share=0.0, bare_share=1.0
        )
        hidden = SyntheticEngine(SIZE, settings).batch(3, range(24))
        plain = SyntheticEngine(SIZE, SyntheticSettings.unoccluded()).batch(3, range(24))
        states = (hidden.keypoint_state == OCCLUDED).any(1)
        assert states.float().mean() > 0.4
        assert (hidden.specs.objects.present[:, 1] | ~states).all()
        covers = (hidden.parts == OBJECT).flatten(1).any(1)
        assert (covers | ~states).all()
        sleeved = plain.keypoint_state == OCCLUDED
        assert not sleeved[:, 1:].any()

    def test_visible_states_are_rarely_all_or_nothing(self, batch):
        assert 0.4 < batch.visible.float().mean() < 0.97


def _grown(mask: torch.Tensor) -> torch.Tensor:
    """Pixels (B, S, S) that are set or touch one that is."""
    return torch.nn.functional.max_pool2d(mask[:, None].float(), 3, 1, 1)[:, 0] > 0


class TestPoses:
    def test_angles_are_in_the_limits(self, batch):
        anatomy = anatomy_of(load_hand_model().data)
        angles = anatomical_angles(batch.specs.hand.hand_pose, anatomy.axes).numpy()
        assert np.all(angles >= anatomy.lower - 1e-6) and np.all(angles <= anatomy.upper + 1e-6)

    def test_modes_keep_their_shares(self, engine):
        """Modes whose fingers touch are turned down more often, and yet are as many."""
        sampled = engine.sample(5, range(300)).mode.numpy()
        for row, (name, share) in enumerate(pose_modes().items()):
            std = np.sqrt(share * (1 - share) / 300)
            assert abs((sampled == row).mean() - share) < 4 * std, name

    def test_modes_by_name(self):
        angles = sample_mode_angles(np.random.default_rng(0), "fist", 4)
        assert angles.shape == (4, 15, 3)
        with pytest.raises(ValueError, match="expected one of open, "):
            sample_mode_angles(np.random.default_rng(0), "wave", 1)

    def test_no_finger_goes_through_another(self, engine, batch):
        model = load_hand_model(dtype=torch.float64)
        depths = [penetration(model, vertices.numpy()) for vertices in batch.vertices]
        # Flesh that touches is pressed; the model's does not give way.
        assert np.quantile(depths, 0.9) < 0.004
        assert np.mean(np.array(depths) > 0.006) < 0.07
        points = engine.pose_model.points(batch.specs.hand)
        assert overlap(points).max() < 1e-6

    def test_held_things_stay_out_of_the_flesh(self, engine):
        settings = SyntheticSettings(object_share=1.0, second_hand_share=0.0)
        held = SyntheticEngine(SIZE, settings).sample(9, range(40))
        vertices = engine.arms(held.hand, held.arm).vertices[:, : engine.hand_vertices]
        width, present = grown(held.objects, vertices)
        assert present[:, 0].float().mean() > 0.2
        for row in present[:, 0].nonzero()[:, 0]:
            things = held.objects
            offset = vertices[row] - things.centre[row, 0]
            local = offset @ things.axes[row, 0].T
            inside = local[:, 2].abs() < things.half_length[row, 0]
            narrow = (local[:, :2].abs() + 0.0013) / width[row, 0]
            power = things.squareness[row, 0]
            norm = (narrow**power).sum(1) ** (1 / power)
            # The profile is 1 at most, so a norm above 1 is outside whatever the profile.
            profile = things.profile[row, 0].max()
            assert (norm[inside] > 0.04 * profile).all()


def test_mediapipe_finds_the_hands():
    engine = SyntheticEngine(224, SyntheticSettings.unoccluded())
    found, placed = found_hands(engine.batch(0, range(40)))
    assert placed.mean() >= 0.85 and found.mean() >= 0.85
