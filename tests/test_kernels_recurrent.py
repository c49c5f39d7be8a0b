"""LSTM: the reference against finite differences and against itself where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

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
