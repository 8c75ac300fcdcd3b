"""The commands that virtual proxies bring to `proxyconn`: `virtual`, and `demo` with its stories.

May import: everything here, and the core, as no other room does: a demo's app is a user's program.
Begin with `virtual.py` and `demo.py`; a new story goes into `demo_stories.py`.
"""
