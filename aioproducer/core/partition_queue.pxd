cimport cython
from aioproducer.core.batch cimport Batch
from aioproducer.core.producer_identity cimport SequenceState

@cython.final
cdef class PartitionQueue:
    cdef public object topic
    cdef public Py_ssize_t index
    cdef public Batch open
    cdef public object waiting
    cdef public list on_wire
    cdef public Py_ssize_t leader
    cdef public Py_ssize_t leader_epoch
    cdef public Py_ssize_t next_order
    cdef public SequenceState sequences
    cdef public bint keep_order
    cdef public object listed_at
    cdef public object assembler

    cpdef tuple new_order(self)
    @cython.locals(batch=Batch)
    cpdef Batch close_open(self, object why)
    cpdef Batch head(self)
    @cython.locals(head=Batch, batch=Batch)
    cpdef bint may_send(self, double now)
    @cython.locals(batch=Batch)
    cpdef Batch take(self, object identity)
    cpdef answered(self, Batch batch)
