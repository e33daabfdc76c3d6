"""Scripts that torchrun starts in two processes on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


def torchrun(
    folder: Path, source: str, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script, its source given, in a folder and in two processes."""
    script = folder / "script_of_ranks.py"
    script.write_text(source)
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(script), *map(str, arguments),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
