"""The way to one proxy: aioesphomeapi's connection, its messages, mDNS, and who answers.

Here: `connection.py` keeps the connection up; `native_api.py` is the one place that goes past the
public face of aioesphomeapi; `write_batching.py` sends; `mdns.py` finds; `identity.py` checks.
May import: `proxyconn.radio` and aioesphomeapi; nothing of sessions or links.
Begin with `connection.py`.
"""
