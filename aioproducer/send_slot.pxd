from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from aioproducer.delivery cimport Delivery, Steps

cdef extern from "Python.h":
    ctypedef int (*_Send)(PyObject*, PyObject*, PyObject**) except -1
    ctypedef struct _AsyncSlots "PyAsyncMethods":
        _Send am_send
    ctypedef struct _TypeWithAsync "PyTypeObject":
        _AsyncSlots* tp_as_async

cdef extern from *:
    """
    static PyAsyncMethods aioproducer_async_slots;
    """
    _AsyncSlots aioproducer_async_slots


# Returns what PyIter_Send does: PYGEN_RETURN is 0, PYGEN_NEXT 1, and -1, which an exception gives,
# PYGEN_ERROR.
cdef inline int step(PyObject* steps, PyObject* value, PyObject** result) except -1:
    cdef Delivery delivery = (<Steps>steps)._delivery
    if delivery is None:
        Py_INCREF(None)
        result[0] = <PyObject*>None
        return 0
    result[0] = NULL
    outcome = delivery._step()
    if outcome is None:
        if (<Steps>steps)._waited:
            raise RuntimeError("await wasn't used with future")
        (<Steps>steps)._waited = True
        Py_INCREF(delivery)
        result[0] = <PyObject*>delivery
        return 1
    (<Steps>steps)._delivery = None
    Py_INCREF(outcome)
    result[0] = <PyObject*>outcome
    return 0


cdef inline object steps(Delivery delivery):
    cdef Steps made = Steps.__new__(Steps)
    made._delivery = delivery
    made._waited = False
    return made


cdef inline fill(type kind):
    aioproducer_async_slots.am_send = step
    (<_TypeWithAsync*>kind).tp_as_async = &aioproducer_async_slots
