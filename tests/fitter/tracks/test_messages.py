"""Messages over the rows of a store: streamed, robust, and no later than the motion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from fitter.fitting.motion_information import motion_entries
from fitter.store.layout import Block
from fitter.store.reader import StoreReader
from fitter.store.schema import SIDES
from fitter.store.tracks import TrackedFile, TrackedHands
from fitter.tracks import messages
from fitter.tracks.messages import Messages, Motion, Places

K, S, RATE = 2, 3, 25.0
N = 6 + K


@dataclass(frozen=True)
class Rows:
    """Rows of one hand a frame, as a `StoreReader` gives them."""

    values: dict[str, np.ndarray]
    block: int

    def committed_blocks(self) -> Iterator[Block]:
        count = len(self.values["valid"])
        for index, start in enumerate(range(0, count, self.block)):
            yield Block(index, start, min(start + self.block, count))

    def read(self, name: str, block: Block) -> np.ndarray:
        return self.values[name][block.start : block.stop]


def rows_of(x: np.ndarray, std: float, block: int = 300, noise: float = 0.0) -> Rows:
    """Frames that each see coordinates (T, N) with a standard deviation."""
    count = len(x)
    seen = x + noise * np.random.default_rng(7).normal(size=x.shape)
    stored = np.zeros((count, 1, motion_entries(K, S)), np.float32)
    triangle = (np.eye(N) / std**2)[np.triu_indices(N)]
    stored[:, 0, : 3 + K] = seen[:, 3:]
    stored[:, 0, 3 + K + N : 3 + K + N + len(triangle)] = triangle
    return Rows(
        {
            "motion_information": stored,
            "global_orient": seen[:, None, :3].astype(np.float32),
            "betas": np.zeros((count, 1, S), np.float32),
            "valid": np.ones((count, 1), bool),
            "side": np.full((count, 1), SIDES.index("right"), np.uint8),
        },
        block,
    )


def found(rows: Rows, folder: Path, time: np.ndarray | None = None) -> TrackedHands:
    """The messages of one track over all rows."""
    count = len(rows.values["valid"])
    every, none = np.arange(count), np.zeros(count, np.int64)
    time = every / RATE if time is None else time
    places = Places(every, none, none + 1, none > 0, time)
    motion = Motion(K, np.full(N, 4.0), {1: "right"}, {1: np.zeros(S)})
    file = TrackedFile.make(folder / "hands", (every, none, none + 1, none > 0), N)
    (folder / "scratch").mkdir()
    reader = cast(StoreReader, rows)  # what Messages asks of one
    Messages(reader, places, motion, folder / "scratch").write(file)
    return file.of_images(0, count)


@pytest.fixture
def waving() -> np.ndarray:
    """(T, N) a hand that moves slowly, then waves along the line of sight, then is still."""
    time = np.arange(150) / RATE
    x = np.zeros((150, N))
    x[:, 3] = 0.1 * np.sin(time)
    x[:, 5] = 1.2 + 0.12 * np.sin(2 * np.pi * 2.5 * time) * ((time > 2) & (time < 4))
    x[:, 0] = 0.5 * time
    return x


@pytest.mark.parametrize(("block", "part"), [(7, 128), (300, 5), (64, 11)])
def test_where_rows_are_cut_changes_nothing(tmp_path, waving, monkeypatch, block, part) -> None:
    (tmp_path / "one").mkdir()
    whole = found(rows_of(waving, 0.01, noise=0.01), tmp_path / "one")
    monkeypatch.setattr(messages, "PART", part)
    cut = found(rows_of(waving, 0.01, block, noise=0.01), tmp_path)
    np.testing.assert_array_equal(cut.mean, whole.mean)
    np.testing.assert_array_equal(cut.information, whole.information)


def test_fast_motion_stays_and_is_not_late(tmp_path, waving) -> None:
    said = found(rows_of(waving, 0.01, noise=0.005), tmp_path)
    inside = slice(54, 96)
    error = said.mean[inside, 5] - waving[inside, 5]
    velocity = np.gradient(waving[:, 5])[inside]
    assert np.abs(error).max() < 0.25 * np.ptp(waving[inside, 5]) / 2
    lag = (error * velocity).sum() / (velocity**2).sum()
    assert abs(lag) < 0.1


def test_a_still_hand_is_held_more_firmly_than_a_fast_one(tmp_path, waving) -> None:
    said = found(rows_of(waving, 0.01, noise=0.003), tmp_path)
    assert said.information[130, 5, 5] > 5 * said.information[75, 5, 5]


def test_one_bad_frame_hardly_moves_what_is_said_to_others(tmp_path, waving) -> None:
    (tmp_path / "good").mkdir()
    good = found(rows_of(waving, 0.01, noise=0.005), tmp_path / "good")
    bad = waving.copy()
    bad[130, 3:] += 0.5
    said = found(rows_of(bad, 0.01, noise=0.005), tmp_path)
    assert np.abs(said.mean[[128, 129, 131, 132]] - good.mean[[128, 129, 131, 132]]).max() < 0.02
    np.testing.assert_allclose(said.mean[130], waving[130], atol=0.02)


def test_a_frame_says_nothing_to_itself(tmp_path, waving) -> None:
    """Of a frame of the other side, or without a fit, the message is that of all others."""
    (tmp_path / "all").mkdir()
    rows = rows_of(waving, 0.01)
    rows.values["motion_information"][40] = np.nan
    other = rows_of(waving, 0.01)
    other.values["side"][40] = SIDES.index("left")
    one, two = found(rows, tmp_path / "all"), found(other, tmp_path)
    np.testing.assert_allclose(one.mean[:40], two.mean[:40], atol=1e-6)
    np.testing.assert_allclose(one.mean[41:], two.mean[41:], atol=1e-6)


def test_a_rotation_comes_back_as_one_after_many_turns(tmp_path) -> None:
    x = np.zeros((100, N))
    x[:, 5] = 1.0
    angle = 0.1 * np.arange(100)
    x[:, 2] = np.angle(np.exp(1j * angle))
    said = found(rows_of(x, 0.01), tmp_path)
    turned = np.angle(np.exp(1j * (said.mean[:, 2] - angle)))
    assert np.abs(turned).max() < 0.02
    assert np.abs(said.mean[:, :2]).max() < 0.02


def test_a_gap_leaves_less_certain_what_is_beyond_it(tmp_path, waving) -> None:
    time = np.arange(150) / RATE
    time[120:] += 3.0
    said = found(rows_of(waving, 0.01, noise=0.003), tmp_path, time)
    middle, edge = said.information[135, 5, 5], said.information[120, 5, 5]
    assert edge < 0.6 * middle
    assert np.isfinite(said.mean).all()


def test_left_hands_are_those_of_the_mirrored_model(tmp_path, waving) -> None:
    rows = rows_of(waving, 0.01)
    rows.values["side"][:] = SIDES.index("left")
    rows.values["global_orient"] *= np.array([1, -1, -1], np.float32)
    every, none = np.arange(150), np.zeros(150, np.int64)
    file = TrackedFile.make(tmp_path / "hands", (every, none, none + 1, none > 0), N)
    motion = Motion(K, np.full(N, 4.0), {1: "left"}, {1: np.zeros(S)})
    (tmp_path / "scratch").mkdir()
    places = Places(every, none, none + 1, none > 0, every / RATE)
    reader = cast(StoreReader, rows)  # what Messages asks of one
    Messages(reader, places, motion, tmp_path / "scratch").write(file)
    (tmp_path / "right").mkdir()
    right = found(replace(rows_of(waving, 0.01)), tmp_path / "right")
    np.testing.assert_array_equal(file.of_images(0, 150).mean, right.mean)


def test_a_track_without_a_shape_says_nothing_and_changes_nothing_for_others(tmp_path, waving):
    """Its fits failed, in a slot beside hands of another track."""
    (tmp_path / "alone").mkdir()
    alone = found(rows_of(waving, 0.01), tmp_path / "alone")
    rows = rows_of(waving, 0.01)
    for name, values in rows.values.items():
        rows.values[name] = np.concatenate([values, values], axis=1)
    rows.values["valid"][:, 1] = False
    for name in ("motion_information", "global_orient", "betas"):
        rows.values[name][:, 1] = np.nan
    image, slot = np.repeat(np.arange(150), 2), np.tile([0, 1], 150)
    columns = (image, slot, slot + 1, slot > 1)
    file = TrackedFile.make(tmp_path / "hands", columns, N)
    motion = Motion(K, np.full(N, 4.0), {1: "right", 2: "left"}, {1: np.zeros(S)})
    (tmp_path / "scratch").mkdir()
    reader = cast(StoreReader, rows)  # what Messages asks of one
    Messages(reader, Places(*columns, image / RATE), motion, tmp_path / "scratch").write(file)
    said = file.of_images(0, 150)
    np.testing.assert_array_equal(said.mean[slot == 0], alone.mean)
    np.testing.assert_array_equal(said.information[slot == 0], alone.information)
    assert np.isnan(said.mean[slot == 1]).all()


def holding(rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and coordinates (T, N) of a hand that holds still, then moves at once."""
    time = np.arange(int(24 * rate)) / rate
    rng = np.random.default_rng(11)
    holds = np.cumsum(rng.uniform(0.4, 0.9, 60))
    targets = np.cumsum(rng.normal(scale=0.3, size=(61, N)), axis=0)
    fine = np.linspace(-1, time[-1] + 1, 20_000)
    jumps = targets[np.searchsorted(holds, fine)]
    x = np.stack([np.interp(time, fine, gaussian_filter1d(each, 30)) for each in jumps.T], 1)
    return time, x


