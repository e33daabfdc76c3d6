"""The parts that a spread run is made of: numbered batches, collected blocks, watches and logs."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fitter.cluster.job import Feeder
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.image_files import LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.sources import Sources
from fitter.run.progress import RunLog
from fitter.store.layout import Block
from fitter.store.schema import ImageRow
from fitter.system.messages import EXIT_LOST
from fitter.system.stopping import StopRequest
from fitter.system.streams import said_to
from fitter.workers.attempts import Attempts
from fitter.workers.batches import Collector, FittedBatch, Plan, split
from tests.support.errors import raises

NAMES = [f"{i:02d}.jpg" for i in range(11)]
BLOCKS = [Block(0, 0, 4), Block(2, 8, 11)]
"""The second of three blocks is done."""


@pytest.fixture
def plan() -> Plan:
    by_name = {name: np.diag([i + 1.0, i + 1.0, 1.0]).tolist() for i, name in enumerate(NAMES)}
    return Plan(Sources(Path("in"), NAMES, Intrinsics(by_name=by_name)), BLOCKS, 3)


def names(tasks: list[ImageTask]) -> list[str]:
    return [task.name for task in tasks]


def done(tasks: list[ImageTask]) -> FittedBatch:
    rows = [ImageRow(image_status="no_hand") for _ in tasks]
    return FittedBatch(tasks[0].place, names(tasks), rows, masks=0)


def test_blocks_are_split_from_their_start():
    assert [(p.start, p.stop) for p in split(Block(1, 10, 20), 4)] == [(10, 14), (14, 18), (18, 20)]
    assert [(p.start, p.stop) for p in split(Block(0, 0, 4), 64)] == [(0, 4)]


def test_a_task_has_what_its_image_needs_and_no_more(plan):
    tasks = plan.tasks(split(BLOCKS[1], 3)[0])
    assert names(tasks) == NAMES[8:11]
    assert [task.place for task in tasks] == [8, 9, 10]
    assert [set(task.intrinsics.by_name) for task in tasks] == [{name} for name in NAMES[8:11]]
    assert tasks[1].file == LocalFile(Path("in/09.jpg"))
    assert len({task.inputs_digest() for task in tasks}) == 3
    travelled = pickle.loads(pickle.dumps(tasks[1]))
    assert travelled.inputs_digest() == tasks[1].inputs_digest()
    assert len(pickle.dumps(tasks[1])) < 2000


def test_a_task_gives_the_k_of_its_place_in_a_list():
    by_index = {i: [[100 + i, 0, 50], [0, 100 + i, 50], [0, 0, 1]] for i in range(11)}
    tasks = Sources(Path("in"), NAMES, Intrinsics(by_index=by_index)).tasks(8, 11)
    found = [task.intrinsics_for((100, 100), CameraExif())[0][0, 0] for task in tasks]
    assert found == [108.0, 109.0, 110.0]


def test_batches_have_numbers_in_the_order_of_the_blocks(plan):
    feeder = Feeder(plan)
    batches = [feeder.tasks(number) for number in range(3)]
    assert [names(tasks) for tasks in batches] == [NAMES[0:3], NAMES[3:4], NAMES[8:11]]


def test_after_a_stop_only_blocks_that_were_begun_go_on(plan):
    feeder = Feeder(plan)
    assert feeder.tasks(0) is not None
    assert feeder.stop() == [0]
    assert names(feeder.tasks(1)) == NAMES[3:4]
    assert feeder.tasks(2) is None


def test_the_feeder_counts_until_a_batch_is_done(plan):
    feeder = Feeder(plan)
    assert [feeder.begin(1), feeder.begin(1), feeder.begin(2)] == [1, 2, 1]
    feeder.end(1)
    assert feeder.begin(1) == 1


def test_batches_come_in_any_order_and_blocks_whole(plan):
    collector = Collector(plan)
    first, second, other = (Feeder(plan).tasks(number) for number in range(3))
    assert collector.add(done(second)) is None
    assert not collector.is_between
    assert collector.add(done(other)) == (BLOCKS[1], [done(other)])
    assert collector.add(done(first)) == (BLOCKS[0], [done(first), done(second)])
    assert collector.is_between


def test_batches_end_with_the_block_in_which_a_stop_is_asked(plan):
    stop = StopRequest(lambda: None)
    found = []
    for tasks in plan.batches(stop):
        found.append(tasks[0].place)
        stop.asked = True
    assert found == [0, 3]


def test_attempts_survive_their_process_batch_by_batch(tmp_path):
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
    missing = tmp_path / "no" / "log.jsonl"
    with raises("run.log_unwritable", file=missing):
        RunLog(missing)


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
    found = subprocess.run(
        [sys.executable, "-c", WATCHED, what, seconds], capture_output=True, text=True, timeout=50
    )
    assert (found.stdout, found.returncode) == (said, status), found.stderr
