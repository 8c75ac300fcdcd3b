# How the names in reports.py are compiled.
import cython


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class PlainReport:
    cdef readonly object address
    cdef readonly long long address_type
    cdef readonly int rssi
    cdef readonly object data


@cython.locals(plain=list, report=object)
cpdef list plain_reports(object reports)
