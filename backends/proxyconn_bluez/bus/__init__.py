"""BlueZ on the system bus: its objects as it announces them, kept through restarts.

Here: `connection.py` calls with a deadline; `objects.py` follows the ObjectManager; `watch.py`
keeps that view; `devices.py` reads properties and leaves out what has the wrong type.
May import: `bleak_private`, `proxyconn.radio`.
Begin with `watch.py`.
"""
