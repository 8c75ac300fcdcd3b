# How the names in advertisement_data.py are compiled.
import cython

from proxyconn.advertised.new_tuple cimport new_tuple


cdef object AdvertisementData, parse_advertisement_data_bytes, plain_name, once_each


cpdef advertisement_data(bytes data, rssi=*)


cpdef bint has_shortened_name(bytes data)
