"""What libraries write to the process's standard error, held back."""

import os
import signal
import subprocess
import sys

from fitter.system.streams import HeldStderr
from tests.support.paths import ROOT


def test_held_back_errors_are_passed_on(capfd):
    held = HeldStderr()
    for number in range(3):
        with held.quiet():
            os.write(2, b"W0000 00:00:1.0 1 inference.cc:1] a warning\nE0000 error %d\n" % number)
        assert capfd.readouterr().err == f"E0000 error {number}\n"
    held.close()
    held.close()
    assert capfd.readouterr().err == ""


def test_more_than_any_pipe_takes_can_be_held(capfd):
    held = HeldStderr()
    with held.quiet():
        for _ in range(64):
            os.write(2, (b"e" * 9_999 + b"\n") * 10)
    assert len(capfd.readouterr().err) == 6_400_000
    held.close()


def test_last_words_before_an_abort_are_heard():
    program = (
        "import os\n"
        "from fitter.system.streams import HeldStderr\n"
        "held = HeldStderr()\n"
        "with held.quiet():\n"
        "    os.write(2, b'E0000 passed on\\n')\n"
        "with held.quiet():\n"
        "    os.write(2, b'F0000 Check failed: 1 == 2\\n')\n"
        "    os.abort()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == -signal.SIGABRT
    assert done.stderr == "E0000 passed on\nF0000 Check failed: 1 == 2\n"
