from aioproducer.core.murmur2 cimport murmur2


cdef inline unsigned int hash_of(object key):
    return murmur2(key)
