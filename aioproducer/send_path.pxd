cimport cython
from aioproducer cimport inlined
from aioproducer.runtime.intake cimport Intake

cdef class SendPath:
    cdef public bint _by_thread
    cdef public object _loop
    cdef public Intake _plain
