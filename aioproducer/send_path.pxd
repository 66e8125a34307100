cimport cython
from aioproducer.delivery cimport Delivery
from aioproducer.runtime.intake cimport Intake

cdef class SendPath:
    cdef public object _loop
    cdef public Intake _plain
