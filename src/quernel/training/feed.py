"""Where `fit`, `evaluate` and `predict` get their batches from: arrays, or anything that yields batches."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import numpy as np

from quernel import backend as B
from quernel import random
from quernel.data.loader import DataLoader, check_batch_size, row_order, split_at
from quernel.data.rows import Array, as_array, same_length, take_rows

# Rows checked for NaN at a time: a piece that stays in cache and shows where the NaN is.
CHECK_ROWS = 4096


class Batch(NamedTuple):
    """One batch: x as the model takes it (an array, or a tuple or dict of them), y and weights or None."""

    x: Any
    y: Any
    weight: Array | None
    rows: int


class Feed(ABC):
    """Gives out the batches of one epoch after the other.

    samples : rows in an epoch, None if not known.  steps : batches in an epoch, None if not known.
    """

    samples: int | None = None
    steps: int | None = None
    class_weight: Callable[[Any], Array] | None = None  # from y, the weight of each sample's class

    @abstractmethod
    def epoch(self, shuffle: bool) -> Iterator[Batch]:
        """The batches of the next epoch."""

    def weigh(self, y: Any, weight: Array | None) -> Array | None:
        """Sample weights times the weights of the samples' classes."""
        if self.class_weight is None:
            return weight
        of_class = self.class_weight(y)
        return of_class if weight is None else weight * of_class


