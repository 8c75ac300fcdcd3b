"""What an owner does for the rest of the cluster: offers, links, advertisements.

Here: `serving.py` is all of it for one fleet; `lent_links.py` the links of others, `lent_link.py`
one of them; `advertisement_relay.py` passes on what radios hear; `scan_wishes.py` has them scan as
others wish; `names.py` says what radios are called.
May import: the core's lending, `exchange/`, `members.py`, `bus/`.
Begin with `serving.py`.
"""
