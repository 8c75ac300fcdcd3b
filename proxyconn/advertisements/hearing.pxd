# How the names in hearing.py are compiled.
import cython

from proxyconn.advertised.memory cimport let_go, new_tuple
from proxyconn.advertised.reports cimport PlainReport
from proxyconn.callbacks cimport Registration, Registrations
from proxyconn.advertisements.merged_device cimport Heard, Sighting


cdef double RHYTHM_SMOOTHING, RSSI_SMOOTHING, STALE_AT_LEAST
cdef bint COMPILED
cdef int NO_SIGNAL_FROM, NO_RSSI_VALUE
cdef unsigned long long LAST_ADDRESS
cdef object AdvertisementData, measured, own_platform_data


@cython.locals(
    report=PlainReport,
    heard=Heard,
    best=Heard,
    sighting=Sighting,
    rssi=cython.int,
    earlier=cython.double,
    own=tuple,
    every=Registrations,
    changes=Registrations,
    registration=Registration,
    companies=dict,
    services=dict,
    uuids=list,
    registered=tuple,
)
cpdef hear(object table, object radio, dict known, object reports, object parse, double now)
