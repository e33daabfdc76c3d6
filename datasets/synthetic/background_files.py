"""Which files backgrounds are read from; light, so that a command can refuse a folder at once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fitter.errors import InputError

MOST = 2000
"""Images of a folder that are read, evenly spread over the sorted names."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
FREE_IMAGES = (
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public domain (US Navy)"),
    ("matplotlib", "mpl-data/sample_data/Minduka_Present_Blue_Pack.png", "CC0"),
    ("sklearn", "datasets/images/china.jpg", "CC BY 2.0, Yulin Jia"),
    ("sklearn", "datasets/images/flower.jpg", "CC BY 2.0, dany13"),
    ("skimage", "data/coffee.png", "CC0"),
    ("skimage", "data/chelsea.png", "CC0"),
    ("skimage", "data/rocket.jpg", "public domain (SpaceX)"),
    ("skimage", "data/brick.png", "CC0"),
    ("skimage", "data/grass.png", "CC0"),
    ("skimage", "data/gravel.png", "CC0"),
)
"""Package, file in it and licence of images that show no hands."""


def package_images() -> list[Path]:
    """Files of `FREE_IMAGES` that are on this machine."""
    found = []
    for package, name, _ in FREE_IMAGES:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        path = Path(folders[0]) / name if folders else None
        if path is not None and path.is_file():
            found.append(path)
    return found


def folder_images(folder: Path) -> list[Path]:
    """Images in a folder and below it, sorted by name, at most `MOST` of them.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError("background.no_folder", file=folder)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise InputError("background.no_images", file=folder)
    return [paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, MOST).round().astype(int))]


def background_files(backgrounds: str) -> list[Path] | None:
    """Files that `SyntheticSettings.backgrounds` names; None where backgrounds are painted.

    Raises:
        InputError: there are none.
    """
    if backgrounds == "procedural":
        return None
    if backgrounds == "packages":
        paths = package_images()
        if not paths:
            raise InputError("background.no_packages", file="backgrounds")
        return paths
    return folder_images(Path(backgrounds))
