"""Calls to an object in another process, which may crash or hang, with real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fitter.errors import InputError, LostError
from fitter.system.isolation import Isolated, Lost
from tests.support.errors import raises
from tests.support.paths import ROOT


class Counter:
    def __init__(self, start: int) -> None:
        if start < 0:
            raise InputError("worker.unfittable", file="start", how="is less than 0")
        self.value = start

    def add(self, number: int) -> int:
        self.value += number
        return self.value

    def refuse(self) -> None:
        raise LostError("ray.failed", reason="no")

    def fail(self) -> None:
        raise KeyError("lost")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def die(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def echo(self, value: object) -> object:
        return value


@pytest.fixture
def counter():
    isolated = Isolated(Counter, 5)
    yield isolated
    isolated.close()


def test_calls_keep_their_state_and_their_arrays(counter):
    assert counter.call("add", 2, timeout=20) == 7
    assert counter.call("add", 2, timeout=20) == 9
    array = np.random.default_rng(0).normal(size=(300, 700))
    assert (counter.call("echo", array, timeout=20) == array).all()


def test_errors_cross_over_and_the_process_goes_on(counter):
    with raises("ray.failed", LostError, reason="no"):
        counter.call("refuse", timeout=20)
    with pytest.raises(RuntimeError, match="KeyError: 'lost'"):
        counter.call("fail", timeout=20)
    assert counter.call("add", 1, timeout=20) == 6


def test_a_refusal_to_start_is_told():
    with raises("worker.unfittable", file="start", how="is less than 0"):
        Isolated(Counter, -1).ready()


@pytest.mark.parametrize(
    ("method", "argument", "how"),
    [
        ("die", signal.SIGSEGV, "ended its process by SIGSEGV"),
        ("die", signal.SIGKILL, "ended its process by SIGKILL, as happens when memory runs out"),
        ("sleep", 60, "took more than 0.5 s"),
    ],
)
def test_a_lost_process_is_told_and_replaced(counter, method, argument, how):
    counter.ready()
    process = counter.pid
    with pytest.raises(Lost) as lost:
        counter.call(method, argument, timeout=0.5)
    assert str(lost.value) == how
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert counter.call("add", 1, timeout=20) == 6


def test_it_ends_with_its_parent_even_in_the_middle_of_a_call(tmp_path):
    program = (
        "import sys, threading, time\n"
        "from tests.fitter.system.test_isolation import Counter\n"
        "from fitter.system.isolation import Isolated\n"
        "isolated = Isolated(Counter, 1)\n"
        "isolated.ready()\n"
        "print(isolated.pid, flush=True)\n"
        "isolated.call('sleep', 3, timeout=60)\n"
    )
    root = ROOT
    environment = os.environ | {"PYTHONPATH": str(root)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )
    process = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{process}").exists()
