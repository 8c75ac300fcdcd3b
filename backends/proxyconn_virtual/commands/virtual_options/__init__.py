"""The options of `proxyconn virtual` that need some room, and what it writes and prints.

Begin with `peripherals_option.py`; a new option goes into a module of its own here.
May import: everything of `proxyconn_virtual` below its commands, and the core.
"""
