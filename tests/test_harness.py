"""The harness is tested: each fault that a kernel can have must be found, and a right kernel must pass."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from quernel import reference
from quernel.testing import arrays, check_kernel

from .cases import of

ARGUMENTS = [np.linspace(-2.0, 3.0, 33).reshape(3, 11)]


def truth(x):
    return np.array(x * x + x, order="C")


def bound(args, outputs, eps):
    return [4 * eps * (np.abs(y) + 1) for y in outputs]


def check(kernel, rows=(0,), **more):
    check_kernel(kernel, truth, ARGUMENTS, bound, rows=rows, **more)


def test_a_right_kernel_passes():
    check(truth)


def one_element_wrong(x):
    y = truth(x)
    y[-1, -1] *= 1.001
    return y


def nan_lost(x):
    return np.nan_to_num(truth(x))


def changes_its_input(x):
    y = truth(x)
    if x.flags.writeable:
        x[0, 0] += 1
    return y


def ignores_strides(x):
    """Reads x's memory as if it were contiguous (what PyArray_DATA without a copy does)."""
    base = x if x.base is None or not isinstance(x.base, np.ndarray) else x.base
    return truth(base.ravel(order="K")[: x.size].reshape(x.shape))


def row_depends_on_its_neighbours(x):
    y = truth(x)
    return y if len(x) == 1 else np.nextafter(y, np.float32(9))


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        (np.zeros_like, "elements differ"),
        (lambda x: 1.001 * truth(x), "elements differ"),
        (one_element_wrong, "1 of 33 elements differ"),
        (lambda x: truth(x)[:, :-1].copy(), "shape"),
        (lambda x: truth(x).astype(np.float64), "type"),
        (lambda x: (truth(x), truth(x)), "2 outputs, expected 1"),
        (lambda x: np.asfortranarray(truth(x)), "no fresh C-contiguous array"),
        (changes_its_input, "was changed"),
        (ignores_strides, "strided arguments"),
        (row_depends_on_its_neighbours, "by themselves give other bits"),
        (lambda x: truth(x)[::-1].copy(), "elements differ"),
    ],
)
def test_a_wrong_kernel_is_found(kernel, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check(kernel)


def test_a_view_of_the_input_is_found():
    with pytest.raises(AssertionError, match="shares memory"):
        check_kernel(lambda x: x, np.copy, ARGUMENTS, lambda *_: [0.0])


def test_another_second_run_is_found():
    calls = []

    def drifts(x):
        calls.append(x)
        return np.nextafter(truth(x), np.float32(9)) if len(calls) > 1 else truth(x)

    with pytest.raises(AssertionError, match="second run"):
        check(drifts)


def test_a_result_that_depends_on_the_threads_is_found():
    used = [1]
    with pytest.raises(AssertionError, match="4 threads give other bits"):
        check(
            lambda x: np.nextafter(truth(x), np.float32(9)) if used[-1] == 4 else truth(x),
            set_num_threads=used.append,
        )


def test_nan_and_infinity_must_stand_where_they_stand():
    x = [np.array([[1.0, np.nan, np.inf]])]
    check_kernel(truth, truth, x, bound)
    for wrong in (nan_lost, lambda x: np.where(np.isinf(x), np.float32(3e38), truth(x))):
        with pytest.raises(AssertionError, match="differ"):
            check_kernel(wrong, truth, x, bound)


def test_exact_means_exact():
    with pytest.raises(AssertionError, match="differ"):
        check_kernel(lambda x: np.nextafter(x, np.float32(9)), np.copy, ARGUMENTS, lambda *_: [0.0])


def update(x):
    x += 1


@pytest.mark.parametrize("offset", [-1, 33])
def test_a_write_outside_an_updated_array_is_found(offset):
    def before_or_behind(x):
        x += 1
        address = x.__array_interface__["data"][0] + offset * x.itemsize
        ctypes.memset(address, 0, x.itemsize)

    check_kernel(update, update, ARGUMENTS, bound, in_place=(0,))
    with pytest.raises(AssertionError, match="4 bytes written outside"):
        check_kernel(before_or_behind, update, ARGUMENTS, bound, in_place=(0,))


def test_a_write_between_the_elements_of_a_strided_target_is_found():
    def fills_the_gaps(target, x):
        target[...] = x
        np.lib.stride_tricks.as_strided(target, (target.size * 2 - 1,), (target.itemsize,))[:] = 1

    arguments = [np.zeros(10, np.float32)[::2], np.ones(5, np.float32)]
    framed = arrays.Framed(arguments[0])
    fills_the_gaps(framed.view, arguments[1])
    assert framed.broken() == 4 * 4


GUARDED = """
    import ctypes, gc
    import numpy as np
    from quernel import kernels, reference
    from quernel.kernels import memory
    from quernel.testing import check_kernel

    violations = lambda: memory.memory_stats()["violations"]
    a, b = np.ones((3, 7), np.float32), np.ones((7, 5), np.float32)
    exact = lambda *_: [0.0]
    check_kernel(kernels.matmul, reference.matmul, [a, b], exact, violations=violations)

    def past_the_end(a, b):
        c = kernels.matmul(a, b)
        ctypes.memset(c.ctypes.data + c.nbytes, 0, 1)
        return c

    def before_the_start(a, b):
        c = kernels.matmul(a, b)
        ctypes.memset(c.ctypes.data - 1, 0, 1)
        return c

    for wrong in (past_the_end, before_the_start):
        try:
            check_kernel(wrong, reference.matmul, [a, b], exact, violations=violations)
        except AssertionError as error:
            assert "outside a block" in str(error), error
        else:
            raise SystemExit(f"{wrong.__name__} was not found")
"""


def test_a_write_outside_a_pool_block_is_found(tmp_path):
    """In guard mode, one byte before and one behind what a kernel returned."""
    script = tmp_path / "guarded.py"
    script.write_text(textwrap.dedent(GUARDED))
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=_guarded())
    assert run.returncode == 0, run.stdout + run.stderr


def _guarded():
    paths = os.pathsep.join(sys.path)
    return {**os.environ, "QUERNEL_MEMORY_GUARD": "1", "PYTHONPATH": paths}


@pytest.mark.parametrize("function", ["conv2d_backward_kernel", "lstm_backward", "batch_norm_backward"])
def test_a_gradient_wrong_by_a_thousandth_is_found(function):
    """The bounds of the cases are tight enough to see it, also where sums are long."""
    for case in of(function):
        arguments = case.arguments(np.random.default_rng(0), np.float64)
        right = getattr(reference, function)

        def wrong(*args, right=right):
            outputs = right(*args)
            return tuple(1.001 * y for y in outputs) if isinstance(outputs, tuple) else 1.001 * outputs

        if not any(y.any() for y in arrays.arrays_in(right(*arguments))):
            continue  # of zero, a thousandth is nothing
        with pytest.raises(AssertionError, match="differ"):
            check_kernel(wrong, right, arguments, case.bound, dtype=np.float64)
