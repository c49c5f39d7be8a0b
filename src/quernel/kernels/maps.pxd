# Strided operands for kernels that walk them. See maps.pyx.

cimport numpy as cnp

cdef extern from "kernels.h":
    enum:
        MAP_DIMS
        STREAM_BYTES
    ctypedef struct map_args "struct map_args":
        void *y
        const void *x[3]
        double p
        double q
        Py_ssize_t stream
        Py_ssize_t dims
        Py_ssize_t shape[8]
        Py_ssize_t y_stride_bytes[8]
        Py_ssize_t stride_bytes[3][8]

cdef enum:
    NUMPY_DIMS = 64  # the most that NumPy 2 allows

cdef struct layout:
    # Before merging: strides[0] is y's, strides[1 + o] operand o's, in bytes
    int ndim
    Py_ssize_t shape[NUMPY_DIMS]
    Py_ssize_t strides[4][NUMPY_DIMS]

cdef bint merge(map_args *m, const layout *l, int operands) noexcept
cdef bint streams(const map_args *m, Py_ssize_t y_item) noexcept
cdef cnp.ndarray behaved(object x)
cdef cnp.ndarray map_to_new(map_args *m, list operands, int typenum)
cdef int map_onto(map_args *m, cnp.ndarray y, list operands) except -1
