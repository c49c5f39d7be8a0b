"""Convolution: geometry and the choice of a path; conv_core and winograd do the launching.

Which path a shape takes depends on everything but the number of images, so that a row of a prediction does not
depend on its batch:
  1 x 1, stride 1, no padding     a matrix product
  3 x 3 or 5 x 5, stride 1        Winograd's transforms, where they pay (float32)
  groups of 1, 2, 4 or 8          vectors along channels, lanes exchanged within the groups
  narrow outputs                  pixels gathered first, then one product
  few outputs of many terms       vectors along the sum, added up at its end
  all else                        tiles read the (padded) image in place
The gradient of the input is the same core once per phase of the stride; Winograd's goes by tiles of dy instead of dx
where these are fewer by enough (unpadded images).

`algorithm` narrows the choice: "direct" leaves Winograd out (its error is 4 to 12 times larger), "winograd" takes it
wherever the shape admits it, "im2col" builds the matrix of patches (one group only).
"""

cimport numpy as cnp
from libc.stddef cimport size_t
from libc.string cimport memset

from quernel.kernels.conv_core cimport (
    GRAIN_COPY, conv_grouped_args, convolution, filter_gradient, grouped_convolution, grouped_gradient,
    run_convolution, run_filter_gradient, run_grouped, run_grouped_gradient,
)
from quernel.kernels.gemm cimport product, run_product
from quernel.kernels.kinds cimport activation_kind
from quernel.kernels.launch cimport launch, parallel, table
from quernel.kernels.memory cimport new_array, ready, real_of
from quernel.kernels.winograd cimport (
    run_winograd, run_winograd_gradient, winograd, winograd_choose_gradient, winograd_pays,
)

from quernel.kernels.gemm import dense_forward, matmul

cnp.import_array()

__all__ = ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_kernel", "im2col", "col2im"]

cdef extern from "kernels.h":
    ctypedef struct conv_cols_args "struct conv_cols_args":
        void *out
        const void *in_ "in"
        Py_ssize_t H, W, C, KH, KW, top, left, s_h, s_w, d_h, d_w, OH, OW
    enum:
        K_conv_im2col
        K_conv_col2im


cdef struct shape2d:
    # what forward and both gradients know of a convolution
    Py_ssize_t N, H, W, C, K, KH, KW, OH, OW, groups
    Py_ssize_t top, left, bottom, right, s_h, s_w, d_h, d_w
    int real


cdef shape2d geometry(input_shape, kernel_shape, strides, padding, dilation, groups):
    cdef shape2d s
    memset(&s, 0, sizeof(s))
    s.N, s.H, s.W, s.C = input_shape
    s.KH, s.KW, _, s.K = kernel_shape
    s.s_h, s.s_w = strides
    s.d_h, s.d_w = dilation
    (s.top, s.bottom), (s.left, s.right) = padding
    s.groups = groups
    s.OH = max(0, s.H + s.top + s.bottom - (s.KH - 1) * s.d_h - 1 + s.s_h) // s.s_h
    s.OW = max(0, s.W + s.left + s.right - (s.KW - 1) * s.d_w - 1 + s.s_w) // s.s_w
    return s


cdef inline bint is_product(const shape2d *s) noexcept nogil:
    return (s.KH == 1 and s.KW == 1 and s.s_h == 1 and s.s_w == 1 and s.groups == 1
            and s.top == 0 and s.bottom == 0 and s.left == 0 and s.right == 0)


