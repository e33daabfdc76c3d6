"""Say in one sentence what this machine lacks before an install that would fail later.

OpenCV links against system libraries that pip cannot install.
"""

import ctypes
import importlib.util
import sys

SUPPORTED = ((3, 11), (3, 12), (3, 13))
LIBRARIES = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
"""Shared library -> Debian package."""


def main() -> int:
    """Print what is missing; the exit status is 1 if anything is."""
    if sys.version_info[:2] not in SUPPORTED:
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"fit-hands needs Python 3.11, 3.12 or 3.13, and {sys.executable} is {found}: "
              "run make with PYTHON=python3.11")  # fmt: skip
        return 1
    if importlib.util.find_spec("ensurepip") is None:
        print(f"{sys.executable} cannot make virtual environments: apt-get install python3-venv")
        return 1
    missing = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    if missing:
        print(
            "OpenCV needs system libraries that are missing here: "
            f"apt-get install {' '.join(missing)}"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
