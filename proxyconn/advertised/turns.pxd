# How the names in turns.py are compiled.
import cython


@cython.final
@cython.no_gc
cdef class Turn:
    cdef public object advertisement
    cdef public double at
    cdef public bint shortened
    cdef public object name
    cdef public object uuids
    cdef public object only


@cython.final
@cython.no_gc
cdef class Turns:
    cdef public Turn latest
    cdef public dict _turns

    @cython.locals(last=object)
    cpdef bint repeats(self, object fresh)
