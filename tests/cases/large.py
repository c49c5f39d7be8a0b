"""One case or more of every backend function, large enough for several threads to take part.

`tests/test_same_bits.py` sees to it that they do. Odd sizes, so that ranges end anywhere.
"""

from __future__ import annotations

from . import (
    activation,
    conv,
    elementwise,
    gemm,
    indexing,
    norm,
    optim,
    pool,
    random,
    recurrent,
    reduce,
    softmax,
)
from .case import Case

_IMAGE = conv.Shape(6, 27, 29, 19, 37)
_STRIDED = conv.Shape(13, 29, 27, 16, 21, strides=(2, 2))
_DEPTHWISE = conv.Shape(9, 31, 29, 67, 67, groups=67)
_DEPTHWISE_STRIDED = conv.Shape(16, 31, 29, 67, 67, groups=67, strides=(2, 2))
_SMALL_FILTERS = conv.Shape(13, 14, 15, 33, 37)
_LARGE_FILTERS = conv.Shape(9, 14, 15, 67, 70)
_UNPADDED = conv.Shape(37, 13, 14, 35, 66, pad="valid")
_FIVE = conv.Shape(16, 15, 14, 18, 35, window=(5, 5))
_COLUMNS = conv.Shape(9, 29, 27, 19, 1)
_POOL = pool.pooling(9, 31, 33, 67, (3, 3), (2, 2), "same")
_POOL_PLAIN = pool.pooling(9, 32, 34, 67)
_FLAT = (7, 301, 131)
_LISTS = ((301, 517), (3,), (129, 65), (70001,))

LARGE: tuple[Case, ...] = (
    gemm.matmul((301, 257), (257, 203)),
    gemm.matmul((37, 10031), (10031, 41)),
    gemm.matmul((13, 67, 91), (13, 91, 65)),
    gemm.matmul((3001, 203), (3001, 117), True),
    gemm.dense(301, 785, 129, "tanh"),
    gemm.dense(200, 5003, 37, "relu"),
    gemm.dense(3, 1030, 4100),  # more weights than caches hold
    *(make(s) for make in conv.ALL_THREE for s in (_IMAGE, _STRIDED, _DEPTHWISE, _DEPTHWISE_STRIDED)),
    *(make(s, how="winograd") for make in conv.ALL_THREE for s in (_SMALL_FILTERS, _LARGE_FILTERS, _FIVE)),
    conv.backward_input(_UNPADDED, how="winograd"),
    conv.im2col(_COLUMNS), conv.col2im(_COLUMNS),
    *(make(s) for s in (_POOL, _POOL_PLAIN)
      for make in (pool.max_forward, pool.max_backward, pool.avg_forward, pool.avg_backward)),
    *(make(s, kind) for make in (norm.train, norm.inference, norm.backward) for s in ((9, 29, 31, 67), (7001, 131))
      for kind in ("linear", "relu")),
    norm.running(70001, 0.9),
    recurrent.forward(37, 9, 67, 65, lengths="some"), recurrent.backward(37, 9, 67, 65, lengths="some"),
    recurrent.forward(37, 9, 67, 65, reverse=True), recurrent.backward(37, 9, 67, 65, reverse=True),
    recurrent.forward(1, 9, 67, 256), recurrent.forward(3, 12, 67, 192, lengths="some", reverse=True),
    recurrent.cell_forward(203, 131, 129), recurrent.cell_backward(203, 131, 129),
    *(softmax.rowwise(f, 701, 203) for f in softmax.FUNCTIONS),
    *softmax.xent(701, 203, weighted=True, smoothing=0.1), *softmax.xent(701, 203, "soft"),
    *(make(_FLAT, kind) for make in (activation.forward, activation.backward) for kind in activation.KINDS),
    activation.bias_backward((3001, 131), "relu"), activation.bias_backward((3001, 131), "tanh"),
    *(elementwise.unary(op, _FLAT) for op in elementwise.UNARY),
    *(elementwise.binary(op, _FLAT, (301, 1)) for op in elementwise.BINARY),
    elementwise.compare("less", _FLAT, _FLAT), elementwise.where(_FLAT, _FLAT, (131,)),
    elementwise.clip(_FLAT, -0.5, 0.5), elementwise.accumulate(_FLAT), elementwise.scale(_FLAT, (7, 301, 1)),
    *(reduce.reduce(op, _FLAT, axes) for op in reduce.OPS for axes in ((0,), (2,), (0, 2), (0, 1, 2))),
    *(reduce.arg(f, _FLAT, axis) for f in ("argmax", "argmin") for axis in (0, 2)),
    indexing.copy((517, 619), (1, 0), (1, 1)), indexing.copy((301, 7, 203), (1, 0, 2), (1, -1, 2)),
    indexing.assign(_FLAT, _FLAT, 2), indexing.concatenate([_FLAT, (7, 301, 65)], 2),
    indexing.pad(_FLAT, ((0, 1), (3, 2), (1, 0))),
    indexing.gather((301, 131), 5003), indexing.scatter_add((5003, 131), 301),
    optim.sgd(_LISTS), optim.rmsprop(_LISTS, 0.9, True), optim.adam(_LISTS, True, 0.1),
    optim.clip_value(_LISTS, -0.5, 0.5),
    *(optim.clip_norm(f, _LISTS, 1.0) for f in ("clip_by_norm", "clip_by_global_norm")),
    random.dropout(_FLAT, 0.3), random.uniform(_FLAT), random.normal(_FLAT),
)  # fmt: skip
