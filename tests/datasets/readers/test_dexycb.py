"""DexYCB's layout, from the files on disk to the posed hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datasets.readers import open_dataset
from datasets.readers.dexycb import open_dexycb
from datasets.readers.dexycb_layout import OBJECTS, PARTS, SERIALS, SUBJECTS
from datasets.readers.iteration import GuardedSamples, usable
from tests.support.dexycb_files import FRAMES, YCB, object_pose, sequence_name, write_dexycb
from tests.support.errors import raises
from tests.support.known_hands import model
from tests.support.reader_checks import assert_same, check_sample, opened_files, posed

TAKEN = ((0, 4, 0), (0, 9, 7), (1, 4, 3), (1, 99, 7))
"""Of the split s0_val: right hands and left ones, of two subjects, in three cameras."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dexycb")
    return folder, write_dexycb(folder / "set", folder, TAKEN), folder / "set"


@pytest.fixture
def copied(written, tmp_path):
    return Path(shutil.copytree(written[2], tmp_path / "set"))


def places_of(images):
    return {name: place for place, name in enumerate(images.names)}


def first_image(root):
    return root / SUBJECTS[0] / sequence_name(4) / SERIALS[0] / "color_000001.jpg"


def test_every_sample(written):
    folder, hands, root = written
    with opened_files() as opened:
        images = open_dataset("dexycb", root, "s0_val")
    read = {path.suffix for path in opened if path.is_relative_to(root)}
    assert read == {".yml"}
    places = places_of(images)
    assert len(images) == len(places) == 2 * 20 * 8 * FRAMES
    for name, known in hands.items():
        sample = images[places[name]]
        check_sample(sample)
        assert sample.annotation.size == (640, 480)
        np.testing.assert_allclose(sample.annotation.intrinsics, known.view.intrinsics)
        (hand,) = sample.annotation.hands
        assert hand.side == known.side and not hand.mano.fixed_left
        mano = model(folder, hand.side, hand.mano.fixed_left)
        joints, vertices = posed(hand, mano)
        np.testing.assert_allclose(joints, hand.keypoints_3d, atol=2e-6)
        np.testing.assert_allclose(vertices, known.vertices, atol=2e-6)
        np.testing.assert_array_equal(sample.masks[0], known.mask & ~_object_pixels(known.mask))
        assert np.abs(sample.depth - known.depth).max() <= 0.0005001
        subject, sequence, serial, file = name.split("/")
        assert sample.annotation.sequence == f"{subject}/{sequence}/{serial}"
        assert file == f"color_{sample.annotation.frame:06d}.jpg"


def test_left_hands_need_the_displacements_of_the_published_file(written):
    folder, hands, root = written
    images = open_dexycb(root, "s0_val")
    (name,) = [n for n in hands if f"{SUBJECTS[0]}/{sequence_name(9)}" in n]
    (hand,) = images.annotation(places_of(images)[name]).hands
    assert hand.side == "left"
    joints, _ = posed(hand, model(folder, "left", fixed=True))
    assert np.abs(joints - hand.keypoints_3d).max() > 1e-3


def test_frames_without_a_hand(written):
    _, hands, root = written
    images = open_dexycb(root, "s0_val")
    for name in hands:
        sample = images[places_of(images)[name.replace("000001", "000000")]]
        assert sample.annotation.hands == () and sample.masks.shape == (0, 480, 640)
        assert len(sample.annotation.objects) == 1


def test_objects_and_their_pixels(written):
    _, hands, root = written
    images = open_dexycb(root, "s0_val")
    place = places_of(images)[next(iter(hands))]
    (thing,) = images.annotation(place).objects
    assert thing.name == OBJECTS[YCB[0]] == "003_cracker_box"
    np.testing.assert_allclose(
        np.column_stack([thing.rotation, thing.translation]), object_pose(), atol=1e-6
    )
    assert thing.mesh == root / "models" / thing.name / "textured_simple.obj"
    assert (images.segmentation(place)[:40, :60] == YCB[0]).all()


def test_other_processes_read_the_same(written):
    _, hands, root = written
    images = open_dexycb(root, "s0_val")
    places = [places_of(images)[name] for name in hands]
    damaged = []
    read = list(usable(images, damaged.append, places, workers=2))
    assert not damaged and [place for place, _ in read] == places
    for place, sample in read:
        assert_same(sample, images[place])


def test_names_go_by_sequence_camera_and_frame(written):
    images = open_dexycb(written[2], "s0_val")
    names = list(images.names)
    assert names == sorted(names)  # camera folders are sorted, too
    assert images.names[-1] == names[-1] and images.names[5:7] == names[5:7]
    assert all(images.path(place) == images.root / names[place] for place in range(0, 640, 97))


