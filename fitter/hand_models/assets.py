"""Reads model files, and the pickles of data sets, from outside. Nothing else opens them.

A pickle is a program, and a downloaded one is untrusted. `read_pickle` runs it with an unpickler
whose only globals are stand-ins defined here for the array types that such files hold: NumPy's
arrays and numbers, SciPy's sparse columns and chumpy's wrappers. The stand-ins record what the file
says. NumPy's arrays and numbers are read at once, as views of bytes that the file holds and of
numeric types alone; sparse columns and wrappers, which work with several of them, are built from
the records only when the file has been read to its end. NumPy's own classes are not admitted, since
a forged dtype can make them read memory as objects.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors
from safetensors.numpy import load

from fitter.errors import InputError

_LARGEST_DENSE = 10**8
"""Elements of the largest sparse array that is made dense; MANO's has 12,448."""

_SIGNATURES = ((b"<", "a web page"), (b"PK\x03\x04", "a zip archive"))


def read_bytes(path: Path, expected: str) -> tuple[bytes, str]:
    """The bytes of a file and their SHA-256 in hexadecimal.

    Args:
        path: the file.
        expected: what it should be, for the error message, such as "a MANO model (.pkl)".

    Raises:
        InputError: the file is missing, not a file, or cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError("model.missing", file=path, expected=expected) from None
    except IsADirectoryError:
        raise InputError("model.folder", file=path, expected=expected) from None
    except OSError as error:
        reason = error.strerror
        raise InputError("model.unreadable", file=path, expected=expected, reason=reason) from error
    return content, hashlib.sha256(content).hexdigest()


def read_safetensors(
    path: Path, expected: str, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], str]:
    """The named arrays of a safetensors file and the file's SHA-256 in hexadecimal.

    Raises:
        InputError: the file cannot be read, is no safetensors file, or lacks an array.
    """
    content, digest = read_bytes(path, expected)
    try:
        arrays = load(content)
    except safetensors.SafetensorError as error:
        raise InputError(
            "model.no_safetensors", file=path, expected=expected, reason=str(error)
        ) from error
    for name in names:
        if name not in arrays:
            raise InputError("model.array_missing", file=path, expected=expected, array=name)
    return {name: arrays[name] for name in names}, digest


def read_pickle(path: Path, expected: str, keys: type = str) -> tuple[dict[Any, Any], str]:
    """Read a dictionary of arrays from an untrusted pickle (protocols 0 to 5).

    Args:
        path: the file.
        expected: what it should be, for the error message.
        keys: type of the dictionary's keys.

    Returns:
        The dictionary, in which every NumPy, SciPy sparse or chumpy array is a dense NumPy array,
        and the file's SHA-256.

    Raises:
        InputError: the file cannot be read, is no pickle, is incomplete, names a global that is
            not an array type (nothing of it is run), or holds no dictionary.
    """
    value, digest = _unpickled(path, expected)
    if not isinstance(value, dict) or not all(isinstance(key, keys) for key in value):
        raise InputError(
            "model.no_dictionary", file=path, expected=expected, found=type(value).__name__
        )
    return value, digest


def read_pickled_lines(path: Path, expected: str) -> tuple[list[str], str]:
    """Read lines of text from an untrusted pickle of a list of them, or of one string.

    Args:
        path: the file.
        expected: what it should be, for the error message.

    Returns:
        The lines, without line breaks, and the file's SHA-256.

    Raises:
        InputError: as of `read_pickle`, or it holds something else.
    """
    value, digest = _unpickled(path, expected)
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise InputError("model.no_text", file=path, expected=expected, found=type(value).__name__)
    return [line for part in parts for line in part.splitlines()], digest


def _unpickled(path: Path, expected: str) -> tuple[Any, str]:
    """What an untrusted pickle holds, with plain arrays, and the file's SHA-256."""
    content, digest = read_bytes(path, expected)
    for signature, found in _SIGNATURES:
        if content.lstrip().startswith(signature):
            raise InputError("model.other_format", file=path, expected=expected, found=found)
    stream = io.BytesIO(content)
    try:
        value = _plain(_ArrayUnpickler(stream).load(), {})
    except _RefusedError as error:
        found = str(error)
        raise InputError("model.unsafe", file=path, expected=expected, found=found) from None
    except Exception as error:
        # A malformed pickle can raise nearly any exception, as the pickle module documents.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if stream.tell() == len(content) and not content.endswith(pickle.STOP):
            raise InputError(
                "model.truncated", file=path, expected=expected, size=len(content)
            ) from error
        raise InputError("model.no_pickle", file=path, expected=expected, reason=reason) from error
    return value, digest


