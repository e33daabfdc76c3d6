"""The parts that a spread run is made of: numbered pieces, collected blocks, watches and logs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fitter.cluster.job import Feeder
from fitter.errors import InputError
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.sources import Sources
from fitter.run.progress import RunLog
from fitter.store.result_store import Block
from fitter.store.schema import ImageRow
from fitter.system.messages import EXIT_LOST
from fitter.system.stopping import StopRequest
from fitter.system.streams import said_to
from fitter.workers.batches import Collector, FittedBatch, Plan, cut
from fitter.workers.isolated_fit import Attempts

NAMES = [f"{i:02d}.jpg" for i in range(11)]
BLOCKS = [Block(0, 0, 4), Block(2, 8, 11)]
"""The second of three blocks is done."""


@pytest.fixture
def plan() -> Plan:
    by_name = {name: np.diag([i + 1.0, i + 1.0, 1.0]).tolist() for i, name in enumerate(NAMES)}
    return Plan(Sources(Path("in"), NAMES, Intrinsics(by_name=by_name)), BLOCKS, 3)


def done(sources: Sources) -> FittedBatch:
    rows = [ImageRow(image_status="no_hand") for _ in sources.names]
    return FittedBatch(sources.first, list(sources.names), rows, masks=0)


def test_blocks_are_cut_from_their_start():
    assert [(p.start, p.stop) for p in cut(Block(1, 10, 20), 4)] == [(10, 14), (14, 18), (18, 20)]
    assert [(p.start, p.stop) for p in cut(Block(0, 0, 4), 64)] == [(0, 4)]


def test_a_part_has_what_its_pictures_need_and_no_more(plan):
    part = plan.part(cut(BLOCKS[1], 3)[0])
    assert part.names == NAMES[8:11] and part.first == 8
    assert set(part.intrinsics.by_name) == set(NAMES[8:11])
    assert part.entry(9).path == Path("in/09.jpg")
    assert part.digest(9) == plan.sources.digest(9) != plan.sources.digest(8)


def test_pieces_have_numbers_in_the_order_of_the_blocks(plan):
    feeder = Feeder(plan)
    parts = [feeder.part(number) for number in range(3)]
    assert [part.names for part in parts] == [NAMES[0:3], NAMES[3:4], NAMES[8:11]]


def test_after_a_stop_only_blocks_that_were_begun_go_on(plan):
    feeder = Feeder(plan)
    assert feeder.part(0) is not None
    assert feeder.stop() == [0]
    assert feeder.part(1).names == NAMES[3:4]
    assert feeder.part(2) is None


def test_the_feeder_counts_until_a_piece_is_done(plan):
    feeder = Feeder(plan)
    assert [feeder.begin(1), feeder.begin(1), feeder.begin(2)] == [1, 2, 1]
    feeder.end(1)
    assert feeder.begin(1) == 1


def test_pieces_come_in_any_order_and_blocks_whole(plan):
    collector = Collector(plan)
    first, second, other = (Feeder(plan).part(number) for number in range(3))
    assert collector.add(done(second)) is None
    assert not collector.is_between
    assert collector.add(done(other)) == (BLOCKS[1], [done(other)])
    assert collector.add(done(first)) == (BLOCKS[0], [done(first), done(second)])
    assert collector.is_between


def test_parts_end_with_the_block_in_which_a_stop_is_asked(plan):
    stop = StopRequest(lambda: None)
    found = []
    for part in plan.parts(stop):
        found.append(part.first)
        stop.asked = True
    assert found == [0, 3]


def test_attempts_survive_their_process_piece_by_piece(tmp_path):
    path = tmp_path / "in-hand"
    assert Attempts(path).begin(64) == 1  # and dies
    later = Attempts(path)
    assert later.begin(0) == 1
    later.end(0)
    assert later.begin(64) == 2
    later = Attempts(path)
    assert later.begin(64) == 3
    later.end(64)
    assert not path.exists()
    path.write_text("damaged")
    assert Attempts(path).begin(64) == 1


def test_the_log_takes_any_text_and_never_stops_a_run(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("failed", image="line\nbreak 手 \udcff", reason=None)
    with RunLog(path) as log:
        log.write("ended", images=3)
    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [event["event"] for event in events] == ["failed", "ended"]
    caplog.set_level("WARNING", "fitter")
    full = RunLog(Path("/dev/full"))
    full.write("started")
    full.write("started")
    assert caplog.text.count("cannot write the log /dev/full") == 1
    with pytest.raises(InputError, match="cannot write the log"):
        RunLog(tmp_path / "no" / "log.jsonl")


def test_descriptors_go_to_the_file_and_words_to_the_terminal(tmp_path, capfd):
    with said_to(tmp_path / "said.log"):
        os.write(2, b"from a library\n")
        os.write(1, b"from another\n")
        print("own words", file=sys.stderr)
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "own words\nafterwards\n"
    assert (tmp_path / "said.log").read_text() == "from a library\nfrom another\n"


WATCHED = """
import socket, sys, time
from fitter.cluster.head_watch import HeadWatch
server = socket.create_server(("127.0.0.1", 0))
with HeadWatch([server.getsockname()[:2]], lambda: print("gone", flush=True)):
    print("up", flush=True)
    if sys.argv[1] == "close":
        server.close()
    time.sleep(float(sys.argv[2]))
print("end", flush=True)
"""


@pytest.mark.parametrize(
    ("what", "seconds", "said", "status"),
    [("close", "60", "up\ngone\n", EXIT_LOST), ("keep", "5", "up\nend\n", 0)],
)
def test_a_process_ends_when_its_head_does(what, seconds, said, status):
    started = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-c", WATCHED, what, seconds], capture_output=True, text=True, timeout=50
    )
    assert (found.stdout, found.returncode) == (said, status), found.stderr
    assert time.monotonic() - started < 30
