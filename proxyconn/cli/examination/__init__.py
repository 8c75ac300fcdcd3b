"""What would keep this machine's fleet from working: gathered, and put in order.

Here: `examine.py` opens a fleet that only looks and asks every backend, `machine.py` looks at this
machine, `agreement.py` at whether the configuration fits what was found.
May import: everything of `proxyconn` but the commands. What is about one sort of radio comes from
its backend, by the entry point `proxyconn.checks`.
"""
