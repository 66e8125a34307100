cimport cython
from aioproducer cimport inlined

@cython.final
cdef class Story:
    cdef public double opened_at
    cdef public object waiting
    cdef public object sealed_at
    cdef public object seal
    cdef public list attempts
    cdef public Py_ssize_t left_out
    cdef public double leader_at
    cdef public object settled_at

    cpdef sealed(self, double now)
    cpdef leaves(
        self, double now, Py_ssize_t broker, object why, double connected_at=*, double paused_until=*
    )
    cpdef returns(self, double now, object error)
