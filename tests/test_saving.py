"""Safetensors files: agreement with the safetensors package, crashes leave the old file, hostile files."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import safetensors.numpy

from quernel.saving import load_metadata, load_tensors, replace_file, save_tensors

TYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
]


@pytest.fixture
def tensors(rng):
    arrays = {f"layer/{name}": (rng.standard_normal((3, 5)) * 50).astype(name) for name in TYPES}
    return arrays | {
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "größe": np.arange(7, dtype=np.int64),
        "transposed": rng.standard_normal((4, 6)).astype(np.float32).T,
        "big endian": np.arange(5, dtype=">f4"),
    }


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name, array in want.items():
        assert got[name].dtype == array.dtype.newbyteorder("="), name
        assert got[name].shape == array.shape, name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def test_round_trip(tmp_path, tensors):
    save_tensors(tmp_path / "a.safetensors", tensors, {"note": "ünï"})
    got = load_tensors(tmp_path / "a.safetensors")
    assert_same(got, tensors)
    assert all(array.flags.writeable and array.flags.owndata for array in got.values() if array.size)
    assert load_metadata(tmp_path / "a.safetensors") == {"note": "ünï"}


def test_the_package_reads_ours(tmp_path, tensors):
    save_tensors(tmp_path / "a.safetensors", tensors, {"note": "x"})
    assert_same(safetensors.numpy.load_file(tmp_path / "a.safetensors"), tensors)
    with safetensors.safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"note": "x"}


def test_we_read_the_package(tmp_path, tensors):
    del tensors["big endian"]
    tensors["transposed"] = np.ascontiguousarray(tensors["transposed"])
    safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors", {"by": "package"})
    assert_same(load_tensors(tmp_path / "a.safetensors"), tensors)
    assert load_metadata(tmp_path / "a.safetensors") == {"by": "package"}


def test_nothing_to_save(tmp_path):
    save_tensors(tmp_path / "a", {})
    assert load_tensors(tmp_path / "a") == {}
    assert load_metadata(tmp_path / "a") == {}
    assert safetensors.numpy.load_file(tmp_path / "a") == {}


def test_bfloat16(tmp_path):
    values = np.array([1.0, -2.5, 3e38, 0.0078125], np.float32).view(np.uint32) >> 16
    forge(tmp_path / "a", {"x": entry("BF16", [4], 0, 8)}, values.astype("<u2").tobytes())
    got = load_tensors(tmp_path / "a")["x"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.view(np.uint32) >> 16, values)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": np.ones(3)})
    before = path.read_bytes()

    def interrupted():
        with replace_file(path) as file:
            file.write(b"half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        interrupted()
    assert path.read_bytes() == before
    with pytest.raises(TypeError, match="'z': its type is object"):
        save_tensors(path, {"z": np.array([object()])})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_order_of_a_crash_safe_write(tmp_path, monkeypatch):
    """The bytes reach the disk before the name changes hands, the folder's entry after."""
    calls = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), real_fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), real_replace(a, b))[1])
    save_tensors(tmp_path / "a", {"x": np.ones(1)})
    assert calls == ["fsync", "rename", "fsync"]


def test_a_link_stays_a_link(tmp_path):
    save_tensors(tmp_path / "real", {"x": np.zeros(1)})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save_tensors(tmp_path / "link", {"x": np.ones(1)})
    assert (tmp_path / "link").is_symlink()
    assert load_tensors(tmp_path / "real")["x"] == 1


