"""Radios of other owners, as radios of this fleet.

Here: `neighbourhood.py` follows the others; `asking.py` asks them; `remote_radio.py` is one of
their radios, `remote_client.py` a device behind it; `far_links.py` the links that others hold for
us, `far_link.py` one of them; `outlook.py` says what is known of all of it.
May import: the core, `exchange/`, `members.py`, `holds.py`, `ownership/`, `bus/`.
Begin with `neighbourhood.py`.
"""
