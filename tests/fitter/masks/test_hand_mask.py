"""Masks of one hand: GrabCut, and which part of a given mask is believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from fitter.camera import SquareCrop
from fitter.conventions import BONES
from fitter.masks.geometry import hand_scale, inside_image, resample_mask
from fitter.masks.grabcut import GrabCutSettings, Seeds, grabcut
from fitter.masks.hand_mask import HandMask, MaskSettings, agreement, given_mask, grabcut_mask
from fitter.records import HandCrop
from tests.support.drawn_hands import shape

SIDE = 128
SKIN = (205, 150, 120)
NO_OTHERS = np.zeros((0, 21, 2))
WHOLE = np.ones((SIDE, SIDE), np.float32)


def silhouette(keypoints, side=SIDE):
    """(side, side) float32: a filled palm and fingers about the bones of an open hand."""
    canvas = np.zeros((side, side), np.uint8)
    width = round(0.17 * hand_scale(keypoints))
    points = np.rint(keypoints - 0.5).astype(int)
    for a, b in BONES:
        cv2.line(canvas, points[a].tolist(), points[b].tolist(), 255, width)
    cv2.fillConvexPoly(canvas, cv2.convexHull(points[[0, 1, 5, 9, 13, 17]]), 255)
    return (canvas > 0).astype(np.float32)


def texture(generator, side=SIDE):
    """A blotchy blue and green background."""
    blotches = cv2.GaussianBlur(generator.normal(0, 1, (side, side, 3)), (0, 0), 4)
    return np.clip((60, 110, 130) + 250 * blotches, 0, 255)


def picture_of(mask, colour=SKIN, generator=None):
    """The pixels of `mask` in one colour on a texture, with grain."""
    generator = generator or np.random.default_rng(0)
    pixels = texture(generator, len(mask))
    pixels[mask > 0.5] = colour
    return np.clip(pixels + generator.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


@dataclass
class View:
    """A crop without an image or a mask, and the silhouette of a mesh in it."""

    crop: HandCrop
    silhouette: np.ndarray

    @property
    def keypoints(self) -> np.ndarray:
        return self.crop.keypoints

    @property
    def confidence(self) -> np.ndarray:
        return self.crop.confidence

    def grabcut(self, pixels: np.ndarray) -> HandMask:
        return grabcut_mask(replace(self.crop, pixels=pixels), self.silhouette)

    def given(self, mask: np.ndarray, pixels: np.ndarray | None = None) -> HandMask:
        """The part of a mask of zeros and ones; snapped where there are pixels."""
        crop = replace(self.crop, given=(255 * mask).astype(np.uint8))
        if pixels is not None:
            crop = replace(crop, pixels=pixels)
        return given_mask(crop, self.silhouette, snap=pixels is not None)


def view_of(keypoints, mesh, inside=None, **changes):
    known = {
        "pixels": np.zeros((*mesh.shape, 3), np.uint8),
        "inside": None if inside is None else (255 * inside).astype(np.uint8),
        "given": None,
        "intrinsics": np.eye(3),
        "keypoints": keypoints,
        "confidence": np.full(21, 0.9),
        "others": NO_OTHERS,
    }
    return View(HandCrop(**{**known, **changes}), mesh)


@pytest.fixture
def hand():
    """Keypoints, true mask, and the view of a mesh that lies 4 pixels beside the hand."""
    keypoints = shape(75, (62, 108))
    truth = silhouette(keypoints)
    return keypoints, truth, view_of(keypoints + 2.5, silhouette(keypoints + (3.5, 2.0)))


def overlap(a, b, weight):
    a, b, counted = a > 0.5, b > 0.5, weight > 0.5
    return (a & b & counted).sum() / ((a | b) & counted).sum()


class TestGrabCut:
    def test_finds_the_outline_that_the_mesh_misses(self, hand):
        _, truth, view = hand
        found = view.grabcut(picture_of(truth))
        before = overlap(view.silhouette, truth, found.weight)
        assert before < 0.75
        assert overlap(found.mask, truth, found.weight) > 0.95
        assert found.source == "grabcut"
        assert found.mask.dtype == found.weight.dtype == np.float32
        assert set(np.unique(found.mask)) == {0, 1}

    def test_place_decides_where_the_background_has_the_colour_of_skin(self, hand):
        keypoints, truth, _ = hand
        flat = np.full((SIDE, SIDE, 3), SKIN, np.uint8)
        pixels = np.clip(flat + np.random.default_rng(1).normal(0, 4, flat.shape), 0, 255)
        found = view_of(keypoints, truth).grabcut(pixels.astype(np.uint8))
        assert overlap(found.mask, truth, found.weight) > 0.8

    def test_a_forearm_weighs_nothing_and_teaches_no_colour(self, hand):
        _, truth, view = hand
        forearm = np.zeros_like(truth)
        forearm[108:, 48:78] = 1
        found = view.grabcut(picture_of(np.maximum(truth, forearm)))
        assert overlap(found.mask, truth, found.weight) > 0.95
        behind = view.keypoints[0, 1] + 2
        assert (found.weight[int(behind) :, 50:75] == 0).all()
        assert found.weight[: int(behind) - 20].min() == 1

    def test_another_hand_is_neither_this_one_nor_background(self):
        mine, other = shape(58, (44, 104)), shape(58, (92, 104))
        own, foreign = silhouette(mine), silhouette(other)
        mesh = silhouette(mine + (3.0, 2.0))
        pixels = picture_of(np.maximum(own, foreign))
        found = view_of(mine + (2.0, 1.0), mesh, others=other[None]).grabcut(pixels)
        assert overlap(found.mask, own, found.weight) > 0.93
        assert found.weight[(foreign > 0) & (own == 0)].mean() < 0.03
        assert found.weight[:20].min() == 1

    def test_colours_are_learned_only_where_they_are_known(self):
        y, x = np.mgrid[:60, :60]
        disc = (x - 20) ** 2 + (y - 30) ** 2 < 100
        pixels = picture_of(disc.astype(np.float32))
        # Everything on the right is guessed wrongly, and said to be unknown.
        guess = ((x - 24) ** 2 + (y - 30) ** 2 < 100) | (x > 32)
        labels = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        place = np.zeros(disc.shape)

        def wrong(known):
            found = grabcut(pixels, Seeds(labels, place, known), GrabCutSettings())
            return (found != disc)[x < 32].sum()

        assert wrong(x < 32) < 10
        assert wrong(x >= 0) > 100

    def test_a_larger_crop_gives_the_same_hand(self, hand):
        _, truth, view = hand
        double = cv2.resize(truth, (256, 256), interpolation=cv2.INTER_NEAREST)
        mesh = cv2.resize(view.silhouette, (256, 256), interpolation=cv2.INTER_NEAREST)
        larger = view_of(2 * view.keypoints, mesh)
        found = larger.grabcut(picture_of(double))
        assert found.mask.shape == found.weight.shape == (256, 256)
        assert overlap(found.mask, double, found.weight) > 0.93

    def test_is_reproducible_and_leaves_opencvs_random_numbers_alone(self, hand):
        _, truth, view = hand
        pixels = picture_of(truth)

        def draw():
            return cv2.randu(np.zeros(8), 0, 1)

        cv2.setRNGSeed(5)
        first, drawn = view.grabcut(pixels), draw()
        cv2.setRNGSeed(5)
        assert (draw() == drawn).all()
        again = view.grabcut(pixels)
        assert (first.mask == again.mask).all()
        assert first.agreement == again.agreement

    @pytest.mark.parametrize("mesh", [0.0, 1.0])
    def test_is_rejected_where_nothing_separates_hand_from_background(self, hand, mesh):
        keypoints, truth, _ = hand
        view = view_of(keypoints, np.full((SIDE, SIDE), mesh, np.float32))
        found = view.grabcut(picture_of(truth))
        assert (found.source, found.weight.max()) == ("rejected", 0)

    def test_survives_keypoints_that_are_unseen_outside_or_one(self, hand):
        keypoints, truth, view = hand
        pixels = picture_of(truth)
        unseen = view_of(keypoints, truth, confidence=np.zeros(21))
        assert unseen.grabcut(pixels).source == "rejected"
        together = view_of(np.full((21, 2), 60.0), truth)
        assert together.grabcut(pixels).source == "rejected"
        far = view_of(keypoints + 1e6, truth)
        assert far.grabcut(pixels).source == "rejected"
        fingertip = np.where(np.arange(21) == 12, 0, view.confidence)
        wrong = np.where(np.arange(21)[:, None] == 12, 0.0, view.keypoints)
        kept = view_of(wrong, view.silhouette, confidence=fingertip).grabcut(pixels)
        assert overlap(kept.mask, truth, kept.weight) > 0.93

    def test_wrong_shapes_are_named(self, hand):
        _, truth, view = hand
        with pytest.raises(ValueError, match=r"silhouette: expected shape \(64, 64\)"):
            view.grabcut(np.zeros((64, 64, 3), np.uint8))
        with pytest.raises(ValueError, match="pixels: expected uint8, found float64"):
            view.grabcut(np.zeros((128, 128, 3)))
        with pytest.raises(
            ValueError, match=r"keypoints: expected shape \(21, 2\), found \(20, 2\)"
        ):
            view_of(np.zeros((20, 2)), truth).given(truth)
        with pytest.raises(ValueError, match="expected a crop with a given mask"):
            given_mask(view.crop, view.silhouette)


class TestGiven:
    def test_a_good_mask_is_used_as_it_is(self, hand):
        _, truth, view = hand
        used = view.given(truth)
        assert used.source == "given"
        assert (used.mask == truth).all()

    @pytest.mark.parametrize("change", [-2, -1, 1, 2])
    def test_a_mask_drawn_too_small_or_too_large_is_used(self, hand, change):
        _, truth, view = hand
        kernel = np.ones((3, 3), np.uint8)
        turn = cv2.erode if change < 0 else cv2.dilate
        assert view.given(turn(truth, kernel, iterations=abs(change))).source == "given"

    def test_masks_that_contradict_the_keypoints_are_rejected(self, hand):
        _, truth, view = hand
        pixel = np.zeros_like(truth)
        pixel[70, 60] = 1
        palm = cv2.circle(np.zeros_like(truth), (58, 90), 12, 1, -1)
        wrong = {
            "empty": 0 * truth,
            "full": WHOLE,
            "pixel": pixel,
            "inverted": 1 - truth,
            "elsewhere": np.roll(truth, 40, axis=1),
            "upside down": truth[::-1].copy(),
            "palm": palm,
        }
        for name, mask in wrong.items():
            used = view.given(mask)
            assert used.source == "rejected", name
            assert used.weight.max() == 0, name
            assert 0 <= used.agreement < MaskSettings().agreement, name

    def test_agreement_falls_as_a_mask_moves_away(self, hand):
        keypoints, truth, _ = hand
        view = view_of(keypoints, truth)
        moved = [
            agreement(np.roll(truth, dx, axis=1), WHOLE, view.crop, truth) for dx in (0, 6, 10, 16)
        ]
        assert moved[0] == pytest.approx(1)
        assert all(a > b for a, b in pairwise(moved)), moved

    def test_two_hands_in_one_mask_are_told_apart(self):
        mine, other = shape(52, (40, 100)), shape(52, (88, 100))
        own, foreign = silhouette(mine), silhouette(other)
        both = np.maximum(own, foreign)
        used = view_of(mine, own, others=other[None]).given(both)
        assert used.source == "given"
        mistaken = (used.mask > 0) & (used.weight > 0) & (own == 0)
        assert mistaken.sum() < 0.03 * own.sum()
        # Nothing of the other hand counts as background either; true background does.
        assert used.weight[(foreign > 0) & (own == 0) & (used.mask == 0)].max() == 0
        assert used.weight[:20].min() == 1
        swapped = view_of(other, foreign, others=mine[None]).given(both)
        assert swapped.source == "given"
        assert not ((used.mask > 0) & (swapped.mask > 0)).any()

    def test_a_second_hand_that_was_not_detected_changes_nothing(self):
        mine, other = shape(45, (38, 100)), shape(45, (104, 100))
        own, foreign = silhouette(mine), silhouette(other)
        used = view_of(mine, own).given(np.maximum(own, foreign))
        assert used.source == "given"
        assert (used.mask == own).all()
        assert used.weight[foreign > 0].max() == 0

    def test_outside_the_picture_nothing_counts(self, hand):
        keypoints, truth, _ = hand
        inside = WHOLE.copy()
        inside[:, 90:] = 0
        used = view_of(keypoints, truth, inside=inside).given(truth * inside)
        assert used.source == "given"
        assert used.weight[:, 90:].max() == 0


def carelessly_drawn(truth, pixels, generator):
    """The mask with its border moved out, or in for a negative number, and a dozen round holes."""
    turn = cv2.erode if pixels < 0 else cv2.dilate
    mask = turn(truth, np.ones((3, 3), np.uint8), iterations=abs(pixels))
    for y, x in generator.choice(np.argwhere(truth > 0), 12):
        cv2.circle(mask, (int(x), int(y)), 2, 0, -1)
    return mask


class TestGivenWithItsPicture:
    """The border moves onto the picture's edges, by little."""

    @pytest.mark.parametrize(("size", "change"), [(75, -1), (75, 1), (95, -2), (95, 2)])
    def test_a_noisy_mask_comes_closer_to_the_hand(self, size, change):
        keypoints = shape(size, (62, 116))
        truth = silhouette(keypoints)
        view = view_of(keypoints + 2.5, silhouette(keypoints + (3.5, 2.0)))
        generator = np.random.default_rng(4)
        drawn = carelessly_drawn(truth, change, generator)
        used = view.given(drawn, pixels=picture_of(truth, generator=generator))
        assert used.source == "given"
        assert overlap(drawn, truth, used.weight) < 0.82
        assert overlap(used.mask, truth, used.weight) > 0.97

    def test_a_mask_far_larger_than_the_hand_is_not_cut_out_of_the_picture(self):
        keypoints = shape(75, (62, 108))
        truth = silhouette(keypoints)
        exact = view_of(keypoints, truth).given(truth, pixels=picture_of(truth))
        square = np.zeros_like(truth)
        square[30:120, 20:110] = 1  # some 30 pixels of background about the hand
        wide = view_of(keypoints, truth).given(square, pixels=picture_of(truth))
        assert wide.mask.sum() > 0.8 * square.sum() > 1.5 * exact.mask.sum()

    def test_an_exact_mask_stays(self, hand):
        _, truth, view = hand
        used = view.given(truth, pixels=picture_of(truth))
        assert used.source == "given"
        assert overlap(used.mask, truth, used.weight) > 0.95

    @pytest.mark.parametrize("grain", [0, 4])
    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_picture_of_one_colour_says_nothing(self, hand, grain, change):
        _, truth, view = hand
        kernel = np.ones((3, 3), np.uint8)
        drawn = (cv2.erode if change < 0 else cv2.dilate)(truth, kernel)
        noise = np.random.default_rng(1).normal(0, grain, (SIDE, SIDE, 3))
        pixels = np.clip(SKIN + noise, 0, 255).astype(np.uint8)
        used = view.given(drawn, pixels=pixels)
        assert used.source == "given"
        assert overlap(used.mask, drawn, used.weight) > 0.93

    def test_masks_of_nothing_of_everything_and_of_another_place_are_rejected(self, hand):
        _, truth, view = hand
        pixels = picture_of(truth)
        dot = np.zeros_like(truth)
        dot[70, 60] = 1
        wrong = {
            "empty": 0 * truth,
            "full": WHOLE,
            "elsewhere": np.roll(truth, 40, axis=1),
            "dot": dot,
        }
        for name, mask in wrong.items():
            used = view.given(mask, pixels=pixels)
            assert used.source == "rejected", name
            assert used.weight.max() == 0, name
            assert np.isfinite(used.mask).all() and 0 <= used.mask.min() <= used.mask.max() <= 1
        # With no background, or no hand, to learn from, the mask is taken as it is.
        assert (view.given(WHOLE, pixels=pixels).mask == view.given(WHOLE).mask).all()
        assert (view.given(dot, pixels=pixels).mask == view.given(dot).mask).all()

    def test_a_hand_that_leaves_the_picture_keeps_its_border_there(self):
        keypoints = shape(95, (62, 116))
        truth, inside = silhouette(keypoints), WHOLE.copy()
        inside[:, 70:] = 0
        pixels = picture_of(truth) * (inside[..., None] > 0).astype(np.uint8)
        view = view_of(keypoints, truth, inside=inside)
        drawn = carelessly_drawn(truth, 2, np.random.default_rng(4)) * inside
        used = view.given(drawn, pixels=pixels)
        assert used.source == "given"
        assert used.weight[:, 70:].max() == 0
        before = overlap(drawn, truth, used.weight)
        assert before < 0.85 < 0.95 < overlap(used.mask, truth, used.weight)

    def test_a_hand_without_keypoints_has_no_reach(self, hand):
        _, truth, view = hand
        unseen = view_of(view.keypoints, view.silhouette, confidence=np.zeros(21))
        used = unseen.given(truth, pixels=picture_of(truth))
        assert (used.mask == unseen.given(truth).mask).all()


