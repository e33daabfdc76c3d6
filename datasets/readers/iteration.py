"""Going through a data set: in order or by chance, in several processes, past damaged samples.

images = open_dataset("freihand", folder, "training")
damaged = []
for place, sample in usable(images, damaged.append, workers=4):
    ...
print(*(sample.sentence for sample in damaged), sep="\\n")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, Generic, TypeVar, cast

from datasets.annotations import AnnotatedImage, AnnotatedImages, Annotation
from fitter.errors import InputError

Read = TypeVar("Read")


@dataclass(frozen=True)
class DamagedSample:
    """A sample that cannot be used.

    Attributes:
        place: in the data set.
        name: of its image.
        code: of the error, see `fitter.errors`.
        sentence: which says why.
    """

    place: int
    name: str
    code: str
    sentence: str


@dataclass(frozen=True)
class GuardedSamples(Sequence[Any], Generic[Read]):
    """Samples of a data set, in which a damaged one is told and not raised: what torch's DataLoader
    takes as a map-style data set. Picklable as the data set is.

    Attributes:
        images: the data set.
        read: what is read of image `place`; by default all; `annotation_alone` leaves the pixels
            on the disk.
        places: of the samples, in order; None for all.
    """

    images: AnnotatedImages
    # The default reads an `AnnotatedImage`, which a default cannot tell the type parameter.
    read: Callable[[AnnotatedImages, int], Read] = getitem  # type: ignore[assignment]
    places: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.images if self.places is None else self.places)

    # A `Sequence` promises slices, too, which would read all of them: there are none.
    def __getitem__(self, row: int) -> tuple[int, Read | DamagedSample]:  # type: ignore[override]
        """The place of a sample in the data set, and the sample or why there is none."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        place = row if self.places is None else self.places[row]
        try:
            return place, self.read(self.images, place)
        except InputError as error:
            return place, DamagedSample(place, self.images.names[place], error.code, str(error))


def annotation_alone(images: AnnotatedImages, place: int) -> Annotation:
    """What is known of image `place`, without opening the image: for `GuardedSamples`."""
    return images.annotation(place)


def usable(
    images: AnnotatedImages,
    damaged: Callable[[DamagedSample], object],
    places: Sequence[int] | None = None,
    workers: int = 0,
) -> Iterator[tuple[int, AnnotatedImage]]:
    """The samples that can be used, with their places, in order.

    Args:
        images: the data set.
        damaged: is told of every sample that cannot be used.
        places: of the samples; None for all.
        workers: processes of torch's DataLoader that read ahead; 0 reads here.
    """
    return usable_of(GuardedSamples(images, places=places), damaged, workers)


def usable_of(
    samples: GuardedSamples[Read],
    damaged: Callable[[DamagedSample], object],
    workers: int = 0,
) -> Iterator[tuple[int, Read]]:
    """As `usable`, of whatever is read of the samples."""
    for place, sample in _read(samples, workers):
        if isinstance(sample, DamagedSample):
            damaged(sample)
        else:
            yield place, sample


def _read(samples: GuardedSamples[Any], workers: int) -> Iterable[tuple[int, Any]]:
    if workers == 0:
        # Not `iter`: it would take an IndexError out of a reader for the end.
        return (samples[row] for row in range(len(samples)))
    from torch.utils.data import DataLoader  # only here: who reads alone need not load PyTorch

    return DataLoader(cast(Any, samples), batch_size=None, num_workers=workers, collate_fn=as_is)


def as_is(sample: Any) -> Any:
    """The same; torch's DataLoader would turn arrays into tensors."""
    return sample
