cimport cython

@cython.final
cdef class TopicQueues:
    cdef public str name
    cdef public bytes topic_id
    cdef public list partitions
    cdef public Py_ssize_t count
    cdef public tuple available
    cdef public object ratio
    cdef public object sticky
    cdef public bint adaptive
    cdef public bint blocked
    cdef public double last_used
