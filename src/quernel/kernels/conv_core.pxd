# The launches of the convolution core. See conv_core.pyx.

cdef extern from "kernels.h":
    ctypedef struct conv_args "struct conv_args":
        void *y
        const void *x
        const void *packed
        const void *bias
        const Py_ssize_t *offset
        Py_ssize_t y_n, y_h, y_w, y_g, H, W, C, top, left, Wp, span, s_h, s_w, OH, OW, row_block
        Py_ssize_t R, run, x_g, groups, cols
        int padded, gather, dot, activation
        double alpha
    ctypedef struct conv_filter_args "struct conv_filter_args":
        void *partial
        const void *x
        const void *dy
        const Py_ssize_t *offset
        Py_ssize_t H, W, C, top, left, Wp, span, s_h, s_w, OH, OW, K, row_block, row_blocks, items, chunk
        Py_ssize_t depth, groups, wide
        int padded, pack
    ctypedef struct conv_grouped_args "struct conv_grouped_args":
        void *out
        const void *x
        const void *dy
        const void *packed
        const void *bias
        Py_ssize_t Cp, pixel, copy_rows
        Py_ssize_t N, H, W, C, G, KH, KW, top, left, s_h, s_w, d_h, d_w, OH, OW, rows, chunk, row_block
        int activation
        double alpha

# Elements moved in about 30 microseconds.
cdef enum:
    GRAIN_COPY = 1 << 15
# Partial results of a filter gradient, for the threads.
cdef enum:
    CHUNKS = 16


cdef struct convolution:
    # One launch of the core. `core` holds everything but the packed filters and the table of runs. Tap (i, j) lies at
    # w + i * tap_h + j * tap_w and meets the padded input at i * offset_h + j * offset_w from a pixel's first input.
    conv_args core
    const void *w
    Py_ssize_t w_i, w_j, w_g
    Py_ssize_t N, taps_h, taps_w, tap_h, tap_w, offset_h, offset_w
    int real

cdef void run_convolution(const void *args) noexcept nogil

cdef struct filter_gradient:
    conv_filter_args core
    void *dw
    Py_ssize_t taps_h, taps_w, offset_h, offset_w
    int real

cdef void run_filter_gradient(const void *args) noexcept nogil

cdef struct grouped_convolution:
    # `core` holds everything but the packed filters. The gradient of the input: transposed, and strided or turned.
    conv_grouped_args core
    const void *w
    bint transposed, strided
    int real

cdef void run_grouped(const void *args) noexcept nogil

cdef struct grouped_gradient:
    conv_grouped_args core
    void *dw
    int real

cdef void run_grouped_gradient(const void *args) noexcept nogil
