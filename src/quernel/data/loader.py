"""Batches of rows: from arrays in one call, or from any dataset with a length and rows."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np

from quernel import random
from quernel.data.rows import Array, as_array, same_length, take_rows
from quernel.tensor import Tensor

Batch: TypeAlias = "Tensor | tuple[Tensor, ...]"


class Dataset(Protocol):
    """Anything with a length whose rows, ``dataset[i]``, are arrays or tuples of arrays of one shape."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TensorDataset:
    """Arrays of the same length side by side; a row is a tuple with one row of each.

    Parameters
    ----------
    arrays : NumPy arrays, Tensors, lists ... of shape (count, ...). They are not copied.

    Raises
    ------
    TypeError, ValueError : no arrays, no numbers, or different lengths.

    Examples
    --------
    >>> dataset = TensorDataset([[0.0], [1.0], [2.0]], [10, 11, 12])
    >>> row, label = dataset[1]
    >>> len(dataset), row.tolist(), int(label)
    (3, [1.0], 11)
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ValueError("TensorDataset needs at least one array, got none")
        names = tuple(f"array {position}" for position in range(len(arrays)))
        self.arrays = tuple(as_array(array, name) for array, name in zip(arrays, names, strict=True))
        self._length = same_length(*self.arrays, names=names)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)

    def take(self, rows: slice | Array) -> tuple[Array, ...]:
        """Many rows at once, as one array per array of the dataset."""
        return tuple(take_rows(array, rows) for array in self.arrays)


class DataLoader:
    """Goes through a dataset in batches; every iteration is one epoch, shuffled anew.

    Parameters
    ----------
    dataset : `TensorDataset`, or anything with ``len(dataset)`` and ``dataset[i]``.
    batch_size : rows in a batch, at least 1. Default 1.
    shuffle : whether each epoch takes the rows in a new random order. Default False.
    seed : makes the orders repeatable. Default None: they follow `quernel.random.seed`.
    drop_last : whether to leave out the last batch if it is smaller. Default False.

    Yields
    ------
    A tuple of Tensors of shape (batch, ...) in the dataset's own types, or one Tensor if rows are no tuples.

    Raises
    ------
    ValueError : batch_size below 1.

    Examples
    --------
    >>> loader = DataLoader(TensorDataset([1.0, 2.0, 3.0]), batch_size=2)
    >>> [x.shape for (x,) in loader], len(loader)
    ([(2,), (1,)], 2)
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = check_batch_size(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self._generator = None if seed is None else np.random.default_rng(seed)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        generator = (self._generator or random.numpy_generator()) if self.shuffle else None
        for rows in row_order(len(self.dataset), self.batch_size, generator, self.drop_last):
            yield self._collate(rows)

    def _collate(self, rows: slice | Array) -> Batch:
        if isinstance(self.dataset, TensorDataset):
            return tuple(Tensor(array) for array in self.dataset.take(rows))
        indices = range(*rows.indices(len(self.dataset))) if isinstance(rows, slice) else rows.tolist()
        samples = [self.dataset[index] for index in indices]
        if isinstance(samples[0], tuple):
            return tuple(
                Tensor(np.stack([np.asarray(part) for part in parts])) for parts in zip(*samples, strict=True)
            )
        return Tensor(np.stack([np.asarray(sample) for sample in samples]))


def batches(
    x: Any,
    y: Any = None,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int | None = None,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """One pass over arrays in batches, for a training loop of your own.

    Parameters
    ----------
    x, y : arrays, Tensors or lists of shape (count, ...) and the same count; y may be left out.
    batch_size, shuffle, seed, drop_last : see `DataLoader`; batch_size is 32 by default.

    Returns
    -------
    An iterator over ``(x_batch, y_batch)``, or ``x_batch`` without y: Tensors in the types of x and y.

    Raises
    ------
    TypeError, ValueError : no numbers, different lengths, batch_size below 1.

    Examples
    --------
    >>> for xb, yb in batches([[1.0], [2.0], [3.0]], [0, 1, 0], batch_size=2):
    ...     print(xb.shape, yb.numpy())
    (2, 1) [0 1]
    (1, 1) [0]
    """
    arrays = (as_array(x, "x"),) if y is None else (as_array(x, "x"), as_array(y, "y"))
    same_length(*arrays, names=("x", "y")[: len(arrays)])
    loader = DataLoader(TensorDataset(*arrays), batch_size, shuffle, seed, drop_last)
    return (batch[0] for batch in loader) if y is None else iter(loader)


def validation_split(fraction: float, *arrays: Any) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Split off the last part of arrays, as ``fit(validation_split=...)`` does: before any shuffling.

    Parameters
    ----------
    fraction : the part to split off, between 0 and 1.
    arrays : of shape (count, ...), all with the same count.

    Returns
    -------
    ``(training arrays), (validation arrays)`` : views of the arrays.

    Raises
    ------
    ValueError : fraction out of range, different lengths, or a part would be empty.

    Examples
    --------
    >>> (x, y), (x_val, y_val) = validation_split(0.25, [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    >>> len(x), y_val
    (3, array([1]))
    """
    names = tuple(f"array {position}" for position in range(len(arrays)))
    checked = [as_array(array, name) for array, name in zip(arrays, names, strict=True)]
    count = same_length(*checked, names=names)
    first, last = split_at(count, fraction)
    return tuple(array[first] for array in checked), tuple(array[last] for array in checked)


def split_at(count: int, fraction: float) -> tuple[slice, slice]:
    """The first rows, and the last ``fraction`` of them; ValueError if one of the two is empty."""
    if not 0 < fraction < 1:
        raise ValueError(f"validation_split must be between 0 and 1 (for example 0.1), got {fraction!r}")
    at = int(count * (1 - fraction))
    if not 0 < at < count:
        raise ValueError(f"validation_split={fraction} of {count} samples leaves one part empty")
    return slice(0, at), slice(at, count)


def check_batch_size(batch_size: int) -> int:
    """The batch size as an int; TypeError or ValueError if it is no number of rows."""
    try:
        size = operator.index(batch_size)
    except TypeError:
        raise TypeError(f"batch_size must be an integer, got {batch_size!r}") from None
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    return size


def row_order(
    count: int, batch_size: int, generator: np.random.Generator | None, drop_last: bool = False
) -> Iterator[slice | Array]:
    """The rows of each batch of one epoch: slices in order, or parts of a random permutation."""
    stop = count - count % batch_size if drop_last else count
    if generator is None:
        for start in range(0, stop, batch_size):
            yield slice(start, min(start + batch_size, stop))
    else:
        permutation = generator.permutation(count)
        for start in range(0, stop, batch_size):
            yield permutation[start : min(start + batch_size, stop)]
