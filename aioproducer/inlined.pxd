from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM
from libc.string cimport memcpy

cdef extern from "Python.h":
    ctypedef object (*_Allocate)(type, Py_ssize_t)
    ctypedef struct _TypeSlots "PyTypeObject":
        _Allocate tp_alloc


# From CPython 3.14 on a tuple remembers its hash; -1 says that it was not asked for.
cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030E0000
    #define aioproducer_no_hash_yet(made) (((PyTupleObject *)(made))->ob_hash = -1)
    #else
    #define aioproducer_no_hash_yet(made) ((void)(made))
    #endif
    """
    void aioproducer_no_hash_yet(PyObject*)


cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec*, int)
    int TIME_UTC


cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()


cdef inline unsigned long thread_ident():
    return PyThread_get_thread_ident()


# A byte or two each, mostly: cheaper to move here than by a call to memcpy.
cdef inline char* _put(char* place, bytes part):
    cdef Py_ssize_t length = PyBytes_GET_SIZE(part)
    cdef const char* source = PyBytes_AS_STRING(part)
    place[0] = source[0]
    if length > 1:
        memcpy(place + 1, source + 1, length - 1)
    return place + length


cdef inline bytes join(
    bytes a, bytes b, bytes c, bytes d, bytes e, bytes f, bytes g, bytes h
):
    cdef char* place
    joined = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(a) + PyBytes_GET_SIZE(b) + PyBytes_GET_SIZE(c) + PyBytes_GET_SIZE(d)
        + PyBytes_GET_SIZE(e) + PyBytes_GET_SIZE(f) + PyBytes_GET_SIZE(g) + PyBytes_GET_SIZE(h),
    )
    # An empty part puts a byte that the next one overwrites; the last one the final NUL again.
    place = PyBytes_AS_STRING(joined)
    place = _put(_put(_put(_put(place, a), b), c), d)
    _put(_put(_put(_put(place, e), f), g), h)
    return joined


cdef inline long long time_ms():
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return <long long>now.tv_sec * 1000 + now.tv_nsec // 1000000


cdef inline object row(type kind, tuple values):
    made = (<_TypeSlots*>kind).tp_alloc(kind, PyTuple_GET_SIZE(values))
    aioproducer_no_hash_yet(<PyObject*>made)
    for index in range(PyTuple_GET_SIZE(values)):
        value = <object>PyTuple_GET_ITEM(values, index)
        Py_INCREF(value)
        PyTuple_SET_ITEM(made, index, value)
    return made


# Bytes objects keep their bytes aligned, and setup.py compiles nothing where words are big-endian.
cdef inline const unsigned int* words(bytes data, Py_ssize_t count):
    return <const unsigned int*><const unsigned char*>data
