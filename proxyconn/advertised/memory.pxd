# What other compiled modules may call in memory.pyx.


cpdef object new_tuple(object made_of, tuple values)


cpdef object let_go(tuple made)


cpdef bint only_kept(object kept)


cpdef void fetch(object wanted) noexcept


cpdef bint lies_at(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes part)
