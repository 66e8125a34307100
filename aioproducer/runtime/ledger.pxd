cimport cython
from aioproducer.core.batch cimport Batch
from aioproducer.core.memory_budget cimport MemoryBudget
from aioproducer.delivery cimport Fate
from aioproducer.runtime.delivery_clock cimport DeliveryClock
from aioproducer.story cimport Story

@cython.final
cdef class Ledger:
    cdef object __weakref__
    cdef dict __dict__
    cdef public dict unsettled
    cdef public list flushes
    cdef public MemoryBudget _budget
    cdef public object _loop
    cdef public object _meters
    cdef public object _on_memory

    cpdef opened(self, Fate fate)
    @cython.locals(story=Story, fate=Fate)
    cpdef delivered(
        self, Batch batch, long long base_offset, long long log_append_time_ms, double now
    )
    @cython.locals(charged=cython.longlong)
    cpdef release(self, Batch batch)
    cpdef _close(self, Batch batch)
    cpdef _forget(self, Fate fate)
