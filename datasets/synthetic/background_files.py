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
MORE_IMAGES = (
    ("skimage", "data/clock_motion.png", "public domain (Stefan van der Walt)"),
    ("skimage", "data/hubble_deep_field.jpg", "public domain (NASA)"),
    ("skimage", "data/retina.jpg", "CC0 (Mikael Haggstrom)"),
    ("skimage", "data/cell.png", "CC0"),
    ("skimage", "data/microaneurysms.png", "CC0 (Andreas Maier)"),
    ("skimage", "data/text.png", "public domain"),
)
"""As `FREE_IMAGES`, for mixed backgrounds alone: a data set on those of packages stays as it is."""


def package_images(wanted: tuple[tuple[str, str, str], ...]) -> list[Path]:
    """Those files of `FREE_IMAGES` and the like that are on this machine."""
    found = []
    for package, name, _ in wanted:
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


def background_files(backgrounds: str, option: str = "backgrounds") -> list[Path]:
    """Files that `SyntheticSettings.backgrounds` names; none where backgrounds are painted alone.

    Args:
        backgrounds: as in the settings.
        option: of the user that says so, for the message.

    Raises:
        InputError: there are none.
    """
    if backgrounds == "procedural":
        return []
    if backgrounds == "mixed":
        return package_images(FREE_IMAGES + MORE_IMAGES)
    if backgrounds == "packages":
        paths = package_images(FREE_IMAGES)
        if not paths:
            raise InputError("background.no_packages", file=option)
        return paths
    return folder_images(Path(backgrounds))
