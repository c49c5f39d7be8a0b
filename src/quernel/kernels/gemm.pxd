# Matrix products for other kernels. See gemm.pyx.

cdef struct product:
    # c = act(a b + bias); strides in elements
    void *c
    const void *a
    const void *b
    const void *bias
    Py_ssize_t batch, c_batch, a_batch, b_batch
    Py_ssize_t c_m, a_m, a_k, b_k, b_n
    Py_ssize_t M, N, K
    int real
    int add
    int activation
    double alpha

cdef void run_product(const void *args) noexcept nogil
