"""The services of devices: asked for, believed or doubted, kept, and forgotten everywhere.

Here: `discovery.py` asks and decides whether a table is kept; `services_table.py` makes bleak's
form of one; `gatt_cache.py` keeps what is known of each device; `stale_tables.py` clears what
proxies keep themselves.
May import: the rest of `link`, `wire`.
Begin with `discovery.py`.
"""
