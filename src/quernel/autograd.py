"""Recording operations and walking them back.

Every operation on tensors is a `Node`: `forward` and `backward` side by side, on plain arrays. `Node.apply`
runs the forward and, if a gradient will be wanted, remembers where the inputs came from; `run_backward`
visits the nodes newest first, which is a topological order because inputs always exist before outputs.

Rules that the engine relies on:

- the backward of a `Node` returns, per input, None or a gradient that is fresh, or the incoming gradient
  itself, or a NumPy view of it. It never writes to what it was given.
- A gradient that is shared is copied before it becomes somebody's ``.grad``; a fresh one is handed over.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from itertools import count
from operator import attrgetter
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import numpy as np

from quernel import backend as B
from quernel.tensor import Tensor, wrap

__all__ = ["Node", "graph_is_kept", "is_grad_enabled", "mark_changed", "no_grad", "run_backward"]

_F = TypeVar("_F", bound=Callable[..., Any])
_new = Tensor.__new__
_clock = count(1)  # numbers nodes (and changes of leaves) in the order they happen


class _Mode(threading.local):
    enabled = True
    graph_is_kept = False


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded (in this thread)."""
    return _mode.enabled


def graph_is_kept() -> bool:
    """Whether the present backward pass (in this thread) may be followed by another over the same nodes.

    If not, a node may write to what it saved, and give it away.
    """
    return _mode.graph_is_kept


class no_grad:
    """Do not record operations: as a context manager or as a decorator.

    Examples
    --------
    >>> import quernel as qn
    >>> x = qn.tensor([1.0, 2.0], requires_grad=True)
    >>> with qn.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _mode.enabled
        _mode.enabled = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mode.enabled = self._before

    def __call__(self, function: _F) -> _F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class Node:
    """One operation and its context, the base of everything in `quernel.ops`. Users: see `quernel.Function`.

    A subclass has two static methods, `forward(ctx, *arrays, **static)` and `backward(ctx, *douts)`, and sets
    `ctx.saved` (or other names it lists in ``__slots__``) to what backward needs.
    """

    __slots__ = ("__weakref__", "_edges", "_like", "_order", "_retained", "_summed", "dout", "saved")

    forward: ClassVar[Callable[..., Any]]
    backward: ClassVar[Callable[..., Any]]
    hands_over: ClassVar[bool] = True  # nobody else keeps the gradients that backward returns

    saved: Any
    _edges: (
        list[Any] | None
    )  # per input: the node that made it, the tensor itself if a leaf, None if not wanted
    _like: list[tuple[tuple[int, ...], np.dtype[Any]]]  # of each output, only if there are several
    _retained: Any
    _order: int
    _summed: bool
    dout: Any

    @property
    def needs(self) -> tuple[bool, ...]:
        """Whether each positional input wants a gradient."""
        return tuple([edge is not None for edge in self._edges or ()])

    @classmethod
    def apply(cls, *inputs: Any, **static: Any) -> Any:
        """Run forward on the inputs' arrays; record it if one of them wants a gradient."""
        ctx = cls()
        arrays: list[Any] = []
        edges: list[Any] = []
        enabled = _mode.enabled
        recorded = False
        for x in inputs:
            if isinstance(x, Tensor):
                arrays.append(x.data)
                if enabled and x._requires_grad:
                    recorded = True
                    edges.append(x._node or x)
                    continue
            else:
                arrays.append(x)
            edges.append(None)
        ctx._edges = edges
        ctx.saved = None
        y = cls.forward(ctx, *arrays, **static)
        if type(y) is tuple:
            return ctx._outputs(y, recorded)
        if type(y) is not np.ndarray:
            y = np.asarray(y)
        out = _new(Tensor)  # as `wrap`, without its call
        out.data = y
        out.grad = None
        out._changed = 0
        out._requires_grad = recorded
        if recorded:
            ctx._order = next(_clock)
            ctx.dout = ctx._retained = None
            out._node = ctx
        else:
            out._node = None
        return out

    def _outputs(self, arrays: tuple[np.ndarray, ...], recorded: bool) -> tuple[Tensor, ...]:
        outs = tuple([wrap(np.asarray(y)) for y in arrays])
        if recorded:
            self._order = next(_clock)
            self.dout = self._retained = None
            self._like = [(y.shape, y.dtype) for y in arrays]
            for index, out in enumerate(outs):
                if out.data.dtype.kind == "f":
                    out._requires_grad = True
                    out._node = _Output(self, index)
        return outs


class _Output(Node):
    """Stands for one output of a node with several: collects that output's gradient."""

    __slots__ = ()

    def __init__(self, source: Node, index: int) -> None:
        self._edges = [source]
        self.saved = index
        self._order = next(_clock)
        self.dout = self._retained = None

    @staticmethod
    def backward(ctx: _Output, dout: np.ndarray) -> None:
        source = ctx._edges[0]  # type: ignore[index]
        if source.dout is None:
            source.dout = [None] * len(source._like)
        source.dout[ctx.saved] = dout


