"""Going through a data set whose samples are partly damaged."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from datasets.annotations import AnnotatedImages, Annotation
from datasets.readers import GuardedSamples, usable, usable_of
from datasets.readers.iteration import DamagedSample, annotation_alone, as_is
from datasets.readers.names import NumberedNames
from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif

COUNT = 10
DAMAGED = (0, 3, 9)


@dataclass(frozen=True)
class Numbers(AnnotatedImages):
    """Images of one colour; some are damaged, one breaks the reader itself."""

    names: NumberedNames = field(default_factory=partial(NumberedNames, "{}.png", COUNT))
    root: Path = Path("nowhere")
    split: str = ""
    dataset: str = "numbers"
    definition: str = "mano"
    breaks: int = -1

    def annotation(self, place):
        if place == self.breaks:
            raise IndexError("a fault of the reader")
        if place in DAMAGED:
            raise InputError("image.missing", file=self.path(place))
        return Annotation(self.names[place], np.eye(3), (), frame=place)

    def read(self, place):
        return np.full((16, 16, 3), place, np.uint8), CameraExif()


@pytest.mark.parametrize("workers", [0, 2])
class TestUsable:
    def test_the_others_are_used(self, workers):
        damaged = []
        read = list(usable(Numbers(), damaged.append, workers=workers))
        assert [place for place, _ in read] == [p for p in range(COUNT) if p not in DAMAGED]
        assert all((sample.pixels == place).all() for place, sample in read)
        assert damaged == [
            DamagedSample(
                place,
                f"{place}.png",
                "image.missing",
                f"nowhere/{place}.png: expected a picture, found no such file",
            )
            for place in DAMAGED
        ]

    def test_in_the_order_asked_for(self, workers):
        damaged = []
        read = usable(Numbers(), damaged.append, [8, 3, 1, 8], workers)
        assert [(place, int(sample.pixels[0, 0, 0])) for place, sample in read] == [
            (8, 8),
            (1, 1),
            (8, 8),
        ]
        assert [sample.place for sample in damaged] == [3]

    def test_annotations_alone(self, workers):
        samples = GuardedSamples(Numbers(), annotation_alone)
        read = list(usable_of(samples, [].append, workers))
        assert [annotation.frame for _, annotation in read] == [1, 2, 4, 5, 6, 7, 8]

    def test_a_fault_of_the_reader_is_not_hidden(self, workers):
        with pytest.raises(IndexError, match="a fault of the reader"):
            list(usable(Numbers(breaks=5), [].append, workers=workers))


def test_a_loader_of_torch_takes_it():
    loader = DataLoader(GuardedSamples(Numbers()), 4, shuffle=True, num_workers=2, collate_fn=as_is)
    read = [sample for batch in loader for sample in batch]
    assert sorted(place for place, _ in read) == list(range(COUNT))
    damaged = [sample for _, sample in read if isinstance(sample, DamagedSample)]
    assert sorted(sample.place for sample in damaged) == list(DAMAGED)


def test_names_made_of_their_place():
    names = NumberedNames("training/rgb/{:08d}.jpg", 130_240)
    assert len(names) == 130_240 and names[-1] == "training/rgb/00130239.jpg" == names[130_239]
    assert names[2:4] == ["training/rgb/00000002.jpg", "training/rgb/00000003.jpg"]
    with pytest.raises(IndexError):
        names[130_240]
