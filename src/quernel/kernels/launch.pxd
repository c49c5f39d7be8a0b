# The gate for all compute. See launch.pyx.

cdef extern from "kernels.h":
    ctypedef void kernel_fn(const void *args, Py_ssize_t lo, Py_ssize_t hi, void *scratch) noexcept nogil
    enum:
        F32
        F64
        KERNEL_COUNT
        MAX_THREADS
        RUN_ROUSE
        RUN_LAST_FIRST
    ctypedef struct kernel_table "struct kernel_table":
        const char *isa
        int lanes[2]
        int tile_rows[2]
        int tile_cols[2]
        kernel_fn *fn[2][1]

ctypedef void run_fn(const void *args) noexcept nogil

cdef const kernel_table *table

cdef inline kernel_fn *kernel_of(int id, int real) noexcept nogil:
    return table.fn[real][id]

cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b

cdef int thread_limit() noexcept nogil
cdef int set_thread_limit(int n) except -1
cdef void out_of_memory() noexcept nogil
cdef void run_ranges(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t length, int flags,
                     size_t scratch_bytes) noexcept nogil
cdef void for_range(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t grain,
                    size_t scratch_bytes) noexcept nogil
cdef void for_range_backwards(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t grain,
                              size_t scratch_bytes) noexcept nogil
cdef int launch(run_fn *run, const void *args, size_t args_bytes) except -1
cdef int parallel(int id, int real, const void *args, size_t args_bytes, Py_ssize_t units, Py_ssize_t grain,
                  size_t scratch_bytes) except -1
