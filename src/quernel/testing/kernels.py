"""Is a kernel right? One function puts it through everything that is asked of every kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from quernel.testing import arrays
from quernel.testing.arrays import Array

Kernel = Callable[..., Any]
# Kernels flush denormal numbers to 0: what is lost, times factors of up to a thousand (x·sigmoid(x) at x =
# -90).
FLUSHED = 1024.0
# (arguments and reference outputs in float64, eps) -> error allowed in each output
Bound = Callable[[Sequence[Any], Sequence[Array], float], Sequence[Any]]


def check_kernel(
    kernel: Kernel,
    reference: Kernel,
    arguments: Sequence[Any],
    bound: Bound,
    *,
    in_place: Iterable[int] = (),
    contiguous: Iterable[int] = (),
    rows: Iterable[int] = (),
    same_type: bool = False,
    dtype: Any = np.float32,
    set_num_threads: Callable[[int], None] | None = None,
    threads: Sequence[int] = (1, 2, 4),
    violations: Callable[[], int] | None = None,
) -> None:
    """Put one call of a kernel through everything that is asked of every kernel.

    - Results are within `bound` of the reference in float64, of the same type and shape, fresh, C-contiguous.
    - NaN and infinities stand where they stand in the reference.
    - Arguments are unchanged but those updated in place, and around and between their elements nothing is
    written.
    - The same bits come from strided and read-only arguments, from unaligned ones, from a second run, from
      any number of threads, and for a row of a batch whatever stands beside it.
    - The pool saw no write outside a block (`violations`).

    Parameters
    ----------
    kernel, reference : functions with the same signature.
    arguments : positional arguments: arrays, lists of arrays, anything else.
    bound : ``bound(arguments64, outputs64, eps)`` gives the error allowed in each output, arrays or numbers.
        Outputs are the arrays returned, then those updated in place. 0 asks for equality.
    in_place : positions of the arguments that the kernel updates.
    contiguous : positions of the arguments that have to be contiguous: these are not tried in other layouts.
    rows : positions of the arguments whose axis 0 is the batch (then also axis 0 of every output); none if
        rows of the result may depend on each other.
    same_type : compare with the reference in `dtype` instead of float64.
    dtype : the real type under test; real arrays in `arguments` are cast to it.
    set_num_threads, threads : how to set the number of threads, and the numbers to try.
    violations : counts writes outside pool blocks so far (``memory_stats()["violations"]`` in guard mode).

    Raises
    ------
    AssertionError : saying which of these fails, where, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> few_eps = lambda args, outputs, eps: [4 * eps * np.abs(y) for y in outputs]
    >>> def halve(x):
    ...     return np.multiply(x, 0.5, order="C")
    >>> check_kernel(halve, lambda x: x / 2, [np.ones((3, 5))], few_eps)
    >>> check_kernel(np.zeros_like, lambda x: x / 2, [np.ones((3, 5))], few_eps)
    Traceback (most recent call last):
    ...
    AssertionError: output 0: 15 of 15 elements differ; the worst is [0, 0]: got 0.0, expected 0.5 ± 2.38e-07
    """
    changed, batch = tuple(in_place), tuple(rows)
    given = [arrays.mapped(arrays.cast(dtype), value) for value in arguments]
    before = violations() if violations else 0
    call = _Caller(kernel, changed, tuple(contiguous))

    first = check_result(
        kernel, reference, arguments, bound, in_place=changed, same_type=same_type, dtype=dtype
    )
    _require(arrays.same_bits(first, call(given)), "a second run gives other bits")
    _require(arrays.same_bits(first, call(given, arrays.strided)), "strided arguments give another result")
    _require(
        arrays.same_bits(first, call(given, arrays.unaligned)), "unaligned arguments give another result"
    )
    if set_num_threads:
        for count in threads:
            set_num_threads(count)
            _require(arrays.same_bits(first, call(given)), f"{count} threads give other bits")
    if batch:
        _check_rows(call, given, batch, first)
    del first
    if violations:
        _require(
            violations() == before, "something was written outside a block of memory (guard bytes changed)"
        )


def check_result(
    kernel: Kernel,
    reference: Kernel,
    arguments: Sequence[Any],
    bound: Bound,
    *,
    in_place: Iterable[int] = (),
    same_type: bool = False,
    dtype: Any = np.float32,
) -> list[Array]:
    """The first half of `check_kernel`: one call gives the right result and leaves its arguments alone.

    Same parameters and errors. Returns the outputs.
    """
    changed = tuple(in_place)
    given = [arrays.mapped(arrays.cast(dtype), value) for value in arguments]
    results = _Caller(kernel, changed)(given)
    expected = _outputs(reference, _copies(given), changed)
    _check_form(results, expected)
    # The reference rounds too: at float64, or in the same type, its error counts like the kernel's.
    doubled = 2
    if not same_type and np.dtype(dtype) != np.float64:
        doubled = 1
        given = [arrays.mapped(arrays.cast(np.float64), value) for value in given]
        expected = _outputs(reference, _copies(given), changed)
    with np.errstate(all="ignore"):
        allowed = [doubled * np.asarray(a, np.float64) for a in bound(given, expected, np.finfo(dtype).eps)]
    for k, (g, e, a) in enumerate(zip(results, expected, allowed, strict=True)):
        _check_output(k, g, e, np.broadcast_to(a, e.shape))
    return results


class _Caller:
    """Calls a kernel on copies of its arguments and looks after those.

    Calls on the same arguments share a plain copy: each leaves it as it was.
    """

    def __init__(self, kernel: Kernel, in_place: tuple[int, ...], contiguous: tuple[int, ...] = ()) -> None:
        self.kernel, self.in_place, self.contiguous = kernel, in_place, contiguous
        self._plain: tuple[Sequence[Any], list[Any]] = ((), [])

    def __call__(self, given: Sequence[Any], dress: Callable[[Array], Array] | None = None) -> list[Array]:
        """Outputs of one call; `dress` lays out the arguments that are only read."""
        frames: list[arrays.Framed] = []

        def framed(x: Array) -> Array:
            frames.append(arrays.Framed(x))
            return frames[-1].view

        if self._plain[0] is not given:
            self._plain = given, _copies(given)
        args = list(self._plain[1])
        for i, value in enumerate(given):
            if i in self.in_place:
                args[i] = arrays.mapped(framed, value)
            elif dress and i not in self.contiguous:
                args[i] = arrays.mapped(dress, value)
        results = arrays.arrays_in(self.kernel(*args))
        inputs = arrays.arrays_in([value for i, value in enumerate(args) if i not in self.in_place])
        originals = arrays.arrays_in([value for i, value in enumerate(given) if i not in self.in_place])
        for k, (now, was) in enumerate(zip(inputs, originals, strict=True)):
            _require(arrays.same_bits([now], [was]), f"array argument {k} was changed")
        for k, result in enumerate(results):
            shared = any(
                np.may_share_memory(result, x) for x in [*inputs, *(f.view for f in frames)] if x.size
            )
            _require(not shared, f"output {k} shares memory with an argument")
            _require(
                result.flags.c_contiguous and result.flags.writeable,
                f"output {k} is no fresh C-contiguous array",
            )
        for k, frame in enumerate(frames):
            _require(not frame.broken(), f"updated array {k}: {frame.broken()} bytes written outside it")
        return [*results, *(f.view for f in frames)]


def _outputs(function: Kernel, args: Sequence[Any], in_place: tuple[int, ...]) -> list[Array]:
    """Arrays returned, then arrays updated."""
    results = arrays.arrays_in(function(*args))
    return [*results, *arrays.arrays_in([args[i] for i in in_place])]


def _copies(args: Sequence[Any]) -> list[Any]:
    return [arrays.mapped(np.copy, value) for value in args]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _check_form(got: list[Array], expected: list[Array]) -> None:
    _require(len(got) == len(expected), f"{len(got)} outputs, expected {len(expected)}")
    for k, (g, e) in enumerate(zip(got, expected, strict=True)):
        _require(g.shape == e.shape, f"output {k} has shape {g.shape}, expected {e.shape}")
        _require(g.dtype == e.dtype, f"output {k} has type {g.dtype}, expected {e.dtype}")


def _check_output(k: int, got: Array, expected: Array, allowed: Array) -> None:
    """Equal, or both NaN, or (where there is arithmetic at all) within what is allowed."""
    with np.errstate(all="ignore"):
        rounded = expected.astype(got.dtype)
        ok = got == rounded
        if got.dtype.kind == "f":
            slack = allowed + FLUSHED * np.finfo(got.dtype).tiny
            ok |= np.isnan(got) & np.isnan(expected)
            near = np.abs(got.astype(np.float64) - expected) <= slack
            ok |= near & np.isfinite(rounded) & bool(allowed.any())
    if ok.all():
        return
    with np.errstate(all="ignore"):
        distance = np.abs(got - expected.astype(np.float64))
    error = np.where(ok, -1.0, np.nan_to_num(distance, nan=np.inf))
    worst = np.unravel_index(np.argmax(error), error.shape)
    place = ", ".join(map(str, worst))
    raise AssertionError(
        f"output {k}: {np.count_nonzero(~ok)} of {ok.size} elements differ; the worst is [{place}]: "
        f"got {got[worst]}, expected {expected[worst]} ± {allowed[worst]:.3g}"
    )


def _check_rows(call: _Caller, given: list[Any], rows: tuple[int, ...], full: list[Array]) -> None:
    """The first row alone, the last alone, and all but the first have the bits they have in the whole
    batch."""
    count = len(next(given[i] for i in rows if given[i] is not None))
    if count < 2:
        return
    for part in (slice(0, 1), slice(count - 1, count), slice(1, count)):
        some = [v[part] if i in rows and v is not None else v for i, v in enumerate(given)]
        same = arrays.same_bits(call(some), [y[part] for y in full])
        _require(same, f"rows {part.start} to {part.stop - 1} of {count} by themselves give other bits")
