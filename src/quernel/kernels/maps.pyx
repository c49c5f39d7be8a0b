"""From arrays of any strides to the arguments of a kernel that walks them: broadcast, merge dimensions, allocate."""

cimport numpy as cnp

import numpy as np

from quernel.kernels.memory cimport new_typed

cnp.import_array()

# An operand whose rows lie across its memory (a transpose) is copied first from this many elements on: tile by tile a
# copy reads whole cache lines, which the row-wise walk would fetch once per element.
cdef enum:
    TRANSPOSED_MIN = 4096
cdef enum:
    CACHE_LINE = 64


cdef cnp.ndarray behaved(object x):
    """x as an aligned array of native byte order; any strides."""
    if isinstance(x, cnp.ndarray) and cnp.PyArray_ISBEHAVED_RO(x):
        return x
    x = np.asarray(x)
    return np.array(x, dtype=x.dtype.newbyteorder("="), order="C")


cdef bint merge(map_args *m, const layout *l, int operands) noexcept:
    """Shape and strides of l into m without extents of 1, neighbours joined where every stride allows; False if more
    than MAP_DIMS remain."""
    cdef int d, o, k = -1
    cdef Py_ssize_t n
    cdef bint joins
    for d in range(l.ndim):
        n = l.shape[d]
        if n == 1:
            continue
        joins = k >= 0 and m.y_stride_bytes[k] == l.strides[0][d] * n
        if joins:
            for o in range(operands):
                if m.stride_bytes[o][k] != l.strides[1 + o][d] * n:
                    joins = False
                    break
        if joins:
            m.shape[k] *= n
        else:
            k += 1
            if k == MAP_DIMS:
                return False
            m.shape[k] = n
        m.y_stride_bytes[k] = l.strides[0][d]
        for o in range(operands):
            m.stride_bytes[o][k] = l.strides[1 + o][d]
    if k < 0:
        k = 0
        m.shape[0] = 1
        m.y_stride_bytes[0] = 0
        for o in range(operands):
            m.stride_bytes[o][0] = 0
    m.dims = k + 1
    return True


cdef bint lies_across(cnp.ndarray x) noexcept:
    cdef int d, last = cnp.PyArray_NDIM(x) - 1
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x), step
    if last < 1 or cnp.PyArray_SIZE(x) < TRANSPOSED_MIN:
        return False
    step = cnp.PyArray_STRIDE(x, last)
    if step == item or step == 0 or cnp.PyArray_DIM(x, last) == 1:
        return False
    for d in range(last):
        if cnp.PyArray_STRIDE(x, d) == item and cnp.PyArray_DIM(x, d) > 1:
            return True
    return False


cdef bint flat(map_args *m, cnp.ndarray y, list operands, Py_ssize_t size, Py_ssize_t y_item):
    """The common case: everything contiguous and of one shape, or of no dimension."""
    cdef int o
    cdef cnp.ndarray x
    for o in range(len(operands)):
        x = operands[o]
        if cnp.PyArray_NDIM(x) == 0:
            m.stride_bytes[o][0] = 0
        elif cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_SAMESHAPE(x, y):
            m.stride_bytes[o][0] = cnp.PyArray_ITEMSIZE(x)
        else:
            return False
        m.x[o] = cnp.PyArray_DATA(x)
    m.dims = 1
    m.shape[0] = size
    m.y_stride_bytes[0] = y_item
    return True


cdef bint streams(const map_args *m, Py_ssize_t y_item) noexcept:
    """Whether y is large, contiguous along its last dimension, and its rows are whole cache lines."""
    cdef Py_ssize_t bytes = y_item
    cdef int d
    for d in range(m.dims):
        bytes *= m.shape[d]
    return bytes >= STREAM_BYTES and m.y_stride_bytes[m.dims - 1] == y_item and (
        m.dims == 1 or m.shape[m.dims - 1] * y_item % CACHE_LINE == 0)


cdef int map_onto(map_args *m, cnp.ndarray y, list operands) except -1:
    """Fill m (but p and q) for y[i] = f(operands); operands broadcast to the shape of y and may be replaced by copies,
    which live as long as the list."""
    cdef layout l
    cdef int o, d, shift, count = len(operands)
    cdef Py_ssize_t n
    cdef cnp.ndarray x
    m.y = cnp.PyArray_DATA(y)
    if cnp.PyArray_IS_C_CONTIGUOUS(y) and flat(m, y, operands, cnp.PyArray_SIZE(y), cnp.PyArray_ITEMSIZE(y)):
        m.stream = streams(m, cnp.PyArray_ITEMSIZE(y))
        return 0
    l.ndim = cnp.PyArray_NDIM(y)
    for d in range(l.ndim):
        l.shape[d] = cnp.PyArray_DIM(y, d)
        l.strides[0][d] = cnp.PyArray_STRIDE(y, d)
    for o in range(count):
        if lies_across(operands[o]):
            from quernel.kernels.indexing import copy
            operands[o] = copy(operands[o])
        x = operands[o]
        m.x[o] = cnp.PyArray_DATA(x)
        shift = l.ndim - cnp.PyArray_NDIM(x)
        for d in range(l.ndim):
            n = cnp.PyArray_DIM(x, d - shift) if d >= shift else 1
            l.strides[1 + o][d] = cnp.PyArray_STRIDE(x, d - shift) if n != 1 else 0
            if n != 1 and n != l.shape[d] or shift < 0:
                raise ValueError(f"shape {np.shape(x)} does not broadcast to {np.shape(y)}")
    if not merge(m, &l, count):
        operands[:] = [np.array(np.broadcast_to(operand, np.shape(y)), order="C") for operand in operands]
        for o in range(count):
            m.x[o] = cnp.PyArray_DATA(<cnp.ndarray> operands[o])
            n = cnp.PyArray_ITEMSIZE(<cnp.ndarray> operands[o])
            for d in range(l.ndim - 1, -1, -1):
                l.strides[1 + o][d] = n
                n *= l.shape[d]
        if not merge(m, &l, count):
            raise ValueError(f"more than {MAP_DIMS} dimensions that cannot be merged: shape {np.shape(y)}")
    m.stream = streams(m, cnp.PyArray_ITEMSIZE(y))
    return 0


cdef tuple broadcast(list operands):
    """The shape that arrays broadcast to, as np.broadcast_shapes gives it but in a tenth of the time."""
    cdef Py_ssize_t shape[NUMPY_DIMS]
    cdef Py_ssize_t n
    cdef int d, shift, ndim = 0
    cdef cnp.ndarray x
    for x in operands:
        ndim = max(ndim, cnp.PyArray_NDIM(x))
    for d in range(ndim):
        shape[d] = 1
    for x in operands:
        shift = ndim - cnp.PyArray_NDIM(x)
        for d in range(cnp.PyArray_NDIM(x)):
            n = cnp.PyArray_DIM(x, d)
            if n != 1 and shape[shift + d] != n:
                if shape[shift + d] != 1:
                    raise ValueError(f"shapes {', '.join([str(a.shape) for a in operands])} do not broadcast together")
                shape[shift + d] = n
    return tuple([shape[d] for d in range(ndim)])


cdef cnp.ndarray map_to_new(map_args *m, list operands, int typenum):
    """The new array y of this type that operands broadcast to; m is filled as by map_onto."""
    cdef cnp.ndarray y
    shape = operands[0].shape if len(operands) == 1 else broadcast(operands)
    y = new_typed(shape, typenum)
    map_onto(m, y, operands)
    return y
