"""What is asked of one export, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fitter.errors import InputError
from fitter.inputs.addresses import is_address
from fitter.records import Side
from fitter.store.layout import is_result_store

FormatName = Literal[
    "glb", "obj", "ply", "bvh", "csv", "json", "freihand", "coco", "mano-npz", "rrd"
]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

Unit = Literal["hand", "image", "person", "track"]
UNITS: tuple[Unit, ...] = get_args(Unit)

OWN_UNITS: dict[FormatName, Unit] = {
    "csv": "hand",
    "json": "hand",
    "freihand": "image",
    "coco": "image",
    "rrd": "image",
}
"""What one entry is in the formats that are one file; of the others `per` says what a file is."""

TEXTURED: tuple[FormatName, ...] = ("glb", "obj", "ply")

MESHES: tuple[FormatName, ...] = (*TEXTURED, "rrd")
"""Formats that show meshes in their skin."""

MOTIONS: tuple[FormatName, ...] = ("bvh", "glb")
"""Formats of which a file may hold a track of a video; one of bvh always does."""

MANO_FORMATS: tuple[FormatName, ...] = ("mano-npz", "freihand")


@dataclass(frozen=True)
class ExportRequest:
    """What the user asked for.

    Attributes:
        store: that `fit-hands` wrote.
        out: the file, or for glb, obj, ply, bvh and mano-npz the folder, made where it is missing.
        format: one of `FORMATS`.
        per: what one file holds: a hand, the hands of an image, of a person the surest hand of each
            side, or a track of a video (glb); None for a hand, of bvh for a track, and for formats
            that are one file.
        only: names of images or patterns (``anna/*``); empty for all.
        min_score: hands with a score below it are left out.
        side: only hands of this side.
        include_invalid: also hands that are not valid: refused ones, and in csv and json those
            whose fit failed.
        overwrite: replace files that are there.
        mano: file of MANO, to convert hands of other models (mano-npz, freihand).
        model: where the hand model's file is now, if it has moved.
        textures: folder of the images: textures are extracted from them (glb, obj, ply); with `per`
            "person" one of all images of the person. None for the skin as it was fitted.
        images: folder of the images: their pictures go with the hands (rrd); None for hands alone.
        save_vertices: put meshes into json: `vertices`, `faces`, and what a stage fitted to them,
            `vertex_offsets`, `vertex_colours` and `texture`.
        quiet: no progress and no summary.
    """

    store: Path
    out: Path
    format: FormatName
    per: Unit | None = None
    only: Sequence[str] = ()
    min_score: float = 0.0
    side: Side | None = None
    include_invalid: bool = False
    overwrite: bool = False
    mano: Path | None = None
    model: Path | None = None
    textures: Path | None = None
    images: Path | None = None
    save_vertices: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Take texts for paths and one pattern for a list of one.

        Raises:
            InputError: format, unit and what goes with them do not fit together, or `out` is an
                address.
        """
        if is_address(str(self.out)):
            raise InputError("export.address", file=self.out)
        for name in ("store", "out", "mano", "model", "textures", "images"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, Path(given))
        if isinstance(self.only, str):
            object.__setattr__(self, "only", (self.only,))
        self._check_choices()

    @property
    def is_folder(self) -> bool:
        """Whether the format is a folder of files."""
        return self.format not in OWN_UNITS

    @property
    def unit(self) -> Unit:
        """What one file or entry is."""
        default: Unit = "track" if self.format == "bvh" else "hand"
        return OWN_UNITS.get(self.format, self.per or default)

    def _check_choices(self) -> None:
        if self.format not in FORMATS:
            known = ", ".join(FORMATS)
            raise InputError("export.format", file="--format", expected=known, found=self.format)
        if self.per is not None and self.per not in UNITS:
            raise InputError("export.per_name", file="--per", found=self.per)
        own = OWN_UNITS.get(self.format)
        if own is not None and self.per not in (None, own):
            raise InputError(
                "export.per", file="--per", expected=own, format=self.format, found=self.per
            )
        if (self.per == "track" and self.format not in MOTIONS) or (
            self.format == "bvh" and self.unit != "track"
        ):
            raise InputError("export.per_track", file="--per", format=self.format, found=self.per)
        if self.images is not None and self.format != "rrd":
            raise InputError("export.images_unused", file="--images", format=self.format)
        if self.mano is not None and self.format not in MANO_FORMATS:
            raise InputError("export.mano_unused", file="--mano", format=self.format)
        if self.textures is not None and self.format not in TEXTURED:
            known = ", ".join(TEXTURED)
            raise InputError(
                "export.textures_unused", file="--textures", expected=known, format=self.format
            )
        if self.textures is not None and self.unit == "track":
            raise InputError("export.textures_track", file="--textures")
        if self.save_vertices and self.format != "json":
            raise InputError("export.vertices_unused", file="--save-vertices", format=self.format)

    def check_out(self) -> None:
        """Make sure that what is exported may be written, and that images are where they are said
        to be.

        Raises:
            InputError: there is something that is not to be replaced, or a folder is missing.
        """
        out = self.out
        for folder in (self.textures, self.images):
            if folder is not None and not folder.is_dir():
                raise InputError("export.no_images", file=folder)
        if out.name in ("", ".."):
            raise InputError("output.no_name", file=out)
        place = out.absolute()
        if any(is_result_store(folder) for folder in (place, *place.parents)):
            raise InputError("export.in_store", file=out)
        if not out.parent.is_dir():
            raise InputError("export.no_folder", file=out, folder=out.parent)
        if not out.exists():
            return
        if self.is_folder and not out.is_dir():
            raise InputError("export.is_file", file=out, format=self.format)
        if not self.is_folder and out.is_dir():
            raise InputError("export.is_folder", file=out, format=self.format)
        has_content = not out.is_dir() or any(out.iterdir())
        if has_content and not self.overwrite:
            raise InputError("export.exists", file=out)
