"""Batches: every row once, in repeatable order, in the types given; wrong uses are named."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel.data import DataLoader, TensorDataset, batches, validation_split
from quernel.data.rows import as_array, take_rows


def rows_of(iterator):
    return np.concatenate([batch.numpy() for batch in iterator])


@pytest.mark.parametrize("count", [1, 7, 8, 9])
@pytest.mark.parametrize("batch_size", [1, 4, 8, 100])
def test_every_row_once(count, batch_size):
    x = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(rows_of(batches(x, batch_size=batch_size)), x)
    shuffled = rows_of(batches(x, batch_size=batch_size, shuffle=True, seed=1))
    np.testing.assert_array_equal(np.sort(shuffled), x)
    kept = (
        rows_of(batches(np.tile(x, 3), batch_size=batch_size, drop_last=True))
        if batch_size <= 3 * count
        else []
    )
    assert len(kept) == 3 * count // batch_size * batch_size


def test_x_and_y_stay_together(rng):
    x = rng.standard_normal((50, 3)).astype(np.float32)
    y = np.arange(50)
    for xb, yb in batches(x, y, 8, shuffle=True, seed=0):
        assert isinstance(xb, qn.Tensor)
        assert (xb.dtype, yb.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(xb.numpy(), x[yb.numpy()])


def test_seeds():
    x = np.arange(100.0)
    a, b, c = (rows_of(batches(x, shuffle=True, seed=seed)).tolist() for seed in (3, 3, 4))
    assert a == b != c
    runs = []
    for _ in range(2):
        qn.random.seed(5)
        loader = DataLoader(TensorDataset(x), 10, shuffle=True)
        runs.append([rows_of(batch[0] for batch in loader).tolist() for _ in range(2)])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]  # a new order each epoch


def test_loader_over_any_dataset():
    class Squares:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return np.float32([index]), index * index

    loader = DataLoader(Squares(), 2)
    assert len(loader) == 3
    got = list(loader)
    assert [x.shape for x, _ in got] == [(2, 1), (2, 1), (1, 1)]
    np.testing.assert_array_equal(np.concatenate([y.numpy() for _, y in got]), [0, 1, 4, 9, 16])
    assert (
        len(DataLoader(Squares(), 2, drop_last=True))
        == len(list(DataLoader(Squares(), 2, drop_last=True)))
        == 2
    )


def test_loader_of_single_arrays():
    got = list(DataLoader([np.float32([1, 2]), np.float32([3, 4]), np.float32([5, 6])], 2))
    assert [batch.shape for batch in got] == [(2, 2), (1, 2)]


def test_validation_split_takes_the_last_part():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (x_train, y_train), (x_val, y_val) = validation_split(0.3, x, y)
    np.testing.assert_array_equal(y_train, np.arange(7))
    np.testing.assert_array_equal(y_val, [7, 8, 9])
    assert np.shares_memory(x, x_train)
    assert np.shares_memory(x, x_val)


class Exchange:
    """An array of another library: dlpack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Array:
    def __array__(self, dtype=None, copy=None):
        return np.float32([1, 2, 3])


def test_kinds_of_input():
    x = np.float32([1, 2, 3])
    for value in (
        x,
        qn.tensor(x),
        Exchange(x),
        Array(),
        [1, 2, 3],
        (1, 2, 3),
        x > 0,
        x.astype(np.uint8),
        x[::2],
    ):
        assert isinstance(as_array(value), np.ndarray)
    assert np.shares_memory(as_array(x), x)
    assert np.shares_memory(as_array(Exchange(x)), x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "bool", "float16"])
@pytest.mark.parametrize("contiguous", [True, False])
def test_take_rows(dtype, contiguous, rng):
    x = (rng.standard_normal((9, 4)) * 5).astype(dtype)
    if not contiguous:
        x = np.asfortranarray(x)
    before = x.copy()
    for rows in (np.array([8, 0, 0, 3]), slice(2, 5)):
        for cast in (None, np.dtype("float32")):
            got = take_rows(x, rows, cast)
            assert got.dtype == (cast or x.dtype)
            np.testing.assert_array_equal(got, x[rows].astype(got.dtype))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: batches(np.ones(3), np.ones(4)), ValueError, "x has 3, y has 4"),
        (lambda: batches(np.ones(3), batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: batches(np.ones(3), batch_size=2.5), TypeError, "batch_size must be an integer, got 2.5"),
        (lambda: batches(3.0), TypeError, "x must have one row per sample, got the single value 3.0"),
        (lambda: batches(["a", "b"]), TypeError, "x: expected numbers .*, got <U1"),
        (lambda: batches([[1, 2], [3]]), ValueError, "x: expected numbers or nested lists of equal lengths"),
        (lambda: batches(np.ones(3), [None] * 3), TypeError, "y: expected numbers .*, got object"),
        (lambda: TensorDataset(), ValueError, "needs at least one array"),
        (lambda: TensorDataset(np.ones(2), np.ones(1)), ValueError, "array 0 has 2, array 1 has 1"),
        (lambda: validation_split(1.0, np.ones(3)), ValueError, "must be between 0 and 1"),
        (lambda: validation_split(0.1, np.ones(1)), ValueError, "leaves one part empty"),
    ],
)
def test_wrong_uses(use, error, message):
    with pytest.raises(error, match=message):
        use()
