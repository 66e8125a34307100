cimport cython
from aioproducer cimport inlined
from aioproducer.core.batch cimport Batch

@cython.final
cdef class SequenceState:
    cdef public object identity
    cdef public long long next_sequence
    cdef public long long last_acked_sequence
    cdef public bint broken
    cdef public bint starts_at_zero

    cpdef stamp(self, Batch batch)
    @cython.locals(last=cython.longlong)
    cpdef acknowledged(self, Batch batch)
