# How the names in hearing.py are compiled.
import cython

from proxyconn.advertised.memory cimport fetch, let_go, new_tuple
from proxyconn.advertised.reports cimport PlainReport, plain_reports
from proxyconn.advertised.turns cimport Turns
from proxyconn.callbacks cimport Registration, Registrations
from proxyconn.advertisements.merged_device cimport Heard, Sighting


cdef double RHYTHM_SMOOTHING, RSSI_SMOOTHING, STALE_AT_LEAST
cdef bint COMPILED
cdef int FEW, NO_SIGNAL_FROM, NO_RSSI_VALUE
cdef unsigned long long LAST_ADDRESS
cdef object AdvertisementData, measured, own_platform_data


@cython.locals(
    at=Py_ssize_t,
    found=list,
    needed=list,
    report=PlainReport,
    heard=Heard,
    sighting=Sighting,
    turns=Turns,
    said=tuple,
)
cdef list look_ahead(dict known, list reports, bint every)


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
    ahead=list,
    registered=tuple,
)
cpdef hear(object table, object radio, dict known, object reports, object parse, double now)
