"""Tuples of a named tuple's class, without its constructor; `new_tuple.pyx` is this in C."""

from __future__ import annotations

new_tuple = tuple.__new__
"""`new_tuple(class, values)`: a constructor takes twice as long, for every advertisement."""
