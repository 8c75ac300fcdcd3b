"""Tuples of a named tuple's class, without its constructor: `new_tuple.py` in C."""

from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM


cdef extern from "Python.h":
    object PyType_GenericAlloc(type made_of, Py_ssize_t size)
    const int PY_VERSION_HEX


cpdef object new_tuple(type made_of, tuple values):
    """Return a tuple of a class that adds nothing to tuple but names."""
    cdef Py_ssize_t place, size
    # From 3.14 on a tuple has its hash beside its values.
    if PY_VERSION_HEX >= 0x030E0000:
        return tuple.__new__(made_of, values)
    size = PyTuple_GET_SIZE(values)
    made = PyType_GenericAlloc(made_of, size)
    for place in range(size):
        value = <object>PyTuple_GET_ITEM(values, place)
        Py_INCREF(value)
        PyTuple_SET_ITEM(made, place, value)
    return made
