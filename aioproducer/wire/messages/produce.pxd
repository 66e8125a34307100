cimport cython
from aioproducer.wire.primitives cimport Reader, encode_string, encode_uvarint

cdef object _pack_int32
cdef object _unpack_flexible_row
cdef object _new_row
cdef bytes _NOTHING_TO_SAY
cdef tuple _QUIET

@cython.locals(rows=list, count=cython.longlong, buffer=bytes, offset=Py_ssize_t, row=tuple)
cpdef tuple _flexible_rows(Reader reader)
