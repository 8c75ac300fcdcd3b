"""A server of the native API: listening, framing, Noise, sessions, announcement.

Here: bytes to messages and back (`frames.py`, `noise.py`, pure), one client (`session.py`), all of
them (`listener.py`), mDNS (`mdns.py`). Whoever is served states its manners in `SessionHost`.
May import: `proxyconn_proto` only; nothing of firmware, radios or faults.
Begin with `session.py`.
"""