class TestResampling:
    CROP = SquareCrop(
        torch.tensor([[60.0, 40.0], [30.5, 33.0], [500.0, 0.0]]),
        torch.tensor([64.0, 150.0, 9.0]),
        32,
    )

    def test_areas_are_kept(self):
        picture = np.zeros((80, 120), bool)
        picture[25:55, 41:83] = True
        shares = resample_mask(picture, self.CROP)
        assert shares.shape == (3, 32, 32)
        for share, size in zip(shares, (64, 150), strict=False):
            assert share.sum() * (size / 32) ** 2 == pytest.approx(30 * 42, rel=0.02)
        assert shares[2].max() == 0

    def test_one_crop_gives_what_a_batch_gives(self):
        picture = np.random.default_rng(0).random((80, 120)) > 0.5
        one = SquareCrop(self.CROP.centre[:1], self.CROP.size[:1], 32)
        assert (resample_mask(picture, one)[0] == resample_mask(picture, self.CROP)[0]).all()

    def test_inside_is_the_share_of_each_pixel(self):
        inside = inside_image((80, 120), self.CROP)
        # The second window spans x from -44.5 to 105.5 and y from -42 to 108: all 80 rows.
        assert inside[0].min() == 1
        assert inside[1].sum() * (150 / 32) ** 2 == pytest.approx(80 * 105.5, rel=1e-5)
        assert inside[2].max() == 0
