"""One proxy's life: from the first connect through subscription, silence and loss to the end.

Here: `session.py` owns the parts, and each part states what it needs of the proxy in a Protocol of
its own: `subscription.py`, `silence_watchdog.py`, `scan_mode.py`, ….
May import: `occupancy`, `link`, `wire`.
Begin with `session.py`, then `proxy_reports.py`, which hands each report to whom it concerns.
"""
