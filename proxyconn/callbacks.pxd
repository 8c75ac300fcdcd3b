# How the names in callbacks.py are compiled.
import cython


@cython.final
cdef class Registration:
    cdef public object callback


@cython.final
cdef class Registrations:
    cdef public tuple now