class _RefusedError(Exception):
    """The pickle asks for something that is not an array; the message says what was found."""


class _Marker:
    """Stands for a class that a pickle may name but not call."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        raise _RefusedError(f"a state for the class {self.name}")


class _Dtype:
    """A record of a boolean, integer or floating-point dtype."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str) or np.dtype(code).kind not in "biuf":
            raise _RefusedError(f"an array of {code!r} elements")
        self.dtype: np.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # (version, byte order, subarray, names, fields, ...): numbers have no more than the order.
        order, *structure = state[1:5]
        if any(part is not None for part in structure):
            raise _RefusedError("an array of structured elements")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """A record of one NumPy array."""

    array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, is_fortran, raw = state
        self.fill(raw, dtype, shape, "F" if is_fortran else "C")

    def fill(self, raw: Any, dtype: object, shape: Any, order: Any) -> _Array:
        if not isinstance(dtype, _Dtype):
            raise _RefusedError("an array without a dtype")
        # Python 2 stored bytes as text, which the latin1 encoding maps back one to one.
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(content, bytes):
            content = bytes(memoryview(content))
        self.array = np.frombuffer(content, dtype.dtype).reshape(shape, order=order)
        return self


class _Wrapper:
    """A record of an object that wraps arrays: its attributes by name."""

    _parts: dict[str, Any] | None = None

    def __setstate__(self, state: object) -> None:
        self._parts = state if isinstance(state, dict) else None

    def part(self, name: str) -> Any:
        """One attribute of the wrapped object, as a plain value."""
        if self._parts is None or name not in self._parts:
            raise _RefusedError(f"a wrapped array without its {name}")
        return _plain(self._parts[name], {})

    def array(self, name: str) -> np.ndarray:
        """One attribute of the wrapped object that must be an array."""
        value = self.part(name)
        if not isinstance(value, np.ndarray):
            raise _RefusedError(f"a wrapped array whose {name} is no array")
        return value

    @cached_property
    def value(self) -> np.ndarray:
        """`plain`, worked out once however often the file refers to this object."""
        return self.plain()

    def plain(self) -> np.ndarray:
        """The dense array that the wrapped object stands for."""
        raise NotImplementedError


class _Ch(_Wrapper):
    """chumpy.ch.Ch: a differentiable array; `x` is its value."""

    def plain(self) -> np.ndarray:
        return self.array("x")


class _Select(_Wrapper):
    """chumpy.reordering.Select: elements `idxs` of the flattened array `a`, reshaped."""

    def plain(self) -> np.ndarray:
        elements = np.ravel(self.array("a"))[self.array("idxs")]
        return elements.reshape(self.part("preferred_shape"))


class _SparseColumns(_Wrapper):
    """scipy.sparse's csc_matrix.

    NumPy makes it dense, not SciPy, whose compiled loops follow the file's indices unchecked: its
    own check accepts row pointers that end with a negative number.
    """

    def plain(self) -> np.ndarray:
        data, rows, pointers = (self.array(name) for name in ("data", "indices", "indptr"))
        height, width = (int(size) for size in self.part("_shape"))
        if not 0 < height * width <= _LARGEST_DENSE or min(height, width) < 0:
            raise _RefusedError(f"a sparse array of {height} x {width}")
        count = int(pointers[-1])
        room = min(len(data), len(rows))
        if pointers.shape != (width + 1,) or pointers[0] != 0 or not 0 <= count <= room:
            raise _RefusedError("a sparse array whose columns do not add up")
        data, rows = data[:count], rows[:count]
        if rows.size and not 0 <= rows.min() <= rows.max() < height:
            raise _RefusedError("a sparse array with an index out of range")
        dense = np.zeros((height, width), data.dtype)
        # Entries that are given twice are summed, as SciPy does; a negative length is refused.
        np.add.at(dense, (rows, np.repeat(np.arange(width), np.diff(pointers))), data)
        return dense