def surprises(said: TrackedHands, x: np.ndarray) -> np.ndarray:
    """(T,) mean squared error of what is said in units of how sure it is."""
    error = said.mean - x
    return np.einsum("ti,tij,tj->t", error, said.information, error) / N


@pytest.mark.parametrize("rate", [5.0, 12.5, 25.0])
def test_what_is_said_is_as_sure_as_it_is_right(tmp_path, rate) -> None:
    """At any rate of frames: no surer, and not much less."""
    time, x = holding(rate)
    said = surprises(found(rows_of(x, 0.02, noise=0.02), tmp_path, time), x)
    assert 0.4 < np.mean(said) < 1.5
    assert np.mean(said > 6) < 0.03


def test_what_is_said_has_the_room_that_the_frames_beside_it_ask_for(
    tmp_path, waving, monkeypatch
) -> None:
    asked: list[np.ndarray] = []

    def four_times(times: np.ndarray, far: np.ndarray, weights: np.ndarray) -> np.ndarray:
        asked.append(far)
        return np.full_like(far, 4.0)

    (tmp_path / "as it is").mkdir()
    rows = rows_of(waving, 0.01, noise=0.005)
    monkeypatch.setattr(messages, "room", lambda times, far, weights: np.ones_like(far))
    as_it_is = found(rows, tmp_path / "as it is")
    monkeypatch.setattr(messages, "room", four_times)
    said = found(rows, tmp_path)
    np.testing.assert_allclose(said.information, as_it_is.information / 4, rtol=1e-6)
    np.testing.assert_array_equal(said.mean, as_it_is.mean)
    assert np.isfinite(asked[0]).all() and 0.05 < np.median(asked[0]) < 2


@pytest.mark.parametrize("place", [1, 130, 148])
def test_a_bad_frame_gets_no_room_for_its_error(tmp_path, waving, place) -> None:
    """What is said to it and to those beside it is nearly as sure as of a good one."""
    (tmp_path / "good").mkdir()
    good = found(rows_of(waving, 0.01, noise=0.005), tmp_path / "good")
    bad = waving.copy()
    bad[place, 3:] += 0.5
    said = found(rows_of(bad, 0.01, noise=0.005), tmp_path)
    beside = slice(place - 1, place + 2)
    ratio = said.information[beside, 5, 5] / good.information[beside, 5, 5]
    assert ratio.min() > 0.1
    assert np.abs(said.mean - waving)[beside].max() < 0.02
