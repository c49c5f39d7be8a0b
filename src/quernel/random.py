"""Random numbers: one seed, one counter.

Dropout masks and random tensors come from a counter-based generator (Philox): element i of a draw depends on
(seed, counter, i) alone, never on threads. Initializers and shuffles use a NumPy generator with the same
seed.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import operator
import secrets
import threading
from typing import Any

import numpy as np

__all__ = ["get_state", "initial_seed", "next_state", "numpy_generator", "seed", "set_state"]

_WORDS = 4  # a Philox4x32 block gives four 32-bit words, one an element
_MAX = 2**64

_lock = threading.Lock()
_seed: int | None = None  # None: not seeded and not drawn from yet
_offset = 0
_generator: np.random.Generator | None = None


def seed(value: int) -> None:
    """Start all random numbers again from `value`.

    Parameters
    ----------
    value : an integer from 0 to 2**64 - 1.

    Raises
    ------
    TypeError : if `value` is not an integer.
    ValueError : if it is negative or too large.

    Examples
    --------
    >>> import quernel as qn
    >>> qn.random.seed(1)
    >>> a = qn.random.numpy_generator().random()
    >>> qn.random.seed(1)
    >>> a == qn.random.numpy_generator().random()
    True
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"random.seed: expected an integer, got {value!r} ({type(value).__name__})") from None
    if not 0 <= number < _MAX:
        raise ValueError(f"random.seed: expected an integer from 0 to 2**64 - 1, got {number}")
    with _lock:
        _start(number)


def _start(number: int) -> None:
    global _seed, _offset, _generator
    _seed, _offset, _generator = number, 0, np.random.default_rng(number)


def _started() -> int:
    """The seed; chosen from the system's entropy if nobody gave one. Call with the lock held."""
    if _seed is None:
        _start(secrets.randbits(63))
    assert _seed is not None
    return _seed


def initial_seed() -> int:
    """The seed in use, to write down and repeat a run."""
    with _lock:
        return _started()


def next_state(count: int) -> np.ndarray:
    """Reserve random words for `count` elements: uint64 array ``[seed, offset]``.

    The same state gives the same numbers again, so the backward pass of dropout keeps 16 bytes, not a mask.
    """
    global _offset
    with _lock:
        state = np.array([_started(), _offset], np.uint64)
        _offset = (_offset + (count + _WORDS - 1) // _WORDS) % _MAX
    return state


def numpy_generator() -> np.random.Generator:
    """The NumPy generator behind initializers and shuffles; `seed` replaces it."""
    with _lock:
        _started()
        assert _generator is not None
        return _generator


def get_state() -> dict[str, Any]:
    """All that is needed to go on from here (plain numbers, texts and dicts), for `set_state`."""
    generator = numpy_generator()
    with _lock:
        return {"seed": _seed, "offset": _offset, "generator": generator.bit_generator.state}


def set_state(state: dict[str, Any]) -> None:
    """Go on from a state that `get_state` returned.

    Raises
    ------
    ValueError : if `state` is not such a state; nothing is changed then.

    Examples
    --------
    >>> import quernel as qn
    >>> state = qn.random.get_state()
    >>> a = qn.random.next_state(8)
    >>> qn.random.set_state(state)
    >>> bool((a == qn.random.next_state(8)).all())
    True
    """
    global _seed, _offset, _generator
    try:
        number, offset = operator.index(state["seed"]), operator.index(state["offset"])
        if not (0 <= number < _MAX and 0 <= offset < _MAX):
            raise ValueError("seed and offset must be from 0 to 2**64 - 1")
        generator = np.random.default_rng(number)
        generator.bit_generator.state = state["generator"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"random.set_state: expected a state returned by random.get_state(), got {state!r} ({error})"
        ) from error
    with _lock:
        _seed, _offset, _generator = number, offset, generator
