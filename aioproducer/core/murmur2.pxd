cimport cython
from aioproducer cimport inlined

ctypedef const unsigned char* Bytes
ctypedef const unsigned int* Words

cdef unsigned int _SEED

@cython.locals(
    size=Py_ssize_t, count=Py_ssize_t, rest=Py_ssize_t, parts=Words, tail=Bytes,
    factor=cython.uint, mask=cython.uint, state=cython.uint, word=cython.uint,
)
cpdef unsigned int murmur2(object data)
