"""The datasets: what comes with the package, where the others are looked for, and damaged files."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest

from quernel.datasets import load_digits, load_fashion_mnist, load_mnist, mnist
from quernel.datasets.idx import read_idx

NAMES = [file.name for file in mnist.MNIST.files]


def idx(array, magic=None):
    magic = 2048 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}i", magic, *array.shape) + array.astype(np.uint8).tobytes()


def write_set(folder, rng, counts=(5, 3)):
    folder.mkdir(parents=True)
    arrays = []
    for count, (images, labels) in zip(counts, (NAMES[:2], NAMES[2:]), strict=True):
        x, y = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        (folder / images).write_bytes(gzip.compress(idx(x)))
        (folder / labels).write_bytes(gzip.compress(idx(y)))
        arrays += [x, y]
    return arrays


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No data folder, an empty cache, no network."""
    monkeypatch.delenv("QUERNEL_DATA", raising=False)
    monkeypatch.setenv("QUERNEL_CACHE", str(tmp_path / "cache"))
    nothing = ((tmp_path / "no-mirror").as_uri() + "/",)
    monkeypatch.setattr(mnist, "MNIST", mnist.MNIST._replace(mirrors=nothing))
    monkeypatch.setattr(mnist, "FASHION_MNIST", mnist.FASHION_MNIST._replace(mirrors=nothing))


def test_digits():
    (x_train, y_train), (x_test, y_test) = load_digits()
    assert x_train.shape == (1442, 8, 8, 1)
    assert x_test.shape == (355, 8, 8, 1)
    assert x_train.dtype == x_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert (x_train.min(), x_train.max()) == (0, 1)
    # Class sizes as published with the set: 178 182 177 183 181 182 181 179 174 180.
    sizes = np.bincount(y_train) + np.bincount(y_test)
    np.testing.assert_array_equal(sizes, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(np.bincount(y_test), sizes // 5)
    # The first image of the original file, a zero.
    np.testing.assert_array_equal(x_train[0, 2, :, 0] * 16, [0, 3, 15, 2, 0, 11, 8, 0])
    np.testing.assert_array_equal(y_train[:10], np.arange(10))
    # The same numbers for ever: results on this split can be compared between versions.
    digest = hashlib.sha256((x_train * 16).astype(np.uint8).tobytes() + y_train.astype(np.uint8).tobytes())
    assert digest.hexdigest().startswith("d5517839a928f2d0")


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
def test_from_a_folder(load, tmp_path, rng):
    x, y, x_test, y_test = write_set(tmp_path / "mine", rng)
    (got_x, got_y), (got_x_test, got_y_test) = load(tmp_path / "mine")
    assert got_x.shape == (5, 28, 28, 1)
    assert (got_x.dtype, got_y.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(got_x[..., 0], (x / 255).astype(np.float32))
    np.testing.assert_array_equal(got_x_test[..., 0], (x_test / 255).astype(np.float32))
    np.testing.assert_array_equal(got_y, y)
    np.testing.assert_array_equal(got_y_test, y_test)


@pytest.mark.parametrize("below", ["", "mnist"])
def test_from_the_environment(below, tmp_path, rng, monkeypatch):
    x = write_set(tmp_path / "data" / below, rng)[0]
    monkeypatch.setenv("QUERNEL_DATA", str(tmp_path / "data"))
    np.testing.assert_array_equal(load_mnist()[0][0][..., 0], (x / 255).astype(np.float32))


def test_download_checks_and_fills_the_cache(tmp_path, rng, monkeypatch):
    source = tmp_path / "mirror"
    write_set(source, rng)
    files = [(source / name).read_bytes() for name in NAMES]
    known = tuple(
        mnist._File(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in zip(NAMES, files, strict=True)
    )
    mirrors = ((tmp_path / "broken").as_uri() + "/", source.as_uri() + "/")
    monkeypatch.setattr(mnist, "MNIST", mnist.MNIST._replace(mirrors=mirrors, files=known))
    assert load_mnist()[0][0].shape == (5, 28, 28, 1)
    assert sorted(path.name for path in (tmp_path / "cache" / "mnist").iterdir()) == sorted(NAMES)

    # A damaged file in the cache is fetched again; one that comes damaged is refused and not kept.
    (tmp_path / "cache" / "mnist" / NAMES[3]).write_bytes(b"damaged")
    assert load_mnist()[1][1].shape == (3,)
    (tmp_path / "cache" / "mnist" / NAMES[3]).unlink()
    (source / NAMES[3]).write_bytes(files[3] + b"more")
    with pytest.raises(OSError, match="have SHA-256 .*, expected " + known[3].sha256):
        load_mnist()
    assert not (tmp_path / "cache" / "mnist" / NAMES[3]).exists()


def test_nowhere_to_be_found(tmp_path):
    with pytest.raises(OSError, match=r"(?s)Fashion-MNIST is not on this machine.*set QUERNEL_DATA to it"):
        load_fashion_mnist()
    with pytest.raises(FileNotFoundError, match=r"has no 'train-images-idx3-ubyte.gz'; MNIST needs"):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (NAMES[0], np.zeros((5, 8, 8)), r"expected images of 28 x 28 pixels, got \(8, 8\)"),
        (NAMES[0], np.zeros((4, 28, 28)), "has 4 images, .* 5 labels"),
        (NAMES[1], np.full(5, 10), "labels run from 0 to 9, got 10"),
    ],
)
def test_files_that_do_not_fit(name, array, message, tmp_path, rng):
    write_set(tmp_path / "data", rng)
    (tmp_path / "data" / name).write_bytes(gzip.compress(idx(array)))
    with pytest.raises(ValueError, match=message):
        load_mnist(tmp_path / "data")


GOOD = idx(np.arange(12).reshape(2, 2, 3))
HOSTILE = {
    "empty": (b"", "starts with b''"),
    "not gzip": (GOOD, "its compression is damaged"),
    "gzip cut off": (gzip.compress(GOOD)[:-9], "its compression is damaged"),
    "gzip with a wrong checksum": (gzip.compress(GOOD)[:-8] + b"\0" * 8, "its compression is damaged"),
    "gzip with garbage inside": (
        gzip.compress(GOOD, mtime=0)[:10] + b"\xff" * 30,
        "its compression is damaged",
    ),
    "another format": (gzip.compress(b"\x89PNG" * 9), "starts with b'.x89PNG'"),
    "labels for images": (gzip.compress(idx(np.arange(3))), "type 8 with 1 axes, expected type 8 with 3"),
    "floats": (gzip.compress(idx(np.zeros((1, 1, 1)), 0x0D03)), "type 13 with 3 axes, expected type 8"),
    "sizes cut off": (gzip.compress(GOOD[:10]), "ends after 6 of 12 bytes"),
    "numbers cut off": (gzip.compress(GOOD[:-1]), "ends after 11 of 12 bytes"),
    "one number too many": (gzip.compress(GOOD + b"\0"), "goes on after 12 numbers"),
    "negative size": (gzip.compress(struct.pack(">4i", 2051, -1, 2, 2)), r"sizes are \[-1, 2, 2\]"),
    "sizes that overflow": (
        gzip.compress(struct.pack(">4i", 2051, *[2**31 - 1] * 3)),
        "at most 1073741824 bytes",
    ),
    "1 GiB claimed": (gzip.compress(struct.pack(">4i", 2051, 2**30, 1, 1)), "ends after 0 of 1073741824"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case, tmp_path):
    content, message = HOSTILE[case]
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path, 3)
    assert str(path) in str(error.value)