class ArrayFeed(Feed):
    """Batches of rows of arrays in memory. Nothing is copied or cast but the rows of a batch."""

    def __init__(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int, steps: int | None, dtype: np.dtype[Any]
    ) -> None:
        self.x = map_inputs(as_array, x)
        self.y = None if y is None else as_array(y, "y")
        self.weight = None if sample_weight is None else as_array(sample_weight, "sample_weight")
        named = [*named_inputs(self.x), ("y", self.y), ("sample_weight", self.weight)]
        there = [(name, array) for name, array in named if array is not None]
        self.count = same_length(*(array for _, array in there), names=tuple(name for name, _ in there))
        if self.count == 0:
            raise ValueError(f"x has no samples: its shape is {there[0][1].shape}; pass at least one row")
        if self.weight is not None and self.weight.ndim != 1:
            raise ValueError(f"sample_weight must have shape ({self.count},), got {self.weight.shape}")
        self.batch_size = check_batch_size(batch_size)
        self.steps = min(-(-self.count // self.batch_size), self.count if steps is None else steps)
        self.samples = min(self.count, self.steps * self.batch_size)
        self.dtype = dtype

    def split(
        self, fraction: float, steps: int | None, last_batch_size: int | None, last_steps: int | None
    ) -> tuple[ArrayFeed, ArrayFeed]:
        """Feeds of the first rows and, for validation, of the last ``fraction`` of them."""
        first, last = split_at(self.count, fraction)

        def part(rows: slice, batch_size: int, steps: int | None) -> ArrayFeed:
            x = map_inputs(lambda array: array[rows], self.x)
            y, weight = (None if array is None else array[rows] for array in (self.y, self.weight))
            return ArrayFeed(x, y, weight, batch_size, steps, self.dtype)

        size = self.batch_size if last_batch_size is None else last_batch_size
        return part(first, self.batch_size, steps), part(last, size, last_steps)

    def epoch(self, shuffle: bool) -> Iterator[Batch]:
        generator = random.numpy_generator() if shuffle else None
        float_y = self.y is not None and self.y.dtype.kind == "f"
        for rows in itertools.islice(row_order(self.count, self.batch_size, generator), self.steps):
            x = map_inputs(take_rows, self.x, rows)
            y = None if self.y is None else take_rows(self.y, rows, self.dtype if float_y else None)
            weight = None if self.weight is None else take_rows(self.weight, rows, self.dtype)
            count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
            yield Batch(x, y, self.weigh(y, weight), count)

    def check_finite(self) -> None:
        """ValueError if x holds NaN or infinity, which a ReLU may hide until all weights are lost."""
        for name, array in named_inputs(self.x):
            if array.dtype.kind != "f":
                continue
            for start in range(0, len(array), CHECK_ROWS):
                piece = array[start : start + CHECK_ROWS]
                axes = tuple(range(piece.ndim))
                # One pass at memory speed; only a sum that is not finite (or overflows) is looked into.
                if not np.isfinite(B.reduce("sum", piece, axes)):
                    report_not_finite(piece, name, start)


class IterableFeed(Feed):
    """Batches from a DataLoader, or anything whose iteration yields x, (x, y) or (x, y, sample_weight)."""

    def __init__(self, source: Iterable[Any], steps: int | None, dtype: np.dtype[Any]) -> None:
        self.source = source
        self.one_shot = isinstance(source, Iterator)
        if self.one_shot and steps is None:
            raise ValueError(
                "x is an iterator that may never end: pass steps_per_epoch (fit) or steps, or give a "
                "quernel.data.DataLoader, which can start again for each epoch"
            )
        length = len(source) if isinstance(source, Sized) else None
        self.steps = steps if steps is not None else length
        if isinstance(source, DataLoader) and steps is None and not source.drop_last:
            self.samples = len(source.dataset)
        self.dtype = dtype
        self._going: Iterator[Any] | None = None

    def epoch(self, shuffle: bool) -> Iterator[Batch]:
        if self._going is None or not self.one_shot:
            self._going = iter(self.source)
        count = 0
        for count, item in enumerate(self._going, 1):
            yield self._batch(item)
            if count == self.steps:
                return
        if count == 0:
            raise ValueError(
                "x yielded no batch; give it at least one, and an iteration that can start again"
            )

    def _batch(self, item: Any) -> Batch:
        parts = item if isinstance(item, tuple) else (item,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(f"x must yield x, (x, y) or (x, y, sample_weight), got a tuple of {len(parts)}")
        x = map_inputs(as_array, parts[0])
        y = as_array(parts[1], "y") if len(parts) > 1 else None
        if y is not None and y.dtype.kind == "f":
            y = y.astype(self.dtype, copy=False)
        weight = (
            as_array(parts[2], "sample_weight").astype(self.dtype, copy=False) if len(parts) > 2 else None
        )
        there = [(n, a) for n, a in [*named_inputs(x), ("y", y), ("sample_weight", weight)] if a is not None]
        rows = same_length(*(array for _, array in there), names=tuple(name for name, _ in there))
        return Batch(x, y, self.weigh(y, weight), rows)


def make_feed(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, steps: int | None, dtype: np.dtype[Any]
) -> Feed:
    """The feed for what a user passed as x."""
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ValueError(f"the number of steps must be an integer of at least 1, got {steps!r}")
    if _is_iterable_of_batches(x):
        if y is not None or sample_weight is not None:
            raise ValueError(
                "x yields batches, so y and sample_weight must come with them, as (x, y, weights)"
            )
        return IterableFeed(x, steps, dtype)
    return ArrayFeed(x, y, sample_weight, 32 if batch_size is None else batch_size, steps, dtype)


def _is_iterable_of_batches(x: Any) -> bool:
    array_like = isinstance(x, list | tuple | dict) or hasattr(x, "__array__") or hasattr(x, "__dlpack__")
    return not array_like and isinstance(x, Iterable)


def map_inputs(function: Callable[..., Any], x: Any, *arguments: Any) -> Any:
    """The function on each input: a tuple or a dict holds several inputs, anything else is one."""
    if isinstance(x, tuple):
        return tuple(function(part, *arguments) for part in x)
    if isinstance(x, dict):
        return {name: function(part, *arguments) for name, part in x.items()}
    return function(x, *arguments)


def named_inputs(x: Any) -> list[tuple[str, Array]]:
    """Each input with the name that messages call it by."""
    if isinstance(x, tuple):
        return [(f"x[{position}]", part) for position, part in enumerate(x)]
    if isinstance(x, dict):
        return [(f"x[{name!r}]", part) for name, part in x.items()]
    return [("x", x)]


def report_not_finite(array: Array, name: str, first_row: int = 0) -> None:
    """ValueError naming the first row with a value that is not finite, if there is one."""
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if bad.any():
        position = np.unravel_index(int(bad.argmax()), array.shape)
        row = int(position[0]) + first_row
        raise ValueError(
            f"{name} holds {array[position]} (first in row {row}; {bad.sum()} such values in the rows looked "
            "at): training on it would ruin the weights. Leave those rows out or fill the gaps, for example "
            "with np.nan_to_num"
        )


def class_weighting(weights: Mapping[int, float], dtype: np.dtype[Any]) -> Callable[[Any], Array]:
    """From ``{class: weight}`` the function that gives each sample's weight; classes left out weigh 1."""
    wrong = [key for key in weights if not isinstance(key, int | np.integer) or key < 0]
    if wrong or not weights:
        raise ValueError(
            f"class_weight must map class numbers to weights, such as {{0: 1.0, 1: 5.0}}, got {weights!r}"
        )
    table = np.ones(max(weights) + 1, dtype)
    for label, weight in weights.items():
        table[label] = weight

    def weigh(y: Any) -> Array:
        labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y))
        if labels.dtype.kind not in "iub":
            labels = labels.astype(np.int64)
        known = labels < len(table)
        result: Array = np.where(known, table[np.where(known, labels, 0)], dtype.type(1))
        return result

    return weigh
