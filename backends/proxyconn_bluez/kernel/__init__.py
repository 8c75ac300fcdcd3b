"""The kernel's Bluetooth management interface: the socket, the packets, the commands.

May import: `proxyconn.radio`.
Begin with `management.py`; `packets.py` is pure.
"""