class TestSplits:
    """The split's rules in the toolkit, written down a second time."""

    @pytest.mark.parametrize("setup", range(4))
    def test_parts_are_apart_and_whole(self, setup):
        seen = [
            (subject, sequence, serial)
            for part in ("train", "val", "test")
            for rule in [PARTS[f"s{setup}_{part}"]]
            for subject in rule.subjects
            for sequence in rule.sequences
            for serial in rule.serials
        ]
        assert len(seen) == len(set(seen)) == 10 * 100 * 8

    def test_what_is_new_in_each_setup(self):
        def parts(setup):
            return [PARTS[f"s{setup}_{part}"] for part in ("train", "val", "test")]

        train, val, test = parts(0)
        assert set(val.sequences) == set(test.sequences) == set(range(4, 100, 5))
        assert val.subjects == (0, 1)
        train, val, test = parts(1)
        assert (val.subjects, test.subjects) == ((6,), (7, 8)) and 9 in train.subjects
        train, val, test = parts(2)
        assert (val.serials, test.serials) == ((6,), (7,))
        train, val, test = parts(3)
        assert {place // 5 for place in val.sequences} == {3, 19}
        assert {place // 5 for place in test.sequences} == {7, 11, 15}

    def test_another_split_of_the_same_folder(self, written):
        with raises("dataset.lacks", file=written[2] / SUBJECTS[6], what="folder"):
            open_dexycb(written[2], "s1_val")
        with raises("dataset.split", found="s4_val"):
            open_dataset("dexycb", written[2], "s4_val")


class TestDamage:
    def damaged(self, root, place=None):
        images = open_dexycb(root, "s0_val")
        place = places_of(images)[first_image(root).relative_to(root).as_posix()]
        (read,) = list(GuardedSamples(images, places=[place]))
        others = []
        rest = [at for at in places_of(images).values() if images.path(at).is_file()]
        assert len(list(usable(images, others.append, [at for at in rest if at != place]))) == 7
        assert not others
        return read[1]

    def test_missing_folders_and_files(self, copied, tmp_path):
        with raises("dataset.lacks", file=tmp_path / "no", what="folder"):
            open_dexycb(tmp_path / "no", "s0_val")
        path = copied / "calibration" / "intrinsics" / f"{SERIALS[2]}_640x480.yml"
        path.unlink()
        with raises("dataset.lacks", file=path, what="file"):
            open_dexycb(copied, "s0_val")

    def test_a_missing_sequence_would_move_the_split(self, copied):
        shutil.rmtree(copied / SUBJECTS[1] / sequence_name(0))
        with raises("dataset.sequences", file=copied / SUBJECTS[1], expected=100, found=99):
            open_dexycb(copied, "s0_val")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("num_frames", "two"),
            ("mano_sides", ["both"]),
            ("ycb_ids", [22]),
            ("ycb_ids", [[1, 2]]),
            ("mano_calib", []),
        ],
    )
    def test_descriptions_that_say_something_else(self, copied, key, value):
        path = copied / SUBJECTS[0] / sequence_name(4) / "meta.yml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {key: value}))
        code = "dataset.no_key" if key == "mano_calib" else "dataset.values"
        with raises(code, file=path, key=key):
            open_dexycb(copied, "s0_val")

    def test_a_description_that_would_make_objects(self, copied):
        path = copied / SUBJECTS[0] / sequence_name(4) / "meta.yml"
        path.write_text("!!python/object/apply:os.getcwd []\n")
        with raises("dataset.unreadable", file=path):
            open_dexycb(copied, "s0_val")

    def test_a_missing_camera(self, copied):
        path = copied / "calibration" / "intrinsics" / f"{SERIALS[0]}_640x480.yml"
        path.write_text(yaml.safe_dump({"color": {"fx": 600.0, "ppx": 320.0, "ppy": 240.0}}))
        with raises("dataset.no_key", file=path, key="fy"):
            open_dexycb(copied, "s0_val")

    def test_a_frame_that_the_disk_lacks(self, copied):
        first_image(copied).unlink()
        found = GuardedSamples(open_dexycb(copied, "s0_val"))
        place = places_of(found.images)[first_image(copied).relative_to(copied).as_posix()]
        assert found[place][1].code == "image.missing"

    def test_an_image_of_another_size(self, copied):
        path = first_image(copied)
        Image.open(path).resize((320, 240)).save(path)
        assert self.damaged(copied).code == "dataset.image_size"

    def test_labels(self, copied):
        path = first_image(copied).with_name("labels_000001.npz")
        whole = dict(np.load(path))
        path.write_bytes(path.read_bytes()[:5000])
        assert self.damaged(copied).code == "dataset.unreadable"
        np.savez(path, **{name: value for name, value in whole.items() if name != "pose_m"})
        assert self.damaged(copied).sentence == f"{path}: expected pose_m in it, found none"
        np.savez(path, **(whole | {"pose_y": whole["pose_y"][:1]}))
        assert self.damaged(copied).sentence == (
            f"{path}: expected 2x3x4 numbers as pose_y, found 1x3x4"
        )
        np.savez(path, **(whole | {"seg": whole["seg"][:100]}))
        assert self.damaged(copied).sentence == f"{path}: expected 480x640 as seg, found 100x640"
        np.savez_compressed(path, **(whole | {"seg": np.zeros((20_000, 10_000), np.uint8)}))
        assert path.stat().st_size < 1e6
        assert self.damaged(copied).code == "dataset.too_large"
        np.savez(path, **(whole | {"pose_m": np.array([[object()] * 51])}))
        assert self.damaged(copied).code == "dataset.unreadable"
        path.unlink()
        assert self.damaged(copied).code == "dataset.lacks"


def _object_pixels(mask):
    pixels = np.zeros_like(mask)
    pixels[:40, :60] = True
    return pixels
