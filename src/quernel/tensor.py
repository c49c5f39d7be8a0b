"""Tensor: a NumPy array that remembers how it was made.

The arithmetic, indexing and shape methods are those of `quernel.ops`, which hangs them on the class when it
is imported; here is what a tensor is, what it can be made from and how it leaves for the outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from quernel import backend
from quernel.arrays import as_array, get_default_dtype

__all__ = ["Parameter", "Tensor", "as_array", "as_tensor", "get_default_dtype", "tensor", "wrap"]


class Tensor:
    """An array of numbers with a gradient.

    Parameters
    ----------
    data : array, nested list, number, or anything with ``__array__`` or ``__dlpack__``; shared, not copied,
        where possible (`tensor` copies).
    requires_grad : whether `backward` shall compute a gradient for it; floats only. Default False.
    dtype : "float32", "float64", an integer type or "bool". By default arrays keep theirs and Python floats
        become float32 (see `set_default_dtype`).

    Attributes
    ----------
    data : the NumPy array. Write to it (``t.data[...] = value``) only outside a recorded graph.
    grad : the gradient, a Tensor, or None. `backward` adds to it.

    Raises
    ------
    TypeError : for data that are not numbers, or if integers shall require a gradient.

    Examples
    --------
    >>> import quernel as qn
    >>> x = qn.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([[2., 4.],
            [6., 8.]])
    """

    __slots__ = ("__weakref__", "_changed", "_node", "_requires_grad", "data", "grad")
    __array_ufunc__ = None  # array + tensor is the tensor's business; np.exp(tensor) would lose the gradient
    __hash__ = object.__hash__

    data: np.ndarray
    grad: Tensor | None
    _requires_grad: bool
    _node: Any  # the recorded operation that made it
    _changed: int  # when `data` was last written to in place (see autograd.mark_changed)

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        self.data = as_array(data, dtype)
        self.grad = None
        self._requires_grad = False
        self._node = None
        self._changed = 0
        if requires_grad:
            self.requires_grad = True

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes, one per axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of its elements."""
        return self.data.size

    @property
    def is_leaf(self) -> bool:
        """True if no recorded operation made it: gradients end here."""
        return self._node is None

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` computes a gradient for it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self._node is not None:
            if not wanted:
                raise RuntimeError(
                    "requires_grad of a tensor that an operation made cannot be changed: use detach() to cut "
                    "it off"
                )
            return
        if wanted and self.data.dtype.kind != "f":
            raise TypeError(
                f"only float tensors can require a gradient, this one is {self.data.dtype}: convert it with "
                "astype('float32') first"
            )
        self._requires_grad = bool(wanted)

    def requires_grad_(self, wanted: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor itself."""
        self.requires_grad = wanted
        return self

    # Gradients

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Compute the gradient of this tensor and add it to `.grad` of every leaf that it depends on.

        Parameters
        ----------
        grad : the gradient of something later with respect to this tensor, of its shape. Needed unless the
            tensor has one element, where it is 1.
        retain_graph : keep what was saved, to call backward again. Default False: it is freed.

        Raises
        ------
        RuntimeError : if nothing was recorded, if the graph was freed by an earlier call, or if a parameter
            was changed since the forward pass.
        ValueError : if `grad` is missing or its shape differs.

        Examples
        --------
        >>> import quernel as qn
        >>> x = qn.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (2 * x).backward([1.0, 0.0, 1.0])
        >>> x.grad.tolist()
        [2.0, 0.0, 2.0]
        """
        from quernel.autograd import run_backward

        if not self._requires_grad:
            raise RuntimeError(
                f"backward: this tensor of shape {self.shape} has no graph: none of the tensors that it was "
                "made from requires a gradient, or it was made under no_grad() or from .numpy(), .item() or "
                ".detach()"
            )
        if grad is not None:
            dout = as_array(grad, self.data.dtype)
            if dout.shape != self.shape:
                raise ValueError(
                    f"backward: expected a gradient of this tensor's shape {self.shape}, got {dout.shape}"
                )
        elif self.data.size == 1:
            dout = np.array(1, self.data.dtype).reshape(self.shape)
        else:
            raise ValueError(
                f"backward: expected a tensor with one element (a loss), got shape {self.shape}. Reduce it "
                "with .mean() or .sum(), or pass a gradient of that shape: backward(grad)."
            )
        run_backward(self, dout, retain_graph)

    def retain_grad(self) -> None:
        """Make `backward` store `.grad` also for a tensor that is not a leaf. Call it before backward."""
        from quernel.autograd import retain_grad

        if not self._requires_grad:
            raise RuntimeError("retain_grad: this tensor does not require a gradient")
        retain_grad(self)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def detach(self) -> Tensor:
        """The same data, cut off from the graph."""
        return wrap(self.data)

    # To the outside

    def numpy(self) -> np.ndarray:
        """Its data as a NumPy array, shared and cut off from the graph."""
        return self.data

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises
        ------
        ValueError : if the tensor has more or fewer than one element.
        """
        if self.data.size != 1:
            raise ValueError(
                f"expected a tensor with one element, got shape {self.shape}: reduce it first (.mean(), "
                ".sum(), .any(), .all()), or use tolist() or numpy()"
            )
        return self.data.item()

    def tolist(self) -> Any:
        """Its elements as nested Python lists (a number if it has no axes)."""
        return self.data.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if dtype is not None and self.data.dtype != dtype:
            if copy is False:
                raise ValueError(f"a {self.data.dtype} tensor cannot become a {dtype} array without a copy")
            return self.data.astype(dtype)
        return self.data.copy() if copy else self.data

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __index__(self) -> int:
        if self.data.dtype.kind not in "iu" or self.data.size != 1:
            raise TypeError(
                f"only a tensor with one integer can be an index, this is {self.dtype} of shape {self.shape}"
            )
        return int(self.data.item())

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("a tensor without axes has no length: use item() for its value")
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.data.ndim:
            raise TypeError("a tensor without axes cannot be iterated: use item() for its value")
        return (self[i] for i in range(len(self.data)))

    def __contains__(self, value: Any) -> bool:
        return bool((self.data == (value.data if isinstance(value, Tensor) else value)).any())

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "tensors are not changed in place, so that gradients stay right. Make a new one with "
            "ops.where(condition, value, tensor) or ops.concatenate, or, outside a recorded graph, write to "
            "its array: tensor.data[index] = value"
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        text = np.array2string(self.data, separator=", ", prefix=f"{name}(", threshold=200, edgeitems=3)
        if (
            self.data.dtype != get_default_dtype()
            and self.data.dtype.kind != "b"
            and self.data.dtype != np.int64
        ):
            text += f", dtype={self.data.dtype}"
        return f"{name}({text}{', requires_grad=True' if self._requires_grad else ''})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaf tensors can be copied with copy: use clone() or detach()")
        other: Tensor = object.__new__(type(self))
        memo[id(self)] = other
        for cls in type(self).__mro__[:-1]:
            for slot in cls.__dict__.get("__slots__", ()):
                if slot != "__weakref__":
                    setattr(other, slot, getattr(self, slot))
        other.data = self.data.copy()
        other.grad = None if self.grad is None else wrap(self.grad.data.copy())
        return other

    if TYPE_CHECKING:  # hung on the class by quernel.ops.methods
        T: Tensor

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __getattr__(self, name: str) -> Any: ...  # sum, mean, reshape, exp ...


_new = Tensor.__new__


def wrap(array: np.ndarray) -> Tensor:
    """A tensor round an array that is known to be right: what every operation returns. Checks nothing."""
    t = _new(Tensor)
    t.data = array
    t.grad = None
    t._requires_grad = False
    t._node = None
    t._changed = 0
    return t


class Parameter(Tensor):
    """A tensor that training changes.

    Parameters
    ----------
    data : its first value; copied. Float; Python floats and integers get the default dtype.
    name : its name in `state_dict` and in messages.
    trainable : False freezes it: no gradient, no update. Default True.
    regularizer, constraint : callables on the parameter, used by the loss and after each update. Default
        None.

    Examples
    --------
    >>> import quernel as qn
    >>> qn.Parameter([1.0, 2.0], name="scale")
    Parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ("constraint", "name", "regularizer")

    def __init__(
        self,
        data: Any,
        name: str | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        dtype: Any = None,
    ) -> None:
        array = as_array(data, dtype)
        if array.dtype.kind != "f":
            array = array.astype(get_default_dtype())
        super().__init__(backend.copy(array), trainable)
        self.name = name
        self.regularizer = regularizer
        self.constraint = constraint

    @property
    def trainable(self) -> bool:
        """Whether training changes it: the Keras name of `requires_grad`."""
        return self._requires_grad

    @trainable.setter
    def trainable(self, wanted: bool) -> None:
        self.requires_grad = wanted


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A tensor with its own copy of the data (see `Tensor` for the arguments; `as_tensor` shares memory).

    Examples
    --------
    >>> import quernel as qn
    >>> qn.tensor([1, 2]).dtype, qn.tensor([1.0, 2.0]).dtype
    (dtype('int64'), dtype('float32'))
    """
    return Tensor(np.array(as_array(data, dtype), order="C"), requires_grad)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """The data as a tensor, without a copy where possible; a tensor of the right type is returned as it is.

    A tensor of another type is converted by an operation that gradients go through.
    """
    if isinstance(data, Tensor):
        return data if dtype is None or data.data.dtype == dtype else data.astype(dtype)
    return wrap(as_array(data, dtype))
