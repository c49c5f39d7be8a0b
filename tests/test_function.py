"""Functions of users: what they are given, what they may return, what is said if they do not."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn


def leaf(*values: float) -> qn.Tensor:
    return qn.tensor(list(values), requires_grad=True)


class Scale(qn.Function):
    @staticmethod
    def forward(ctx, x, factor, *, offset=0.0):
        ctx.save(x)
        ctx.factor = factor
        return x * factor + offset

    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.factor, None


def test_a_function_takes_values_and_keywords():
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 3.0, offset=1.0)
    assert y.tolist() == [4.0, 7.0]
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_function_with_several_outputs_gets_zeros_for_unused_ones():
    seen = []

    class Split(qn.Function):
        @staticmethod
        def forward(ctx, x):
            assert ctx.needs == (True,)
            return x[:1], x[1:], x.argmax()[None]

        @staticmethod
        def backward(ctx, da, db, dindex):
            seen.append((da.tolist(), db.tolist()))
            return np.concatenate([da, db])

    x = leaf(1.0, 2.0, 3.0)
    _, b, index = Split.apply(x)
    assert not index.requires_grad
    (b * 2).sum().backward()
    assert seen == [([0.0], [2.0, 2.0])]
    assert x.grad.tolist() == [0.0, 2.0, 2.0]


def test_a_function_cannot_write_to_its_arguments():
    class Wrong(qn.Function):
        @staticmethod
        def forward(ctx, x):
            x *= 2
            return x

    x = leaf(1.0)
    with pytest.raises(ValueError, match="read-only"):
        Wrong.apply(x)
    assert x.tolist() == [1.0]


def test_a_gradient_that_the_function_keeps_is_copied():
    kept = np.ones(2, np.float32)

    class Keeps(qn.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return kept

    x = leaf(1.0, 2.0)
    for _ in range(2):
        Keeps.apply(x).sum().backward()
    assert kept.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        ((np.ones(2), np.ones(2)), ValueError, "expected 1 gradients"),
        (np.ones(3), ValueError, r"shape \(2,\), got \(3,\)"),
        (np.ones(2, np.int64), TypeError, "float32 array, got int64"),
        ([1.0, 1.0], TypeError, "got list"),
    ],
)
def test_wrong_gradients_of_a_function_are_named(grads, error, message):
    class Wrong(qn.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            return grads

    with pytest.raises(error, match=f"Wrong.backward: .*{message}"):
        Wrong.apply(leaf(1.0, 2.0)).sum().backward()


def test_a_keyword_that_wants_a_gradient_is_refused():
    with pytest.raises(TypeError, match=r"Scale.apply: offset .*positional"):
        Scale.apply(leaf(1.0), 2.0, offset=leaf(1.0))


def test_a_function_must_return_arrays():
    class Wrong(qn.Function):
        @staticmethod
        def forward(ctx, x):
            return qn.tensor(x)

    with pytest.raises(TypeError, match=r"Wrong.forward: .*got Tensor"):
        Wrong.apply(leaf(1.0))
