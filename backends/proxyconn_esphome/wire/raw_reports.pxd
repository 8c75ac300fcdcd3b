# How the names in raw_reports.py are compiled.
import cython

from proxyconn.advertised.reports cimport PlainReport


cdef int REPORT, ADDRESS, RSSI, ADDRESS_TYPE, DATA
cdef unsigned long long BITS_32, LAST_ADDRESS
cdef int LAST_SHIFT


@cython.final
cdef class _Reader:
    cdef bytes data
    cdef const unsigned char* bytes
    cdef Py_ssize_t at

    @cython.locals(value=cython.ulonglong, byte=cython.ulonglong, shift=cython.int)
    cdef unsigned long long number(self, Py_ssize_t end) except? 0xFFFFFFFF

    @cython.locals(size=cython.longlong)
    cdef Py_ssize_t length(self, Py_ssize_t end) except -1

    @cython.locals(
        tag=cython.int,
        zigzag=cython.ulonglong,
        rssi=cython.int,
        stop=Py_ssize_t,
        report=PlainReport,
    )
    cdef PlainReport report(self, Py_ssize_t end)


@cython.locals(reader=_Reader, end=Py_ssize_t, tag=cython.int, reports=list, report=PlainReport)
cpdef list read_reports(bytes data)