cdef inline bint is_grouped(const shape2d *s) noexcept nogil:
    """Groups of as many outputs as inputs, whole ones in a vector."""
    return (s.groups > 1 and s.K == s.C and s.C // s.groups in (1, 2, 4, 8)
            and s.C // s.groups <= table.lanes[s.real])


cdef bint is_winograd(winograd *f, const shape2d *s, str algorithm):
    """Whether Winograd's transforms are the way; fills `f` but for the operands."""
    if algorithm not in ("auto", "direct", "winograd", "im2col"):
        raise ValueError(f"algorithm: expected 'auto', 'direct', 'winograd' or 'im2col', got {algorithm!r}")
    if algorithm == "direct" or not (s.KH == s.KW and s.KH in (3, 5) and s.s_h == s.s_w == s.groups == 1):
        return False
    memset(f, 0, sizeof(winograd))
    f.N, f.taps, f.real, f.d_h, f.d_w = s.N, s.KH, s.real, s.d_h, s.d_w
    f.H, f.W, f.C, f.K, f.OH, f.OW, f.top, f.left = s.H, s.W, s.C, s.K, s.OH, s.OW, s.top, s.left
    return winograd_pays(f) or algorithm == "winograd"


cdef void as_product(product *p, const shape2d *s) noexcept nogil:
    memset(p, 0, sizeof(product))
    p.batch = 1
    p.real = s.real


cdef void as_grouped(conv_grouped_args *g, const shape2d *s) noexcept nogil:
    memset(g, 0, sizeof(conv_grouped_args))
    g.N, g.H, g.W, g.C, g.G, g.KH, g.KW = s.N, s.H, s.W, s.C, s.C // s.groups, s.KH, s.KW
    g.top, g.left, g.s_h, g.s_w, g.d_h, g.d_w, g.OH, g.OW = s.top, s.left, s.s_h, s.s_w, s.d_h, s.d_w, s.OH, s.OW


def conv2d_forward(x, kernel, bias, strides, padding, dilation, groups, activation="linear", alpha=0.0,
                   algorithm="auto"):
    cdef cnp.ndarray x_ = ready(x), w = ready(kernel), b = None if bias is None else ready(bias), y
    cdef shape2d s = geometry(x.shape, kernel.shape, strides, padding, dilation, groups)
    cdef convolution v
    cdef product p
    cdef grouped_convolution g
    cdef winograd f
    cdef const void *bias_ = NULL if b is None else cnp.PyArray_DATA(b)
    cdef int kind = activation_kind(activation)
    s.real = real_of(x_)
    if algorithm == "im2col" and groups == 1:
        cols = im2col(x_, (s.KH, s.KW), strides, padding, dilation)
        return dense_forward(cols, w.reshape(-1, s.K), bias, activation, alpha).reshape(s.N, s.OH, s.OW, s.K)
    y = new_array((s.N, s.OH, s.OW, s.K), s.real)

    if is_winograd(&f, &s, algorithm):
        f.out, f.x, f.w, f.bias = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x_), cnp.PyArray_DATA(w), bias_
        f.w_w, f.w_i, f.w_j = s.C * s.K, s.K, 1
        f.w_h = s.KW * f.w_w
        f.activation, f.alpha = kind, alpha
        launch(run_winograd, &f, sizeof(f))
    elif is_product(&s):
        as_product(&p, &s)
        p.c, p.a, p.b, p.bias = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x_), cnp.PyArray_DATA(w), bias_
        p.M, p.N, p.K = s.N * s.H * s.W, s.K, s.C
        p.c_m, p.a_m, p.a_k, p.b_k, p.b_n = s.K, s.C, 1, s.K, 1
        p.activation, p.alpha = kind, alpha
        launch(run_product, &p, sizeof(p))
    elif is_grouped(&s):
        as_grouped(&g.core, &s)
        g.core.out, g.core.x, g.core.bias = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x_), bias_
        g.core.activation, g.core.alpha = kind, alpha
        g.w, g.transposed, g.strided, g.real = cnp.PyArray_DATA(w), False, False, s.real
        launch(run_grouped, &g, sizeof(g))
    else:
        memset(&v, 0, sizeof(v))
        v.N, v.taps_h, v.taps_w, v.real = s.N, s.KH, s.KW, s.real
        v.core.H, v.core.W, v.core.C = s.H, s.W, s.C
        v.core.top, v.core.left, v.core.Wp = s.top, s.left, s.W + s.left + s.right
        v.core.padded = s.top or s.bottom or s.left or s.right
        v.core.span = (s.KH - 1) * s.d_h + 1
        v.core.s_h, v.core.s_w, v.core.OH, v.core.OW = s.s_h, s.s_w, s.OH, s.OW
        v.core.groups, v.core.run, v.core.x_g = groups, s.C // groups, s.C // groups
        v.core.cols, v.core.y_g = s.K // groups, s.K // groups
        v.core.y_n, v.core.y_h, v.core.y_w = s.OH * s.OW * s.K, s.OW * s.K, s.K
        v.core.y, v.core.x, v.core.bias = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x_), bias_
        v.core.activation, v.core.alpha = kind, alpha
        v.w = cnp.PyArray_DATA(w)
        v.w_i, v.w_j, v.w_g = s.K, 1, v.core.cols
        v.tap_w = v.core.run * s.K
        v.tap_h = s.KW * v.tap_w
        v.offset_h, v.offset_w = s.d_h * v.core.Wp * s.C, s.d_w * s.C
        launch(run_convolution, &v, sizeof(v))
    return y


