"""Make an environment that has the package `mediapipe` beside all that this one has.

MediaPipe's last release with networks inside needs NumPy 1, which nothing else does. So it is laid
over the environment that runs this script: an environment of its own with `mediapipe`, NumPy 1 and
protobuf 4, which takes every other package from here. The tests that compare with MediaPipe run in
it, and `scripts/convert_detector.py`.

    .venv/bin/python scripts/mediapipe_environment.py .venv/mediapipe
"""

import argparse
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

PACKAGES = ("mediapipe==0.10.21", "numpy==1.26.4", "protobuf==4.25.9")
"""What is not taken from below. The other packages that MediaPipe asks for are either there, or
belong to parts of it that are not used (audio, its model converters)."""

NEWEST_PYTHON = (3, 12)
"""That this release of MediaPipe has been built for."""


def main() -> int:
    """Make the environment; on a Python that it cannot be made for, say so and make none."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path, help="of the environment")
    folder = options.parse_args().folder
    if sys.version_info[:2] > NEWEST_PYTHON:
        known = ".".join(map(str, NEWEST_PYTHON))
        print(f"{PACKAGES[0]} needs Python {known} or older: no environment for it is made.")
        return 0
    venv.create(folder, clear=True, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES]
    subprocess.run(install, check=True)
    below = sysconfig.get_path("purelib")
    own = sysconfig.get_path("purelib", vars={"base": str(folder)})
    # Last, so that pip leaves alone what lies below.
    Path(own, "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
    subprocess.run([python, "-c", "import mediapipe.python.solutions.hands"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
