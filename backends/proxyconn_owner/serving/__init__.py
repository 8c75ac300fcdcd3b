"""A served proxy: what clients see, hear and hold.

Here: `served_proxy.py` is one proxy; `served_client.py` one client of it; `served_link.py` one link
of a client, and `requests.py` what waits for it; `chores.py` what a client asks for without a link;
`advertisements.py` what clients hear; `failure_codes.py` the numbers of failures.
May import: the core's lending, `proxyconn_native_api`, `proxyconn_proto`.
Begin with `served_proxy.py`.
"""
