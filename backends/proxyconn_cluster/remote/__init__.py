"""Radios of other owners, as radios of this fleet.

Here: `remote_radios.py` follows the others; `offer_requests.py` asks them; `remote_radio.py` is one
of their radios, `remote_client.py` a device behind it; `far_links.py` the links that others hold
for us, `far_link.py` one of them; `cluster_snapshot.py` says what is known of all of it.
May import: the core, `exchange/`, `members.py`, `device_locks.py`, `ownership/`, `bus/`.
Begin with `remote_radios.py`.
"""
