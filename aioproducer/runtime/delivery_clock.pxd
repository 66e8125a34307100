cimport cython
from aioproducer.core.batch cimport Batch
from aioproducer.core.partition_queue cimport PartitionQueue

@cython.final
cdef class DeliveryClock:
    cdef public object _alarm
    cdef public double _armed_for
    cdef public object _expire
    cdef public double _latest
    cdef public dict _older
    cdef public double _timeout
    cdef public object _watch
    cdef public dict _young

    @cython.locals(created=double)
    cpdef start(self, PartitionQueue queue, Batch batch)
    cpdef stop(self, Batch batch)
