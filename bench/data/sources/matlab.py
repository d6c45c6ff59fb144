"""MATLAB v5 files that hold arrays of numbers, read with every length checked.

scipy's reader takes damaged lengths at their word and can end the process (segmentation fault); a user's file has no
published checksum that would have found the damage before. Format: "MAT-File Format", MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.data.fetch import locate

MAX_BYTES = 1 << 30
"""Largest array in bytes: SVHN's training images, the largest that is read here, have 225 million."""
_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type of stored numbers -> NumPy's; of an array they may be smaller than its own."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Class of an array of numbers -> NumPy's type."""
_OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse"}
_COMPLEX = 0x0800


class MatVariable(NamedTuple):
    """One variable of a file, not yet an array."""

    name: str
    shape: tuple[int, ...]
    """As MATLAB has it: the first index runs fastest."""
    type: str
    """NumPy's type of its class."""
    stored_type: str
    stored: bytes

    def array(self) -> np.ndarray:
        """The array, of `shape` and `type`."""
        numbers = np.frombuffer(self.stored, self.stored_type).reshape(self.shape, order="F")
        return numbers.astype(self.type)


def read_mat_variables(path: Path) -> list[MatVariable]:
    """The variables of a MATLAB v5 file, arrays of real numbers.

    Raises BenchError naming the file if it cannot be read, or holds anything else (structures may be nested without
    end, and objects are what MATLAB makes of them) or more than MAX_BYTES.
    """
    try:
        return list(_variables(path.read_bytes()))
    except (OSError, ValueError, zlib.error, struct.error) as error:
        raise locate.damaged_file_error(path, str(error)) from error


def _variables(content: bytes) -> Iterator[MatVariable]:
    orders = {b"IM": "<", b"MI": ">"}
    if len(content) < _HEADER or (order := orders.get(content[126:128], "")) == "":
        raise ValueError("it is no MATLAB v5 file")
    for kind, element in _elements(content[_HEADER:], order, padded=False):
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj()
            inside = unpacked.decompress(element, MAX_BYTES + _HEADER)
            if not unpacked.eof:
                raise ValueError(f"a variable is cut off, or of more than {MAX_BYTES:,} bytes")
            for kind_inside, matrix in _elements(inside, order):
                yield _variable(kind_inside, matrix, order)
        else:
            yield _variable(kind, element, order)


def _elements(content: bytes, order: str, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each element; ValueError for one that is longer than what is there.

    `padded`: whether elements begin at multiples of 8 bytes; compressed ones do not.
    """
    start = 0
    while start < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, start)
        begin = start + 8
        if kind >> 16:  # a small element: size and type in four bytes, the numbers in the next four
            kind, size, begin = kind & 0xFFFF, kind >> 16, start + 4
        if begin + size > len(content) or (begin == start + 4 and size > 4):
            raise ValueError(f"an element of {size:,} bytes goes on after the end")
        yield kind, content[begin : begin + size]
        end = begin + size
        start = start + 8 if begin == start + 4 else end + (-end % 8 if padded or kind != _COMPRESSED else 0)


def _variable(kind: int, matrix: bytes, order: str) -> MatVariable:
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind}, an array expected")
    parts = _elements(matrix, order)
    (_, flags), (_, shape_bytes), (_, name_bytes) = (next(parts, (0, b"")) for _ in range(3))
    (flag,) = struct.unpack_from(f"{order}I", flags)
    name = name_bytes.decode("latin-1")
    array_class = flag & 0xFF
    if array_class not in _CLASSES or flag & _COMPLEX:
        told = _OTHERS.get(array_class, "complex" if flag & _COMPLEX else str(array_class))
        raise ValueError(f"{name} is of the type {told}, arrays of numbers expected")
    shape = tuple(int(side) for side in np.frombuffer(shape_bytes, f"{order}i4"))
    size = math.prod(shape) * np.dtype(_CLASSES[array_class]).itemsize
    if min(shape, default=-1) < 0 or size > MAX_BYTES:
        raise ValueError(f"{name}: its shape {shape} is that of {size:,} bytes; no data set here has it")
    stored_kind, stored = next(parts, (0, b""))
    stored_type = _NUMBERS.get(stored_kind, "")
    if not stored_type or math.prod(shape) * np.dtype(stored_type).itemsize != len(stored):
        raise ValueError(f"{name}: {len(stored):,} bytes of type {stored_kind} for the shape {shape}")
    return MatVariable(name, shape, _CLASSES[array_class], order + stored_type, stored)
