"""A local adapter as a radio of a fleet: its scan, its slots, its clients, its coming and going.

May import: `client`, `bus`, `kernel`.
Begin with `adapter.py`; `hotplug.py` makes one for every adapter there is.
"""
