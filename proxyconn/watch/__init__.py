"""The state of a fleet as JSON-able values: a snapshot, and then what changes.

Here: `feed.py` is the stream that readers follow; `picture.py` the whole state; `devices.py` the
part of it that advertisements change; `rows.py` single things, with the names that commands use;
`changes.py` says how two states differ; `encoding.py` makes text of them; `record.py` keeps the
log; `actions.py` is what readers may do. The names are documented in docs/api.md.
May import: `fleet` and below. Knows no wire, no server and no reader.
Begin with `feed.py`.
"""
