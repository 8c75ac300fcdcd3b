"""Connecting to one device, and staying connected, whatever radio it is reached through.

Here: attempts, waits and path changes of `establish_connection`; the client that users hold; the
decorator that retries one operation; the connection that comes back by itself.
May import: `failures`, `local`, `radio` and below. Never a fleet: a device carries its route.
Begin with `establish.py`; what a failure costs is in `failures/rules.py`.
"""
