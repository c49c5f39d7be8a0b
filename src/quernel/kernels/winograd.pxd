# Fast convolution of 3 x 3 and 5 x 5 filters for conv.pyx. See winograd.pyx.

cdef struct winograd:
    # Unit stride, no dilation, one group. Strides of w in elements; activation and bias are for the forward pass.
    void *out               # y; or dw for the filter gradient
    const void *x
    const void *dy          # filter gradient only
    const void *w
    const void *bias
    Py_ssize_t w_h, w_w, w_i, w_j
    Py_ssize_t N, H, W, C, K, OH, OW, top, left, taps
    bint adjoint            # out is the gradient of the input by tiles of x, which is dy; top and left are the image's
    int real
    int activation
    double alpha

cdef bint winograd_pays(Py_ssize_t C, Py_ssize_t K, Py_ssize_t OH, Py_ssize_t OW, Py_ssize_t taps,
                        int real) noexcept nogil
cdef bint winograd_adjoint_pays(const winograd *w) noexcept nogil
cdef void run_winograd(const void *args) noexcept nogil
cdef void run_winograd_gradient(const void *args) noexcept nogil
