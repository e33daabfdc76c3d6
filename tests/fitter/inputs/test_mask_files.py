"""Masks: files read, or refused in a sentence."""

import os

import numpy as np
import pytest
from PIL import Image

from fitter.inputs.beside_files import MOST_LISTED, BesideFolder
from fitter.inputs.images import ImageEntry, read_image
from fitter.inputs.mask_files import MaskFolder, read_mask
from tests.support.errors import raises


def mask_file(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(path, **options)
    return path


def opened(folder, entries):
    """The masks in a folder, which must be those of these pictures."""
    masks = MaskFolder.open(folder)
    masks.require_for(entries)
    return masks


@pytest.fixture
def truth():
    mask = np.zeros((32, 48), bool)
    mask[8:20, 10:30] = True
    return mask


class TestFiles:
    def test_every_kind_of_mask_reads_the_same(self, tmp_path, truth):
        grey = truth * np.uint8(255)
        labels = Image.fromarray(truth * np.uint8(3), "P")
        labels.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 64, 0, 0])
        inverted = Image.fromarray((~truth).astype(np.uint8), "P")
        inverted.putpalette([255, 255, 255, 0, 0, 0])
        cut_out = np.dstack([np.full((*truth.shape, 3), 40, np.uint8), grey])
        opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
        kinds = {
            "grey.png": grey,
            "ones.png": truth.astype(np.uint8),
            "bool.png": Image.fromarray(truth),
            "sixteen.png": Image.fromarray(truth * np.uint16(65535)),
            "sixteen_255.png": Image.fromarray(truth * np.uint16(255)),
            "sixteen_1.tif": Image.fromarray(truth.astype(np.uint16)),
            "rgb.bmp": np.dstack([grey, grey, grey]),
            "red.png": np.dstack([grey, 0 * grey, 0 * grey]),
            "rgba.png": opaque,
            "cut_out.png": cut_out,
            "labels.png": labels,
            "white_first.png": inverted,
        }
        for name, values in kinds.items():
            assert (read_mask(mask_file(tmp_path / name, values)) == truth).all(), name
        lossy = read_mask(mask_file(tmp_path / "lossy.jpg", grey, quality=95))
        assert (lossy == truth).all()
        assert not read_mask(mask_file(tmp_path / "none.png", 0 * grey)).any()
        assert read_mask(mask_file(tmp_path / "all.png", 0 * grey + 255)).all()

    def test_the_mask_has_the_pictures_path_and_lossless_comes_first(self, tmp_path, truth):
        mask_file(tmp_path / "a" / "b.PNG", truth)
        mask_file(tmp_path / "a" / "b.jpg", np.zeros((32, 48), np.uint8))
        mask_file(tmp_path / "c.d.jpg", truth * np.uint8(255))
        entries = [
            ImageEntry(n, tmp_path / "pictures" / n) for n in ("a/b.jpg", "c.d.png", "e.jpg")
        ]
        masks = opened(tmp_path, entries)
        assert (masks.mask_for(entries[0], (48, 32)) == truth).all()
        assert masks.path_of("c.d.png").name == "c.d.jpg"
        assert masks.mask_for(entries[2], (48, 32)) is None

    def test_a_folder_is_listed_once_however_many_pictures_have_no_mask(
        self, tmp_path, truth, monkeypatch
    ):
        mask_file(tmp_path / "masks" / "a" / "1.png", truth)
        (tmp_path / "elsewhere").mkdir()
        mask_file(tmp_path / "elsewhere" / "1.png", truth)
        (tmp_path / "masks" / "linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "masks" / "file").touch()
        parents = ("a", "linked", "file", "none")
        names = [f"{parent}/{i}.jpg" for parent in parents for i in range(50)]
        entries = [ImageEntry(name, tmp_path / "pictures" / name) for name in names]
        asked = []
        for module, function in ((os, "scandir"), (os, "stat"), (os, "lstat")):
            real = getattr(module, function)
            monkeypatch.setattr(
                module, function, lambda *a, real=real, **k: asked.append(a) or real(*a, **k)
            )
        masks = opened(tmp_path / "masks", entries)
        monkeypatch.undo()
        assert 4 <= len(asked) < 20
        with_mask = [name for name in names if masks.path_of(name)]
        assert with_mask == ["a/1.jpg", "linked/1.jpg"]
        assert (masks.mask_for(entries[51], (48, 32)) == truth).all()

    def test_a_folder_is_listed_once_however_many_lie_in_it(self, tmp_path, truth, monkeypatch):
        for name in ("p/0.png", "p/10.png", "p/10/b.png"):
            mask_file(tmp_path / name, truth)
        names = sorted(name for i in range(30) for name in (f"p/{i}.jpg", f"p/{i}/b.jpg"))
        listed, real = [], BesideFolder._names_in
        monkeypatch.setattr(BesideFolder, "_names_in", lambda *a: listed.append(a[1]) or real(*a))
        masks = MaskFolder.open(tmp_path)
        assert [name for name in names if masks.path_of(name)] == [
            "p/0.jpg", "p/10.jpg", "p/10/b.jpg",
        ]  # fmt: skip
        assert sorted(listed) == sorted(["p", *(f"p/{i}" for i in range(30))])
        assert len(masks.listed) == MOST_LISTED and {"p", "p/9"} <= set(masks.listed)

    def test_a_part_knows_its_own_masks_and_lists_nothing(self, tmp_path, truth, monkeypatch):
        for name in ("a/1.png", "a/2.png", "3.png"):
            mask_file(tmp_path / name, truth)
        names = ["a/1.jpg", "3.jpg", "a/4.jpg"]
        part = MaskFolder.open(tmp_path).part(names)
        monkeypatch.setattr(os, "scandir", None)
        assert [part.path_of(name) for name in names] == [
            tmp_path / "a" / "1.png", tmp_path / "3.png", None,
        ]  # fmt: skip
        assert part.path_of("a/2.jpg") is None
        entry = ImageEntry("3.jpg", tmp_path / "pictures" / "3.jpg")
        assert (part.mask_for(entry, (48, 32)) == truth).all()

    def test_a_turned_mask_stands_upright(self, tmp_path, truth):
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = Image.fromarray(truth * np.uint8(255)).transpose(Image.Transpose.ROTATE_90)
        path = mask_file(tmp_path / "a.png", turned, exif=exif)
        assert (read_mask(path) == truth).all()
        assert read_image(path).shape[:2] == truth.shape


class TestRefusals:
    def test_masks_of_one_picture(self, tmp_path, truth):
        entry = ImageEntry("p/a.jpg", tmp_path / "pictures" / "a.jpg")
        folder = tmp_path / "masks"
        path = mask_file(folder / "p" / "a.png", truth)
        masks = opened(folder, [entry])

        def refuses(code, **facts):
            with raises(code, file=path, **facts):
                masks.mask_for(entry, (48, 32))

        with raises("mask.size", file=path, image="p/a.jpg", expected="96 x 60", found="48 x 32"):
            masks.mask_for(entry, (96, 60))
        path.write_bytes(b"")
        refuses("mask.unreadable", reason="expected a mask, found an empty file")
        path.write_text("no mask")
        unknown = "expected a mask, found a file in no known format"
        refuses("mask.unreadable", reason=unknown)
        mask_file(path, np.random.default_rng(0).integers(0, 255, (32, 48), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:600])
        with raises("mask.unreadable", file=path) as caught:
            masks.mask_for(entry, (48, 32))
        assert str(caught.value).startswith(f"{path}: expected a whole mask, found a damaged or")
        path.unlink()
        path.symlink_to("nowhere.png")
        refuses("mask.unreadable", reason="expected a mask, found no such file")
        path.unlink()
        refuses("mask.unreadable", reason="expected a mask, found no such file")
        path = mask_file(path.with_suffix(".tif"), truth.astype(np.float32))
        masks = opened(folder, [entry])
        assert (masks.mask_for(entry, (48, 32)) == truth).all()
        mask_file(path, truth.astype(np.int32) * 70000)
        out_of_range = "expected grey values from 0 to 65535, found 0 to 70000"
        refuses("mask.unreadable", reason=out_of_range)

    @pytest.mark.parametrize(
        ("largest", "kind"), [(2, np.uint8), (127, np.uint8), (256, np.uint16), (2, np.int32)]
    )
    def test_one_label_is_the_mask(self, tmp_path, truth, largest, kind):
        suffix = "tif" if kind == np.int32 else "png"
        path = mask_file(tmp_path / f"labels.{suffix}", truth.astype(kind) * kind(largest))
        assert (read_mask(path) == truth).all()

    def test_dim_colours_and_faint_cut_outs_are_read_alike(self, tmp_path, truth):
        dim = truth * np.uint8(40)
        colour = mask_file(tmp_path / "dim.png", np.dstack([dim, 0 * dim, 0 * dim]))
        faint = mask_file(tmp_path / "faint.png", np.dstack([0 * dim, 0 * dim, 0 * dim, dim]))
        for path in (colour, faint):
            assert (read_mask(path) == truth).all()

    def test_the_folder(self, tmp_path, truth):
        pictures, masks = tmp_path / "pictures", tmp_path / "masks"
        entries = [ImageEntry(name, pictures / name) for name in ("a.jpg", "b.jpg")]
        with raises("mask.no_folder", file=masks):
            opened(masks, entries)
        masks.touch()
        with raises("mask.not_a_folder", file=masks):
            opened(masks, entries)
        masks.unlink()
        mask_file(masks / "c.png", truth)
        (masks / "loop").symlink_to(masks / "loop")
        around = [ImageEntry("loop/a.jpg", pictures / "a.jpg")]
        with raises("mask.unlistable", file=masks / "loop"):
            opened(masks, around)
        with raises("mask.none", file=masks, wanted="a.png", image="a.jpg"):
            opened(masks, entries)
        mask_file(masks / "b.png", truth)
        twins = [*entries, ImageEntry("b.png", pictures / "b.png")]
        with raises("mask.shared", file=masks, one="b.jpg", other="b.png", shared="b.png"):
            opened(masks, twins)
        mask_file(pictures / "a.jpg", truth * np.uint8(255))
        with raises("mask.is_the_image", file=pictures, image="a.jpg"):
            opened(pictures, entries)
