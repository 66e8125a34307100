cimport cython

@cython.final
cdef class MemoryBudget:
    cdef public long long available
    cdef public long long total
    cdef public long long waiting_available
