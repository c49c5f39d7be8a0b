"""Tensors: what they are made from, how they behave in Python and how they leave."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import quernel as qn


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.5, 2], "float32"),
        ([], "float32"),
        (3, "int64"),
        ([1, 2], "int64"),
        ([True, False], "bool"),
        (np.ones(2), "float64"),
        (np.float64(1), "float64"),
        (np.ones(2, np.float16), "float32"),
        (np.ones(2, np.longdouble), "float64"),
        (np.ones(2, np.uint8), "uint8"),
        (np.ones(2, ">f4"), "float32"),
        (range(3), "int64"),
    ],
)
def test_types_of_what_tensors_are_made_from(data, dtype):
    assert qn.tensor(data).dtype == np.dtype(dtype)
    assert qn.tensor(data).dtype.isnative


def test_default_dtype():
    qn.set_default_dtype("float64")
    try:
        assert qn.tensor([1.0]).dtype == qn.zeros(2).dtype == np.float64
    finally:
        qn.set_default_dtype("float32")
    with pytest.raises(TypeError, match="int8"):
        qn.set_default_dtype("int8")


@pytest.mark.parametrize("data", ["text", [1 + 2j], [None], [{}], np.array(["a"])])
def test_what_is_not_a_number_is_refused(data):
    with pytest.raises(TypeError, match="expected numbers"):
        qn.tensor(data)


def test_ragged_lists_are_refused():
    with pytest.raises(ValueError, match="equal lengths"):
        qn.tensor([[1.0, 2.0], [3.0]])


def test_unknown_types_are_refused():
    for dtype in ("float33", "complex64", "float16", object):
        with pytest.raises(TypeError, match="float32"):
            qn.tensor([1.0], dtype=dtype)


def test_tensor_copies_and_as_tensor_shares():
    array = np.ones(3, np.float32)
    assert not np.shares_memory(qn.tensor(array).data, array)
    assert np.shares_memory(qn.as_tensor(array).data, array)
    assert np.shares_memory(qn.Tensor(array).data, array)
    t = qn.tensor([1.0])
    assert qn.as_tensor(t) is t


def test_anything_with_an_array_protocol_will_do():
    class HasArray:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3)

    class HasDlpack:
        array = np.arange(3.0)

        def __dlpack__(self, **options):
            return self.array.__dlpack__()

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    assert qn.tensor(HasArray()).tolist() == [0, 1, 2]
    assert qn.tensor(HasDlpack()).tolist() == [0.0, 1.0, 2.0]
    assert qn.tensor([qn.tensor(1.0), qn.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_it_leaves_as_an_array():
    t = qn.tensor([1.0, 2.0], requires_grad=True)
    assert np.asarray(t) is t.data
    assert np.asarray(t, np.float64).dtype == np.float64
    assert np.array(t) is not t.data
    np.testing.assert_array_equal(np.from_dlpack(t), t.data)
    assert t.numpy() is t.data


def test_numbers():
    assert qn.tensor([[2.5]]).item() == 2.5
    assert float(qn.tensor(2.5)) == 2.5
    assert int(qn.tensor(2.9)) == 2
    assert bool(qn.tensor(1.0)) and not bool(qn.tensor([0]))
    assert [10, 20, 30][qn.tensor(1)] == 20
    assert f"{qn.tensor(1.234):.1f}" == "1.2"
    with pytest.raises(ValueError, match=r"one element, got shape \(2,\)"):
        bool(qn.tensor([1.0, 2.0]) > 0)
    with pytest.raises(TypeError, match="index"):
        [1, 2][qn.tensor(1.0)]


def test_containers():
    t = qn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    assert [row.tolist() for row in t] == t.tolist()
    assert 3.0 in t and 5.0 not in t
    for wrong in (len, iter):
        with pytest.raises(TypeError, match="item"):
            wrong(qn.tensor(1.0))


def test_assignment_to_elements_says_what_to_do():
    t = qn.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="where"):
        t[0] = 5.0


def test_augmented_assignment_makes_a_new_tensor():
    x = y = qn.tensor([1.0], requires_grad=True)
    y += 1.0
    assert x.tolist() == [1.0] and y.tolist() == [2.0]
    y.backward()
    assert x.grad.tolist() == [1.0]


def test_tensors_are_hashed_by_identity():
    a, b = qn.tensor([1.0]), qn.tensor([1.0])
    assert len({a, b, a}) == 2
    assert (a == b).tolist() == [True]
    assert (a == None) is False and (a != None) is True  # noqa: E711


def test_repr():
    assert repr(qn.tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(qn.tensor(1.0, requires_grad=True)) == "Tensor(1., requires_grad=True)"
    assert repr(qn.tensor(np.ones(1))) == "Tensor([1.], dtype=float64)"
    assert len(repr(qn.zeros((1000, 1000)))) < 1000


def test_copies():
    p = qn.Parameter([1.0], name="p")
    (p * 2).backward()
    other = copy.deepcopy(p)
    other.data[...] = 5.0
    assert type(other) is qn.Parameter and other.name == "p" and other.trainable
    assert p.tolist() == [1.0] and other.grad.tolist() == [2.0]
    c = p.clone()
    c.backward()
    assert p.grad.tolist() == [3.0] and not np.shares_memory(c.data, p.data)
    with pytest.raises(RuntimeError, match="clone"):
        copy.copy(p * 2)


def test_parameters():
    p = qn.Parameter([1, 2])
    assert p.dtype == np.float32 and p.requires_grad and p.trainable and p.name is None
    p.trainable = False
    assert not (p * 2).requires_grad
    source = np.ones(2, np.float32)
    assert not np.shares_memory(qn.Parameter(source).data, source)
    assert isinstance(p * 2, qn.Tensor) and not isinstance(p * 2, qn.Parameter)


def test_arrays_on_the_left_leave_the_work_to_the_tensor():
    t = qn.tensor([1.0, 2.0], requires_grad=True)
    array = np.array([10.0, 20.0])
    for y in (array + t, array * t, array - t, array / t, array**t, array @ t):
        assert isinstance(y, qn.Tensor) and y.requires_grad and y.dtype == np.float32
    assert (array > t).tolist() == [True, True]
    with pytest.raises(TypeError):
        np.exp(t)


def test_creation():
    assert qn.zeros((2, 3)).shape == (2, 3) and qn.zeros(2).tolist() == [0.0, 0.0]
    assert qn.ones(2, dtype="float64").dtype == np.float64
    assert qn.full((1,), 3.0, requires_grad=True).requires_grad
    assert qn.zeros_like(qn.tensor([1, 2])).dtype == np.int64
    assert qn.ones_like([1.0, 2.0]).tolist() == [1.0, 1.0]
    assert qn.arange(3).dtype == np.int64 and qn.arange(0.0, 1.0, 0.5).dtype == np.float32
    assert qn.arange(3, dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match="0 or more"):
        qn.zeros((2, -1))
    with pytest.raises(TypeError, match="integers"):
        qn.zeros((2.5,))