def test_wrong_things_to_save(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        save_tensors(tmp_path / "no" / "a", {"x": np.ones(1)})
    with pytest.raises(TypeError, match="complex128, safetensors holds bool, float16"):
        save_tensors(tmp_path / "a", {"x": np.ones(1) * 1j})
    with pytest.raises(TypeError, match="under the name 3"):
        save_tensors(tmp_path / "a", {3: np.ones(1)})
    with pytest.raises(TypeError, match="metadata must be strings, got 'epoch': 3"):
        save_tensors(tmp_path / "a", {}, {"epoch": 3})
    assert os.listdir(tmp_path) == []


# Hostile files


def entry(dtype="F32", shape=(2,), begin=0, end=8, **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def forge(path, header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


HOSTILE = {
    "empty file": (b"", "has 0 bytes"),
    "half a length": (b"\1\0\0", "has 3 bytes"),
    "a zip file": (b"PK\3\4" + b"\0" * 100, "truncated"),
    "length past the end": (
        lambda p: forge(p, {"x": entry()}, length=10**6),
        "claims 1000000 bytes but only",
    ),
    "length of 2**64 - 1": (lambda p: forge(p, {}, length=2**64 - 1), "at most 100000000 are allowed"),
    "not an object": (lambda p: forge(p, b"[]"), r"start with '\{'"),
    "leading blank": (lambda p: forge(p, b' {"x":1}'), r"start with '\{'"),
    "empty header": (lambda p: forge(p, b""), r"start with '\{'"),
    "not JSON": (lambda p: forge(p, b'{"x":'), "not valid JSON"),
    "text after the header": (lambda p: forge(p, b"{}{}"), "not valid JSON"),
    "not UTF-8": (lambda p: forge(p, b'{"\xff":1}'), "not valid JSON"),
    "deeply nested": (
        lambda p: forge(p, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "nested too deeply",
    ),
    "name twice": (lambda p: forge(p, b'{"x":{},"x":{}}'), "'x' appears twice"),
    "key twice": (lambda p: forge(p, b'{"x":{"dtype":"F32","dtype":"F64"}}'), "'dtype' appears twice"),
    "NaN": (lambda p: forge(p, b'{"x":NaN}'), "NaN is no JSON number"),
    "a number of 5000 digits": (lambda p: forge(p, b'{"x":' + b"9" * 5000 + b"}"), "not valid JSON"),
    "entry is a number": (lambda p: forge(p, {"x": 1}), "must have exactly dtype, shape"),
    "entry without dtype": (
        lambda p: forge(p, {"x": {"shape": [2], "data_offsets": [0, 8]}}),
        "must have exactly",
    ),
    "entry with more": (lambda p: forge(p, {"x": entry(more=1)}), "must have exactly"),
    "dtype unknown": (lambda p: forge(p, {"x": entry("F33")}), "dtype 'F33', known are F64"),
    "dtype is a list": (lambda p: forge(p, {"x": entry(["F32"])}), r"dtype \['F32'\]"),
    "dtype of Python objects": (lambda p: forge(p, {"x": entry("O")}), "dtype 'O'"),
    "shape negative": (lambda p: forge(p, {"x": entry(shape=[-2])}), r"shape \[-2\], expected"),
    "shape of floats": (lambda p: forge(p, {"x": entry(shape=[2.0])}), "expected at most 32 sizes"),
    "shape of booleans": (lambda p: forge(p, {"x": entry("F64", shape=[True])}), "expected at most 32 sizes"),
    "shape of 1000 axes": (lambda p: forge(p, {"x": entry(shape=[1] * 1000)}), "expected at most 32 sizes"),
    "shape overflows to fit": (
        lambda p: forge(p, {"x": entry(shape=[2**62 + 2])}),
        "too large for any memory",
    ),
    "shape overflows beside a 0": (
        lambda p: forge(p, {"x": entry(shape=[2**62, 2**62, 0], end=0)}),
        "too large",
    ),
    "shape and bytes differ": (
        lambda p: forge(p, {"x": entry(shape=[3])}),
        "needs 12 bytes, its data_offsets give 8",
    ),
    "offsets reversed": (lambda p: forge(p, {"x": entry(begin=8, end=0)}), r"data_offsets \[8, 0\]"),
    "offsets negative": (
        lambda p: forge(p, {"x": entry(begin=-8, end=0)}),
        r"data_offsets \[-8, 0\], expected",
    ),
    "offsets past the end": (lambda p: forge(p, {"x": entry(shape=[4], end=16)}), "the data 8 bytes"),
    "three offsets": (
        lambda p: forge(p, {"x": entry() | {"data_offsets": [0, 8, 8]}}),
        r"expected \[begin, end\]",
    ),
    "overlap": (
        lambda p: forge(p, {"x": entry(), "y": entry(shape=[1], begin=4)}),
        "'x' and 'y' overlap at byte 4",
    ),
    "a hole": (
        lambda p: forge(p, {"x": entry(shape=[1], begin=4)}),
        "bytes 0 to 4 of the data belong to no entry",
    ),
    "bytes at the end": (
        lambda p: forge(p, {"x": entry()}, b"\0" * 12),
        "bytes 8 to 12 of the data belong to no",
    ),
    "metadata of numbers": (
        lambda p: forge(p, {"__metadata__": {"a": 1}}, b""),
        "must map strings to strings",
    ),
    "metadata is a list": (lambda p: forge(p, {"__metadata__": ["a"]}, b""), "must map strings to strings"),
    "BOOL of 2": (lambda p: forge(p, {"x": entry("BOOL", [8])}, b"\2" * 8), "other than 0 and 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case, tmp_path):
    content, message = HOSTILE[case]
    path = tmp_path / "evil.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    with pytest.raises(ValueError, match=message) as error:
        load_tensors(path)
    assert str(path) in str(error.value)


def test_every_truncation_and_every_changed_byte_is_refused_or_read(tmp_path, rng):
    """No damage may end in anything but a ValueError, or arrays of the same total size."""
    path = tmp_path / "a"
    save_tensors(path, {"w": np.ones((2, 3), np.float32), "b": np.zeros(3)}, {"k": "v"})
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="is not a valid safetensors file"):
            load_tensors(path)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            got = load_tensors(path)
        except ValueError:
            continue
        assert sum(array.nbytes for array in got.values()) == 48
