# What other compiled modules may call in new_tuple.pyx.


cpdef object new_tuple(type made_of, tuple values)
