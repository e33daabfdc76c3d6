"""A data set of copies of one photograph, as a reader of somebody else's package offers it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from datasets.annotations import AnnotatedHand, AnnotatedImages, Annotation
from fitter.errors import InputError
from fitter.inputs import datasets
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.images import read_image_and_exif
from tests.support import bad_files
from tests.support.shard_files import K

OFFER = datasets.DatasetOffer("tiny", ("good", "bad"), "tests.support.tiny_dataset:open_tiny")


def offer_tiny(monkeypatch) -> None:
    """Let `--dataset tiny` find it, as the entry point of an installed package would."""
    point = SimpleNamespace(name="tiny", load=lambda: OFFER)
    monkeypatch.setattr(datasets, "entry_points", lambda group: [point])
    for cached in (datasets.dataset_names, datasets.dataset_offer):
        cached.cache_clear()


class Tiny(AnnotatedImages):
    """Images under names that are no files, not in their sorted order; `changes` of the folder's
    JSON file replace what is said of an image."""

    dataset = "tiny"
    definition = "mediapipe"

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split
        self.said = json.loads((root / "tiny.json").read_text())
        self.names = list(self.said)
        self.has_intrinsics = self.split == "good"

    def annotation(self, place: int) -> Annotation:
        name = self.names[place]
        said = self.said[name]
        if said.get("damaged"):
            raise InputError("dataset.unreadable", file=self.root / name, reason="damaged")
        (known,) = bad_files.known_hands()
        points = np.array(known["keypoints"], float)[:, :2]
        points[said.get("unmarked", [])] = np.nan
        hand = AnnotatedHand(
            said.get("side", known["side"]),
            points,
            np.full((21, 3), np.nan),
            confidence=np.full(21, said["confidence"]) if "confidence" in said else None,
        )
        matrix = None if said.get("no_k") else np.array(said.get("k", K))
        size = tuple(said["size"]) if "size" in said else None
        hands = () if said.get("no_hand") else (hand,)
        return Annotation(name, matrix, hands, size=size)

    def masks(self, place: int) -> np.ndarray | None:
        value = self.said[self.names[place]].get("mask")
        return None if value is None else np.full((1, 480, 640), value)

    def read(self, place: int) -> tuple[np.ndarray, CameraExif]:
        return read_image_and_exif(bad_files.HAND)


def open_tiny(folder: Path, split: str) -> Tiny:
    if not (folder / "tiny.json").exists():
        raise InputError("dataset.empty", file=folder)
    return Tiny(folder, split)


def write_tiny(folder: Path, **said: dict) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tiny.json").write_text(json.dumps({f"{name}.img": v for name, v in said.items()}))
    return folder
