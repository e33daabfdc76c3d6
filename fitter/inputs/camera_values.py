"""What stands in files with cameras that are not JSON: NumPy's, YAML and XML, as plain values.

The files come from outside, so what they say about themselves is bounded before it is believed:
arrays by what their headers say, YAML without aliases and XML without entities, both of which can
grow without end, and values that are nested no deeper than calibrations are.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
import yaml

from fitter.errors import InputError
from fitter.inputs.lens_files import is_part

_UNPACKED = 64 * 2**20
"""Bytes that arrays may have which a file packs smaller: a million K, for one, have 69 MiB."""

LARGEST_PART = 4096
"""Numbers in one part of a calibration; what is larger are its corners and images."""

_ENTRY = 16
"""Numbers of K with all that may stand beside it: 4 x 4."""

_DEEPEST = 32
"""Elements of XML within another; OpenCV's matrices are three deep."""


class Rows(Mapping[int, Any]):
    """The rows of an array as entries of consecutive images, without a copy of them."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __getitem__(self, place: int) -> np.ndarray:
        if not 0 <= place < len(self._array):
            raise KeyError(place)
        row: np.ndarray = self._array[place]
        return row

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._array)))

    def __len__(self) -> int:
        return len(self._array)


def array_values(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """What a NumPy file holds.

    Returns:
        The array of an ``.npy``; of an ``.npz`` its arrays by name. Of several, those that are
        larger than parts of a calibration (its corners and images) are left out.

    Raises:
        InputError: there is no such file, it holds no arrays of numbers, or its arrays are larger
            than those of cameras.
    """
    try:
        if not zipfile.is_zipfile(path):
            # Mapped, because a header may claim more than the file has.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return _entries(np.asarray(array), path)
        with zipfile.ZipFile(path) as archive:
            return _members(archive, path)
    except FileNotFoundError as error:
        raise InputError("intrinsics.neither", file=path) from error
    except InputError:
        raise
    except Exception as error:  # damaged archives raise what zipfile, zlib and NumPy raise
        raise InputError("intrinsics.no_arrays", file=path, reason=str(error)) from error


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``."""
    members = archive.infolist()
    bound = max(_UNPACKED, path.stat().st_size)
    found: dict[str, np.ndarray] = {}
    size = 0
    for member in members:
        with archive.open(member) as file:
            shape = _shape(file)
        name = member.filename.removesuffix(".npy")
        if len(members) > 1 and math.prod(shape) > LARGEST_PART:
            if is_part(name):
                raise InputError("intrinsics.shape", file=f"{path}, {name}", shape=list(shape))
            continue
        size += member.file_size  # zipfile reads no more than the directory says
        if size > bound:
            facts = {"most": bound >> 20, "found": size >> 20}
            raise InputError("intrinsics.too_large", file=path, **facts)
        with archive.open(member) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        found[name] = array if len(members) > 1 else _entries(array, path)
    return found


def _shape(file: IO[bytes]) -> tuple[int, ...]:
    """The shape of the array that follows."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, _ = read(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
    found: tuple[int, ...] = shape
    return found


def _entries(array: np.ndarray, path: Path) -> np.ndarray:
    """An array that may be K or a list of them."""
    if array.size > _ENTRY and math.prod(array.shape[1:]) > _ENTRY:
        raise InputError("intrinsics.shape", file=path, shape=list(array.shape))
    return array


class _Loader(yaml.SafeLoader):
    """YAML as OpenCV and other programs in C++ write it."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse aliases: ten lines of them stand for more than a memory holds."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*), which is not read", mark)
        return super().compose_node(parent, index)


def _mapping(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, "no matrix", node.start_mark)
    return loader.construct_mapping(node, deep=True)


for _tag in ("opencv-matrix", "opencv-nd-matrix"):  # mappings with a tag
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _mapping)

# A number of YAML 1.2 (10.2.1.4) needs neither a point nor an exponent's sign, as in 1e-05; one
# of 1.1, which PyYAML reads, needs both.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+\Z"),
    list("-+.0123456789"),
)

_RAISED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises beside its own errors, of a tag before a word that it is not of for one."""


def yaml_values(path: Path, text: str) -> object:
    """What a YAML file says; names of its outermost mapping are words.

    Raises:
        InputError: it is no YAML, or has aliases or tags that are not read.
    """
    # OpenCV's first line, %YAML:1.0, is none of YAML's directives.
    text = re.sub(r"\A%YAML[^\n]*\n", "", text)
    try:
        found = yaml.load(text, _Loader)
    except (yaml.YAMLError, *_RAISED) as error:
        mark = getattr(error, "problem_mark", None)
        said = str(error) if type(error) is ValueError else "it cannot be parsed"
        reason = getattr(error, "problem", None) or said
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise InputError("lens.broken_file", file=path, reason=f"{reason}{where}") from error
    if isinstance(found, dict):
        return {str(name): value for name, value in found.items()}
    return found


def xml_values(path: Path, text: str) -> object:
    """What an XML file of `cv2.FileStorage` says.

    Raises:
        InputError: it is no XML, has a document type or entities, or is nested without end.
    """
    # Looked for in comments, too: where those end is not known before the file is parsed.
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise InputError("lens.broken_file", file=path, reason="a document type or an entity")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError("lens.broken_file", file=path, reason=str(error)) from error
    return {part.tag: _element(part, path) for part in root}


def _element(part: ElementTree.Element, path: Path, depth: int = 1) -> object:
    """A value of OpenCV's XML: a mapping, a list of numbers, a number or a word."""
    if depth > _DEEPEST:
        reason = f"elements more than {_DEEPEST} deep"
        raise InputError("lens.broken_file", file=path, reason=reason)
    if len(part):
        return {each.tag: _element(each, path, depth + 1) for each in part}
    words = (part.text or "").split()
    try:
        numbers = [float(word) if set(word) - set("0123456789+-") else int(word) for word in words]
    except ValueError:
        return part.text
    return numbers[0] if len(numbers) == 1 and part.tag != "data" else numbers
