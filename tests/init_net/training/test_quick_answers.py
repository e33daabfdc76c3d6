"""What `train-hands` answers before PyTorch is imported, which takes longest."""

from __future__ import annotations

import subprocess
import sys

ASKS = """
import sys
from init_net.training.command import train_hands

for arguments in (
    ["--list"],
    [],
    ["nothing_of_that_name"],
    ["lifter", "--set", "optimiser.stepz=3"],
    ["handnet_stages", "--set", "stages.image.trains=[image_frnt]"],
):
    try:
        train_hands(arguments)
    except SystemExit as end:
        print(end.code, "torch" in sys.modules)
"""


def test_lists_and_mistakes_in_options():
    ended = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True)
    *listed, _, _, _, _ = (line for line in ended.stdout.splitlines())
    assert listed[-1] == "0 False" and any(line.startswith("handnet_stages ") for line in listed)
    assert ended.stdout.splitlines()[-4:] == 4 * ["2 False"]
    assert "stages.image.trains" in ended.stderr and "'image_frnt'" in ended.stderr
