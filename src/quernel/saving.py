"""Arrays in a safetensors file: a small reader and writer of our own.

The format (https://github.com/huggingface/safetensors#format) is an 8-byte little-endian header length, a
JSON header ``{name: {"dtype", "shape", "data_offsets"}, "__metadata__": {str: str}}`` and the raw data,
little-endian too.

Writing is crash-safe: whoever reads the path sees the old file or the new one, never half of either. Reading
trusts nothing: every number in the header is checked before memory is allocated for it, and nothing is ever
executed.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, NoReturn

import numpy as np

__all__ = ["load_metadata", "load_tensors", "replace_file", "save_tensors"]

# The format's own limit on the header; a longer one is refused by every reader.
MAX_HEADER_BYTES = 100_000_000
# NumPy 1.26 refuses arrays of more axes.
MAX_AXES = 32
MAX_BYTES = 2**63 - 1

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Write a file so that a crash at any moment leaves the old content or the new one.

    The bytes go to a temporary file in the same folder, are forced to disk (fsync) and take the name over in
    one step (rename); then the folder's entry is forced to disk too. On an exception the old file stays.

    Raises
    ------
    OSError : when the folder does not exist or cannot be written; the message names it.
    """
    target = os.path.realpath(path)  # through a symbolic link: the file changes, the link stays
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"cannot write {os.fspath(path)!r}: the folder {folder!r} does not exist; create it"
        )
    temporary = f"{target}.{secrets.token_hex(4)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and rename is all there is
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a safetensors file, crash-safe (see `replace_file`).

    Parameters
    ----------
    path : the file to write or replace, usually ending in ``.safetensors``.
    tensors : name -> array (NumPy array, Tensor, anything NumPy reads) of a boolean, integer or real type.
    metadata : text to keep beside them, ``str -> str``.

    Raises
    ------
    TypeError : a name or a metadata entry is no string, or an array's type has no place in the format.
    OSError : the file cannot be written.

    Examples
    --------
    >>> import tempfile, os, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     save_tensors(path, {"kernel": np.eye(2, dtype=np.float32)})
    ...     load_tensors(path)["kernel"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    arrays: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise TypeError(
                f"cannot save an array under the name {name!r}: expected a string but '__metadata__'"
            )
        array = np.asarray(value)
        if array.dtype.newbyteorder("<") not in NAMES:
            known = ", ".join(sorted(dtype.name for dtype in NAMES))
            raise TypeError(f"cannot save {name!r}: its type is {array.dtype}, safetensors holds {known}")
        arrays[name] = array
    header: dict[str, Any] = {}
    if metadata:
        for key, text in metadata.items():
            if not isinstance(key, str) or not isinstance(text, str):
                raise TypeError(
                    f"metadata must be strings, got {key!r}: {text!r}; use json.dumps for other values"
                )
        header["__metadata__"] = dict(metadata)
    # Widest types first, so that every array starts at a multiple of its item size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    offset = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text_bytes = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text_bytes += b" " * (-len(text_bytes) % 8)
    with replace_file(path) as file:
        file.write(len(text_bytes).to_bytes(8, "little"))
        file.write(text_bytes)
        for name in order:
            array = arrays[name]
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            file.write(little.reshape(-1).view(np.uint8).data)


def load_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read every array of a safetensors file: name -> fresh NumPy array, in the order of the file's header.

    bfloat16 arrays (NumPy has no such type) come back as float32, which holds every bfloat16 exactly.

    Raises
    ------
    OSError : the file cannot be read.
    ValueError : it is no valid safetensors file; the message names the file and what is wrong.
    """
    with open(path, "rb") as file:
        header, _, start = _read_header(file, os.fspath(path))
        return {
            name: _read_array(file, os.fspath(path), name, entry, start) for name, entry in header.items()
        }


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text kept beside the arrays of a safetensors file (``{}`` if none); raises as `load_tensors`."""
    with open(path, "rb") as file:
        return _read_header(file, os.fspath(path))[1]


# dtype name, shape, begin, end (in bytes from the start of the data)
Entry = tuple[str, tuple[int, ...], int, int]


def _read_header(file: IO[bytes], path: str) -> tuple[dict[str, Entry], dict[str, str], int]:
    """The checked entries, the metadata, and where the data starts in the file."""
    file_bytes = os.fstat(file.fileno()).st_size
    if file_bytes < 8:
        _refuse(path, f"it has {file_bytes} bytes, a header length takes 8: truncated, or another format")
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        _refuse(path, f"its header claims {length} bytes, at most {MAX_HEADER_BYTES} are allowed")
    if length > file_bytes - 8:
        _refuse(path, f"its header claims {length} bytes but only {file_bytes - 8} follow: truncated")
    text = file.read(length)
    if not text.startswith(b"{"):
        _refuse(path, f"its header must start with '{{', it starts with {text[:1]!r}")
    try:
        header = json.loads(text.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except RecursionError:
        _refuse(path, "its header is nested too deeply")
    except ValueError as error:  # includes JSONDecodeError and UnicodeDecodeError
        _refuse(path, f"its header is not valid JSON ({error})")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        _refuse(path, "its '__metadata__' must map strings to strings")
    data_bytes = file_bytes - 8 - length
    entries = {name: _check_entry(path, name, entry, data_bytes) for name, entry in header.items()}
    _check_layout(path, entries, data_bytes)
    return entries, metadata, 8 + length


def _check_entry(path: str, name: str, entry: Any, data_bytes: int) -> Entry:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"entry {name!r} must have exactly dtype, shape and data_offsets, it is {entry!r:.200}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or (dtype not in DTYPES and dtype != "BF16"):
        _refuse(path, f"entry {name!r} has dtype {dtype!r:.80}, known are {', '.join([*DTYPES, 'BF16'])}")
    if not _is_sizes(shape) or len(shape) > MAX_AXES:
        _refuse(path, f"entry {name!r} has shape {shape!r:.200}, expected at most {MAX_AXES} sizes >= 0")
    if not _is_sizes(offsets) or len(offsets) != 2:
        _refuse(path, f"entry {name!r} has data_offsets {offsets!r:.200}, expected [begin, end]")
    begin, end = offsets
    if not begin <= end <= data_bytes:
        _refuse(
            path, f"entry {name!r} has data_offsets [{begin}, {end}], the data {data_bytes} bytes: truncated?"
        )
    itemsize = 2 if dtype == "BF16" else np.dtype(DTYPES[dtype]).itemsize
    if math.prod(size for size in shape if size) * itemsize > MAX_BYTES:
        _refuse(path, f"entry {name!r} has shape {shape}, too large for any memory")
    if math.prod(shape) * itemsize != end - begin:
        need = f"{dtype} of shape {shape}, needs {math.prod(shape) * itemsize} bytes"
        _refuse(path, f"entry {name!r}, {need}, its data_offsets give {end - begin}")
    return dtype, tuple(shape), begin, end


def _check_layout(path: str, entries: dict[str, Entry], data_bytes: int) -> None:
    """The arrays must lie one after the other: neither two in one place, nor bytes that belong to none."""
    position, before = 0, ""
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin < position:
            _refuse(path, f"entries {before!r} and {name!r} overlap at byte {begin} of the data")
        if begin > position:
            _refuse(path, f"bytes {position} to {begin} of the data belong to no entry")
        position, before = end, name
    if position != data_bytes:
        _refuse(path, f"bytes {position} to {data_bytes} of the data belong to no entry")


def _read_array(file: IO[bytes], path: str, name: str, entry: Entry, start: int) -> np.ndarray:
    dtype, shape, begin, end = entry
    array = np.empty(shape, np.uint16 if dtype == "BF16" else DTYPES[dtype])
    file.seek(start + begin)
    data = file.read(end - begin)
    if len(data) != end - begin:
        _refuse(path, f"it ends inside entry {name!r}: truncated while it was read")
    array.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    if dtype == "BF16":  # a bfloat16 is the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        _refuse(path, f"entry {name!r} is BOOL and holds bytes other than 0 and 1")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the name {key!r:.80} appears twice")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse(path: str, reason: str) -> NoReturn:
    raise ValueError(f"{path!r} is not a valid safetensors file: {reason}")
