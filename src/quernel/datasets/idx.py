"""Read the gzip-compressed IDX files of MNIST and its relatives.

Two zero bytes, a type code, the number of axes, the big-endian int32 sizes of the axes, then the numbers row
by row (http://yann.lecun.com/exdb/mnist). The originals hold unsigned bytes (type code 8), all that
is read here.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import NoReturn

import numpy as np

UNSIGNED_BYTE = 8
# A gzip file can expand a thousandfold. 1 GiB is twenty times the largest file of the MNIST family.
MAX_BYTES = 2**30
CHUNK_BYTES = 2**20


def read_idx(path: str | os.PathLike[str], axes: int) -> np.ndarray:
    """The uint8 array in a ``.gz`` IDX file that must have ``axes`` axes (3 for images, 1 for labels).

    Raises
    ------
    OSError : the file cannot be read.
    ValueError : it is damaged or no such file; the message names it and what is wrong.
    """
    try:
        with gzip.open(path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0":
                _refuse(path, f"it starts with {head!r}, an IDX file with two zero bytes")
            if head[2] != UNSIGNED_BYTE or head[3] != axes:
                _refuse(
                    path, f"type {head[2]} with {head[3]} axes, expected type {UNSIGNED_BYTE} with {axes}"
                )
            sizes = np.frombuffer(_read(file, path, 4 * axes), ">i4").tolist()
            if min(sizes) < 0 or math.prod(sizes) > MAX_BYTES:
                _refuse(
                    path, f"its sizes are {sizes}, expected sizes >= 0 and at most {MAX_BYTES} bytes in all"
                )
            array = np.frombuffer(_read(file, path, math.prod(sizes)), np.uint8).reshape(sizes)
            if file.read(1):
                _refuse(
                    path, f"it goes on after {math.prod(sizes)} numbers, which is all its sizes {sizes} allow"
                )
            return array
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        _refuse(path, f"its compression is damaged ({error})")


def _read(file: gzip.GzipFile, path: str | os.PathLike[str], count: int) -> bytearray:
    """Exactly ``count`` bytes, in chunks: a forged size must not claim memory that the file cannot fill."""
    data = bytearray()
    while len(data) < count:
        chunk = file.read(min(count - len(data), CHUNK_BYTES))
        if not chunk:
            _refuse(path, f"it ends after {len(data)} of {count} bytes: truncated")
        data += chunk
    return data


def _refuse(path: str | os.PathLike[str], reason: str) -> NoReturn:
    raise ValueError(f"{os.fspath(path)!r} is not a valid IDX file: {reason}")
