"""`proxyconn top`: the fleet in a terminal, as it changes.

Here: `command.py` is the command; `app.py` the screen and its keys; `tables.py` keeps a table on
the screen like the rows it is to show; `pages.py` says what each page shows, and `cells.py` how
values are written; `sources.py` is where the state comes from: an owner, or a fleet of its own.
May import: `proxyconn`, `proxyconn_web`. Textual is an extra: `pip install proxyconn[top]`.
Begin with `app.py`.
"""
