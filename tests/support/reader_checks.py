"""What holds of every reader of a data set, whatever its layout."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from datasets.annotations import AnnotatedHand, AnnotatedImage, AnnotatedImages
from datasets.readers.iteration import usable
from datasets.readers.parameters import project
from datasets.readers.posing import hand_params
from fitter.hand_models.skinning import HandModel
from fitter.inputs.picture_formats import IMAGE_SUFFIXES

_watching: list[list[Path]] = []


def check_reader(opener: Callable[[], AnnotatedImages]) -> AnnotatedImages:
    """Opening reads no image; samples are the same in any order, after pickling and in other
    processes; what they say fits together.

    Args:
        opener: opens the data set, of which every sample is whole.
    """
    with opened_files() as opened:
        images = opener()
    assert not [path for path in opened if path.suffix.lower() in IMAGE_SUFFIXES]
    count = len(images)
    assert count > 0 and len(images.names) == count == len(set(images.names))
    samples = [images[place] for place in range(count)]
    for place in reversed(range(count)):
        assert_same(images[place], samples[place])
    again = pickle.loads(pickle.dumps(images))
    assert_same(again[count - 1], samples[-1])
    assert [str(name) for name in again.names] == list(images.names)
    assert_same(again[-1], samples[-1])
    for outside in (-count - 1, count):
        with pytest.raises(IndexError):
            images[outside]
    damaged = []
    read = list(usable(images, damaged.append, workers=2))
    assert not damaged and [place for place, _ in read] == list(range(count))
    for (_, sample), expected in zip(read, samples, strict=True):
        assert_same(sample, expected)
    for place, sample in enumerate(samples):
        assert sample.annotation.name == images.names[place]
        assert images.file(place).stamp() is not None
        check_sample(sample)
    return images


def check_sample(sample: AnnotatedImage) -> None:
    """Shapes and types are those that the records say; 3D and 2D agree within half a pixel."""
    height, width = sample.pixels.shape[:2]
    annotation = sample.annotation
    assert sample.pixels.dtype == np.uint8 and sample.pixels.shape[2] == 3
    if sample.masks is not None:
        assert sample.masks.shape == (len(annotation.hands), height, width)
        assert sample.masks.dtype == bool
    if sample.depth is not None:
        assert sample.depth.shape == (height, width) and sample.depth.dtype == np.float32
        assert np.isfinite(sample.depth).all() and (sample.depth >= 0).all()
    for hand in annotation.hands:
        assert hand.keypoints_2d.shape == (21, 2) and hand.keypoints_2d.dtype == np.float64
        assert hand.keypoints_3d.shape == (21, 3) and hand.keypoints_3d.dtype == np.float64
        if annotation.intrinsics is not None and not hand.is_root_relative:
            K = annotation.intrinsics if hand.intrinsics is None else hand.intrinsics
            seen = project(hand.keypoints_3d, K)
            known = np.isfinite(seen).all(1) & np.isfinite(hand.keypoints_2d).all(1)
            assert np.abs(seen - hand.keypoints_2d)[known].max(initial=0.0) < 0.5
    for thing in annotation.objects:
        np.testing.assert_allclose(thing.rotation @ thing.rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(thing.rotation) > 0 and thing.translation.shape == (3,)


def posed(hand: AnnotatedHand, model: HandModel) -> tuple[np.ndarray, np.ndarray]:
    """What MANO makes of a hand's parameters: (21, 3) keypoints and (V, 3) vertices, metres."""
    mesh = model(hand_params(hand.mano, model))
    return mesh.keypoints[0].numpy(), mesh.vertices[0].numpy()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return (a & b).sum() / (a | b).sum()


def assert_same(found: object, expected: object) -> None:
    """Two records hold the same, bit by bit; NaN is NaN."""
    if is_dataclass(expected) and not isinstance(expected, type):
        assert type(found) is type(expected)
        for field in fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, tuple):
        assert isinstance(found, tuple) and len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@contextmanager
def opened_files() -> Iterator[list[Path]]:
    """The files that are opened in the block, by this process."""
    if not hasattr(sys, "_reader_checks_watch"):
        # A hook can never be taken away: one serves all blocks.
        sys._reader_checks_watch = True
        sys.addaudithook(_note)
    paths: list[Path] = []
    _watching.append(paths)
    try:
        yield paths
    finally:
        _watching.remove(paths)


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], str | Path):
        _watching[-1].append(Path(arguments[0]))
