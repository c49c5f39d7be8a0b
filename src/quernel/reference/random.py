"""Random numbers that depend on (seed, offset, index) alone: Philox4x32-10.

Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3". A block of four 32-bit
words is a keyed mixing of a 128-bit counter, so that any part of the stream can be made without the rest, by
any thread.

``state`` is uint64 (2,): [seed, offset]. Word w of the stream is word ``w % 4`` of the block whose counter is
``offset + w // 4`` (mod 2**64; the upper half of the counter is 0) and whose key is the seed, low half first.
The words are the same bits in `quernel.kernels`.

Uniform numbers u in [0, 1):

- float32 element i: the upper 24 bits of word i, times 2**-24.
- float64 element i: the upper 53 bits of the 64-bit number whose low half is word 2i and high half word 2i +
  1, times 2**-53.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["dropout", "random_normal", "random_uniform"]

# Multipliers and Weyl increments of the key: table 2 and section 4 of the paper.
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10


def _words(count: int, state: np.ndarray) -> np.ndarray:
    """The first `count` words of the stream, uint64 holding 32 bits each."""
    seed, offset = state.astype(np.uint64)
    counter = np.arange(-(-count // 4), dtype=np.uint64) + offset
    key = np.array([seed & _LOW, seed >> _HALF])
    c0, c1 = counter & _LOW, counter >> _HALF
    c2 = c3 = np.zeros_like(counter)
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (product1 >> _HALF) ^ c1 ^ key[0], product1 & _LOW
        c2, c3 = (product0 >> _HALF) ^ c3 ^ key[1], product0 & _LOW
        key = (key + _WEYL) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:count]


def _bits(count: int, state: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, float]:
    """`count` random integers, exact in float64, and the value of one: integer * one is uniform in [0, 1)."""
    if dtype == np.float32:
        return _words(count, state) >> np.uint64(8), 2.0**-24
    words = _words(2 * count, state)
    return (words[0::2] | words[1::2] << _HALF) >> np.uint64(11), 2.0**-53


def random_uniform(
    shape: tuple[int, ...], low: float, high: float, state: np.ndarray, dtype: npt.DTypeLike
) -> np.ndarray:
    """Array of `shape` filled with ``low + (high - low) * u``; never `high` itself unless low = high."""
    dtype = np.dtype(dtype)
    bits, one = _bits(int(np.prod(shape)), state, dtype)
    low, high = np.array([low, high], dtype).tolist()  # as near as dtype can
    values = (low + (high - low) * (bits * one)).astype(dtype)
    below_high = np.nextafter(np.array(high, dtype), np.array(low, dtype))  # rounding may reach `high`
    return np.minimum(values, below_high).reshape(shape)


def random_normal(
    shape: tuple[int, ...], mean: float, std: float, state: np.ndarray, dtype: npt.DTypeLike
) -> np.ndarray:
    """Array of `shape` filled with normal numbers (Box and Muller 1958).

    Elements 2j and 2j + 1 are r cos(2 pi v) and r sin(2 pi v), r = sqrt(-2 log(1 - u)), with u and v the
    uniform numbers 2j and 2j + 1. They reach 5.8 standard deviations in float32 and 8.6 in float64.
    """
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    bits, one = _bits(count + count % 2, state, dtype)
    u = bits * one
    radius, angle = np.sqrt(-2 * np.log(1 - u[0::2])), 2 * np.pi * u[1::2]
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:count]
    return (mean + std * z).astype(dtype).reshape(shape)


def dropout(x: np.ndarray, rate: float, state: np.ndarray) -> np.ndarray:
    """y = x / (1 - rate) where word i of the stream is at least rate * 2**32, else 0 (also where x is NaN).

    Srivastava et al. 2014, "Dropout". The mask is the same for float32 and float64. The same call on dy is
    the backward pass. A rate of 1 gives zeros.
    """
    kept = _words(x.size, state).reshape(x.shape) >= rate * 2.0**32
    scale = x.dtype.type(1 / (1 - rate)) if rate < 1 else x.dtype.type(0)
    return np.where(kept, x * scale, x.dtype.type(0))
