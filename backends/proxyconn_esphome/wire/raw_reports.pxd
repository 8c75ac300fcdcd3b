# How the names in raw_reports.py are compiled.
import cython

from proxyconn.advertised.memory cimport lies_at, only_kept
from proxyconn.advertised.reports cimport PlainReport


cdef int REPORT, ADDRESS, RSSI, ADDRESS_TYPE, DATA, PLACES
cdef unsigned long long BITS_32, LAST_ADDRESS
cdef int LAST_SHIFT, LENGTH_BYTES


@cython.final
cdef class BatchReader:
    cdef bytes data
    cdef const unsigned char* bytes
    cdef Py_ssize_t at
    cdef list last

    @cython.locals(end=Py_ssize_t, tag=cython.int, reports=list, report=PlainReport)
    cpdef list read(self, bytes data)

    @cython.locals(
        value=cython.ulonglong, byte=cython.ulonglong, shift=cython.int, at=Py_ssize_t
    )
    cdef unsigned long long number(self, Py_ssize_t end) except? 0xFFFFFFFF

    @cython.locals(size=cython.longlong, start=Py_ssize_t)
    cdef Py_ssize_t length(self, Py_ssize_t end) except -1

    @cython.locals(
        tag=cython.int,
        zigzag=cython.ulonglong,
        address=cython.ulonglong,
        address_type=cython.longlong,
        rssi=cython.int,
        start=Py_ssize_t,
        stop=Py_ssize_t,
        report=PlainReport,
    )
    cdef PlainReport report(self, Py_ssize_t end)

    @cython.locals(
        place=Py_ssize_t,
        known=cython.longlong,
        last=PlainReport,
        fresh=PlainReport,
    )
    cdef PlainReport said_last(self, long long number)
