"""A result store as records: images with their fitted hands, read when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fitter.errors import InputError
from fitter.fitted_hand import FittedHand
from fitter.frame_hand import FrameHand
from fitter.posed_hand import PosedHand
from fitter.rig import FrameNames, Rig
from fitter.store.layout import Block
from fitter.store.people import PersonHand
from fitter.store.reader import StoreReader
from fitter.store.row_kinds import ALL_KINDS, FRAMES

if TYPE_CHECKING:
    import xarray as xr

    from fitter.groups.person_textures import PersonTextures
    from fitter.meshes import HandMeshes
    from fitter.records import HandKey
    from fitter.store.frame_schema import FrameRow
    from fitter.store.schema import ImageRow
    from fitter.store.tracks import HandTrack
    from fitter.textures import HandTexture


def open_results(path: str | Path, model: str | Path | None = None) -> Results:
    """Open a store that `fit-hands` wrote of single images; `open_frames` is for those of frames.

    Args:
        path: of the store, such as "results.zarr".
        model: where the hand model's file is now, if it is no longer where the store says.

    Raises:
        InputError: there is no store, it is damaged, or it is one of frames.

    ```python
    from pathlib import Path

    import fitter

    request = fitter.RunRequest(["photos"], Path("results.zarr"), overwrite=True, quiet=True)
    fitter.fit_to_store(request)  # as `fit-hands photos/ --out results.zarr --overwrite` does
    results = fitter.open_results("results.zarr")
    for name, hands in results.items():
        print(name, [(hand.side, hand.score) for hand in hands if hand.valid])
    ```
    """
    return Results(StoreReader.open(Path(path)), model)


def open_frames(path: str | Path, model: str | Path | None = None) -> FrameResults:
    """Open a store that ``fit-hands --views`` wrote, of frames that several cameras have seen.

    Args:
        path: of the store.
        model: see `open_results`.

    Raises:
        InputError: there is no store, it is damaged, or it is one of single images.
    """
    return FrameResults(StoreReader.open(Path(path), (FRAMES,)), model)


def open_either(path: Path, model: str | Path | None = None) -> Results | FrameResults:
    """Open a store of single images or of frames, as `open_results` and `open_frames` do."""
    store = StoreReader.open(path, ALL_KINDS)
    return FrameResults(store, model) if store.kind is FRAMES else Results(store, model)


@dataclass(frozen=True)
class FittedPerson(PersonHand):
    """One hand of one person, as its images share it.

    Attributes:
        key: person and side.
        textures: of all people of the store.
    """

    key: HandKey
    textures: PersonTextures

    @property
    def texture(self) -> HandTexture | None:
        """The texture that was made of all images of the hand, read now; None without
        `people.textures`, and as long as it is not made.

        Raises:
            InputError: it is damaged.
        """
        return self.textures.of(self.key)


Hand = TypeVar("Hand", bound=PosedHand)


class StoreResults(Mapping[str, list[Hand]]):
    """Images or frames by name, each with its hands; nothing is held of one that was read.

    One that was not reached yet, has failed or shows no hand has an empty list; `status` and
    `error` tell which.
    """

    def __init__(self, store: StoreReader, model: str | Path | None = None) -> None:
        """Take a store that is open for reading, and where its hand model is if it has moved."""
        self.store, self._model = store, model

    def __len__(self) -> int:
        return len(self.store.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.store.names)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def get(self, name: str, default: Any = None) -> Any:
        """The hands of an image or frame, or `default` where the store has none of this name."""
        if name not in self:
            return default
        return self[name]

    def __getitem__(self, name: str) -> list[Hand]:
        return self._hands(name, self._row(name))

    def _hands(self, name: str, row: Any) -> list[Hand]:
        # The marker is written last: of a row without it, what is there may be half written.
        return [] if row.status is None else self._of_row(name, row)

    @abstractmethod
    def _of_row(self, name: str, row: Any) -> list[Hand]:
        """The hands of a row that is done."""

    def status(self, name: str) -> str:
        """ "ok", "no_hand", "failed" or, of what was not reached, "pending"."""
        return self._row(name).status or "pending"

    def error(self, name: str) -> str | None:
        """Why an image or frame failed, or None."""
        return self._row(name).error

    def dataset(self) -> xr.Dataset:
        """The store as arrays, read lazily: dimensions image x hand, or frame x view x hand; see
        docs/results.md."""
        return self.store.dataset()

    @cached_property
    def _person_textures(self) -> PersonTextures:
        from fitter.groups.person_textures import PersonTextures

        return PersonTextures(self.store.path)

    @cached_property
    def meshes(self) -> HandMeshes:
        """The hand model that was fitted.

        Raises:
            InputError: the model's file is not where the store says, or is another one.
        """
        import torch

        from fitter.config.options import ModelConfig
        from fitter.meshes import HandMeshes

        options = self.store.configuration
        chosen = ModelConfig.model_validate(options["model"])
        if self._model is not None:
            chosen = chosen.model_copy(update={"path": str(self._model)})
        if chosen.path is not None and not Path(chosen.path).exists():
            raise InputError("results.model_moved", file=chosen.path, store=self.store.path)
        found = HandMeshes.of(
            chosen,
            torch.device("cpu"),
            options.get("refine", {}).get("linear_light", True),
        )
        wanted, known = self.store.model["sha256"], found.data.sha256
        if wanted != known:
            raise InputError(
                "results.other_model",
                file=self.store.path,
                name=found.data.name,
                expected=wanted[:12],
                found=known[:12],
            )
        found.person_textures = self._person_textures
        return found

    def _row(self, name: str) -> Any:
        place = self._place(name)
        size = self.store.block_size
        (row,) = self.store.read_block(Block(place // size, place, place + 1))
        return row

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            raise InputError("results.no_image", file=self.store.path, name=name)
        return place

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.store.names)}


class Results(StoreResults[FittedHand]):
    """The results of single images: `FittedHand`s by the image's name."""

    def _of_row(self, name: str, row: ImageRow) -> list[FittedHand]:
        return [FittedHand.of(name, row, hand, self.meshes) for hand in row.hands]

    @cached_property
    def people(self) -> dict[HandKey, FittedPerson]:
        """What the images of each person's hand share, by person and side; empty in a store whose
        hands were fitted alone, and as long as it is not known.

        Raises:
            InputError: it is damaged.
        """
        from fitter.store.people import PEOPLE, read_people

        place = self.store.path / PEOPLE
        found = read_people(place) if place.exists() else {}
        return {
            key: FittedPerson(hand.shared, hand.images, key, self._person_textures)
            for key, hand in found.items()
        }

    @cached_property
    def tracks(self) -> list[HandTrack]:
        """The tracks of hands of videos; `FittedHand.track` k + 1 is the k-th. Empty in a store of
        photographs, of frames that were fitted alone, and as long as they are not known.

        Raises:
            InputError: they are damaged.
        """
        from fitter.store.tracks import TRACKS, read_tracks

        place = self.store.path / TRACKS
        return read_tracks(place) if place.exists() else []


class FrameResults(StoreResults[FrameHand]):
    """The results of frames that several cameras have seen: `FrameHand`s by the frame's name."""

    @cached_property
    def rig(self) -> Rig:
        """The cameras."""
        rig = self.store.rig
        assert rig is not None  # a store of frames has one
        return rig

    def images(self, name: str) -> dict[str, str]:
        """The names of a frame's images, by camera; cameras that have none are left out."""
        names = self.store.frame_images[self._place(name)]
        return {camera: own for camera, own in zip(self.rig.names, names, strict=True) if own}

    def view_errors(self, name: str) -> dict[str, str]:
        """Why views of a frame failed, by camera."""
        views = zip(self.rig.names, self._row(name).views, strict=True)
        return {camera: view.view_error for camera, view in views if view.view_error}

    def _of_row(self, name: str, row: FrameRow) -> list[FrameHand]:
        names = FrameNames(name, self.store.frame_images[self._place(name)])
        slots = range(len(row.hands))
        return [FrameHand.of(names, row, slot, self.rig, self.meshes) for slot in slots]
