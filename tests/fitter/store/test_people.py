"""What the images of each hand share, in a store."""

import numpy as np
import pytest

from fitter.records import SharedHand
from fitter.store import files
from fitter.store.people import PersonHand, read_people, sweep_people, write_people

HANDS = {("anna", "left"): PersonHand(SharedHand(np.arange(10.0), np.ones((4, 3))), 3)}


def test_what_is_written_is_read(tmp_path):
    write_people(tmp_path / "people", HANDS, 10)
    found = read_people(tmp_path / "people")
    assert list(found) == [("anna", "left")] and found["anna", "left"].images == 3
    np.testing.assert_array_equal(found["anna", "left"].shared.betas, np.arange(10.0))
    np.testing.assert_array_equal(found["anna", "left"].shared.offsets, np.ones((4, 3)))


def test_two_shares_with_one_process_id_may_write_at_the_same_time(tmp_path, monkeypatch):
    """As in containers that share a disk: the second begins and ends while the first writes."""
    monkeypatch.setattr("os.getpid", lambda: 7)
    flush, path = files.flush_all, tmp_path / "people"
    begun = []

    def flushed(folder):
        begun.append(folder)
        if len(begun) == 1:
            write_people(path, HANDS, 10)
            assert read_people(path).keys() == HANDS.keys()
        flush(folder)

    monkeypatch.setattr(files, "flush_all", flushed)
    write_people(path, HANDS, 10)
    assert len(begun) == 2 and read_people(path).keys() == HANDS.keys()
    assert [found.name for found in tmp_path.iterdir()] == ["people"]


def test_what_killed_runs_left_is_swept(tmp_path, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "flush_all", killed)
    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "people", HANDS, 10)
    assert list(tmp_path.iterdir())
    sweep_people(tmp_path / "people")
    assert not list(tmp_path.iterdir())