def mark_changed(leaves: Any) -> None:
    """Note that these leaves' data were written to in place (by an optimizer, by loading weights).

    A graph recorded before that and still to be walked back would give wrong gradients; it raises instead.
    """
    now = next(_clock)
    for leaf in leaves:
        leaf._changed = now


def _recorded(root: Node) -> list[Node]:
    """All nodes below `root`, newest first. Raises if a part of the graph is gone or out of date."""
    seen = {root}
    nodes = [root]
    changed = []
    for node in nodes:  # grows while we walk
        edges = node._edges
        if edges is None:
            raise RuntimeError(
                "backward: this graph was walked back before and its buffers are freed. Run the forward pass "
                "again, or call backward(retain_graph=True) the first time."
            )
        for edge in edges:
            if edge is None:
                continue
            if isinstance(edge, Tensor):
                if edge._changed > node._order:
                    changed.append(edge)
            elif edge not in seen:
                seen.add(edge)
                nodes.append(edge)
    if changed:
        _check_unchanged(nodes, changed)
    nodes.sort(key=attrgetter("_order"), reverse=True)
    return nodes


def _check_unchanged(nodes: list[Node], changed: list[Tensor]) -> None:
    for node in nodes:
        saved = node.saved if type(node.saved) is tuple else (node.saved,)
        for leaf in changed:
            if leaf._changed > node._order and any(
                isinstance(x, np.ndarray) and np.may_share_memory(x, leaf.data) for x in saved
            ):
                name = getattr(leaf, "name", None)
                raise RuntimeError(
                    f"backward: {f'parameter {name!r}' if name else 'a tensor'} of shape {leaf.shape} was "
                    f"changed (by an optimizer step or by loading weights) after {type(node).__name__} had "
                    "used it, so its gradient would be wrong. Call backward before step, or run the forward "
                    "pass again."
                )


def run_backward(root: Tensor, dout: np.ndarray, retain_graph: bool = False) -> None:
    """Add the gradient of ``sum(root * dout)`` to ``.grad`` of every leaf below `root`."""
    node = root._node
    if node is None:
        _add_to_leaf(root, dout, False)
        return
    nodes = _recorded(node)
    node.dout = dout
    before, _mode.graph_is_kept = _mode.graph_is_kept, retain_graph
    try:
        for node in nodes:
            dout = node.dout
            if dout is not None:
                node.dout = None
                _pull(node, dout)
            if not retain_graph:
                node._edges = node.saved = None
    except BaseException:
        for node in nodes:  # what is left must not be added to the next backward
            node.dout = None
        raise
    finally:
        _mode.graph_is_kept = before


def _pull(node: Node, dout: Any) -> None:
    """Pass `dout`, the gradient of the node's output, on to its inputs."""
    if type(dout) is list:
        douts = [np.zeros(*like) if d is None else d for d, like in zip(dout, node._like, strict=True)]
        grads = node.backward(node, *douts)
    else:
        if node._retained is not None:
            _retain(node, dout)
        grads = node.backward(node, dout)
    if grads is None:
        return
    for edge, grad in zip(node._edges, grads if type(grads) is tuple else (grads,), strict=False):  # type: ignore[arg-type]
        if edge is None or grad is None:
            continue
        if isinstance(edge, Tensor):
            fresh = node.hands_over and grad is not dout and type(grad.base) is not np.ndarray  # not a view
            _add_to_leaf(edge, grad, fresh)
        elif edge.dout is None:
            edge.dout = grad
            edge._summed = False
        elif edge._summed:
            B.accumulate(edge.dout, grad)
        else:  # the first gradient may be shared with another node: leave it as it is
            edge.dout = B.binary("add", edge.dout, grad)
            edge._summed = True


def _add_to_leaf(leaf: Tensor, grad: np.ndarray, fresh: bool) -> None:
    _check_fits(grad, leaf.data, "data")
    if leaf.grad is None:
        leaf.grad = wrap(grad if fresh else B.copy(grad))
    else:
        _check_fits(grad, leaf.grad.data, "grad")
        B.accumulate(leaf.grad.data, grad)


def _check_fits(grad: np.ndarray, array: np.ndarray, what: str) -> None:
    if array.shape != grad.shape or array.dtype != grad.dtype:
        raise ValueError(
            f"backward: the gradient of a leaf is {grad.dtype} {grad.shape}, but its .{what} has become "
            f"{array.dtype} {array.shape} since the forward pass. Write to its elements instead of replacing "
            "it, and set .grad only to None or to a tensor of its shape and type."
        )


def _retain(node: Node, dout: np.ndarray) -> None:
    tensor = node._retained()
    if tensor is not None:
        _add_to_leaf(tensor, dout, False)


def retain_grad(tensor: Tensor) -> None:
    """Make backward store `.grad` of a tensor that is not a leaf (see `Tensor.retain_grad`)."""
    if tensor._node is not None:
        tensor._node._retained = weakref.ref(tensor)