cdef struct phase:
    # Along one axis, the outputs that reach inputs first, first + stride, ...: count of inputs, and the taps that do
    # it, last tap first: tap kh = last - m * tap_step meets output j + m * offset_step - pad.
    Py_ssize_t inputs, taps, last, tap_step, offset_step, pad


cdef phase phase_of(Py_ssize_t first, Py_ssize_t size, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation,
                    Py_ssize_t pad) noexcept nogil:
    cdef phase f
    cdef Py_ssize_t kh = 0, divisor = dilation, rest = stride, swap
    while rest:  # greatest common divisor
        swap = divisor % rest
        divisor = rest
        rest = swap
    f.tap_step = stride // divisor
    f.offset_step = dilation // divisor
    f.inputs = (size - first + stride - 1) // stride
    while kh < taps and (first + pad - kh * dilation) % stride != 0:
        kh += 1
    f.taps = 0 if kh >= taps else (taps - 1 - kh) // f.tap_step + 1
    f.last = kh + (f.taps - 1) * f.tap_step
    f.pad = -((first + pad - f.last * dilation) // stride) if f.taps else 0  # exact: the remainder is 0
    return f


def conv2d_backward_input(dy, kernel, input_shape, strides, padding, dilation, groups, algorithm="auto"):
    cdef cnp.ndarray dy_ = ready(dy), w = ready(kernel), dx
    cdef shape2d s = geometry(input_shape, kernel.shape, strides, padding, dilation, groups)
    cdef convolution v
    cdef product p
    cdef grouped_convolution g
    cdef winograd f
    cdef phase h, q
    cdef Py_ssize_t first_h, first_w
    cdef size_t size
    s.real = real_of(dy_)
    size = 8 if s.real else 4
    if algorithm == "im2col" and groups == 1:
        dcols = matmul(dy_.reshape(-1, s.K), w.reshape(-1, s.K), False, True)
        return col2im(dcols, input_shape, (s.KH, s.KW), strides, padding, dilation)
    dx = new_array((s.N, s.H, s.W, s.C), s.real)

    if is_winograd(&f, &s, algorithm):
        f.out, f.x, f.w = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(dy_), cnp.PyArray_DATA(w)
        f.H, f.W, f.C, f.K, f.OH, f.OW, f.top, f.left = s.OH, s.OW, s.K, s.C, s.H, s.W, s.top, s.left
        f.w_w, f.w_i, f.w_j = s.C * s.K, 1, s.K
        f.w_h = s.KW * f.w_w
        winograd_choose_gradient(&f)
        if not f.adjoint:  # the forward pass over dy with the filter turned by 180 degrees
            f.top, f.left = (s.KH - 1) * s.d_h - s.top, (s.KW - 1) * s.d_w - s.left
            f.w = <char *> f.w + (s.KH * s.KW - 1) * s.C * s.K * <Py_ssize_t> size
            f.w_h, f.w_w = -f.w_h, -f.w_w
        launch(run_winograd, &f, sizeof(f))
        return dx
    if is_product(&s):
        as_product(&p, &s)
        p.c, p.a, p.b = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(dy_), cnp.PyArray_DATA(w)
        p.M, p.N, p.K = s.N * s.H * s.W, s.C, s.K
        p.c_m, p.a_m, p.a_k, p.b_k, p.b_n = s.C, s.K, 1, 1, s.K
        launch(run_product, &p, sizeof(p))
        return dx
    if is_grouped(&s):
        as_grouped(&g.core, &s)
        g.core.out, g.core.x = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(dy_)
        g.w, g.transposed, g.real = cnp.PyArray_DATA(w), True, s.real
        g.strided = s.s_h != 1 or s.s_w != 1
        if not g.strided:  # the forward pass over dy with the filter turned by 180 degrees
            g.core.H, g.core.W, g.core.OH, g.core.OW = s.OH, s.OW, s.H, s.W
            g.core.top, g.core.left = (s.KH - 1) * s.d_h - s.top, (s.KW - 1) * s.d_w - s.left
        launch(run_grouped, &g, sizeof(g))
        return dx

    memset(&v, 0, sizeof(v))
    v.N, v.real = s.N, s.real
    v.core.H, v.core.W, v.core.C = s.OH, s.OW, s.K
    v.core.s_h = v.core.s_w = 1
    v.core.groups, v.core.x_g = groups, s.K // groups
    v.core.cols, v.core.y_g = s.C // groups, s.C // groups
    v.core.y_n, v.core.y_h, v.core.y_w = s.H * s.W * s.C, s.s_h * s.W * s.C, s.s_w * s.C
    v.core.x = cnp.PyArray_DATA(dy_)
    v.w_i, v.w_j, v.w_g = 1, s.K, s.K // groups
    for first_h in range(min(s.s_h, s.H)):
        h = phase_of(first_h, s.H, s.KH, s.s_h, s.d_h, s.top)
        for first_w in range(min(s.s_w, s.W)):
            q = phase_of(first_w, s.W, s.KW, s.s_w, s.d_w, s.left)
            v.taps_h, v.taps_w = h.taps if q.taps else 0, q.taps if h.taps else 0
            v.core.OH, v.core.OW = h.inputs, q.inputs
            v.core.top, v.core.left = h.pad, q.pad
            v.core.span = (h.taps - 1) * h.offset_step + 1
            v.core.Wp = q.inputs + (q.taps - 1) * q.offset_step
            v.core.padded = (v.taps_h > 0 and not (h.pad == 0 and q.pad == 0 and v.core.Wp == s.OW
                                                   and h.inputs - 1 + v.core.span <= s.OH))
            v.core.run = s.K // groups
            v.core.y = <char *> cnp.PyArray_DATA(dx) + (first_h * s.W + first_w) * s.C * <Py_ssize_t> size
            v.tap_w = (s.C // groups) * s.K
            v.tap_h = s.KW * v.tap_w
            v.w = <char *> cnp.PyArray_DATA(w) + (h.last * v.tap_h + q.last * v.tap_w) * <Py_ssize_t> size
            v.tap_h *= -h.tap_step
            v.tap_w *= -q.tap_step
            v.offset_h, v.offset_w = h.offset_step * v.core.Wp * s.K, q.offset_step * s.K
            launch(run_convolution, &v, sizeof(v))
    return dx


def conv2d_backward_kernel(dy, x, kernel_shape, strides, padding, dilation, groups, algorithm="auto"):
    cdef cnp.ndarray dy_ = ready(dy), x_ = ready(x), dw
    cdef shape2d s = geometry(x.shape, kernel_shape, strides, padding, dilation, groups)
    cdef filter_gradient v
    cdef grouped_gradient g
    cdef product p
    cdef winograd f
    s.real = real_of(dy_)
    if algorithm == "im2col" and groups == 1:
        cols = im2col(x_, (s.KH, s.KW), strides, padding, dilation)
        return matmul(cols, dy_.reshape(-1, s.K), True).reshape(kernel_shape)
    dw = new_array(kernel_shape, s.real)

    if s.N == 0 or s.OH == 0 or s.OW == 0:
        memset(cnp.PyArray_DATA(dw), 0, <size_t> cnp.PyArray_NBYTES(dw))
    elif is_winograd(&f, &s, algorithm):
        f.out, f.x, f.dy = cnp.PyArray_DATA(dw), cnp.PyArray_DATA(x_), cnp.PyArray_DATA(dy_)
        launch(run_winograd_gradient, &f, sizeof(f))
    elif is_product(&s):
        as_product(&p, &s)
        p.c, p.a, p.b = cnp.PyArray_DATA(dw), cnp.PyArray_DATA(x_), cnp.PyArray_DATA(dy_)
        p.M, p.N, p.K = s.C, s.K, s.N * s.H * s.W
        p.c_m, p.a_m, p.a_k, p.b_k, p.b_n = s.K, 1, s.C, s.K, 1
        launch(run_product, &p, sizeof(p))
    elif is_grouped(&s):
        as_grouped(&g.core, &s)
        g.core.x, g.core.dy = cnp.PyArray_DATA(x_), cnp.PyArray_DATA(dy_)
        g.dw, g.real = cnp.PyArray_DATA(dw), s.real
        launch(run_grouped_gradient, &g, sizeof(g))
    else:
        memset(&v, 0, sizeof(v))
        v.core.x, v.core.dy = cnp.PyArray_DATA(x_), cnp.PyArray_DATA(dy_)
        v.core.H, v.core.W, v.core.C, v.core.K = s.H, s.W, s.C, s.K
        v.core.top, v.core.left, v.core.Wp = s.top, s.left, s.W + s.left + s.right
        v.core.span = (s.KH - 1) * s.d_h + 1
        v.core.s_h, v.core.s_w, v.core.OH, v.core.OW = s.s_h, s.s_w, s.OH, s.OW
        v.core.items, v.core.groups = s.N, groups
        v.core.padded = s.top or s.bottom or s.left or s.right
        v.taps_h, v.taps_w = s.KH, s.KW
        v.offset_h, v.offset_w = s.d_h * v.core.Wp * s.C, s.d_w * s.C
        v.dw, v.real = cnp.PyArray_DATA(dw), s.real
        launch(run_filter_gradient, &v, sizeof(v))
    return dw


cdef void as_cols(conv_cols_args *c, const shape2d *s) noexcept nogil:
    c.H, c.W, c.C, c.KH, c.KW, c.top, c.left = s.H, s.W, s.C, s.KH, s.KW, s.top, s.left
    c.s_h, c.s_w, c.d_h, c.d_w, c.OH, c.OW = s.s_h, s.s_w, s.d_h, s.d_w, s.OH, s.OW


def im2col(x, kernel_size, strides, padding, dilation):
    cdef cnp.ndarray x_ = ready(x), cols
    cdef shape2d s = geometry(x.shape, (*kernel_size, x.shape[3], 1), strides, padding, dilation, 1)
    cdef conv_cols_args c
    s.real = real_of(x_)
    cols = new_array((s.N * s.OH * s.OW, s.KH * s.KW * s.C), s.real)
    as_cols(&c, &s)
    c.out, c.in_ = cnp.PyArray_DATA(cols), cnp.PyArray_DATA(x_)
    parallel(K_conv_im2col, s.real, &c, sizeof(c), s.N * s.OH, 1 + GRAIN_COPY // (1 + s.OW * s.KH * s.KW * s.C), 0)
    return cols


def col2im(cols, input_shape, kernel_size, strides, padding, dilation):
    cdef cnp.ndarray cols_ = ready(cols), x
    cdef shape2d s = geometry(input_shape, (*kernel_size, input_shape[3], 1), strides, padding, dilation, 1)
    cdef conv_cols_args c
    s.real = real_of(cols_)
    x = new_array(input_shape, s.real)
    as_cols(&c, &s)
    c.out, c.in_ = cnp.PyArray_DATA(x), cnp.PyArray_DATA(cols_)
    parallel(K_conv_col2im, s.real, &c, sizeof(c), s.N * s.H, 1 + GRAIN_COPY // (1 + s.W * s.KH * s.KW * s.C), 0)
    return x
