"""LSTM: the reference against finite differences, the kernels against the reference."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from quernel import kernels
from quernel.kernels import threads
from quernel.reference import recurrent as reference

Array = np.ndarray


def problem(
    rng: np.random.Generator, n: int, t: int, c: int, u: int, dtype: type = np.float64
) -> list[Array]:
    """x, kernel, recurrent_kernel, bias, h0, c0."""
    shapes = [(n, t, c), (c, 4 * u), (u, 4 * u), (4 * u,), (n, u), (n, u)]
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 1, 0, 3]])
def test_reference_gradients(rng: np.random.Generator, lengths: list[int] | None, reverse: bool) -> None:
    ends = None if lengths is None else np.array(lengths)
    arguments = problem(rng, 4, 5, 3, 2)
    h_seq, h_n, c_n, gates, c_seq = reference.lstm_forward(*arguments, ends, reverse)
    weights = [rng.uniform(0.5, 1, a.shape) for a in (h_seq, h_n, c_n)]
    x, kernel, recurrent, _, h0, c0 = arguments
    gradients = reference.lstm_backward(
        *weights, x, kernel, recurrent, h0, c0, h_seq, gates, c_seq, ends, reverse
    )

    def loss(place: int, shift: Array) -> float:
        moved = [a + shift if k == place else a for k, a in enumerate(arguments)]
        outputs = reference.lstm_forward(*moved, ends, reverse)
        return sum(float((w * y).sum()) for w, y in zip(weights, outputs, strict=False))

    for place, gradient in enumerate(gradients):
        step = 1e-3 * rng.choice([-1.0, 1.0], gradient.shape)
        near = loss(place, step) - loss(place, -step)
        far = loss(place, 2 * step) - loss(place, -2 * step)
        assert (8 * near - far) / 12 == pytest.approx((gradient * step).sum(), rel=1e-7, abs=1e-10)


def test_reference_row_ends_like_a_shorter_sequence(rng: np.random.Generator) -> None:
    x, *rest = problem(rng, 3, 6, 2, 4)
    x[:, 4:] = np.nan  # what stands in the padding has no part
    short = reference.lstm_forward(x[:, :4], *rest, None, True)
    padded = reference.lstm_forward(x, *rest, np.array([4, 4, 4]), True)
    for s, p in zip(short, padded, strict=True):
        np.testing.assert_array_equal(s, p[:, :4] if p.ndim == 3 else p)
        assert p.ndim == 2 or not p[:, 4:].any()


def test_reference_cell_is_one_step(rng: np.random.Generator) -> None:
    x, kernel, recurrent, bias, h0, c0 = problem(rng, 3, 1, 2, 4)
    h, c, gates = reference.lstm_cell_forward(x[:, 0], h0, c0, kernel, recurrent, bias)
    h_seq, h_n, c_n, gates_seq, c_seq = reference.lstm_forward(
        x, kernel, recurrent, bias, h0, c0, None, False
    )
    np.testing.assert_array_equal(gates, gates_seq[:, 0])
    np.testing.assert_array_equal(h, h_n)
    np.testing.assert_array_equal(c, c_n)
    dx, dh, dc, *weights = reference.lstm_cell_backward(h0, c0, x[:, 0], h0, c0, c, gates, kernel, recurrent)
    sequence = reference.lstm_backward(
        0 * h_seq, h0, c0, x, kernel, recurrent, h0, c0, h_seq, gates_seq, c_seq, None, False
    )
    for a, b in zip((dx[:, None], *weights, dh, dc), sequence, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-14)


# (N, T, C, U): ones, sizes round the vector width and the tile, more rows than go through a step together.
SIZES = [(1, 1, 1, 1), (5, 4, 3, 7), (17, 3, 16, 16), (3, 5, 2, 33), (61, 2, 5, 20), (2, 3, 70, 65)]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}  # sums of up to 4U + T·N products of numbers near 1


def both_ways(
    module: ModuleType, arguments: list[Array], gradients: list[Array], *rest: object
) -> list[Array]:
    """All outputs of forward, then all of backward."""
    x, kernel, recurrent, _, h0, c0 = arguments
    h_seq, _, _, gates, c_seq = out = module.lstm_forward(*arguments, *rest)
    back = module.lstm_backward(*gradients, x, kernel, recurrent, h0, c0, h_seq, gates, c_seq, *rest)
    return [*out, *back]


def assert_near(actual: list[Array], expected: list[Array], tolerance: float) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.flags.c_contiguous
        assert a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * max(1, np.abs(e).max(initial=0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_kernels_match_reference(
    rng: np.random.Generator, size: tuple[int, int, int, int], ragged: bool, reverse: bool, dtype: type
) -> None:
    n, t, _, u = size
    arguments = problem(rng, *size, dtype=dtype)
    gradients = [rng.uniform(-1, 1, shape).astype(dtype) for shape in [(n, t, u), (n, u), (n, u)]]
    lengths = rng.integers(0, t + 1, n) if ragged else None
    if lengths is not None:
        arguments[0][np.arange(t) >= lengths[:, None]] = np.nan  # what stands in the padding has no part
    exact = [[a.astype(np.float64) for a in group] for group in (arguments, gradients)]
    expected = both_ways(reference, *exact, lengths, reverse)
    before = [a.copy() for a in arguments]
    actual = both_ways(kernels, arguments, gradients, lengths, reverse)
    assert all(a.dtype == dtype for a in actual)
    assert_near(actual, expected, TOLERANCE[dtype])
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [(0, 3, 2, 2), (2, 0, 3, 2), (2, 3, 0, 2), (2, 3, 2, 0)])
def test_empty(rng: np.random.Generator, size: tuple[int, int, int, int]) -> None:
    n, t, _, u = size
    arguments = problem(rng, *size)
    gradients = [np.ones(shape) for shape in [(n, t, u), (n, u), (n, u)]]
    expected = both_ways(reference, arguments, gradients, None, False)
    assert_near(both_ways(kernels, arguments, gradients, None, False), expected, 1e-13)


def test_kernel_takes_any_strides_and_no_bias(rng: np.random.Generator) -> None:
    arguments = [np.asarray(a, order="F") for a in problem(rng, 4, 3, 5, 6)]
    arguments[3] = None  # type: ignore[call-overload]
    for a in arguments:
        if a is not None:
            a.flags.writeable = False
    gradients = [np.broadcast_to(np.float64(0.5), shape) for shape in [(4, 3, 6), (4, 6), (4, 6)]]
    expected = both_ways(reference, arguments, gradients, None, True)
    assert_near(both_ways(kernels, arguments, gradients, None, True), expected, 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cell_kernels_match_reference(rng: np.random.Generator, dtype: type) -> None:
    x, kernel, recurrent, bias, h, c = problem(rng, 9, 1, 5, 19, dtype=dtype)
    x = x[:, 0]
    expected = reference.lstm_cell_forward(x, h, c, kernel, recurrent, bias)
    actual = kernels.lstm_cell_forward(x, h, c, kernel, recurrent, bias)
    assert_near([*actual], [*expected], TOLERANCE[dtype])
    rest = (expected[0], c, x, h, c, expected[1], expected[2], kernel, recurrent)
    assert_near(
        [*kernels.lstm_cell_backward(*rest)], [*reference.lstm_cell_backward(*rest)], TOLERANCE[dtype]
    )


def test_same_bits_for_any_threads_and_neighbours(rng: np.random.Generator) -> None:
    arguments = problem(rng, 37, 6, 24, 40, np.float32)
    gradients = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in [(37, 6, 40), (37, 40), (37, 40)]]
    before = threads.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(both_ways(kernels, arguments, gradients, None, False))
    finally:
        threads.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)

    x, kernel, recurrent, bias, h0, c0 = arguments
    for row in (0, 20, 36):  # alone, every row comes out as it does among 37
        alone = kernels.lstm_forward(
            x[row : row + 1], kernel, recurrent, bias, h0[row : row + 1], c0[row : row + 1], None, False
        )
        for a, b in zip(alone, results[0], strict=False):
            np.testing.assert_array_equal(a[0], b[row])


def test_large_inputs_saturate(rng: np.random.Generator) -> None:
    x, kernel, recurrent, bias, h0, c0 = problem(rng, 2, 3, 4, 5, np.float32)
    h_seq, h, c, gates, _ = kernels.lstm_forward(1e6 * x, kernel, recurrent, bias, h0, c0, None, False)
    assert np.isfinite(c).all()
    for bounded in (h_seq, h, gates):
        assert (np.abs(bounded) <= 1).all()
