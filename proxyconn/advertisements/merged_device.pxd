# How the names in merged_device.py are compiled.
import cython

from proxyconn.advertised.turns cimport Turn, Turns


@cython.final
cdef class Heard:
    cdef public object radio
    cdef public Sighting sighting
    cdef public double rssi
    cdef public int last_rssi
    cdef public double at
    cdef public double interval
    cdef public long long address_type


@cython.final
cdef class Sighting:
    cdef public object device
    cdef public tuple said
    cdef public object payload
    cdef public Turns turns
    cdef public dict heard
    cdef public Heard best

    @cython.locals(latest=Turn, old=tuple)
    cpdef take(self, object fresh, Heard heard, double earlier)

    cdef _rename(self)

    @cython.locals(best=Heard)
    cpdef weigh(self, Heard heard, double now)

    cpdef correct(self, Heard heard, long long address_type)
