"""The connection slots of one radio: who holds which, and who waits for one.

Here: the ledger decides and never waits; waiting is built upon it, first come first served.
May import: `errors`, `models`. Radios use both through `proxyconn.radio`.
Which radio's slot a caller gets is decided in `routing/connection_queue.py`.
Begin with `ledger.py`.
"""
