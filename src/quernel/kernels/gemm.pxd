# Matrix products for other kernels. See gemm.pyx.

cdef extern from "kernels.h":
    ctypedef struct gemm_pack_args "struct gemm_pack_args":
        void *packed
        const void *b
        Py_ssize_t b_batch, b_k, b_n, K, N
    ctypedef struct gemm_combine_args "struct gemm_combine_args":
        void *c
        const void *partial
        const void *bias
        Py_ssize_t c_m, slice, N, slices
        int add, activation
        double alpha

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
