"""The state of a fleet over HTTP: JSON, server-sent events, actions, metrics and the web page.

Here: `routes.py` answers requests; `access.py` says who may ask; `server.py` listens on TCP;
`client.py` reads all of it from a program. docs/api.md documents it.
May import: the core. Knows no radio and no owner.
Begin with `routes.py`.
"""
