"""Both radios of virtual proxies from inside: the simulated one and Bumble's.

What they must offer is in `proxyconn_virtual/radio.py`; what users make is in `simulated.py` and
`bumble.py` beside it.
May import: `peripheral`, `radio`, `owned_tasks`.
"""
