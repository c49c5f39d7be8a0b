# The caching pool and the arrays made of it. See memory.pyx.

cimport numpy as cnp
from libc.stddef cimport size_t

cdef void *pool_take(size_t size) noexcept nogil
cdef void pool_give(void *block) noexcept nogil
cdef bint scratch_take(void **scratch, int seats, size_t size) noexcept nogil
cdef void scratch_give(void **scratch, int seats) noexcept nogil
cdef cnp.ndarray ready(object x)
cdef cnp.ndarray new_array(object shape, int real)
cdef cnp.ndarray new_typed(object shape, int typenum)
cdef int real_of(cnp.ndarray x) except -1