class _ArrayUnpickler(pickle._Unpickler):
    """An unpickler that knows the globals of array files and refuses every other.

    It is the standard library's in Python, not in C: there a forged memo index of nine digits takes
    gigabytes of memory, here it is one key of a dictionary.
    """

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin1")
        # Made anew for each file: a pickle may set attributes of the functions it is given.
        self._globals = _admitted_globals()

    # The base class gives itself these when it loads.
    read: Callable[[int], bytes]
    append: Callable[[object], None]

    def load_bytearray8(self) -> None:
        """Read a byte array without making room first for whatever length the file claims."""
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch: ClassVar[Any] = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}

    def find_class(self, module: str, name: str) -> object:
        try:
            return self._globals[module, name]
        except KeyError:
            raise _RefusedError(f"the command {module}.{name}, which was not run") from None


def _admitted_globals() -> dict[tuple[str, str], object]:
    """What a pickle may name -> its stand-in."""
    ndarray, base = _Marker("numpy.ndarray"), _Marker("object")

    def new_array(subtype: object, _shape: object, _dtype: object) -> _Array:
        if subtype is not ndarray:
            raise _RefusedError("an array of a class that is not numpy.ndarray")
        return _Array()

    def array_from_buffer(raw: object, dtype: object, shape: object, order: object) -> _Array:
        return _Array().fill(raw, dtype, shape, str(order))

    def new_scalar(dtype: object, raw: object) -> object:
        return _plain(_Array().fill(raw, dtype, (), "C"), {}).item()

    def new_wrapper(kind: object, parent: object, state: object) -> _Wrapper:
        if kind not in (_Ch, _Select, _SparseColumns) or parent is not base or state is not None:
            raise _RefusedError("an object that is not an array")
        return kind()

    def encode(text: object, encoding: object = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise _RefusedError(f"text in the encoding {encoding!r}")
        return text.encode("latin1")

    admitted: dict[tuple[str, str], object] = {
        ("chumpy.ch", "Ch"): _Ch,
        ("chumpy.reordering", "Select"): _Select,
        ("scipy.sparse.csc", "csc_matrix"): _SparseColumns,
        ("scipy.sparse._csc", "csc_matrix"): _SparseColumns,
        ("numpy", "ndarray"): ndarray,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): encode,
    }
    stand_ins: dict[str, Callable[..., object]] = {
        "multiarray._reconstruct": new_array,
        "multiarray.scalar": new_scalar,
        "numeric._frombuffer": array_from_buffer,
    }
    for package in ("numpy.core", "numpy._core"):
        for path, stand_in in stand_ins.items():
            module, name = path.split(".")
            admitted[f"{package}.{module}", name] = stand_in
    for builtin, copy in (("__builtin__", "copy_reg"), ("builtins", "copyreg")):
        admitted[builtin, "set"] = set
        admitted[builtin, "object"] = base
        admitted[copy, "_reconstructor"] = new_wrapper
    return admitted


def _plain(value: Any, known: dict[int, Any]) -> Any:
    """Replace records by the arrays they describe, in dictionaries, lists and tuples too.

    Args:
        value: what the file holds.
        known: results by the identity of their value. Lists that hold one another many times over
            would otherwise be walked as often, which a file of 200 bytes can make billions.
    """
    if isinstance(value, _Array):
        if value.array is None:
            raise _RefusedError("an array without content")
        return value.array
    if isinstance(value, _Wrapper):
        return value.value
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in known:
        if isinstance(value, dict):
            known[id(value)] = {key: _plain(item, known) for key, item in value.items()}
        else:
            known[id(value)] = type(value)(_plain(item, known) for item in value)
    return known[id(value)]
