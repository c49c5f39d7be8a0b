"""Suite kernels: operations at the sizes networks use, forward or forward and all gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.cases import Draw
from tests.cases.case import size
from tests.cases.conv import Shape

from ..work import Work

Sizes = tuple[int, ...]


def _inputs(shapes: dict[str, Sizes], **integers: tuple[int, Sizes]) -> Any:
    """Normal numbers of these shapes (kernels scaled by the length of their sums); integers below a limit."""

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, np.ndarray]:
        d = Draw(rng, dtype)
        std = {name: (size(*s[:-1]) ** -0.5 if "kernel" in name else 1.0) for name, s in shapes.items()}
        arrays = {name: d.normal(*s, std=std[name]) for name, s in shapes.items()}
        return {**arrays, **{name: d.integers(high, *s) for name, (high, s) in integers.items()}}

    return make


def _pass(backward: bool) -> str:
    return "forward + backward" if backward else "forward"


def matmul(a: Sizes, b: Sizes) -> Work:
    out = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    name = f"matmul {'x'.join(map(str, a))} @ {'x'.join(map(str, b))}"
    return Work(
        "matmul", name, _inputs({"a": a, "b": b}), flops=2 * size(*out) * a[-1],
        elements=size(*a) + size(*b) + size(*out),
    )  # fmt: skip


def dense(n: int, i: int, o: int, backward: bool = True) -> Work:
    shapes = {"x": (n, i), "kernel": (i, o), "bias": (o,), **({"dy": (n, o)} if backward else {})}
    passes = 3 if backward else 1
    return Work(
        "dense", f"dense {n}x{i} -> {o} {_pass(backward)}", _inputs(shapes), flops=passes * 2.0 * n * i * o,
        elements=passes * (size(n, i) + size(i, o) + size(n, o)),
    )  # fmt: skip


def conv(s: Shape, backward: bool = False) -> Work:
    shapes = {"x": s.x, "kernel": s.kernel, "bias": (s.k,), **({"dy": s.y} if backward else {})}
    spec = {
        "strides": s.strides[0], "padding": s.padding, "dilation": s.dilation[0], "groups": s.groups,
    }  # fmt: skip
    passes = 3 if backward else 1
    # Winograd's transforms cost a digit; gradients of filters are sums over all images.
    return Work(
        "conv", f"conv {s.name} {_pass(backward)}", _inputs(shapes), spec, passes * s.flops,
        passes * s.elements,
        tolerance=5e-4,
    )  # fmt: skip


def pool(kind: str, s: Shape) -> Work:
    spec = {} if kind == "global_pool" else {"pool_size": s.window[0], "strides": s.strides[0]}
    y = (s.n, s.c) if kind == "global_pool" else s.y
    if kind == "max_pool":
        spec["padding"] = s.padding
    return Work(
        kind, f"{kind.replace('_', ' ')} {s.name} {_pass(True)}", _inputs({"x": s.x, "dy": y}), spec,
        2 * size(*s.x), 2 * (size(*s.x) + size(*y)),
    )  # fmt: skip


def batch_norm(shape: Sizes, activation: str = "linear") -> Work:
    """Two passes over x forward, two over x and dy backward."""
    c = shape[-1]
    shapes = {"x": shape, "gamma": (c,), "beta": (c,), "dy": shape}
    name = f"batch norm{' + relu' * (activation == 'relu')} {'x'.join(map(str, shape))} {_pass(True)}"
    return Work(
        "batch_norm", name, _inputs(shapes), {"activation": activation}, 19 * size(*shape), 8 * size(*shape),
        tolerance=5e-3,
    )  # fmt: skip


def lstm(n: int, t: int, c: int, u: int, backward: bool = True) -> Work:
    shapes = {"x": (n, t, c), "kernel": (c, 4 * u), "recurrent_kernel": (u, 4 * u), "bias": (4 * u,)}
    passes = 3 if backward else 1
    return Work(
        "lstm", f"lstm batch {n} steps {t} {c} -> {u} {_pass(backward)}",
        _inputs({**shapes, **({"dy": (n, t, u)} if backward else {})}), {},
        passes * 8.0 * n * t * u * (c + u),
        passes * (size(n, t, c + 6 * u) + 4.0 * u * (c + u)), tolerance=1e-3,
    )  # fmt: skip


def cross_entropy(r: int, c: int) -> Work:
    """The mean over a batch and its gradient, as training takes them: logits are read, the gradient is written."""
    draw = _inputs({"logits": (r, c)}, target=(c, (r,)))
    name = f"softmax cross-entropy {r}x{c} {_pass(True)}"
    return Work(
        "cross_entropy", name, lambda rng, dtype: {**draw(rng, dtype), "dy": np.ones((), dtype)},
        flops=7 * size(r, c), elements=2 * size(r, c),
    )  # fmt: skip


def elementwise(kind: str, shape: Sizes, **spec: Any) -> Work:
    name = f"{kind} {' '.join(str(v) for v in spec.values())} {'x'.join(map(str, shape))} {_pass(True)}"
    tolerance = 2e-2 if kind == "dropout" else 1e-4
    return Work(
        kind, " ".join(name.split()), _inputs({"x": shape, "dy": shape}), spec, 2 * size(*shape),
        5 * size(*shape),
        tolerance,
    )  # fmt: skip


def add(a: Sizes, b: Sizes, name: str) -> Work:
    return Work(
        "add", f"{name} {'x'.join(map(str, a))} {_pass(True)}", _inputs({"a": a, "b": b, "dy": a}), {},
        2 * size(*a), 5 * size(*a),
    )  # fmt: skip


def embedding(rows: int, columns: int, batch: Sizes) -> Work:
    inputs = _inputs({"table": (rows, columns), "dy": (*batch, columns)}, indices=(rows, batch))
    moved = 4 * size(*batch) * columns + size(rows, columns)
    return Work(
        "embedding",
        f"embedding {rows}x{columns} {'x'.join(map(str, batch))} {_pass(True)}",
        inputs,
        {},
        0.0,
        moved,
    )


def optimizer(rule: str, tensors: int, total: int = 10_000_000) -> Work:
    shape = (total // tensors,)
    names = [f"{kind}{i}" for kind in "pg" for i in range(tensors)]
    state = 2 if rule.startswith("adam") else 1
    return Work(
        "optimizer", f"{rule} 10M parameters in {tensors} tensors", _inputs(dict.fromkeys(names, shape)),
        {"rule": rule}, 10.0 * total, (3 + 2 * state) * float(total),
    )  # fmt: skip


def moved(kind: str, shapes: dict[str, Sizes], text: str, **spec: Any) -> Work:
    total = sum(size(*s) for s in shapes.values())
    passes = 1 if kind == "reduce" else 2
    return Work(
        kind,
        f"{text} {'x'.join(map(str, next(iter(shapes.values()))))}",
        _inputs(shapes),
        spec,
        total,
        passes * total,
    )


def works() -> Iterator[Work]:
    """All of the suite."""
    for n in (128, 256, 512, 1024, 2048):
        yield matmul((n, n), (n, n))
    yield matmul((8192, 64), (64, 64))
    yield matmul((64, 64), (64, 8192))
    yield matmul((2048, 16), (16, 2048))
    yield matmul((2048, 512), (512, 16))
    yield matmul((32, 128, 64), (32, 64, 128))
    for sizes in ((128, 784, 128), (1000, 3136, 10), (64, 1024, 1024)):
        yield dense(*sizes)
    for n, hw, c, k in (
        (32, 56, 64, 64), (32, 28, 16, 32), (32, 28, 32, 64), (32, 28, 128, 128), (32, 14, 256, 256),
        (32, 7, 512, 512),
    ):  # fmt: skip
        yield conv(Shape(n, hw, hw, c, k))
    for n, hw, c in ((32, 28, 16), (32, 28, 64), (32, 28, 128), (32, 14, 256)):
        yield conv(Shape(n, hw, hw, c, c), True)
    yield conv(Shape(100, 14, 14, 32, 64, (5, 5)), True)
    yield conv(Shape(100, 28, 28, 1, 32, (5, 5)), True)
    yield conv(Shape(32, 28, 28, 128, 256, (1, 1)), True)
    yield conv(Shape(32, 56, 56, 64, 128, strides=(2, 2), pad=((1, 1), (1, 1))), True)
    yield conv(Shape(32, 28, 28, 64, 64, dilation=(2, 2)), True)
    yield conv(Shape(32, 28, 28, 128, 128, groups=32), True)
    yield conv(Shape(32, 28, 28, 64, 64, pad=((0, 1), (0, 1))), True)
    yield conv(Shape(64, 28, 28, 1, 32), True)
    yield conv(Shape(8, 224, 224, 3, 64, (7, 7), (2, 2), ((3, 3), (3, 3))), True)
    for hw, c in ((112, 32), (56, 128), (14, 512)):
        yield conv(Shape(16, hw, hw, c, c, groups=c), True)
    yield pool("max_pool", Shape(64, 28, 28, 32, 32, (2, 2), (2, 2), "valid"))
    yield pool("max_pool", Shape(8, 112, 112, 64, 64, (3, 3), (2, 2), ((1, 1), (1, 1))))
    yield pool("avg_pool", Shape(64, 28, 28, 32, 32, (2, 2), (2, 2), "valid"))
    yield pool("global_pool", Shape(64, 14, 14, 256, 256))
    for activation in ("linear", "relu"):
        yield batch_norm((32, 28, 28, 128), activation)
        yield batch_norm((32, 56, 56, 64), activation)
    for n, t, c, u in ((32, 64, 256, 256), (20, 100, 64, 128), (64, 32, 256, 256)):
        yield lstm(n, t, c, u)
    yield lstm(1, 64, 256, 256, False)
    for r, c in ((128, 10), (128, 1000), (4096, 10000)):
        yield cross_entropy(r, c)
    for activation in ("relu", "sigmoid", "tanh", "gelu", "silu"):
        yield elementwise("activation", (64, 28, 28, 64), activation=activation)
    yield elementwise("dropout", (64, 28, 28, 64), rate=0.3)
    yield add((64, 28, 28, 64), (64,), "bias")
    yield add((64, 28, 28, 64), (64, 28, 28, 64), "residual add")
    yield embedding(5000, 256, (64, 32))
    for rule in ("adam", "adamw", "sgd"):
        for tensors in (10, 200):
            yield optimizer(rule, tensors)
    for axis in (None, 0, 1):
        yield moved("reduce", {"x": (4096, 4096)}, f"sum over {axis}", op="sum", axis=axis)
    yield moved("reduce", {"x": (4096, 4096)}, "mean over 0", op="mean", axis=0)
    yield moved("transpose", {"x": (4096, 4096)}, "transpose", axes=(1, 0))
    yield moved("transpose", {"x": (64, 56, 56, 64)}, "transpose 0312", axes=(0, 3, 1, 2))
    yield moved("concatenate", {"a": (64, 28, 28, 64), "b": (64, 28, 28, 64)}, "concatenate", axis=3)
