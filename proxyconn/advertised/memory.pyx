"""Objects as they lie in memory, not made twice: `memory.py` in C."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT
from libc.string cimport memcmp


cdef extern from "Python.h":
    const int PY_VERSION_HEX
    void Py_SET_TYPE(object made, type made_of)

    ctypedef struct PyTypeObject:
        Py_ssize_t tp_basicsize
        Py_ssize_t tp_itemsize
        Py_ssize_t tp_dictoffset
        Py_ssize_t tp_weaklistoffset

    PyTypeObject PyTuple_Type


cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define BEGIN_TO_FETCH(at) __builtin_prefetch(at)
    #else
    #define BEGIN_TO_FETCH(at) ((void)(at))
    #endif
    """
    void BEGIN_TO_FETCH(const void* at)


cdef enum:
    CACHE_LINE = 64


cdef inline bint lies_as_a_tuple(object made_of):
    """Whether a class adds nothing to tuple that takes room; it may have a class of its own."""
    if type(made_of) is not type:
        return False
    cdef PyTypeObject* seen = <PyTypeObject*>made_of
    return (
        seen.tp_basicsize == PyTuple_Type.tp_basicsize
        and seen.tp_itemsize == PyTuple_Type.tp_itemsize
        and seen.tp_dictoffset == 0
        and seen.tp_weaklistoffset == 0
    )


cpdef object new_tuple(object made_of, tuple values):
    """Return a tuple of a class."""
    # Nobody else has what was made for this call, so it may become the tuple itself. From 3.14 on
    # a count does not say that any more.
    if PY_VERSION_HEX >= 0x030E0000 or Py_REFCNT(values) != 1 or not lies_as_a_tuple(made_of):
        return tuple.__new__(made_of, values)
    Py_INCREF(made_of)
    Py_SET_TYPE(values, <type>made_of)
    return values


cpdef object let_go(tuple made):
    """Make what `new_tuple` made a plain one again, which is freed quicker, if nobody kept it."""
    cdef type made_of = type(made)
    if PY_VERSION_HEX < 0x030E0000 and Py_REFCNT(made) == 1 and made_of is not tuple:
        Py_SET_TYPE(made, tuple)
        Py_DECREF(made_of)


cpdef bint only_kept(object kept):
    """Whether nobody has an object but who keeps it and who asks."""
    return Py_REFCNT(kept) == 2


cpdef void fetch(object wanted) noexcept:
    """Have the processor fetch an object that is needed soon, and not wait for it."""
    BEGIN_TO_FETCH(<char*><void*>wanted)
    BEGIN_TO_FETCH(<char*><void*>wanted + CACHE_LINE)


cpdef bint lies_at(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes part):
    """Whether a part of some bytes, with bounds that lie within, is the same as others."""
    cdef Py_ssize_t size = stop - start
    if PyBytes_GET_SIZE(part) != size:
        return False
    return memcmp(PyBytes_AS_STRING(data) + start, PyBytes_AS_STRING(part), size) == 0
