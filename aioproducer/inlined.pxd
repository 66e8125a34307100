from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM
from libc.string cimport memcpy

cdef extern from "Python.h":
    ctypedef object (*_Allocate)(type, Py_ssize_t)
    ctypedef struct _TypeSlots "PyTypeObject":
        _Allocate tp_alloc


cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()


cdef inline unsigned long thread_ident():
    return PyThread_get_thread_ident()


cdef inline bytes join(tuple parts):
    cdef Py_ssize_t size = 0, length
    cdef PyObject* part
    cdef char* place
    for index in range(PyTuple_GET_SIZE(parts)):
        part = <PyObject*>PyTuple_GET_ITEM(parts, index)
        if not PyBytes_CheckExact(<object>part):
            return b"".join(parts)
        size += PyBytes_GET_SIZE(<object>part)
    joined = PyBytes_FromStringAndSize(NULL, size)
    place = PyBytes_AS_STRING(joined)
    for index in range(PyTuple_GET_SIZE(parts)):
        part = <PyObject*>PyTuple_GET_ITEM(parts, index)
        length = PyBytes_GET_SIZE(<object>part)
        if length == 1:
            place[0] = PyBytes_AS_STRING(<object>part)[0]
        else:
            memcpy(place, PyBytes_AS_STRING(<object>part), length)
        place += length
    return joined


cdef inline object row(type kind, tuple values):
    made = (<_TypeSlots*>kind).tp_alloc(kind, PyTuple_GET_SIZE(values))
    for index in range(PyTuple_GET_SIZE(values)):
        value = <object>PyTuple_GET_ITEM(values, index)
        Py_INCREF(value)
        PyTuple_SET_ITEM(made, index, value)
    return made


# Bytes objects keep their bytes aligned, and setup.py compiles nothing where words are big-endian.
cdef inline const unsigned int* words(bytes data, Py_ssize_t count):
    return <const unsigned int*><const unsigned char*>data
