cdef int activation_kind(str name) except -1
