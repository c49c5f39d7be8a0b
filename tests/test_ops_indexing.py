"""Indices and shapes: values as NumPy's, gradients, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients

INDICES = [
    0, -1, np.int64(1), slice(1, 3), slice(None, None, -1), slice(None, None, 2), slice(3, 1), None, Ellipsis,
    (0, 1), (0, 1, 2), (slice(None), 1), (Ellipsis, 0), (None, 0, Ellipsis, None),
    (slice(1, None), slice(None), -1),
    [0, 2], [2, 2, -1], [[0, 1], [2, 0]], [], np.array([1, 1, 1]), ([0, 1], [2, 0]),
    ([0, 1], slice(None), [3, 0]), (slice(None), [1, 1]), (0, [1, 0]), ([[0], [1]], [0, 2]),
    (Ellipsis, [0, 3, 3]), (None, [0, 1]), np.array([True, False, True]),
    (slice(None), np.array([True, False, True])), (np.array([True, False, True]), 0),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indices_as_in_numpy(rng, index):
    x = rng.normal(size=(3, 3, 4))
    got = qn.tensor(x)[index]
    np.testing.assert_array_equal(got.data, x[index])
    if got.size:
        check_gradients(lambda t: t[index], x)
    labels = np.arange(36).reshape(3, 3, 4)
    np.testing.assert_array_equal(qn.tensor(labels)[index].data, labels[index])


def test_a_mask_of_the_whole_shape(rng):
    x = rng.normal(size=(4, 5))
    t = qn.tensor(x, requires_grad=True)
    y = t[t > 0]
    np.testing.assert_array_equal(y.data, x[x > 0])
    y.sum().backward()
    np.testing.assert_array_equal(t.grad.data, (x > 0) * 1.0)


def test_tensors_are_indices(rng):
    x = qn.tensor(rng.normal(size=(4, 5)))
    i, j = qn.tensor([0, 3]), qn.tensor([1, 1])
    np.testing.assert_array_equal(x[i, j].data, x.data[[0, 3], [1, 1]])
    np.testing.assert_array_equal(x[i].data, x.data[[0, 3]])
    np.testing.assert_array_equal(x[qn.tensor(2)].data, x.data[2])


def test_basic_indices_are_views():
    x = qn.tensor([[1.0, 2.0], [3.0, 4.0]])
    for y in (x[0], x[:, 1], x[0, 0], x.T, x.reshape(4), x.flip(0)):
        assert np.shares_memory(y.data, x.data)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, "out of bounds"),
        ((0, 0, 0, 0), "too many indices"),
        ([3], "out of range"),
        ([-4], "out of range"),
        (([0], [9]), "out of bounds"),
        (1.5, "integers"),
        ([0.5], "integer"),
        ("a", "integers"),
        (np.ones(2, bool), "boolean"),
    ],
    ids=repr,
)
def test_wrong_indices_name_the_shape(index, message):
    with pytest.raises((IndexError, TypeError), match=message):
        qn.zeros((3, 3, 4))[index]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [[1, 0, 1], [[0, -1], [2, 2]], 1])
def test_gather(rng, indices, axis):
    x = rng.normal(size=(3, 4, 5))
    np.testing.assert_array_equal(ops.gather(x, indices, axis).data, np.take(x, indices, axis))
    check_gradients(lambda t: ops.gather(t, indices, axis), x)
    check_gradients(lambda t: ops.take(t, [3, 3, -1]), x)


def test_gather_refuses():
    x = np.ones((3, 2))
    with pytest.raises(IndexError, match="index 3 is out of range; expected -3 to 2"):
        ops.gather(x, [0, 3])
    with pytest.raises(TypeError, match="integer indices, got float64"):
        ops.gather(x, np.array([0.0]))
    with pytest.raises(IndexError, match="axis 2"):
        ops.gather(x, [0], axis=2)


def test_embedding(rng):
    table = rng.normal(size=(5, 3))
    indices = np.array([[0, 4], [4, 4]])
    check_gradients(lambda t: ops.embedding(indices, t), table)
    assert ops.embedding(indices.astype(np.uint8), table).shape == (2, 2, 3)
    for wrong in ([5], [-1]):
        with pytest.raises(IndexError, match=r"words: index .* 5 rows; indices run from 0 to 4"):
            ops.embedding(wrong, table, where="words")
    with pytest.raises(TypeError, match="words: expected integer indices, got float32"):
        ops.embedding([1.0], table, where="words")
    with pytest.raises(ValueError, match=r"table \(rows, width\)"):
        ops.embedding([1], np.ones(3))


WIDTHS = [(0, 1), (2, 0), (1, 1)]
SHAPES = {
    "reshape": (lambda t: t.reshape(4, -1), lambda x: x.reshape(4, -1)),
    "reshape tuple": (lambda t: t.reshape((6, 4)), lambda x: x.reshape(6, 4)),
    "reshape of a view": (lambda t: t.T.reshape(-1), lambda x: x.T.reshape(-1)),
    "flatten": (lambda t: t.flatten(1), lambda x: x.reshape(2, 12)),
    "transpose": (lambda t: t.transpose(1, 2, 0), lambda x: x.transpose(1, 2, 0)),
    "transpose tuple": (lambda t: t.transpose((-1, 0, 1)), lambda x: x.transpose(2, 0, 1)),
    "T": (lambda t: t.T, lambda x: x.T),
    "expand_dims": (lambda t: t.expand_dims(-1), lambda x: x[..., None]),
    "squeeze": (lambda t: t[:, :1].squeeze(), lambda x: x[:, 0]),
    "squeeze axis": (lambda t: t[:1, :1].squeeze(1), lambda x: x[:1, 0]),
    "broadcast_to": (lambda t: t[:, 0].broadcast_to((5, 2, 4)), lambda x: np.tile(x[:, 0], (5, 1, 1))),
    "flip": (lambda t: t.flip((0, 2)), lambda x: np.flip(x, (0, 2))),
    "pad": (lambda t: ops.pad(t, WIDTHS, 7.0), lambda x: np.pad(x, WIDTHS, constant_values=7)),
    "pad all": (lambda t: ops.pad(t, 1), lambda x: np.pad(x, 1)),
    "concatenate": (lambda t: ops.concatenate([t, t[:, :1]], 1), lambda x: np.hstack([x, x[:, :1]])),
    "stack": (lambda t: ops.stack([t, t * 2], -1), lambda x: np.stack([x, x * 2], -1)),
    "split": (lambda t: ops.split(t, 3, 1)[1], lambda x: np.split(x, 3, 1)[1]),
    "split at": (lambda t: ops.split(t, [1], 2)[1], lambda x: np.split(x, [1], 2)[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(rng, name):
    ours, numpys = SHAPES[name]
    x = rng.normal(size=(2, 3, 4))
    np.testing.assert_array_equal(ours(qn.tensor(x)).data, numpys(x))
    check_gradients(ours, x)


def test_several_inputs_get_their_pieces(rng):
    check_gradients(lambda a, b: ops.concatenate([a, b], 1), rng.normal(size=(2, 3)), rng.normal(size=(2, 1)))
    check_gradients(lambda a, b: ops.stack([a, b]), rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))


def test_types_are_joined():
    assert ops.concatenate([qn.tensor([1.0]), qn.tensor([2])]).dtype == np.float32
    assert ops.concatenate([qn.tensor([1.0]), qn.tensor(np.array([2.0]))]).dtype == np.float64
    assert ops.stack([qn.tensor([1]), qn.tensor([2])]).tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x.reshape(5), r"24 elements of \(2, 3, 4\), got \(5,\)"),
        (lambda x: x.reshape(-1, -1), "one of them may be -1"),
        (lambda x: x.reshape(-2, 12), "multiply to 24"),
        (lambda x: x.reshape(0, -1), "24 elements"),
        (lambda x: x.transpose(0, 1), "each of the 3 axes"),
        (lambda x: x.transpose(0, 0, 1), "once"),
        (lambda x: x.squeeze(0), "has size 2"),
        (lambda x: x.broadcast_to((3, 3, 4)), "do not broadcast"),
        (lambda x: x.broadcast_to((4,)), "does not broadcast to"),
        (lambda x: ops.pad(x, -1), "0 or more, got -1"),
        (lambda x: ops.pad(x, 2**62), "too large"),
        (lambda x: ops.pad(x, [(1, 1)] * 2), "3 axes"),
        (lambda x: ops.split(x, 2, 1), "2 equal parts"),
        (lambda x: ops.split(x, 0), "0 equal parts"),
        (lambda x: ops.concatenate([]), "at least one"),
        (lambda x: ops.concatenate([x, x[0]]), "equal in all axes but 0"),
        (lambda x: ops.concatenate([x, x[:, 1:]]), r"\(2, 3, 4\), \(2, 2, 4\)"),
        (lambda x: ops.stack([x, x[0]]), "equal shapes"),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(qn.zeros((2, 3, 4)))


def test_reshape_of_nothing():
    assert qn.zeros((0, 3)).reshape(3, 0).shape == (3, 0)
    assert qn.zeros((0, 3)).reshape(-1, 3).shape == (0, 3)
    assert qn.tensor(1.0).reshape(1, 1).shape == (1, 1)
    assert qn.tensor(1.0).flatten().shape == (1,)
