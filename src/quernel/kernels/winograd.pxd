# Fast convolution of 3 x 3 and 5 x 5 filters for conv.pyx. See winograd.pyx.

cdef struct winograd:
    # Unit stride, one group. Strides of w in elements; activation and bias are for the forward pass.
    void *out               # y; or dw for the filter gradient
    const void *x
    const void *dy          # filter gradient only
    const void *w
    const void *bias
    Py_ssize_t w_h, w_w, w_i, w_j
    Py_ssize_t N, H, W, C, K, OH, OW, top, left, d_h, d_w, taps
    int piece               # 6 or 8: edge of the pieces of x
    bint adjoint            # out is the gradient of the input by tiles of x, which is dy; top and left are the image's
    int real
    int activation
    double alpha

cdef bint winograd_pays(winograd *w) noexcept nogil
cdef void winograd_choose_gradient(winograd *w) noexcept nogil
cdef void run_winograd(const void *args) noexcept nogil
cdef void run_winograd_gradient(const void *args) noexcept nogil
