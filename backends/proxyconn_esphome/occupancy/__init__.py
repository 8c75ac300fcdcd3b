"""What occupies a proxy beside the links of its clients, up to the very end of it.

Here: attempts until the proxy has ended them (`opening_attempts.py`), links that it had before its
subscription was ours (`left_links.py`), slots that nobody uses (`orphaned_slots.py`).
May import: `link`, `wire`.
Begin with `opening_attempts.py`.
"""
