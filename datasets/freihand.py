"""FreiHAND's folder layout: what an evaluation needs of it.

``evaluation_K.json``, ``evaluation_xyz.json``, optional ``evaluation_verts.json`` and
``evaluation/rgb/%08d.jpg``; the same with ``training_``. Each training sample is photographed
once and then shown with several backgrounds: image i shows sample i modulo the number of
samples.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fitter.errors import InputError


@dataclass(frozen=True)
class FreiHandSplit:
    """The annotations of N images, each of one right hand.

    Attributes:
        root: folder of the data set.
        image_dir: folder with the images.
        names: N file names in `image_dir`, in order.
        intrinsics: (N, 3, 3) float64, pixels.
        keypoints_3d: (N, 21, 3) float64, metres, camera frame, canonical order.
        vertices: (N, 778, 3) float64, metres, camera frame, or None where the file is absent.
    """

    root: Path
    image_dir: Path
    names: tuple[str, ...]
    intrinsics: np.ndarray
    keypoints_3d: np.ndarray
    vertices: np.ndarray | None

    @property
    def keypoints_2d(self) -> np.ndarray:
        """(N, 21, 2) float64: the annotated keypoints projected into the image, pixels."""
        projected = self.keypoints_3d @ self.intrinsics.transpose(0, 2, 1)
        return projected[..., :2] / projected[..., 2:]


def load_freihand(
    root: Path, split: Literal["training", "evaluation"] = "evaluation"
) -> FreiHandSplit:
    """Read one split.

    Args:
        root: folder that holds ``evaluation_K.json`` and the rest.
        split: which one.

    Raises:
        InputError: a file is missing, is no JSON of the expected shape, or the numbers of
            annotations and images do not belong together.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError("dataset.no_folder", file=root)
    intrinsics = _read(root / f"{split}_K.json", (3, 3))
    keypoints = _read(root / f"{split}_xyz.json", (21, 3))
    verts_file = root / f"{split}_verts.json"
    vertices = _read(verts_file, (778, 3)) if verts_file.exists() else None
    for what, array in (("xyz", keypoints), ("verts", vertices)):
        if array is not None and len(array) != len(intrinsics):
            raise InputError(
                "dataset.entries",
                file=root / f"{split}_{what}.json",
                found=len(array),
                other=f"{split}_K.json",
                expected=len(intrinsics),
            )
    image_dir = root / split / "rgb"
    repeats = _repeats(image_dir, len(intrinsics), split)
    return FreiHandSplit(
        root=root,
        image_dir=image_dir,
        names=tuple(f"{i:08d}.jpg" for i in range(repeats * len(intrinsics))),
        intrinsics=np.tile(intrinsics, (repeats, 1, 1)),
        keypoints_3d=np.tile(keypoints, (repeats, 1, 1)),
        vertices=None if vertices is None else np.tile(vertices, (repeats, 1, 1)),
    )


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """(N, *shape) float64 from a JSON list."""
    rows, columns = shape
    try:
        array = np.array(json.loads(path.read_text(encoding="utf-8")), dtype=float)
    except FileNotFoundError:
        raise InputError("dataset.file_missing", file=path) from None
    except OSError as error:
        raise InputError("dataset.unreadable", file=path, reason=error.strerror) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("dataset.not_numbers", file=path, rows=rows, columns=columns) from error
    if array.ndim != 3 or array.shape[1:] != shape or len(array) == 0:
        raise InputError("dataset.shape", file=path, rows=rows, columns=columns, found=array.shape)
    return array


def _repeats(image_dir: Path, samples: int, split: str) -> int:
    """How many images there are of every sample."""
    if not image_dir.is_dir():
        raise InputError("dataset.no_images", file=image_dir)
    images = sum(1 for entry in image_dir.iterdir() if entry.suffix == ".jpg")
    repeats, rest = divmod(images, samples)
    if rest or repeats == 0 or (split == "evaluation" and repeats != 1):
        raise InputError(
            "dataset.images",
            file=image_dir,
            found=images,
            other=f"{split}_K.json",
            expected=samples,
        )
    return repeats
