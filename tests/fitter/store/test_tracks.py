"""The tracks of hands of videos, in a store and in the folder of a pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fitter.store import files
from fitter.store.tracks import (
    HANDS,
    HandTrack,
    TrackedFile,
    hands_of_tracks,
    read_tracks,
    sweep_tracks,
    write_tracks,
)
from tests.support import errors

TRACKS = [
    HandTrack("a.mp4", "left", 0.75, 3, 90, 80, np.arange(10.0), 0.18),
    HandTrack("b.mp4", "right", 0.5, 0, 7, 8, np.full(10, np.nan), float("nan")),
]
N = 4


def hands(folder: Path) -> TrackedFile:
    """Five hands in the images 2, 2, 3, 5, 9."""
    image, slot = np.array([2, 2, 3, 5, 9]), np.array([0, 1, 0, 0, 2])
    track, filled = np.array([1, 2, 1, 1, 2]), np.array([False, False, True, False, False])
    return TrackedFile.make(folder / HANDS, (image, slot, track, filled), N)


def test_what_is_written_is_read(tmp_path):
    write_tracks(tmp_path / "tracks", TRACKS, 10, hands(tmp_path))
    found = read_tracks(tmp_path / "tracks")
    assert [(t.video, t.side, t.first_frame, t.last_frame, t.frames) for t in found] == [
        (t.video, t.side, t.first_frame, t.last_frame, t.frames) for t in TRACKS
    ]
    for one, other in zip(found, TRACKS, strict=True):
        np.testing.assert_array_equal(one.betas, other.betas)
        np.testing.assert_allclose(one.hand_size, other.hand_size, rtol=1e-6)
    assert hands_of_tracks(tmp_path / "tracks").folder == tmp_path / HANDS


def test_a_store_without_tracks_has_an_empty_group(tmp_path):
    write_tracks(tmp_path / "tracks", [], 10, hands(tmp_path))
    assert read_tracks(tmp_path / "tracks") == []


def test_images_are_given_what_was_said_of_their_hands(tmp_path):
    file, rng = hands(tmp_path), np.random.default_rng(1)
    mean, root = rng.normal(size=(5, N)), rng.normal(size=(5, N, N))
    information = root @ root.transpose(0, 2, 1)
    file.put(2, mean[2:], information[2:])
    file.put(0, mean[:2], information[:2])
    part = file.of_images(2, 6)
    np.testing.assert_array_equal(part.image, [2, 2, 3, 5])
    np.testing.assert_array_equal(part.filled, [False, False, True, False])
    np.testing.assert_array_equal(part.mean, mean[:4])
    np.testing.assert_allclose(part.information, information[:4], rtol=1e-6)
    assert len(file.of_images(6, 9).image) == 0


def test_a_cut_file_is_told(tmp_path):
    file = hands(tmp_path)
    (tmp_path / HANDS / "slot.npy").write_bytes(b"")
    with errors.raises("store.damaged_variable", file=tmp_path / HANDS):
        file.of_images(0, 3)


def test_what_killed_runs_left_is_swept(tmp_path, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    file = hands(tmp_path)
    (tmp_path / "passes" / "1" / f".{HANDS}.1.unfinished").mkdir(parents=True)
    (tmp_path / f".{HANDS}.2.unfinished").mkdir()
    monkeypatch.setattr(files, "flush_all", killed)
    with pytest.raises(KeyboardInterrupt):
        write_tracks(tmp_path / "tracks", TRACKS, 10, file)
    sweep_tracks(tmp_path / "tracks")
    left = sorted(path.name for path in tmp_path.rglob("*unfinished"))
    assert left == []
    assert (tmp_path / HANDS).exists()


def test_it_is_told_when_its_pass_is_gone(tmp_path):
    """Frames are not fitted without their tracks for that."""
    (tmp_path / "passes" / "1").mkdir(parents=True)
    file = hands(tmp_path / "passes" / "1")
    (tmp_path / "passes").rename(tmp_path / "gone")
    with errors.raises("store.damaged_variable", file=file.folder):
        file.of_images(0, 3)
