"""Whose the one subscription is that a proxy grants: asking for it, keeping it, seeing it stolen.

Here: `other_clients.py` decides whether to ask, `subscription.py` asks until it is granted,
`probe.py` sees whether it is still ours, `taking_back.py` how soon it is taken back if it is not,
`rivals.py` who has it then.
May import: `occupancy`, `wire`.
Begin with `subscription.py`.
"""
