"""The engine: what is recorded, what backward leaves behind, what it refuses."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.autograd import mark_changed
from quernel.testing import check_gradients


def leaf(*values: float) -> qn.Tensor:
    return qn.tensor(list(values), requires_grad=True)


def test_a_chain_of_10000_operations_does_not_recurse():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        y.backward()
    finally:
        sys.setrecursionlimit(before)
    assert x.grad.tolist() == [1.0]


def test_a_long_chain_can_be_dropped_without_backward():
    y = leaf(1.0)
    for _ in range(100_000):
        y = -y
    del y
    gc.collect()


def test_gradients_of_a_value_used_often_add_up():
    x = leaf(2.0, 3.0)
    y = x * x
    (y + y + y + x + y).sum().backward()
    assert x.grad.tolist() == [17.0, 25.0]


def test_a_diamond_waits_for_all_its_branches():
    x = leaf(2.0)
    a = x * 3.0
    b = a * a  # made before c, but c's gradient reaches a too
    c = a + 1.0
    (b * c).backward()  # 9x^2 (3x + 1): 81x^2 + 18x
    assert x.grad.item() == 81 * 4 + 18 * 2


def test_backward_adds_to_grad_until_it_is_zeroed():
    x = leaf(1.0, 2.0)
    for _ in range(3):
        (2 * x).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    x.zero_grad()
    assert x.grad is None


def test_no_gradient_is_shared_with_anything():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    given = np.array([1.0, 1.0], np.float32)
    (x + y).backward(given)  # the same array is the gradient of x, of y and of the sum
    for a, b in [(x.grad.data, y.grad.data), (x.grad.data, given), (y.grad.data, given)]:
        assert not np.shares_memory(a, b)
    x.grad.data[...] = 7.0
    assert y.grad.tolist() == given.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.reshape(3, 2),
        lambda x: x.T,
        lambda x: x[:, :2],
        lambda x: x.sum(),
        lambda x: ops.concatenate([x, x]),
        lambda x: ops.broadcast_to(x, (4, 2, 3)),
    ],
)
def test_leaf_gradients_are_writable_contiguous_and_their_own(view):
    x = qn.tensor(np.ones((2, 3)), requires_grad=True)
    y = view(x)
    given = np.ones(y.shape)
    y.backward(given)
    assert x.grad.data.flags.c_contiguous and x.grad.data.flags.writeable
    assert x.grad.shape == x.shape
    assert not np.shares_memory(x.grad.data, given)


def test_a_root_that_is_a_leaf_gets_its_own_gradient():
    x = leaf(3.0)
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_second_backward_is_refused_before_anything_changes():
    x = leaf(2.0)
    y = x * x
    z = y + x
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        z.backward()
    assert x.grad.tolist() == [4.0]


def test_retained_graph_can_be_walked_again():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_backward_frees_what_was_saved():
    x = leaf(2.0)
    middle = x * x
    alive = weakref.ref(middle._node)
    y = middle.exp()
    del middle
    assert alive() is not None
    y.backward()
    assert alive() is None  # by counting references: no cycle waits for the collector


def test_no_grad_nests_decorates_and_is_undone_by_errors():
    x = leaf(1.0)
    with qn.no_grad():
        with qn.no_grad():
            pass
        assert not qn.is_grad_enabled()
        assert not (x * 2).requires_grad
    with pytest.raises(KeyError), qn.no_grad():
        raise KeyError
    assert qn.is_grad_enabled()
    assert not qn.no_grad()(lambda: x * 2)().requires_grad
    assert (x * 2).requires_grad


def test_no_grad_holds_for_its_thread_alone():
    seen = []
    with qn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(qn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach_shares_data_and_stops_gradients():
    x = leaf(3.0)
    y = x * x.detach()
    y.backward()
    assert x.grad.tolist() == [3.0]
    assert np.shares_memory(x.detach().data, x.data)


def test_retain_grad_stores_gradients_of_results():
    x = leaf(3.0)
    y = x * 2
    z = y * y
    y.retain_grad()
    z.backward()
    assert y.grad.tolist() == [12.0]
    assert not y.is_leaf and x.is_leaf


def test_only_what_requires_a_gradient_gets_one():
    x, c = leaf(1.0), qn.tensor([5.0])
    y = x * c
    y.backward()
    assert c.grad is None and y.grad is None
    assert not (c * 2).requires_grad


def test_wrong_calls_of_backward_say_what_to_do():
    with pytest.raises(RuntimeError, match="no graph"):
        qn.tensor([1.0]).backward()
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(ValueError, match=r"mean\(\)"):
        y.backward()
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        y.backward([1.0, 1.0, 1.0])


def test_requires_grad_is_for_float_leaves():
    with pytest.raises(TypeError, match="int64"):
        qn.tensor([1, 2], requires_grad=True)
    y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False
    assert qn.tensor([1.0]).requires_grad_().requires_grad


def test_a_parameter_changed_between_forward_and_backward_is_noticed():
    w = qn.Parameter([2.0], name="w")
    y = w * w
    w.data[...] = 5.0
    mark_changed([w])
    with pytest.raises(RuntimeError, match=r"parameter 'w'.*optimizer"):
        y.sum().backward()
    (w * w).sum().backward()  # a graph recorded afterwards is right
    assert w.grad.tolist() == [10.0]


def test_a_changed_parameter_whose_value_is_not_needed_is_no_error():
    w = qn.Parameter([2.0])
    y = w + 1.0
    mark_changed([w])
    y.backward()
    assert w.grad.tolist() == [1.0]


def test_a_changed_parameter_is_noticed_through_a_view():
    w = qn.Parameter([[2.0, 1.0]])
    x = leaf(1.0)
    y = (x * w.T).sum()
    mark_changed([w])
    with pytest.raises(RuntimeError, match="was changed"):
        y.backward()


def test_an_error_in_backward_leaves_nothing_behind():
    class Bad(qn.Function):
        fails = True

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            if Bad.fails:
                raise ArithmeticError
            return dy * 2

    x = leaf(1.0)
    y = x * 1.0
    bad = Bad.apply(y)
    with pytest.raises(ArithmeticError):
        (bad + y).backward(retain_graph=True)
    Bad.fails = False
    x.zero_grad()
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [1.0]


def test_a_leaf_whose_data_or_grad_was_replaced_is_refused():
    x = leaf(1.0, 2.0)
    y = x * 2
    x.data = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"\.data has become float32 \(3,\)"):
        y.sum().backward()
    x = leaf(1.0, 2.0)
    x.grad = qn.ones(3)
    with pytest.raises(ValueError, match=r"\.grad has become float32 \(3,\)"):
        (x * 2).sum().backward()


def test_random_graphs(rng):
    steps = [
        lambda a, b: a * b,
        lambda a, b: a + b.sin(),
        lambda a, b: (a - b) * 0.5,
        lambda a, b: a.T.reshape(3, 3) + b.sum(0),
        lambda a, b: (a @ b).tanh(),
        lambda a, b: ops.concatenate([a[:1], b[1:]]),
        lambda a, b: ops.maximum(a, b + 10.0) - 10.0,
    ]
    for _ in range(20):
        plan = [(steps[rng.integers(len(steps))], rng.integers(0, 2 + i, 2)) for i in range(12)]

        def graph(x, y, plan=plan):
            values = [x, y]
            for step, (i, j) in plan:
                values.append(step(values[i], values[j]))
            return tuple(values[-3:])

        check_gradients(graph, rng.normal(size=(3, 3)), rng.normal(size=(3, 3)))
