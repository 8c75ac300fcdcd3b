# How the names in advertisement_data.py are compiled.
import cython


cdef object AdvertisementData, _parse, plain_name, once_each, NO_RSSI_VALUE
cdef str PADDING


@cython.locals(name=str)
cpdef tuple said_by(bytes data)


cpdef advertisement_data(bytes data, rssi=*)


cpdef bint has_shortened_name(bytes data)
